// The graph against its twin, which recomputes everything from nothing, after every step of random ones.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { PersistentMap } from '#lib';
import type { Resource } from '#api';
import type { SyncerUpdate } from '#datastore/syncer';
import { CalcGraph } from './graph.ts';
import type { DataplaneState } from './dataplane-update.ts';
import type { CalcProblem } from './problem-log.ts';
import { Cluster } from './recompute/cluster.ts';
import { recompute, type Recomputed } from './recompute/recompute.ts';
import {
  calico,
  HOST,
  namespace,
  pod,
  resource,
  serviceAccount,
  slice,
  update,
  plain,
} from './cluster-fixture.ts';

const from = fc.constantFrom;
const NODES = [HOST, 'two', 'three'];
const node = from(...NODES);
const some = <T>(list: readonly T[]) => fc.subarray([...list]);

const labels = fc
  .record(
    {
      app: from('web', 'db', 'cart'),
      zone: from('a', 'b'),
      'pcns.team': from('blue', 'red'),
      'istio.io/dataplane-mode': from('ambient', 'none'),
    },
    { requiredKeys: [] },
  )
  .map((record) => ({ ...record }) as Record<string, string>);

const selector = from(
  'all()',
  'app == "web"',
  'app in {"web", "db"}',
  'app != "db"',
  'has(zone)',
  '!has(app)',
  'zone starts with "a" && app == "web"',
  'app == "cart" || zone == "b"',
  'pcns.team == "blue"',
  'has(pcsa.role) && app == "web"',
  'shared == "yes"',
  'app in {}',
  'app ==',
);
const namespaceSelector = from('team == "blue"', 'all()', 'global()', 'has(shared)', '(');

const nets = some([
  '10.0.0.0/8',
  '10.0.0.0/24',
  '10.0.0.0/30',
  '10.0.0.1/32',
  '10.0.1.7',
  'fd00::/8',
  'fd00::1',
  '192.0.2.0/24',
]);

const PORTS = [
  { name: 'http', containerPort: 8080, protocol: 'TCP' },
  { name: 'http', containerPort: 9090, protocol: 'TCP' },
  { name: 'dns', containerPort: 53, protocol: 'UDP' },
];

const entity = fc.record(
  {
    selector,
    notSelector: selector,
    namespaceSelector,
    nets,
    notNets: nets,
    serviceAccounts: fc.record({ selector: from('role == "reader"') }),
  },
  { requiredKeys: [] },
);
const rule = fc.oneof(
  fc.record({
    action: from('Allow', 'Deny', 'Pass', 'Log'),
    source: entity,
    destination: entity,
  }),
  fc.record({
    action: from('Allow', 'Deny'),
    protocol: from('TCP', 'UDP'),
    source: fc.record({ selector }, { requiredKeys: [] }),
    destination: fc.record(
      { selector, ports: from(['http'], ['dns', 80], [443]), notPorts: from(['http']) },
      { requiredKeys: ['ports'] },
    ),
  }),
  fc.record({
    action: from('Allow'),
    destination: fc.record({ services: from({ name: 'db', namespace: 'shop' }, { name: 'db' }) }),
  }),
  fc.record({
    action: from('Allow'),
    source: from({ services: { name: 'db', namespace: 'shop' } }),
  }),
);

const common = {
  order: from(1, 1, 2, undefined),
  tier: from('default', 'first', 'absent'),
  selector,
  ingress: fc.array(rule, { maxLength: 2 }),
  egress: fc.array(rule, { maxLength: 1 }),
  types: from(['Ingress'], ['Egress'], ['Ingress', 'Egress'], undefined),
};
const hints = from(undefined, undefined, undefined, ['AssumeNeededOnEveryNode']);
const policySpec = fc.record({ ...common, performanceHints: hints });
const globalSpec = fc
  .record({
    ...common,
    namespaceSelector: from(undefined, 'team == "blue"', 'global()', '('),
    stage: from({}, {}, { applyOnForward: true }, { doNotTrack: true }, { preDNAT: true }),
  })
  .map(({ stage, ...spec }) => ({ ...spec, ...stage }));
const stagedAction = from('Set', 'Set', 'Delete', 'Ignore', undefined);

