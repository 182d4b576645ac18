// Texts of Calico's policies: tiers, network policies, staged ones, profiles and network sets.
import type { FieldTexts } from './field-text.ts';
import { KUBERNETES_POLICY_SPEC_TEXTS } from './kubernetes-policy-texts.ts';

const PROTOCOL =
  'The protocol: TCP, UDP, ICMP, ICMPv6, SCTP, UDPLite, or a number from 1 to 255. Needed where the rule names ports';

function icmp(what: string): FieldTexts {
  return {
    '': `${what}; needs the protocol ICMP or ICMPv6`,
    type: 'The type of the message, such as 8 for an echo request',
    code: 'The code within the type; needs a type',
  };
}

function entity(end: string): FieldTexts {
  return {
    '': `What the ${end} of the connection must be; all fields that are set must hold`,
    nets: `The address of the ${end} is in one of these networks`,
    notNets: `The address of the ${end} is in none of these networks`,
    selector:
      `The ${end} is an endpoint or network set with such labels, of the namespace of the ` +
      `policy unless namespaceSelector says others: "app == 'web' && has(tier)"`,
    notSelector: `The ${end} is nothing that this selector finds`,
    namespaceSelector:
      `The ${end} is in a namespace with such labels; "global()" means what is in no ` +
      `namespace`,
    ports:
      `The port of the ${end} is one of these: a number, a range like "8000:8100", or the name of ` +
      `a port of the endpoint`,
    notPorts: `The port of the ${end} is none of these`,
    serviceAccounts: {
      '': `The ${end} is a pod that runs as one of these service accounts`,
      names: 'The account has one of these names',
      selector: 'The account has such labels',
    },
    services: {
      '':
        `The ${end} is one of the endpoints of a Kubernetes Service, with its ports where it is the ` +
        `destination`,
      name: 'The name of the Service',
      namespace: 'The namespace of the Service; that of the policy where it is absent',
    },
  };
}

const RULE: FieldTexts = {
  action:
    'What happens to a connection that the rule matches: Allow and Deny decide, Log writes to the log ' +
    'and goes on, Pass leaves the tier for the next one',
  ipVersion: 'The rule is for IPv4 or for IPv6 alone',
  protocol: PROTOCOL,
  notProtocol: `Any protocol but this. ${PROTOCOL}`,
  icmp: icmp('Only ICMP messages of this type'),
  notICMP: icmp('All ICMP messages but those of this type'),
  source: entity('source'),
  destination: entity('destination'),
  http: {
    '': 'Only such HTTP requests. They cannot be told apart by this dataplane: an Allow with it never matches',
    methods: 'The method is one of these, such as GET',
    paths: {
      '': 'The path is one of these; each entry has either exact or prefix',
      exact: 'The path is this one',
      prefix: 'The path begins with this',
    },
  },
  metadata: {
    '': 'What people and tools want to remember of the rule',
    annotations: 'Keys and values; they change nothing',
  },
};

const SPEC: FieldTexts = {
  '': 'Which endpoints the policy is for, and what they may do',
  tier: 'The tier that the policy stands in',
  order:
    'Where it stands in its tier: lower comes first, no order comes last, the name decides among equals',
  selector: 'The endpoints that the policy is for, by their labels; all where it is absent',
  serviceAccountSelector:
    'Only pods whose service account has such labels; they must be selected too',
  types:
    'Which directions the policy governs. Absent: those for which it has rules, and Ingress where it ' +
    'has none. A direction that is governed and has no matching rule is denied at the end of the ' +
    'tier, unless the tier passes',
  ingress: {
    ...RULE,
    '': 'Rules for connections to the endpoints; the first that matches and decides counts',
  },
  egress: {
    ...RULE,
    '': 'Rules for connections from the endpoints; the first that matches and decides counts',
  },
  performanceHints:
    'Hints that change no verdict. AssumeNeededOnEveryNode: every node computes the policy, also where ' +
    'no endpoint needs it yet',
};

const GLOBAL_SPEC: FieldTexts = {
  ...SPEC,
  namespaceSelector:
    'Only endpoints in namespaces with such labels; without it, host endpoints are among those that are ' +
    'selected',
  doNotTrack:
    'Of host endpoints: the rules come before connection tracking, without memory of connections, so ' +
    'that answers need a rule too; needs applyOnForward',
  preDNAT:
    'Of host endpoints: the rules see the addresses before NAT changes them, such as node ports; ' +
    'ingress only; needs applyOnForward',
  applyOnForward:
    'Of host endpoints: the policy is also for traffic that the host forwards, not only for what begins ' +
    'or ends there',
};

const STAGED_ACTION =
  'Set: what would be if this policy were in force; Delete: what would be if ' +
  'the policy of this name were gone; Learn and Ignore are for tools';

export const POLICY_TEXTS: Readonly<Record<string, FieldTexts>> = {
  Tier: {
    '':
      'A tier is a group of policies with a place in the order in which they are asked. The first ' +
      'tier whose policies decide, decides',
    spec: {
      '': 'Where the tier stands, and what it does at its end',
      order: 'Lower comes first; no order comes last. "default" is at 1000000',
      defaultAction:
        'What happens to a connection of an endpoint that some policy of the tier selects, when no rule ' +
        'decides: Deny, or Pass to the next tier',
    },
  },
  NetworkPolicy: {
    '': 'A Calico policy for endpoints of one namespace',
    spec: SPEC,
  },
  GlobalNetworkPolicy: {
    '': 'A Calico policy for endpoints of all namespaces, and for host endpoints',
    spec: GLOBAL_SPEC,
  },
  StagedNetworkPolicy: {
    '': 'A NetworkPolicy on trial: flows tell what it would do, nothing is enforced',
    spec: { ...SPEC, stagedAction: STAGED_ACTION },
  },
  StagedGlobalNetworkPolicy: {
    '': 'A GlobalNetworkPolicy on trial: flows tell what it would do, nothing is enforced',
    spec: { ...GLOBAL_SPEC, stagedAction: STAGED_ACTION },
  },
  StagedKubernetesNetworkPolicy: {
    '': "Kubernetes' NetworkPolicy on trial: flows tell what it would do, nothing is enforced",
    spec: { ...KUBERNETES_POLICY_SPEC_TEXTS, stagedAction: STAGED_ACTION },
  },
  NetworkSet: {
    '': 'A list of networks of one namespace that policies find by labels',
    spec: {
      '': 'The networks',
      nets: 'Networks and addresses, IPv4 and IPv6, such as 192.0.2.0/24',
    },
  },
  GlobalNetworkSet: {
    '': 'A list of networks that policies of all namespaces find by labels',
    spec: {
      '': 'The networks',
      nets: 'Networks and addresses, IPv4 and IPv6, such as 192.0.2.0/24',
    },
  },
  Profile: {
    '': 'What endpoints that name it inherit: labels, and rules that are asked when no policy selects them',
    spec: {
      '': 'Labels and rules',
      ingress: { ...RULE, '': 'Rules for connections to the endpoints' },
      egress: { ...RULE, '': 'Rules for connections from the endpoints' },
      labelsToApply: 'Labels that the endpoints have as if they were their own',
    },
  },
};
