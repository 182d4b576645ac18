// What a change opens and closes, case by case; policies written otherwise that mean the same are no difference.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Resource, Rule } from '#api';
import {
  felix,
  globalPolicy,
  hostEndpoint,
  namespace,
  networkPolicy,
  networkSet,
  node,
  pod,
  resource,
  rule,
  tier,
} from '../sample-cluster.ts';
import { WorldError } from '../world-problem.ts';
import { diffResources } from './diff-resources.ts';
import { formatDiff } from './format-diff.ts';

const CLUSTER: readonly Resource[] = [
  namespace('shop', { team: 'shop' }),
  namespace('data', { team: 'data' }),
  node('one', '172.30.0.1'),
  node('two', '172.30.0.2'),
  pod('shop/web', ['10.0.0.1'], { labels: { app: 'web' } }),
  pod('shop/cart', ['10.0.0.2'], { labels: { app: 'cart' }, ports: [['http', 8080]] }),
  pod('data/db', ['10.0.0.3'], { labels: { app: 'db' }, node: 'two' }),
];

type Policies = readonly Resource[];

/** The difference that two sets of policies make in the cluster, as text. */
function told(before: Policies, after: Policies): string {
  return formatDiff(diffResources([...CLUSTER, ...before], [...CLUSTER, ...after]));
}

const DENIED = 'was denied by the default action of tier default';
const NOTHING = 'No flow opens or closes.';

function toDb(ingress: readonly Rule[]): Resource[] {
  return [networkPolicy('data/db', { selector: 'app == "db"', ingress: [...ingress] })];
}

/** Headlines without what decided. */
function flows(before: Policies, after: Policies): string[] {
  return told(before, after)
    .split('\n')
    .filter((line) => /^[+-] /.test(line));
}

const CART = { selector: 'app == "cart"', namespaceSelector: 'team == "shop"' };

test('one rule more opens its flows, and both deciders are named', () => {
  const more = [rule('Allow', CART, { ports: [5432] })];
  assert.equal(
    told(toDb([]), toDb(more)),
    `Opened: 1 group of flows
+ shop/cart → data/db   tcp 5432
    ingress ${DENIED}, now allowed by rule 0 of NetworkPolicy data/db in tier default`,
  );
});

test('ranges split, in another order, or as several policies are the same', () => {
  const whole = toDb([rule('Allow', CART, { ports: ['1:200'] })]);
  const split = [
    rule('Allow', CART, { ports: ['101:200'] }),
    rule('Allow', CART, { ports: ['1:100'] }),
  ];
  assert.equal(told(whole, toDb(split)), NOTHING);
  const [first, second] = split.map((it, index) =>
    networkPolicy(`data/part-${index}`, { selector: 'app == "db"', ingress: [it] }),
  );
  assert.ok(first && second);
  assert.equal(told(whole, [first, second]), NOTHING);
});

test('rules that do not overlap may stand in any order, rules that do may not', () => {
  const web = { selector: 'app == "web"', namespaceSelector: 'all()' };
  const rules = [rule('Allow', CART), rule('Deny', web)];
  assert.equal(told(toDb(rules), toDb([...rules].reverse())), NOTHING);
  const all = [rule('Allow', CART), rule('Deny', { namespaceSelector: 'all()' })];
  assert.deepEqual(flows(toDb(all), toDb([...all].reverse())), ['- shop/cart → data/db   tcp']);
});

test('a network and a selector of the same addresses are the same', () => {
  const bySelector = toDb([rule('Allow', { namespaceSelector: 'team == "shop"' })]);
  assert.equal(
    told(bySelector, toDb([rule('Allow', { nets: ['10.0.0.1/32', '10.0.0.2/32'] })])),
    NOTHING,
  );
  assert.deepEqual(flows(bySelector, toDb([rule('Allow', { nets: ['10.0.0.0/30'] })])), [
    '+ 10.0.0.0/30 → data/db   tcp',
  ]);
});

