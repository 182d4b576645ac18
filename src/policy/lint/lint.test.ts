// Each check of the lint: it speaks where it should, about the right field, and is silent where all is well.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Resource, Rule } from '#api';
import {
  felix,
  globalPolicy,
  hostEndpoint,
  namespace,
  networkPolicy,
  node,
  pod,
  resource,
  rule,
  tier,
} from '../sample-cluster.ts';
import type { Finding, LintCheck } from './finding.ts';
import { lint } from './lint.ts';

const PODS: readonly Resource[] = [
  namespace('shop', { team: 'shop' }),
  pod('shop/web', ['10.0.0.1'], { labels: { app: 'web' }, ports: [['http', 8080]] }),
  pod('shop/db', ['10.0.0.2'], { labels: { app: 'db' } }),
];

const DNS: Rule = {
  action: 'Allow',
  protocol: 'UDP',
  destination: { selector: "k8s-app == 'kube-dns'", namespaceSelector: 'all()', ports: [53] },
};

function found(check: LintCheck, ...resources: readonly Resource[]): Finding[] {
  return lint([...PODS, ...resources]).filter((it) => it.check === check);
}

/** `error NetworkPolicy shop/p spec.ingress[1]` of each. */
function places(check: LintCheck, ...resources: readonly Resource[]): string[] {
  return found(check, ...resources).map(
    ({ severity, object, path }) => `${severity} ${object} ${path}`,
  );
}

function ingress(...rules: readonly Rule[]): Resource {
  return networkPolicy('shop/p', {
    selector: "app == 'web'",
    types: ['Ingress'],
    ingress: [...rules],
  });
}

function kubernetes(spec: object): Resource {
  return resource(
    'networking.k8s.io/v1',
    'NetworkPolicy',
    { name: 'k', namespace: 'shop' },
    { spec },
  );
}

test('nothing is found where nothing is wrong', () => {
  const fine = ingress(rule('Allow', { selector: "app == 'db'" }, { ports: [8080, 'http'] }));
  assert.deepEqual(lint([...PODS, fine]), []);
});

test('a rule behind a wider one is shadowed: an error where they differ, else a warning', () => {
  const wide = rule('Allow', {}, { ports: ['80:90', '91:100'] });
  const narrow = { ports: ['85:95' as const] };
  assert.deepEqual(places('shadowed-rule', ingress(wide, rule('Deny', {}, narrow))), [
    'error NetworkPolicy shop/p spec.ingress[1]',
  ]);
  assert.deepEqual(places('shadowed-rule', ingress(wide, rule('Allow', {}, narrow))), [
    'warning NetworkPolicy shop/p spec.ingress[1]',
  ]);
  assert.deepEqual(places('shadowed-rule', ingress(rule('Deny', {}, narrow), wide)), []);
});

test('a rule that only logs shadows nothing', () => {
  assert.deepEqual(places('shadowed-rule', ingress({ action: 'Log' }, rule('Allow'))), []);
});

test('an earlier policy shadows where it surely applies to all that the later one does', () => {
  const early = (selector: string) =>
    globalPolicy('early', {
      order: 1,
      selector,
      types: ['Ingress'],
      ingress: [{ action: 'Deny' }],
    });
  const late = ingress(rule('Allow', { selector: "app == 'db'" }));
  assert.deepEqual(places('shadowed-rule', early('has(app)'), late), [
    'error NetworkPolicy shop/p spec.ingress[0]',
  ]);
  assert.deepEqual(places('shadowed-rule', early("app == 'db'"), late), []);
  assert.deepEqual(
    places(
      'shadowed-rule',
      { ...early('all()'), kind: 'StagedGlobalNetworkPolicy' } as Resource,
      late,
    ),
    [],
  );
});

