// The policy model case by case (spec 02): every match field, scoping, order, tiers and doubtful cases.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EntityRule, Resource, Rule } from '#api';
import { account, ask, felix, globalPolicy, namespace, networkPolicy } from './sample-cluster.ts';
import { networkSet, node, pod, rule, tier, verdict } from './sample-cluster.ts';
import { WorldError } from './world-problem.ts';

const CLUSTER: readonly Resource[] = [
  node('one', '192.0.2.1'),
  node('two', '192.0.2.2'),
  namespace('shop', { team: 'a' }),
  namespace('lab', { team: 'b' }),
  account('shop/robot', { duty: 'clean' }),
  pod('shop/web', ['10.0.0.1', 'fd00::1'], {
    labels: { app: 'web' },
    serviceAccount: 'robot',
    ports: [
      ['http', 80],
      ['dns', 53, 'UDP'],
    ],
  }),
  pod('shop/db', ['10.0.0.2', 'fd00::2'], { labels: { app: 'db' }, node: 'two' }),
  pod('lab/web', ['10.0.1.1', 'fd00::1:1'], { labels: { app: 'web' }, node: 'two' }),
];
const OUTSIDE = '198.51.100.7';

/** The verdict for a client of shop/web when one rule of a namespaced policy guards it. */
function ingressOf(one: Rule, from: string, more = {}, extra: readonly Resource[] = []): string {
  const policy = networkPolicy('shop/p', { selector: "app == 'web'", ingress: [one] });
  return verdict([...CLUSTER, policy, ...extra], from, 'shop/web', more);
}

function globalIngress(source: EntityRule, from: string, extra: readonly Resource[] = []): string {
  const policy = globalPolicy('p', {
    selector: "app == 'web'",
    ingress: [{ action: 'Allow', source }],
  });
  return verdict([...CLUSTER, policy, ...extra], from, 'shop/web');
}

test('[PE4] without policy pods talk, and the profile is not named as a tier or policy', () => {
  const { verdict: got, egress, ingress } = ask(CLUSTER, 'shop/web', 'shop/db');
  assert.equal(got, 'allow');
  assert.deepEqual(egress, { verdict: 'allow', tier: null, policy: null, rule: -1 });
  assert.deepEqual(ingress, egress);
});

test('serviceAccountSelector all() selects what has a service account', () => {
  const policy = networkPolicy('shop/p', { serviceAccountSelector: 'all()' });
  const bare = pod('shop/bare', ['10.0.0.9'], {});
  assert.equal(verdict([...CLUSTER, policy, bare], 'lab/web', 'shop/web'), 'deny ingress');
  assert.equal(verdict([...CLUSTER, policy, bare], 'lab/web', 'shop/bare'), 'allow');
});

test('[PE23] an allowance by HTTP never matches, and the reason is told', () => {
  const policy = networkPolicy('shop/p', {
    ingress: [{ action: 'Allow', http: { methods: ['GET'] } }],
  });
  const { ingress, steps } = ask([...CLUSTER, policy], 'lab/web', 'shop/web');
  assert.equal(ingress.verdict, 'deny');
  assert.ok(
    steps.some(({ reason }) =>
      reason.includes('HTTP conditions need the application layer, which is not enforced here'),
    ),
  );
});

test('[PE10] a policy that selects and does not match denies by the default action of its tier', () => {
  const policy = networkPolicy('shop/p', { selector: "app == 'db'" });
  const { egress, ingress } = ask([...CLUSTER, policy], 'shop/web', 'shop/db');
  assert.equal(egress.verdict, 'allow');
  assert.deepEqual(ingress, { verdict: 'deny', tier: 'default', policy: null, rule: -1 });
});

test('[PE3] the deciding policy is named as its author wrote it, and the rule by its index', () => {
  const kubernetes = {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: 'web', namespace: 'shop' },
    spec: {
      podSelector: { matchLabels: { app: 'web' } },
      ingress: [
        {
          from: [{ podSelector: { matchLabels: { app: 'x' } } }, { podSelector: {} }],
          ports: [{ port: 1 }, { port: 2, protocol: 'UDP' }],
        },
        { from: [{ podSelector: {} }], ports: [{ port: 80 }] },
      ],
    },
  };
  assert.deepEqual(ask([...CLUSTER, kubernetes], 'shop/db', 'shop/web').ingress, {
    verdict: 'allow',
    tier: 'default',
    policy: { kind: 'KubernetesNetworkPolicy', namespace: 'shop', name: 'web' },
    rule: 1,
  });
});