test('halves of networks are the whole, a network set is its networks', () => {
  const halves = toDb([rule('Allow', { nets: ['203.0.113.0/25', '203.0.113.128/25'] })]);
  assert.equal(told(halves, toDb([rule('Allow', { nets: ['203.0.113.0/24'] })])), NOTHING);
  const set = networkSet('data/partners', ['203.0.113.0/24'], { kind: 'partner' });
  const bySet = toDb([rule('Allow', { selector: 'kind == "partner"' })]);
  assert.equal(told(halves, [set, ...bySet]), NOTHING);
  const grown = networkSet('data/partners', ['203.0.113.0/24', '203.0.114.0/25'], {
    kind: 'partner',
  });
  assert.deepEqual(flows([set, ...bySet], [grown, ...bySet]), ['+ 203.0.114.0/25 → data/db   tcp']);
});

test('a named port is its number', () => {
  const policy = (port: number | string) =>
    networkPolicy('shop/cart', {
      selector: 'app == "cart"',
      ingress: [rule('Allow', {}, { ports: [port] })],
    });
  assert.equal(told([policy('http')], [policy(8080)]), NOTHING);
});

test('a flow whose other half denies all along neither opens nor closes', () => {
  const silent = networkPolicy('shop/cart', { selector: 'app == "cart"', types: ['Egress'] });
  assert.equal(told([silent, ...toDb([])], [silent, ...toDb([rule('Allow', CART)])]), NOTHING);
});

test('both halves can flip at once', () => {
  const closed = networkPolicy('shop/cart', { selector: 'app == "cart"', types: ['Egress'] });
  const open = networkPolicy('shop/cart', {
    selector: 'app == "cart"',
    types: ['Egress'],
    egress: [rule('Allow', {}, { nets: ['10.0.0.3/32'] })],
  });
  assert.equal(
    told([closed, ...toDb([])], [open, ...toDb([rule('Allow', CART)])]),
    `Opened: 1 group of flows
+ shop/cart → data/db   tcp
    egress ${DENIED}, now allowed by rule 0 of NetworkPolicy shop/cart in tier default
    ingress ${DENIED}, now allowed by rule 0 of NetworkPolicy data/db in tier default`,
  );
});

test('labels and the default action of a tier change flows without any policy changing', () => {
  const relabelled = CLUSTER.map((it) =>
    it.metadata.name === 'web' ? pod('shop/web', ['10.0.0.1'], { labels: { app: 'cart' } }) : it,
  );
  const policy = toDb([rule('Allow', CART)]);
  const { opened, closed } = diffResources([...CLUSTER, ...policy], [...relabelled, ...policy]);
  assert.deepEqual(
    opened.map(({ from }) => from.pods),
    [['shop/web']],
  );
  assert.deepEqual(closed, []);
  const guard = globalPolicy('guard', {
    tier: 'first',
    selector: 'app == "db"',
    types: ['Ingress'],
  });
  const deny = [guard, tier('first', 1, 'Deny')];
  assert.deepEqual(flows([guard, tier('first', 1, 'Pass')], deny), [
    '- all nodes → data/db   any protocol, not on the same node',
    '- any outside IPv4 address → data/db   any protocol',
    '- shop/* → data/db   protocols but ipip, udp; udp 0-4788,4790-65535',
  ]);
});

test('ICMP types, source ports and all that has no ports', () => {
  const icmp = (type: number, code?: number) => ({
    action: 'Allow' as const,
    protocol: 'ICMP',
    icmp: { type, ...(code === undefined ? {} : { code }) },
    source: CART,
  });
  assert.deepEqual(flows(toDb([]), toDb([icmp(8), icmp(3, 4)])), [
    '+ shop/cart → data/db   icmp type 3 code 4',
    '+ shop/cart → data/db   icmp type 8',
  ]);
  const fromLow = rule('Allow', { ...CART, ports: ['1:1023'] });
  assert.deepEqual(flows(toDb([]), toDb([fromLow])), [
    '+ shop/cart → data/db   tcp from ports 1-1023',
  ]);
});

test('a pod reaches its own host by other rules than other hosts', () => {
  const traffic =
    'protocols but ipip, udp, icmpv6; udp 0-4788,4790-65535; icmpv6 type 0-129, 134, 137-255';
  assert.deepEqual(flows([], [felix({ defaultEndpointToHostAction: 'Drop' })]), [
    `- all pods → all nodes   ${traffic}, on the same node`,
  ]);
});