const address4 = fc.nat(7).map((n) => `10.0.0.${n}`);
const address = fc.oneof(
  address4,
  fc.nat(3).map((n) => `10.0.1.${n},fd00::${n}`),
);

const namespaces = from('shop', 'data');

const anyPod = fc
  .tuple(namespaces, from('web', 'db', 'cart'), address, node, labels, some(PORTS), fc.nat(9))
  .map(([ns, name, ips, nodeName, own, ports, kind]) =>
    pod(`${ns}/${name}`, ips, {
      node: nodeName,
      labels: own,
      ports,
      account: ['', 'other'][kind] ?? 'default',
      ...(kind === 2 && { status: { phase: 'Succeeded' } }),
      ...(kind === 3 && { spec: { hostNetwork: true } }),
    }),
  );
const annotatedPod = fc.tuple(anyPod, fc.nat(2)).map(([one, which]): Resource => {
  const annotations = [
    { 'cni.projectcalico.org/allowedSourcePrefixes': '["198.51.100.0/24"]' },
    { 'cni.projectcalico.org/floatingIPs': '["203.0.113.7"]' },
    { 'cni.projectcalico.org/floatingIPs': 'nonsense' },
  ][which];
  return { ...one, metadata: { ...one.metadata, ...(annotations && { annotations }) } } as Resource;
});

const anyNode = fc
  .tuple(
    node,
    from('172.16.0.1', '172.16.0.2', '172.16.9.3'),
    fc.record(
      {
        IPv4Address: from('172.16.0.1/24', '172.16.0.2/24', '172.16.9.3/24'),
        IPv6Address: from('fd16::1/64', 'fd16::2/64', 'fd17::1/64'),
        IPv4VXLANTunnelAddr: from('10.0.0.0', '10.0.2.1'),
        IPv6VXLANTunnelAddr: from('fd00:2::1'),
        VXLANTunnelMACAddr: from('66:00:00:00:00:01'),
        IPv4WireguardInterfaceAddr: from('10.0.3.1'),
        IPv4IPIPTunnelAddr: from('10.0.0.1', '10.0.2.2', '10.7.0.1'),
        WireguardPublicKey: from('key-a', 'key-b'),
        WireguardPublicKeyV6: from('key-c'),
      },
      { requiredKeys: [] },
    ),
    from({}, { role: 'edge' }),
  )
  .map(([name, internal, annotations, own]): Resource => {
    const one = resource('v1', 'Node', name, {
      labels: own,
      status: { addresses: [{ type: 'InternalIP', address: internal }] },
    });
    const entries = Object.entries(annotations).map(([key, value]) => [
      `projectcalico.org/${key}`,
      value,
    ]);
    return {
      ...one,
      metadata: { ...one.metadata, annotations: Object.fromEntries(entries) },
    } as Resource;
  });

const mode = from('Never', 'Never', 'Always', 'CrossSubnet');
const anyPool = fc
  .tuple(from('10.0.0.0/16', '10.0.0.0/24', 'fd00::/32', '172.16.0.0/24'), mode, mode, fc.boolean())
  .map(([cidr, vxlanMode, ipipMode, natOutgoing]) =>
    calico('IPPool', cidr.replaceAll(/[.:/]/g, '-'), { cidr, vxlanMode, ipipMode, natOutgoing }),
  );

const anyBlock = fc
  .tuple(
    from('10.0.0.0/30', '10.0.2.0/30', '10.0.3.0/32', 'fd00::/126'),
    fc.option(node),
    fc.array(fc.option(fc.nat(2)), { maxLength: 4 }),
    fc.nat(9),
  )
  .map(([cidr, owner, allocations, deleted]) =>
    calico('IPAMBlock', cidr.replaceAll(/[.:/]/g, '-'), {
      cidr,
      affinity: owner === null ? null : `host:${owner}`,
      allocations: cidr.endsWith('/32') ? allocations.slice(0, 1) : allocations,
      unallocated: [],
      attributes: NODES.map((name) => ({ handle_id: 'h', secondary: { node: name } })),
      ...(deleted === 0 && { deleted: true }),
    }),
  );