test('a rule of an earlier tier shadows, but not where the tier may have passed the packet before', () => {
  const first = (...rules: readonly Rule[]) => [
    tier('first', 1),
    globalPolicy('first.p', {
      tier: 'first',
      selector: 'all()',
      types: ['Ingress'],
      ingress: [...rules],
    }),
  ];
  const late = ingress(rule('Allow', { selector: "app == 'db'" }));
  assert.equal(places('shadowed-rule', ...first({ action: 'Deny' }), late).length, 1);
  const pass: Rule = { action: 'Pass', source: { nets: ['10.0.0.0/8'] } };
  assert.deepEqual(places('shadowed-rule', ...first(pass, { action: 'Deny' }), late), []);
  const passAll: Rule = { action: 'Pass' };
  assert.deepEqual(places('shadowed-rule', ...first(passAll), late), []);
});

test('conditions that exclude each other are errors', () => {
  const never = ingress(rule('Allow', { selector: "app == 'a' && app == 'b'" }));
  assert.deepEqual(places('contradiction', never), [
    'error NetworkPolicy shop/p spec.ingress[0].source.selector',
  ]);
  const nobody = networkPolicy('shop/p', { selector: 'has(app) && !has(app)' });
  assert.deepEqual(places('contradiction', nobody), ['error NetworkPolicy shop/p spec.selector']);
  const both = ingress({ action: 'Allow', protocol: 'TCP', notProtocol: 'TCP' });
  assert.deepEqual(places('contradiction', both), [
    'error NetworkPolicy shop/p spec.ingress[0].notProtocol',
  ]);
});

test('policies and selectors that match nothing are named, in the words of their kind', () => {
  const idle = networkPolicy('shop/p', { selector: "app == 'wbe'" });
  assert.deepEqual(places('policy-selects-nothing', idle), [
    'warning NetworkPolicy shop/p spec.selector',
  ]);
  const other = kubernetes({ podSelector: { matchLabels: { app: 'wbe' } } });
  assert.deepEqual(places('policy-selects-nothing', other), [
    'warning KubernetesNetworkPolicy shop/k spec.podSelector',
  ]);
  assert.deepEqual(lint([namespace('shop'), idle]), [], 'without pods nothing is known');
  const peer = ingress(rule('Allow', { selector: "app == 'dbb'" }));
  assert.deepEqual(places('selector-matches-nothing', peer), [
    'warning NetworkPolicy shop/p spec.ingress[0].source.selector',
  ]);
});

test('a selector that would match in another namespace says so', () => {
  const elsewhere = pod('lab/probe', ['10.0.0.9'], { labels: { app: 'probe' } });
  const [finding] = found(
    'selector-matches-nothing',
    elsewhere,
    ingress(rule('Allow', { selector: "app == 'probe'" })),
  );
  assert.match(finding?.advice ?? '', /^lab\/probe has such labels in another namespace/);
});

test('ports without effect: names that no pod has, exclusions of what is not there or of all', () => {
  const named = ingress(rule('Allow', {}, { ports: ['metrics'] }));
  assert.deepEqual(places('port-without-effect', named), [
    'warning NetworkPolicy shop/p spec.ingress[0].destination.ports',
  ]);
  const idle = ingress(rule('Allow', {}, { ports: [80], notPorts: [443] }));
  const all = ingress(rule('Allow', {}, { ports: [80], notPorts: ['1:100'] }));
  for (const policy of [idle, all]) {
    assert.deepEqual(places('port-without-effect', policy), [
      'warning NetworkPolicy shop/p spec.ingress[0].destination.notPorts',
    ]);
  }
});

test('Pass leads nowhere where no later tier has a policy for the pods', () => {
  const passing = ingress({ action: 'Pass' });
  assert.deepEqual(places('pass-leads-nowhere', passing), [
    'warning NetworkPolicy shop/p spec.ingress[0].action',
  ]);
  const later = (selector: string) => [
    tier('late', 2_000_000),
    globalPolicy('late.p', { tier: 'late', selector, types: ['Ingress'] }),
  ];
  assert.deepEqual(places('pass-leads-nowhere', passing, ...later("app == 'web'")), []);
  assert.equal(places('pass-leads-nowhere', passing, ...later("app == 'db'")).length, 1);
});