test('a pod that moves to another node shares one with others before or after only', () => {
  const moved = CLUSTER.map((it) =>
    it.metadata.name === 'db' ? pod('data/db', ['10.0.0.3'], { labels: { app: 'db' } }) : it,
  );
  const drop = felix({ defaultEndpointToHostAction: 'Drop' });
  const { opened, closed } = diffResources([...CLUSTER, drop], [...moved, drop]);
  assert.deepEqual(
    opened.map((it) => it.sameNode),
    [{ before: true, after: false }],
  );
  assert.deepEqual(
    closed.map((it) => it.sameNode),
    [{ before: false, after: true }],
  );
});

test('host endpoints count: policy of a host and failsafe ports', () => {
  const endpoint = hostEndpoint('one', {
    node: 'one',
    interfaceName: 'eth0',
    expectedIPs: ['172.30.0.1'],
  });
  const tcp = 'tcp 0-21,23-178,180-2378,2381-5472,5474-6442,6444-6665,6668-65535';
  assert.deepEqual(
    flows([], [endpoint]).filter((line) => line.includes('→ node:one')),
    [
      `- data/db → node:one   protocols but ipip, tcp, udp; ${tcp}; udp 0-67,69-4788,4790-65535`,
      `- node:two, any outside IPv4 address → node:one   protocols but tcp, udp; ${tcp}; udp 0-67,69-65535`,
    ],
  );
});

test('a failsafe port can be for some networks alone', () => {
  const address = '172.30.0.1';
  const endpoint = hostEndpoint('one', {
    node: 'one',
    interfaceName: 'eth0',
    expectedIPs: [address],
  });
  const failsafe = (ports: readonly object[]) => felix({ failsafeInboundHostPorts: ports });
  const office = { protocol: 'tcp', port: 22, net: '203.0.113.0/28' };
  assert.deepEqual(flows([endpoint, failsafe([])], [endpoint, failsafe([office])]), [
    '+ 203.0.113.0/28 → node:one   tcp 22',
  ]);
});

test('what is in one world only is listed, and its flows are not', () => {
  const two = [...CLUSTER, pod('shop/new', ['10.0.0.9', '2001:db8::9'])];
  const { opened, closed, endpoints } = diffResources(CLUSTER, two);
  assert.deepEqual([opened, closed], [[], []]);
  assert.deepEqual(endpoints, { added: ['shop/new'], removed: [] });
  const dual = two.map((it) => (it.metadata.name === 'new' ? pod('shop/new', ['10.0.0.9']) : it));
  assert.deepEqual(diffResources(two, dual).endpoints.removed, ['shop/new (IPv6)']);
});

test('another address alone is no difference to selectors, and can be to networks', () => {
  const readdressed = CLUSTER.map((it) =>
    it.metadata.name === 'cart' ? pod('shop/cart', ['10.0.9.9'], { labels: { app: 'cart' } }) : it,
  );
  const ask = (policy: Policies) =>
    formatDiff(diffResources([...CLUSTER, ...policy], [...readdressed, ...policy]));
  assert.equal(ask(toDb([rule('Allow', CART)])), NOTHING);
  assert.match(
    ask(toDb([rule('Allow', { nets: ['10.0.0.0/24'] })])),
    /^- shop\/cart → data\/db {3}tcp$/m,
  );
});

test('a further address of a node is judged by itself', () => {
  const further = resource(
    'projectcalico.org/v3',
    'Node',
    { name: 'one' },
    {
      spec: { addresses: [{ address: '172.30.0.1' }, { address: '198.51.100.1' }] },
    },
  );
  const policy = toDb([rule('Allow', { nets: ['198.51.100.1/32'] })]);
  assert.deepEqual(flows([further, ...toDb([])], [further, ...policy]), [
    '+ node:one (198.51.100.1) → data/db   tcp',
  ]);
});

test('staged policies are named as different without effect', () => {
  const staged = {
    ...resource('projectcalico.org/v3', 'StagedNetworkPolicy', { name: 'try', namespace: 'shop' }),
    spec: { ingress: [rule('Deny')] },
  };
  assert.equal(
    told([], [staged]),
    `${NOTHING}

Different without an effect on flows
  StagedNetworkPolicy shop/try: it is staged: reported, and never enforced`,
  );
});

test('malformed resources are refused with all problems', () => {
  const bad = networkPolicy('shop/bad', { selector: 'app ==' });
  assert.throws(() => diffResources(CLUSTER, [...CLUSTER, bad]), WorldError);
});