test('[PE1] ingress is judged also where egress denies', () => {
  const egress = networkPolicy('shop/e', { selector: "app == 'web'", types: ['Egress'] });
  const ingress = networkPolicy('shop/i', { selector: "app == 'db'", types: ['Ingress'] });
  assert.equal(
    verdict([...CLUSTER, egress, ingress], 'shop/web', 'shop/db'),
    'deny egress ingress',
  );
});

test('[PE2] an outside address has no egress policy, and a pod reaches itself whatever policy says', () => {
  const deny = globalPolicy('deny', { types: ['Ingress', 'Egress'] });
  assert.deepEqual(ask([...CLUSTER, deny], OUTSIDE, 'shop/web').egress, {
    verdict: 'allow',
    tier: null,
    policy: null,
    rule: -1,
  });
  assert.equal(verdict([...CLUSTER, deny], 'shop/web', 'shop/web'), 'allow');
});

test('[PE14] [PE16] protocols, ports, ICMP and their negations', () => {
  const allow = (one: Partial<Rule>): Rule => ({ action: 'Allow', ...one });
  const tcp80 = {};
  const udp53 = { protocol: 17, port: 53 };
  const ping = { protocol: 1 };
  const cases: readonly (readonly [Partial<Rule>, object, boolean])[] = [
    [{ protocol: 'TCP' }, tcp80, true],
    [{ protocol: 17 }, tcp80, false],
    [{ protocol: '6' }, tcp80, true],
    [{ notProtocol: 'TCP' }, tcp80, false],
    [{ notProtocol: 'ICMP' }, tcp80, true],
    [{ protocol: 'TCP', destination: { ports: [443, '79:81'] } }, tcp80, true],
    [{ protocol: 'TCP', destination: { ports: [443] } }, tcp80, false],
    [{ protocol: 'TCP', destination: { notPorts: [443] } }, tcp80, true],
    [{ protocol: 'TCP', destination: { notPorts: ['1:80'] } }, tcp80, false],
    [{ protocol: 'TCP', source: { ports: [1024] } }, { sourcePort: 1024 }, true],
    [{ protocol: 'TCP', source: { ports: ['1:1024'] } }, tcp80, false],
    [{ protocol: 'TCP', destination: { ports: ['http'] } }, tcp80, true],
    [{ protocol: 'TCP', destination: { ports: ['dns'] } }, tcp80, false],
    [{ protocol: 'UDP', destination: { ports: ['dns'] } }, udp53, true],
    [{ protocol: 'TCP', destination: { notPorts: ['http'] } }, tcp80, false],
    // Without a protocol a port's name means a TCP port.
    [{ destination: { ports: ['http'] } }, tcp80, true],
    [{ destination: { ports: ['dns'] } }, udp53, false],
    [{ protocol: 'ICMP' }, ping, true],
    [{ protocol: 'ICMP', icmp: { type: 8 } }, ping, true],
    [{ protocol: 'ICMP', icmp: { type: 8, code: 1 } }, ping, false],
    [{ protocol: 'ICMP', icmp: { type: 0 } }, ping, false],
    [{ protocol: 'ICMP', notICMP: { type: 8 } }, ping, false],
    [{ protocol: 'ICMP', notICMP: { type: 0 } }, ping, true],
    [{ protocol: 'ICMPv6', icmp: { type: 128 } }, { protocol: 58, family: 6 }, true],
    [{ ipVersion: 6 }, tcp80, false],
    [{ ipVersion: 6 }, { family: 6 }, true],
  ];
  for (const [one, more, matches] of cases) {
    const got = ingressOf(allow(one), 'shop/db', more);
    assert.equal(got, matches ? 'allow' : 'deny ingress', JSON.stringify([one, more]));
  }
});