test('a policy that only logs denies, unless something else decides in its tier', () => {
  const logs = ingress({ action: 'Log' });
  assert.deepEqual(places('log-only', logs), ['error NetworkPolicy shop/p spec.ingress']);
  const other = networkPolicy('shop/q', {
    selector: 'all()',
    types: ['Ingress'],
    ingress: [rule('Allow')],
  });
  assert.deepEqual(places('log-only', logs, other), []);
  assert.deepEqual(places('log-only', logs, tier('default', 1_000_000, 'Pass')), []);
});

test('a rule that allows everything is named, but not at the end of a list of exceptions', () => {
  assert.deepEqual(places('allow-all', ingress({ action: 'Allow' })), [
    'warning NetworkPolicy shop/p spec.ingress[0]',
  ]);
  assert.deepEqual(places('allow-all', ingress(rule('Deny'), { action: 'Allow' })), []);
  assert.deepEqual(places('allow-all', kubernetes({ podSelector: {}, ingress: [{}] })), [
    'warning KubernetesNetworkPolicy shop/k spec.ingress[0]',
  ]);
});

test('an empty list that opens a rule is an error', () => {
  assert.deepEqual(places('allow-all', ingress(rule('Allow', { nets: [] }))), [
    'error NetworkPolicy shop/p spec.ingress[0].source.nets',
  ]);
  assert.deepEqual(places('allow-all', kubernetes({ podSelector: {}, ingress: [{ from: [] }] })), [
    'error KubernetesNetworkPolicy shop/k spec.ingress[0].from',
  ]);
});

test('what a rule says by what is not there reaches further than its author thinks', () => {
  const global = (source: Rule['source']) =>
    globalPolicy('g', { types: ['Ingress'], ingress: [{ action: 'Allow', source: source ?? {} }] });
  assert.deepEqual(places('allow-all', global({ selector: "trust != 'low'" })), [
    'warning GlobalNetworkPolicy g spec.ingress[0].source.selector',
  ]);
  assert.deepEqual(places('allow-all', global({ notNets: ['10.0.0.0/8'] })), [
    'warning GlobalNetworkPolicy g spec.ingress[0].source.notNets',
  ]);
  assert.deepEqual(places('allow-all', global({ selector: 'all()' })), []);
  assert.deepEqual(places('allow-all', ingress(rule('Allow', { selector: "trust != 'low'" }))), []);
});

test('a dash too many in a Kubernetes policy is noticed', () => {
  const from = [{ podSelector: { matchLabels: { app: 'db' } } }];
  const ports = [{ port: 8080 }];
  const split = kubernetes({ podSelector: {}, ingress: [{ from }, { ports }] });
  assert.deepEqual(places('allow-all', split), [
    'warning KubernetesNetworkPolicy shop/k spec.ingress[1]',
  ]);
  const whole = kubernetes({ podSelector: {}, ingress: [{ from, ports }] });
  assert.deepEqual(places('allow-all', whole), []);
  const peers = [{ namespaceSelector: { matchLabels: { team: 'shop' } } }, ...from];
  const apart = kubernetes({ podSelector: {}, ingress: [{ from: peers }] });
  assert.deepEqual(places('allow-all', apart), [
    'warning KubernetesNetworkPolicy shop/k spec.ingress[0].from[1]',
  ]);
});

test('a tier that nobody made is an error, with the one that was meant', () => {
  const policy = globalPolicy('securty.p', {
    tier: 'securty',
    selector: 'all()',
    types: ['Ingress'],
  });
  const [finding] = found('unknown-tier', tier('security', 1), policy);
  assert.equal(finding?.severity, 'error');
  assert.equal(finding?.advice, 'did you mean security?');
});

test('egress that forgets DNS is an error, a pod that may go nowhere a warning', () => {
  const egress = (...rules: readonly Rule[]) =>
    networkPolicy('shop/p', { selector: "app == 'web'", types: ['Egress'], egress: [...rules] });
  const toDb = rule('Allow', {}, { selector: "app == 'db'" });
  assert.deepEqual(places('cuts-dns', egress(toDb)), ['error NetworkPolicy shop/p spec.egress']);
  assert.deepEqual(places('cuts-dns', egress()), ['warning NetworkPolicy shop/p spec.egress']);
  assert.deepEqual(places('cuts-dns', egress(toDb, DNS)), []);
  const denies = egress({ action: 'Deny', protocol: 'UDP' }, { action: 'Allow' });
  assert.deepEqual(places('cuts-dns', denies), ['error NetworkPolicy shop/p spec.egress[0]']);
});