const felix = fc.record(
  {
    defaultEndpointToHostAction: from('Drop', 'Return'),
    routeSource: from('CalicoIPAM', 'WorkloadIPs'),
    vxlanEnabled: fc.boolean(),
    wireguardEnabled: fc.boolean(),
    wireguardEnabledV6: fc.boolean(),
    floatingIPs: from('Enabled', 'Disabled'),
    workloadSourceSpoofing: from('Any', 'Disabled'),
    istioAmbientMode: from('Enabled', 'Disabled'),
    natOutgoingExclusions: from('IPPoolsOnly', 'IPPoolsAndHostIPs'),
    natPortRange: from('1024:2047', 5000),
    serviceLoopPrevention: from('Drop', 'Reject', 'Disabled'),
    failsafeInboundHostPorts: from([], [{ protocol: 'tcp', port: 22, net: '10.0.0.0/8' }]),
    logPrefix: from('a', 'b'),
    ipv6Support: fc.boolean(),
    programClusterRoutes: from('Disabled', 'Enabled', 'EnabledIPIPOnly', 'EnabledNoEncapOnly'),
    ipipEnabled: fc.boolean(),
    localSubnetL2Reachability: from('PodsAndLoadBalancers', 'Disabled'),
    ipipMTU: from(0, 1400),
    deviceRouteProtocol: from(3, 80, 90),
    removeExternalRoutes: fc.boolean(),
    interfacePrefix: from('cali', 'tap,cali'),
    logActionRateLimit: from('1/second', '20/hour'),
  },
  { requiredKeys: [] },
);
const anyFelix = fc
  .tuple(from('default', `node.${HOST}`, 'edge', 'node.two'), felix)
  .map(([name, spec]) =>
    calico('FelixConfiguration', name, {
      ...spec,
      ...(name === 'edge' && { nodeSelector: 'role == "edge"' }),
    }),
  );

const anyHost = fc
  .tuple(
    from('eth0', 'all', 'by-address'),
    node,
    labels,
    some(['172.16.0.1', 'fd16::1', '10.0.0.1']),
    some(['kns.shop', 'written', 'missing', 'projectcalico-default-allow']),
  )
  .map(([name, nodeName, own, expectedIPs, profiles]) => {
    const interfaceName = { eth0: 'eth0', all: '*', 'by-address': undefined }[name];
    const spec = { node: nodeName, interfaceName, expectedIPs, profiles };
    const ports = [{ name: 'http', protocol: 'TCP', port: 8080 }];
    return calico('HostEndpoint', name, { ...spec, ports }, own);
  });

const kubernetesSpec = fc.record({
  podSelector: from({}, { matchLabels: { app: 'web' } }),
  policyTypes: from(['Ingress'], ['Ingress', 'Egress']),
  ingress: from(
    [],
    [{ from: [{ podSelector: { matchLabels: { app: 'db' } } }] }],
    [
      {
        ports: [{ port: 'http' }],
        from: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['10.0.0.0/24'] } }],
      },
    ],
  ),
});
const clusterSpec = fc.record({
  tier: from('Admin', 'Baseline', 'Nonsense'),
  priority: from(1, 2),
  subject: from({ namespaces: {} }, { namespaces: { matchLabels: { team: 'blue' } } }),
  egress: from([], [{ action: 'Deny', to: [{ nodes: { matchLabels: { role: 'edge' } } }] }]),
  ingress: from(
    [],
    [{ action: 'Accept', from: [{ namespaces: { matchLabels: { team: 'red' } } }] }],
  ),
});

const anySlice = fc
  .tuple(
    namespaces,
    from('one', 'two'),
    from('db', 'web'),
    fc.array(address4, { maxLength: 3 }),
    fc.nat(3),
  )
  .map(([ns, name, service, addresses, ports]) =>
    slice(`${ns}/${name}`, service, {
      addressType: 'IPv4',
      endpoints: addresses.map((one) => ({ addresses: [one] })),
      ports: [null, [], [{ port: 80, protocol: 'TCP' }], [{ port: 53, protocol: 'UDP' }, {}]][
        ports
      ],
    }),
  );

