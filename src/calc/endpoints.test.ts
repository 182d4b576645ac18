// Which endpoints there are, their labels, profiles, tiers and policies (SPEC.md: CG3 to CG10, CG22).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  calico,
  graphOf,
  namespace,
  pod,
  resource,
  serviceAccount,
  shop,
  update,
} from './cluster-fixture.ts';
import type { EndpointTier } from './dataplane-update.ts';

const allowAll = { ingress: [{ action: 'Allow' }] };
const tiersOf = (graph: ReturnType<typeof shop>, direction: 'ingress' | 'egress' = 'ingress') =>
  graph.state().endpoints.get('shop/web')?.[direction];
const shape = (tiers: readonly EndpointTier[] | undefined) =>
  tiers?.map((tier) => [tier.name, tier.defaultAction, ...tier.policies]);

test('[CG3] what no local endpoint uses is not in the state', () => {
  const rules = { ingress: [{ action: 'Allow', source: { selector: 'app == "db"' } }] };
  const graph = shop(
    pod('shop/db', '10.0.1.1', { node: 'two', labels: { app: 'db' } }),
    calico('NetworkPolicy', 'shop/used', { selector: 'app == "web"', ...rules }),
    calico('NetworkPolicy', 'shop/elsewhere', {
      selector: 'app == "db"',
      ingress: [{ action: 'Allow', source: { selector: 'app == "web"' } }],
    }),
    calico('Profile', 'unused', {}),
    namespace('empty'),
  );
  const { policies, ipSets } = graph.state();
  const keys = ['NetworkPolicy/shop/used', 'Profile//kns.shop', 'Profile//ksa.shop.default'];
  assert.deepEqual([...policies.keys()].sort(), keys);
  assert.deepEqual(
    [...ipSets.values()].map((set) => [...set.members]),
    [['10.0.1.1/32']],
  );
});

test('[CG4] endpoints are pods of this host with addresses', () => {
  const graph = graphOf(
    namespace('shop'),
    pod('shop/web', '10.0.0.1,fd00::1'),
    pod('shop/remote', '10.0.0.2', { node: 'two' }),
    pod('shop/host', '172.16.0.1', { spec: { hostNetwork: true } }),
    pod('shop/done', '10.0.0.3', { status: { phase: 'Succeeded' } }),
    pod('shop/pending', '10.0.0.4', { status: { podIPs: [] } }),
  );
  const { endpoints } = graph.state();
  assert.deepEqual([...endpoints.keys()], ['shop/web']);
  const web = endpoints.get('shop/web');
  assert.deepEqual(web?.addresses, ['10.0.0.1/32', 'fd00::1/128']);
  assert.match(web?.interfaceName ?? '', /^cali[0-9a-f]{11}$/);
});

test('[CG4] a pod whose addresses cannot be read is no endpoint, and a problem', () => {
  const graph = graphOf(namespace('shop'), pod('shop/web', 'nonsense'));
  assert.equal(graph.state().endpoints.size, 0);
  assert.deepEqual(
    graph.problems().map(({ key }) => key),
    ['Pod shop/web'],
  );
});

test('[CG5] labels of namespace and account are inherited; of them nobody can claim one', () => {
  const selectors = ['pcns.team == "blue"', 'pcsa.role == "reader"', 'pcns.own == "namespace"'];
  const claims = ['pcns.own == "pod"', 'has(pcns.claimed)'];
  const rules = { ingress: [{ action: 'Allow', source: { selector: 'has(pcns.claimed)' } }] };
  const graph = graphOf(
    namespace('shop', { team: 'blue', own: 'namespace' }),
    serviceAccount('shop/default', { role: 'reader' }),
    pod('shop/web', '10.0.0.1', { labels: { 'pcns.own': 'pod', 'pcns.claimed': '' } }),
    calico('NetworkSet', 'shop/set', { nets: ['192.0.2.0/24'] }, { 'pcns.claimed': '' }),
    calico('GlobalNetworkSet', 'set', { nets: ['198.51.100.0/24'] }, { 'pcns.claimed': '' }),
    ...[...selectors, ...claims].map((selector, index) =>
      calico('GlobalNetworkPolicy', `p${index}`, { selector, ...rules }),
    ),
  );
  const policies = ['p0', 'p1', 'p2'].map((name) => `GlobalNetworkPolicy//${name}`);
  assert.deepEqual(shape(tiersOf(graph)), [['default', 'Deny', ...policies]]);
  const members = [...graph.state().ipSets.values()].map((set) => [...set.members]);
  assert.deepEqual(members, [['198.51.100.0/24']], 'an administrator may lend what he likes');
});

test('[CG14] serviceAccountSelector all() selects what has a service account', () => {
  for (const [account, applies] of [
    ['default', true],
    ['', false],
  ] as const) {
    const graph = graphOf(
      namespace('shop'),
      pod('shop/web', '10.0.0.1', { account }),
      calico('NetworkPolicy', 'shop/p', { serviceAccountSelector: 'all()', ...allowAll }),
    );
    assert.equal(tiersOf(graph)?.length, applies ? 1 : 0, JSON.stringify(account));
  }
});