test('[PE15] networks, and what a list of the other family does', () => {
  const cases: readonly (readonly [EntityRule, 4 | 6, boolean])[] = [
    [{ nets: ['10.0.0.0/24'] }, 4, true],
    [{ nets: ['10.0.0.2'] }, 4, true],
    [{ nets: ['10.0.0.99/24'] }, 4, true],
    [{ nets: ['10.1.0.0/16'] }, 4, false],
    [{ nets: ['10.0.0.0/8'] }, 6, false],
    [{ nets: ['10.0.0.0/8', 'fd00::/16'] }, 6, true],
    [{ notNets: ['10.0.0.0/24'] }, 4, false],
    [{ notNets: ['10.1.0.0/16'] }, 4, true],
    [{ notNets: ['10.1.0.0/16'] }, 6, false],
    [{ notNets: ['10.1.0.0/16', 'fd01::/16'] }, 6, true],
    [{ notNets: ['0.0.0.0/0'] }, 4, false],
    [{ nets: ['10.0.0.0/8'], notNets: ['10.0.0.2/32'] }, 4, false],
  ];
  for (const [source, family, matches] of cases) {
    const got = ingressOf({ action: 'Allow', source }, 'shop/db', { family });
    assert.equal(got, matches ? 'allow' : 'deny ingress', JSON.stringify([source, family]));
  }
});

test('[PE17] [PE19] selectors of a namespaced policy mean its namespace, unless one of namespaces stands by', () => {
  const cases: readonly (readonly [EntityRule, string, boolean])[] = [
    [{ selector: "app == 'db'" }, 'shop/db', true],
    [{ selector: "app == 'web'" }, 'lab/web', false],
    [{ selector: "app == 'web'", namespaceSelector: 'all()' }, 'lab/web', true],
    [{ namespaceSelector: "team == 'b'" }, 'lab/web', true],
    [{ namespaceSelector: "team == 'b'" }, 'shop/db', false],
    [{ namespaceSelector: "projectcalico.org/name == 'lab'" }, 'lab/web', true],
    [{ namespaceSelector: "kubernetes.io/metadata.name == 'lab'" }, 'lab/web', true],
    [{ namespaceSelector: 'all()' }, OUTSIDE, false],
    [{ namespaceSelector: "team != 'a'" }, OUTSIDE, false],
    [{ notSelector: "app == 'x'" }, 'shop/db', true],
    [{ notSelector: "app == 'x'" }, 'lab/web', false],
    [{ notSelector: "app == 'x'" }, OUTSIDE, false],
    [{ notSelector: "app == 'db'" }, 'shop/db', false],
    [{ selector: 'all()' }, OUTSIDE, false],
    [{ selector: '' }, OUTSIDE, true],
  ];
  for (const [source, from, matches] of cases) {
    const got = ingressOf({ action: 'Allow', source }, from);
    assert.equal(got, matches ? 'allow' : 'deny ingress', JSON.stringify([source, from]));
  }
});

test('[PE17] [PE18] rule selectors of a global policy mean everything known', () => {
  const cases: readonly (readonly [EntityRule, string, boolean])[] = [
    [{ selector: "app == 'web'" }, 'lab/web', true],
    [{ selector: '!has(x)' }, OUTSIDE, false],
    [{ notSelector: 'has(x)' }, OUTSIDE, true],
    [{ notSelector: "app == 'db'" }, 'shop/db', false],
    [{ selector: 'all()', notSelector: "app == 'db'" }, 'shop/db', false],
    [{ selector: 'all()', notSelector: "app == 'x'" }, 'shop/db', true],
    [{ namespaceSelector: 'global()' }, 'shop/db', false],
  ];
  for (const [source, from, matches] of cases) {
    const got = globalIngress(source, from);
    assert.equal(got, matches ? 'allow' : 'deny ingress', JSON.stringify([source, from]));
  }
});

test('[PE19] network sets match by their labels; global() reaches the global ones only', () => {
  const sets = [
    networkSet('partners', ['198.51.100.0/24'], { kind: 'partner' }),
    networkSet('lab/own', ['203.0.113.0/24'], { kind: 'partner' }),
  ];
  const partner = "kind == 'partner'";
  assert.equal(globalIngress({ selector: partner }, OUTSIDE, sets), 'allow');
  assert.equal(globalIngress({ selector: partner }, '203.0.113.5', sets), 'allow');
  assert.equal(globalIngress({ namespaceSelector: 'global()' }, OUTSIDE, sets), 'allow');
  assert.equal(
    globalIngress({ namespaceSelector: 'global()' }, '203.0.113.5', sets),
    'deny ingress',
  );
  assert.equal(globalIngress({ namespaceSelector: "team == 'b'" }, '203.0.113.5', sets), 'allow');
  assert.equal(globalIngress({ namespaceSelector: "team != 'x'" }, OUTSIDE, sets), 'allow');
  assert.equal(globalIngress({ notSelector: partner }, OUTSIDE, sets), 'deny ingress');
});