const pods = from('shop/web', 'shop/db', 'data/web', 'data/cart');
const ofPod = pods.map((workloadID) => ({ orchestratorID: 'k8s', workloadID }));
const anyMigration = fc
  .tuple(
    from('shop/a', 'data/b', 'data/c'),
    ofPod.map((workload) => ({ workload })),
    fc.oneof(
      ofPod.map((one) => ({ workloadEndpoint: { ...one, endpointID: 'eth0' } })),
      selector.map((text) => ({ selector: text })),
    ),
  )
  .map(([path, source, target]) => calico('LiveMigration', path, { source, target }));

const anyService = fc
  .tuple(
    from('shop/db', 'data/web'),
    from('LoadBalancer', 'LoadBalancer', 'ClusterIP'),
    from('Cluster', 'Local', undefined),
    fc.subarray(['172.16.0.77', '10.0.0.9', 'fd16::7', '192.0.2.9']),
  )
  .map(([path, type, externalTrafficPolicy, ips]) =>
    resource('v1', 'Service', path, {
      spec: { type, externalTrafficPolicy },
      status: { loadBalancer: { ingress: ips.map((ip) => ({ ip })) } },
    }),
  );

const named = <S>(kind: string, names: readonly string[], spec: fc.Arbitrary<S>) =>
  fc.tuple(from(...names), spec).map(([name, one]) => calico(kind, name, one as object));
const staged = <S extends object>(spec: fc.Arbitrary<S>) =>
  fc.tuple(spec, stagedAction).map(([one, action]) => ({ ...one, stagedAction: action }));

const anyResource: fc.Arbitrary<Resource> = fc.oneof(
  fc
    .tuple(namespaces, from({}, { team: 'blue' }, { team: 'red', shared: 'yes' }))
    .map(([name, own]) => namespace(name, own)),
  fc
    .tuple(from('shop/default', 'shop/other', 'data/default'), from({}, { role: 'reader' }))
    .map(([path, own]) => serviceAccount(path, own)),
  { arbitrary: anyPod, weight: 6 },
  annotatedPod,
  { arbitrary: anyNode, weight: 2 },
  anyPool,
  { arbitrary: anyBlock, weight: 2 },
  anyFelix,
  anyHost,
  anySlice,
  anyMigration,
  anyService,
  { arbitrary: named('NetworkPolicy', ['shop/a', 'shop/b', 'data/a-b'], policySpec), weight: 3 },
  { arbitrary: named('GlobalNetworkPolicy', ['a', 'b', 'c'], globalSpec), weight: 3 },
  named('StagedNetworkPolicy', ['shop/a', 'shop/c'], staged(policySpec)),
  named('StagedGlobalNetworkPolicy', ['a'], staged(globalSpec)),
  fc
    .tuple(from('shop/k', 'data/k'), kubernetesSpec)
    .map(([path, spec]) => resource('networking.k8s.io/v1', 'NetworkPolicy', path, { spec })),
  named('StagedKubernetesNetworkPolicy', ['shop/k'], staged(kubernetesSpec)),
  fc
    .tuple(from('x', 'y'), clusterSpec)
    .map(([path, spec]) =>
      resource('policy.networking.k8s.io/v1alpha2', 'ClusterNetworkPolicy', path, { spec }),
    ),
  named(
    'Tier',
    ['first', 'default'],
    fc.record({ order: from(1, 2e6), defaultAction: from('Deny', 'Pass') }),
  ),
  fc
    .tuple(from('shop/set', 'data/set'), labels, nets)
    .map(([path, own, list]) => calico('NetworkSet', path, { nets: list }, own)),
  fc
    .tuple(from('set', 'other'), labels, nets)
    .map(([name, own, list]) => calico('GlobalNetworkSet', name, { nets: list }, own)),
  fc
    .tuple(from('written', 'kns.shop'), labels, fc.array(rule, { maxLength: 1 }))
    .map(([name, labelsToApply, ingress]) => calico('Profile', name, { labelsToApply, ingress })),
  fc
    .tuple(from('default', 'node.two'), some([{ cidr: '10.96.0.0/12' }, { cidr: 'fd96::/112' }]))
    .map(([name, serviceClusterIPs]) => calico('BGPConfiguration', name, { serviceClusterIPs })),
);

/** A resource set or, one time in four, taken away. */
const randomStep: fc.Arbitrary<SyncerUpdate> = fc
  .tuple(anyResource, fc.constantFrom(false, false, false, true))
  .map(([one, gone]) => update(one, gone));