test('[CG6] profiles come in order; a missing one denies both ways', () => {
  const graph = graphOf(pod('shop/web', '10.0.0.1'));
  const { endpoints, policies } = graph.state();
  assert.deepEqual(endpoints.get('shop/web')?.profiles, [
    'Profile//kns.shop',
    'Profile//ksa.shop.default',
  ]);
  const standIn = policies.get('Profile//kns.shop');
  assert.deepEqual(
    [standIn?.ingress, standIn?.egress].map((rules) => rules?.map(({ action }) => action)),
    [['Deny'], ['Deny']],
  );
  const allowing = shop().state().policies.get('Profile//kns.shop');
  assert.deepEqual(
    [allowing?.ingress, allowing?.egress].map((rules) => rules?.map(({ action }) => action)),
    [['Allow'], ['Allow']],
  );
});

test('[CG7] tiers by order, then name; one without order last, one that is missing after all', () => {
  const tier = (name: string, spec: object) => calico('Tier', name, spec);
  const policy = (tierName: string) =>
    calico('GlobalNetworkPolicy', `in-${tierName}`, { tier: tierName, ...allowAll });
  const names = ['absent', 'unordered', 'b', 'a', 'first', 'default'];
  const graph = shop(
    tier('unordered', { defaultAction: 'Pass' }),
    tier('b', { order: 10 }),
    tier('a', { order: 10, defaultAction: 'Pass' }),
    tier('first', { order: -1 }),
    ...names.map(policy),
  );
  assert.deepEqual(
    tiersOf(graph)?.map(({ name, defaultAction }) => `${name} ${defaultAction}`),
    ['first Deny', 'a Pass', 'b Deny', 'default Deny', 'unordered Pass', 'absent Deny'],
  );
});

test('[CG8] policies by order, none last, ties by name/namespace/kind as one text', () => {
  const spec = { selector: 'all()', ...allowAll };
  const graph = shop(
    calico('NetworkPolicy', 'shop/late', spec),
    calico('NetworkPolicy', 'shop/a', { order: 5, ...spec }),
    calico('NetworkPolicy', 'shop/a-b', { order: 5, ...spec }),
    calico('GlobalNetworkPolicy', 'a', { order: 5, ...spec }),
    calico('NetworkPolicy', 'shop/z', { order: 1, ...spec }),
  );
  assert.deepEqual(tiersOf(graph)?.[0]?.policies, [
    'NetworkPolicy/shop/z',
    'NetworkPolicy/shop/a-b',
    'GlobalNetworkPolicy//a',
    'NetworkPolicy/shop/a',
    'NetworkPolicy/shop/late',
  ]);
});

test('[CG9] policies take part in the directions of their types', () => {
  const graph = shop(
    calico('NetworkPolicy', 'shop/in', { ingress: [], egress: [] }),
    calico('NetworkPolicy', 'shop/out', { egress: [{ action: 'Allow' }] }),
    calico('NetworkPolicy', 'shop/typed', {
      types: ['Egress'],
      ingress: [{ action: 'Allow', source: { selector: 'has(x)' } }],
    }),
  );
  assert.deepEqual(shape(tiersOf(graph)), [['default', 'Deny', 'NetworkPolicy/shop/in']]);
  assert.deepEqual(shape(tiersOf(graph, 'egress')), [
    ['default', 'Deny', 'NetworkPolicy/shop/out', 'NetworkPolicy/shop/typed'],
  ]);
  const { policies, ipSets } = graph.state();
  assert.deepEqual(policies.get('NetworkPolicy/shop/typed')?.ingress, []);
  assert.equal(ipSets.size, 0, 'rules of a direction that is off need no sets');
});

test('[CG10] untracked and pre-DNAT policies do not apply to workloads', () => {
  const graph = shop(
    calico('GlobalNetworkPolicy', 'raw', { doNotTrack: true, applyOnForward: true, ...allowAll }),
    calico('GlobalNetworkPolicy', 'dnat', { preDNAT: true, applyOnForward: true, ...allowAll }),
    calico('GlobalNetworkPolicy', 'forward', { applyOnForward: true, ...allowAll }),
  );
  assert.deepEqual(shape(tiersOf(graph)), [['default', 'Deny', 'GlobalNetworkPolicy//forward']]);
});