test('[PE18] selector with notSelector is weighed per object: a set around a pod answers for itself', () => {
  const sets = [networkSet('pods', ['10.0.0.0/8'], { kind: 'cluster' })];
  const source = { selector: "kind == 'cluster'", notSelector: "app == 'db'" };
  assert.equal(globalIngress(source, 'shop/db', sets), 'allow');
  assert.equal(globalIngress({ notSelector: "app == 'db'" }, 'shop/db', sets), 'deny ingress');
});

test('[PE20] service accounts by name and by label', () => {
  const policy = (source: EntityRule) =>
    globalPolicy('p', { selector: "app == 'db'", ingress: [{ action: 'Allow', source }] });
  const from = (source: EntityRule, name: string) =>
    verdict([...CLUSTER, policy(source)], name, 'shop/db');
  assert.equal(from({ serviceAccounts: { names: ['robot'] } }, 'shop/web'), 'allow');
  assert.equal(from({ serviceAccounts: { names: ['robot'] } }, 'lab/web'), 'deny ingress');
  assert.equal(from({ serviceAccounts: { selector: "duty == 'clean'" } }, 'shop/web'), 'allow');
  const both = { serviceAccounts: { names: ['other'], selector: "duty == 'clean'" } };
  assert.equal(from(both, 'shop/web'), 'deny ingress');
  const byAccount = globalPolicy('p', { serviceAccountSelector: "duty == 'clean'" });
  assert.equal(verdict([...CLUSTER, byAccount], 'shop/db', 'shop/web'), 'deny ingress');
  assert.equal(verdict([...CLUSTER, byAccount], 'shop/web', 'shop/db'), 'allow');
});

test('[PE21] a service stands for its endpoint slices: with ports as a destination, addresses as a source', () => {
  const slice = {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: 'db-1', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'db' } },
    endpoints: [{ addresses: ['10.0.0.2'] }],
    ports: [{ port: 5432, protocol: 'TCP' }],
  };
  const egress = networkPolicy('shop/e', {
    selector: "app == 'web'",
    egress: [{ action: 'Allow', destination: { services: { name: 'db' } } }],
  });
  const resources = [...CLUSTER, slice, egress];
  assert.equal(verdict(resources, 'shop/web', 'shop/db', { port: 5432 }), 'allow');
  assert.equal(verdict(resources, 'shop/web', 'shop/db', { port: 80 }), 'deny egress');
  const source = { services: { name: 'db' } };
  assert.equal(ingressOf({ action: 'Allow', source }, 'shop/db', {}, [slice]), 'allow');
  assert.equal(ingressOf({ action: 'Allow', source }, 'lab/web', {}, [slice]), 'deny ingress');
  assert.throws(() => globalIngress(source, 'shop/db', [slice]), WorldError);
  assert.equal(
    globalIngress({ services: { name: 'db', namespace: 'shop' } }, 'shop/db', [slice]),
    'allow',
  );
});

test('[PE11] actions: the first Allow or Deny decides, Log goes on, Pass leaves the tier', () => {
  const first = (action: Rule['action']) => [rule(action), rule('Deny')];
  const judge = (action: Rule['action']) =>
    ask([...CLUSTER, networkPolicy('shop/p', { ingress: first(action) })], 'lab/web', 'shop/web');
  assert.equal(judge('Allow').ingress.rule, 0);
  assert.equal(judge('Log').ingress.rule, 1);
  assert.deepEqual(
    judge('Log')
      .steps.filter((step) => step.direction === 'ingress')
      .map((step) => step.outcome),
    ['log', 'deny'],
  );
  assert.deepEqual(judge('Pass').ingress, { verdict: 'allow', tier: null, policy: null, rule: -1 });
});