test('ingress that closes the DNS pods themselves is an error', () => {
  const closed = globalPolicy('closed', { selector: 'all()', types: ['Ingress'] });
  assert.deepEqual(places('cuts-dns', closed), ['error GlobalNetworkPolicy closed spec.ingress']);
});

test('pods that need the API server and cannot reach it', () => {
  const robot = pod('shop/robot', ['10.0.0.5'], {
    labels: { app: 'robot' },
    serviceAccount: 'robot',
  });
  const api = resource(
    'discovery.k8s.io/v1',
    'EndpointSlice',
    {
      name: 'kubernetes',
      namespace: 'default',
      labels: { 'kubernetes.io/service-name': 'kubernetes' },
    },
    { endpoints: [{ addresses: ['192.0.2.10'] }], ports: [{ port: 6443, protocol: 'TCP' }] },
  );
  const egress = (...rules: readonly Rule[]) =>
    networkPolicy('shop/p', {
      selector: "app == 'robot'",
      types: ['Egress'],
      egress: [DNS, ...rules],
    });
  const toApi = (port: number): Rule =>
    rule('Allow', {}, { nets: ['192.0.2.10/32'], ports: [port] });
  const expected = ['warning NetworkPolicy shop/p spec.egress'];
  assert.deepEqual(places('cuts-api-server', robot, api, egress(toApi(443))), expected);
  assert.deepEqual(places('cuts-api-server', robot, api, egress(toApi(6443))), []);
  assert.deepEqual(places('cuts-api-server', robot, egress(toApi(6443))), [], 'it may be there');
  assert.deepEqual(places('cuts-api-server', robot, egress()), expected);
  const plain = pod('shop/plain', ['10.0.0.7'], { labels: { app: 'robot' } });
  assert.deepEqual(places('cuts-api-server', plain, api, egress()), [], 'no account of its own');
  const system = pod('kube-system/agent', ['10.0.0.6'], { labels: { app: 'agent' } });
  const cut = globalPolicy('cut', { selector: "app == 'agent'", types: ['Egress'], egress: [DNS] });
  assert.deepEqual(places('cuts-api-server', system, cut), [
    'error GlobalNetworkPolicy cut spec.egress',
  ]);
});

test('a host endpoint without failsafe ports and without a way in locks the node out', () => {
  const host = [
    node('one', '192.0.2.1'),
    hostEndpoint('one-eth0', { node: 'one', interfaceName: 'eth0' }, { role: 'node' }),
  ];
  const kubelet = globalPolicy('kubelet', {
    selector: "role == 'node'",
    types: ['Ingress', 'Egress'],
    ingress: [rule('Allow', { nets: ['192.0.2.0/24'] }, { ports: [10250] })],
    egress: [{ action: 'Allow' }],
  });
  assert.deepEqual(places('locks-node-out', ...host, kubelet), [], 'failsafe ports hold it open');
  const off = felix({ failsafeInboundHostPorts: [] });
  assert.deepEqual(places('locks-node-out', ...host, kubelet, off), [
    'error GlobalNetworkPolicy kubelet spec.ingress',
  ]);
  const ssh = globalPolicy('ssh', {
    selector: "role == 'node'",
    types: ['Ingress'],
    ingress: [rule('Allow', { nets: ['10.9.0.0/16'] }, { ports: [22] })],
  });
  assert.deepEqual(places('locks-node-out', ...host, kubelet, ssh, off), []);
  const none = felix({ failsafeInboundHostPorts: [], failsafeOutboundHostPorts: [] });
  assert.deepEqual(places('locks-node-out', ...host, none), [
    'error HostEndpoint one-eth0 spec',
    'error HostEndpoint one-eth0 spec',
    'warning HostEndpoint one-eth0 spec',
  ]);
});