test("[CG22] a Kubernetes policy has order 1000 in the default tier and its author's indexes", () => {
  const from = [{ podSelector: {} }, { ipBlock: { cidr: '192.0.2.0/24' } }];
  const graph = shop(
    resource('networking.k8s.io/v1', 'NetworkPolicy', 'shop/np', {
      spec: {
        podSelector: { matchLabels: { app: 'web' } },
        policyTypes: ['Ingress'],
        ingress: [
          { from, ports: [{ port: 80 }, { protocol: 'UDP', port: 53 }] },
          { ports: [{ port: 'http' }] },
        ],
      },
    }),
    calico('NetworkPolicy', 'shop/before', { order: 999, ...allowAll }),
    calico('NetworkPolicy', 'shop/after', { order: 1001, ...allowAll }),
  );
  assert.deepEqual(shape(tiersOf(graph)), [
    [
      'default',
      'Deny',
      'NetworkPolicy/shop/before',
      'KubernetesNetworkPolicy/shop/np',
      'NetworkPolicy/shop/after',
    ],
  ]);
  const rules = graph.state().policies.get('KubernetesNetworkPolicy/shop/np')?.ingress;
  assert.deepEqual(
    rules?.map(({ index }) => index),
    [0, 0, 0, 0, 1],
  );
});

test('[CG26] a ClusterNetworkPolicy applies by priority in the tier of its kind', () => {
  const cluster = (name: string, spec: object) =>
    resource('policy.networking.k8s.io/v1alpha2', 'ClusterNetworkPolicy', name, { spec });
  const subject = { namespaces: {} };
  const from = [{ namespaces: {} }, { namespaces: { matchLabels: { team: 'blue' } } }];
  const graph = shop(
    cluster('late', { tier: 'Admin', priority: 9, subject, ingress: [{ action: 'Deny', from }] }),
    cluster('early', {
      tier: 'Admin',
      priority: 1,
      subject,
      ingress: [
        { action: 'Accept', from },
        { action: 'Pass', from: from.slice(0, 1) },
      ],
    }),
    cluster('base', {
      tier: 'Baseline',
      priority: 1,
      subject,
      ingress: [{ action: 'Deny', from }],
    }),
    cluster('idle', { tier: 'Admin', priority: 0, subject }),
    cluster('broken', { tier: 'Nonsense', priority: 0, subject }),
    calico('NetworkPolicy', 'shop/p', allowAll),
  );
  const id = 'ClusterNetworkPolicy//';
  assert.deepEqual(shape(tiersOf(graph)), [
    ['kube-admin', 'Pass', `${id}early`, `${id}late`],
    ['default', 'Deny', 'NetworkPolicy/shop/p'],
    ['kube-baseline', 'Pass', `${id}base`],
  ]);
  assert.deepEqual(shape(tiersOf(graph, 'egress')), []);
  assert.deepEqual(
    graph
      .state()
      .policies.get(`${id}early`)
      ?.ingress.map(({ action, index }) => [action, index]),
    [
      ['Allow', 0],
      ['Allow', 0],
      ['Pass', 1],
    ],
  );
  assert.deepEqual(
    graph.problems().map(({ key }) => key),
    ['ClusterNetworkPolicy broken'],
  );
});

test('[CG27] node peers are the addresses of the Nodes now, named ports of any protocol', () => {
  const node = (name: string, labels: Record<string, string>, address: string, beat = 0) =>
    resource('v1', 'Node', name, {
      labels,
      status: { addresses: [{ type: 'InternalIP', address }], conditions: [{ beat }] },
    });
  const graph = shop(
    node('one', { role: 'edge' }, '192.0.2.1'),
    node('two', {}, '192.0.2.2'),
    resource('policy.networking.k8s.io/v1alpha2', 'ClusterNetworkPolicy', 'c', {
      spec: {
        tier: 'Admin',
        priority: 0,
        subject: { namespaces: {} },
        egress: [
          { action: 'Deny', to: [{ nodes: { matchLabels: { role: 'edge' } } }] },
          {
            action: 'Accept',
            to: [{ nodes: {} }],
            protocols: [{ destinationNamedPort: 'dns' }],
          },
        ],
      },
    }),
  );
  const rules = () =>
    graph
      .state()
      .policies.get('ClusterNetworkPolicy//c')
      ?.egress.map(({ index, protocol, destination }) => [index, protocol, destination.nets]);
  const both = ['192.0.2.1/32', '192.0.2.2/32'];
  assert.deepEqual(rules(), [
    [0, undefined, ['192.0.2.1/32']],
    [1, 6, both],
    [1, 17, both],
    [1, 132, both],
  ]);
  const before = graph.state();
  graph.onUpdates([update(node('two', {}, '192.0.2.2', 1))]);
  assert.equal(graph.state(), before, 'a heartbeat changes nothing');
  graph.onUpdates([update(node('two', { role: 'edge' }, '192.0.2.2'))]);
  assert.deepEqual(rules()?.[0], [0, undefined, both]);
  graph.onUpdates([
    update(node('one', {}, '192.0.2.1'), true),
    update(node('two', {}, '192.0.2.2')),
  ]);
  assert.deepEqual(
    rules()?.map(([index]) => index),
    [1, 1, 1],
    'nodes that nothing selects are no peer',
  );
});
