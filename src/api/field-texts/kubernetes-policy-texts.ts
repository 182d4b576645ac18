// Texts of Kubernetes' own policies: NetworkPolicy, ClusterNetworkPolicy, and their selectors.
import type { FieldTexts } from './field-text.ts';

const STATUS = 'What became of the policy: the condition Enforced says whether all nodes hold it';

export function labelSelector(what: string): FieldTexts {
  return {
    '': `${what}; all conditions must hold, and an empty selector finds everything`,
    matchLabels: 'Labels that must be there with these values',
    matchExpressions: {
      '': 'Conditions on labels',
      key: 'The label',
      operator:
        'In and NotIn compare with the values; Exists and DoesNotExist ask whether it is there',
      values: 'The values, for In and NotIn',
    },
  };
}

function peers(end: string): FieldTexts {
  return {
    '': `The ${end} is one of these; any ${end} where the list is empty or absent`,
    podSelector: labelSelector(
      'Pods of the namespace of the policy, or of those that namespaceSelector finds',
    ),
    namespaceSelector: labelSelector(
      'All pods of such namespaces, or those that podSelector finds',
    ),
    ipBlock: {
      '': 'Addresses, usually of outside the cluster',
      cidr: 'The network, such as 192.0.2.0/24',
      except: 'Networks within it that are not meant',
    },
  };
}

const PORTS: FieldTexts = {
  '': 'The port is one of these; any port where the list is empty or absent',
  protocol: 'TCP, UDP or SCTP; TCP where it is absent',
  port: 'A number, or the name of a port of the pod; all ports of the protocol where it is absent',
  endPort: 'The last of a range that begins with the port, which must be a number',
};

export const KUBERNETES_POLICY_SPEC_TEXTS: FieldTexts = {
  '': 'Which pods the policy is for, and what they may do',
  podSelector: labelSelector('The pods of the namespace that the policy is for'),
  policyTypes:
    'Which directions the policy governs: what no rule of any such policy allows is denied. Absent: ' +
    'Ingress, and Egress where it has egress rules',
  ingress: {
    '': 'Allowed connections to the pods: a connection needs to match one rule, in peer and port',
    from: peers('source'),
    ports: PORTS,
  },
  egress: {
    '': 'Allowed connections from the pods: a connection needs to match one rule, in peer and port',
    to: peers('destination'),
    ports: PORTS,
  },
};

const DESTINATION_PORT: FieldTexts = {
  '': 'The port at the destination: a number or a range; any where it is absent',
  number: 'One port',
  range: { '': 'Ports from start to end', start: 'The first port', end: 'The last port' },
};

const PROTOCOLS: FieldTexts = {
  '': 'The protocol and port are one of these; any where the list is absent. Each entry has one field',
  tcp: { '': 'TCP', destinationPort: DESTINATION_PORT },
  udp: { '': 'UDP', destinationPort: DESTINATION_PORT },
  sctp: { '': 'SCTP', destinationPort: DESTINATION_PORT },
  destinationNamedPort: 'The name of a port of the destination pod',
};

function pods(what: string): FieldTexts {
  return {
    '': what,
    namespaceSelector: labelSelector('The namespaces of the pods'),
    podSelector: labelSelector('The pods in them'),
  };
}

function clusterRules(direction: string): FieldTexts {
  return {
    '': `Rules for connections ${direction} the subject; the first that matches decides`,
    name: 'What people call the rule; it changes nothing',
    action:
      'Accept and Deny decide; Pass leaves the decision to NetworkPolicies and to the Baseline tier',
    protocols: PROTOCOLS,
  };
}

const PEERS: FieldTexts = {
  '': 'The far end is one of these; each entry has one field',
  namespaces: labelSelector('All pods of such namespaces'),
  pods: pods('Some pods of some namespaces'),
};

export const KUBERNETES_POLICY_TEXTS: Readonly<Record<string, FieldTexts>> = {
  NetworkPolicy: {
    '': "Kubernetes' policy for pods of one namespace: what it allows adds to what others allow",
    spec: KUBERNETES_POLICY_SPEC_TEXTS,
    status: STATUS,
  },
  ClusterNetworkPolicy: {
    '': "Kubernetes' policy of administrators, for pods of all namespaces",
    spec: {
      '': 'Which pods the policy is for, and what they may do',
      tier: 'Admin comes before NetworkPolicies, Baseline after them',
      priority: 'Where the policy stands in its tier: lower comes first',
      subject: {
        '': 'The pods that the policy is for, by one of the fields',
        namespaces: labelSelector('All pods of such namespaces'),
        pods: pods('Some pods of some namespaces'),
      },
      ingress: { ...clusterRules('to'), from: PEERS },
      egress: {
        ...clusterRules('from'),
        to: {
          ...PEERS,
          networks: 'The address is in one of these networks',
          nodes: labelSelector('Nodes, at their addresses'),
        },
      },
    },
    status: STATUS,
  },
};