test('[PE8] [PE10] tiers by order, none last; only those that select take part; Pass tiers let on', () => {
  const deny = (name: string, own: string) =>
    globalPolicy(name, { tier: own, selector: "app == 'web'", ingress: [rule('Deny')] });
  const allow = (name: string, own: string) =>
    globalPolicy(name, { tier: own, selector: "app == 'web'", ingress: [rule('Allow')] });
  const other = (name: string, own: string) =>
    globalPolicy(name, { tier: own, selector: 'has(z)' });
  const judge = (...extra: Resource[]) =>
    ask([...CLUSTER, ...extra], 'shop/db', 'shop/web').ingress;
  assert.equal(judge(tier('a', 200), tier('b', 100), deny('1', 'a'), allow('2', 'b')).tier, 'b');
  assert.equal(judge(tier('a', 200), deny('1', 'gone'), allow('2', 'a')).tier, 'a');
  assert.equal(judge(deny('1', 'gone')).verdict, 'deny');
  assert.equal(judge(tier('a', 1), other('1', 'a')).verdict, 'allow');
  const empty = globalPolicy('1', { tier: 'a', selector: "app == 'web'" });
  assert.deepEqual(judge(tier('a', 1), empty), {
    verdict: 'deny',
    tier: 'a',
    policy: null,
    rule: -1,
  });
  assert.equal(judge(tier('a', 1, 'Pass'), empty).verdict, 'allow');
});

test('[PE9] policies by order, none last, ties by name/namespace/kind as one text', () => {
  const named = (name: string, action: Rule['action'], order?: number) =>
    globalPolicy(name, {
      selector: "app == 'web'",
      ingress: [rule(action)],
      ...(order === undefined ? {} : { order }),
    });
  const decides = (...extra: Resource[]) =>
    ask([...CLUSTER, ...extra], 'shop/db', 'shop/web').ingress.policy?.name;
  assert.equal(decides(named('a', 'Deny'), named('b', 'Allow', 5)), 'b');
  assert.equal(decides(named('a', 'Deny', 6), named('b', 'Allow', 5)), 'b');
  assert.equal(decides(named('a', 'Deny', 5), named('a-b', 'Allow', 5)), 'a-b');
  assert.equal(decides(named('x', 'Deny', 5), named('b', 'Allow', 5)), 'b');
});

test('[PE12] top-level selectors: namespaces, own namespace only, types', () => {
  const judge = (extra: Resource, to = 'shop/web') => verdict([...CLUSTER, extra], 'shop/db', to);
  const deny = [rule('Deny')];
  assert.equal(
    judge(globalPolicy('p', { namespaceSelector: "team == 'b'", ingress: deny })),
    'allow',
  );
  const ofA = globalPolicy('p', { namespaceSelector: "team == 'a'", ingress: deny });
  assert.equal(judge(ofA), 'deny ingress');
  assert.equal(judge(globalPolicy('p', { ingress: deny })), 'deny ingress');
  assert.equal(judge(networkPolicy('shop/p', { ingress: deny }), 'lab/web'), 'allow');
  assert.equal(judge(networkPolicy('shop/p', { egress: deny })), 'deny egress');
  assert.equal(judge(networkPolicy('shop/p', { types: ['Egress'], ingress: deny })), 'deny egress');
});

test('policies for hosts only, untracked and pre-DNAT, do not touch pods; staged ones nobody', () => {
  const untracked = { doNotTrack: true, applyOnForward: true, ingress: [rule('Deny')] };
  assert.equal(verdict([...CLUSTER, globalPolicy('p', untracked)], 'shop/db', 'shop/web'), 'allow');
  const preDnat = { preDNAT: true, applyOnForward: true, ingress: [rule('Deny')] };
  assert.equal(verdict([...CLUSTER, globalPolicy('p', preDnat)], 'shop/db', 'shop/web'), 'allow');
  const staged = {
    ...networkPolicy('shop/p', { ingress: [rule('Deny')] }),
    kind: 'StagedNetworkPolicy',
  };
  const explanation = ask([...CLUSTER, staged], 'shop/db', 'shop/web');
  assert.equal(explanation.verdict, 'allow');
  assert.ok(explanation.steps.some((step) => step.outcome === 'staged'));
});

test('[PE22] a pod label never stands for a namespace label, not even under its inner name', () => {
  const odd = pod('lab/odd', ['10.0.1.9'], { labels: { team: 'a', 'pcns.team': 'c' } });
  const from = (text: string) => globalIngress({ namespaceSelector: text }, 'lab/odd', [odd]);
  assert.equal(from("team == 'c'"), 'deny ingress');
  assert.equal(from("team == 'a'"), 'deny ingress');
  assert.equal(from("projectcalico.org/name == 'lab'"), 'allow');
});