const SEED = Number(process.env['SEED'] ?? Math.trunc(Math.random() * 2 ** 31));
const STEPS = Number(process.env['STEPS'] ?? 1500);
/** Values that are held back until later, unread: what they say must not have changed by then. */
const HELD = 7;

interface Held {
  readonly state: DataplaneState;
  readonly expected: DataplaneState;
}

test('[CG28] after every random step the graph says what its twin works out from nothing', (t) => {
  const graph = new CalcGraph(HOST);
  const cluster = new Cluster();
  const held: Held[] = [];
  let before: DataplaneState | undefined;
  let changes = 0;
  const batches = fc.sample(fc.array(randomStep, { minLength: 1, maxLength: 3 }), {
    numRuns: STEPS,
    seed: SEED,
  });
  for (const [index, updates] of batches.entries()) {
    graph.onUpdates(updates);
    cluster.onUpdates(updates);
    const where = `seed ${SEED}, step ${index}: ${JSON.stringify(updates.map(({ resource, key }) => resource ?? key))}`;
    const expected = recompute(HOST, cluster);
    const state = graph.state();
    if (index % 3 === 0) held.push({ state, expected: expected.state });
    else assertSame(graph, state, expected, where);
    if (before !== undefined && before !== state) {
      changes++;
      assertShared(before, state, where);
    }
    before = state;
    assertClosed(state, where);
    if (held.length <= HELD) continue;
    const old = held.shift();
    assert.deepEqual(plain(old?.state), plain(old?.expected), `a value of earlier, at ${where}`);
  }
  assert.ok(changes > STEPS / 4, `${changes} steps changed anything`);
  t.diagnostic(`${STEPS} steps, ${changes} of them changed the state, seed ${SEED}`);
});

function assertSame(
  graph: CalcGraph,
  state: DataplaneState,
  expected: Recomputed,
  where: string,
): void {
  assert.deepEqual(plain(state), plain(expected.state), where);
  assert.deepEqual(plain(graph.topology()), plain(expected.topology), where);
  assert.deepEqual(textsOf(graph.problems()), textsOf(expected.problems), where);
}

/** Whatever the state names it has (CG3). */
function assertClosed(state: DataplaneState, where: string): void {
  const tiers = [
    ...[...state.endpoints.values()].flatMap((it) => [...it.ingress, ...it.egress]),
    ...[...state.hostEndpoints.values()].flatMap(({ untracked, preDnat, forward, normal }) => [
      ...preDnat,
      ...[untracked, forward, normal].flatMap(({ ingress, egress }) => [...ingress, ...egress]),
    ]),
  ];
  for (const key of tiers.flatMap(({ policies }) => policies)) {
    assert.ok(state.policies.has(key), `${key} is missing, ${where}`);
  }
  for (const { ingress, egress } of state.policies.values()) {
    const ends = [...ingress, ...egress].flatMap((rule) => [rule.source, rule.destination]);
    for (const end of ends) {
      const { ipSets, notIpSets, namedPortSets = [], notNamedPortSets = [] } = end;
      for (const id of [...ipSets, ...notIpSets, ...namedPortSets, ...notNamedPortSets]) {
        assert.ok(state.ipSets.has(id), `set ${id} is missing, ${where}`);
      }
    }
  }
}

function textsOf(problems: readonly CalcProblem[]): string[] {
  return problems.map(({ key, message }) => `${key} ${message}`).sort();
}

/** Every part that equals its predecessor is the same object. */
function assertShared(before: DataplaneState, after: DataplaneState, where: string): void {
  for (const [field, value] of Object.entries(after)) {
    const old = before[field as keyof DataplaneState];
    if (value instanceof PersistentMap && old instanceof PersistentMap) {
      for (const [key, entry] of value) {
        const was: unknown = old.get(key);
        if (was === entry || was === undefined) continue;
        assert.notDeepEqual(
          plain(entry),
          plain(was),
          `${field} ${key} is another object, ${where}`,
        );
      }
    }
    if (old !== value)
      assert.notDeepEqual(plain(value), plain(old), `${field} is another object, ${where}`);
  }
}