test('[PE5] pod to its own host: after egress policy, defaultEndpointToHostAction', () => {
  assert.equal(verdict(CLUSTER, 'shop/web', 'node:one'), 'allow');
  const drop = felix({ defaultEndpointToHostAction: 'Drop' });
  assert.equal(verdict([...CLUSTER, drop], 'shop/web', 'node:one'), 'deny egress');
  assert.equal(verdict([...CLUSTER, drop], 'shop/web', 'node:two'), 'allow');
  const perNode = felix({ defaultEndpointToHostAction: 'Accept' }, 'node.one');
  assert.equal(verdict([...CLUSTER, drop, perNode], 'shop/web', 'node:one'), 'allow');
  const none = globalPolicy('p', { selector: "app == 'web'", types: ['Egress'] });
  assert.equal(verdict([...CLUSTER, none], 'shop/web', 'node:one'), 'deny egress');
});

test('[PE5] host to its own pod always; from another host by the address it sends from', () => {
  const guard = networkPolicy('shop/p', {
    selector: "app == 'web'",
    ingress: [rule('Allow', { nets: ['192.0.2.2/32'] })],
  });
  assert.equal(verdict([...CLUSTER, guard], 'node:one', 'shop/web'), 'allow');
  assert.equal(verdict([...CLUSTER, guard], 'node:two', 'shop/web'), 'allow');
  const none = networkPolicy('shop/p', { selector: "app == 'web'" });
  assert.equal(verdict([...CLUSTER, none], 'node:one', 'shop/web'), 'allow');
  assert.equal(verdict([...CLUSTER, none], 'node:two', 'shop/web'), 'deny ingress');
});

test('[PE6] pods may not send tunnels, and always reach their host for neighbour discovery', () => {
  const vxlan = { protocol: 17, port: 4789 };
  assert.equal(verdict(CLUSTER, 'shop/web', 'shop/db', vxlan), 'deny egress');
  assert.equal(verdict(CLUSTER, 'shop/web', 'shop/db', { protocol: 4 }), 'deny egress');
  const permit = felix({
    allowVXLANPacketsFromWorkloads: true,
    allowIPIPPacketsFromWorkloads: true,
  });
  assert.equal(verdict([...CLUSTER, permit], 'shop/web', 'shop/db', vxlan), 'allow');
  assert.equal(verdict([...CLUSTER, permit], 'shop/web', 'shop/db', { protocol: 4 }), 'allow');
  const none = globalPolicy('p', { types: ['Egress'] });
  const solicitation = { protocol: 58, icmpType: 135, family: 6 as const };
  assert.equal(verdict([...CLUSTER, none], 'shop/web', 'ff02::1:ff00:1', solicitation), 'allow');
  const echo = { ...solicitation, icmpType: 128 };
  assert.equal(verdict([...CLUSTER, none], 'shop/web', 'ff02::1:ff00:1', echo), 'deny egress');
});

test('a finished pod has no address any more; a namespace nobody gave exists', () => {
  const ended = pod('lab/job', ['10.0.0.2'], { labels: { app: 'job' } });
  const finished = { ...ended, status: { ...ended.status, phase: 'Succeeded' } };
  const allowsJob = rule('Allow', { selector: "app == 'job'", namespaceSelector: 'all()' });
  assert.equal(ingressOf(allowsJob, 'shop/db', {}, [finished]), 'deny ingress');
  const stray = pod('nowhere/p', ['10.9.9.9']);
  const known = { namespaceSelector: "projectcalico.org/name == 'nowhere'" };
  assert.equal(globalIngress(known, 'nowhere/p', [stray]), 'allow');
});

test('[PE24] every malformed field of every policy is told at once, with its path', () => {
  const bad = networkPolicy('shop/p', {
    ingress: [rule('Allow', { selector: 'a ==' }), rule('Allow', { nets: ['10.0.0.0/99'] })],
  });
  const worse = globalPolicy('q', {
    selector: ')',
    egress: [{ action: 'Allow', protocol: 'TPC' }],
  });
  assert.throws(
    () => ask([...CLUSTER, bad, worse], 'shop/db', 'shop/web'),
    (error: unknown) => {
      assert.ok(error instanceof WorldError);
      assert.deepEqual(
        error.problems.map((problem) => `${problem.resource} ${problem.path}`),
        [
          'NetworkPolicy shop/p spec.ingress[0].source',
          'NetworkPolicy shop/p spec.ingress[1].source.nets[0]',
          'GlobalNetworkPolicy q spec.egress[0].protocol',
          'GlobalNetworkPolicy q spec',
        ],
      );
      return true;
    },
  );
});
