// Overlay routes and tunnels, translation, parameters and their precedence (SPEC.md: CG37 to CG42).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Resource, validateResource } from '#api';
import { calico, graphOf, HOST, namespace, pod, resource, update } from './cluster-fixture.ts';
import { CalcGraph } from './graph.ts';

type Annotations = Readonly<Record<string, string>>;

function node(
  name: string,
  internal: string,
  annotations: Annotations = {},
  labels = {},
): Resource {
  const one = resource('v1', 'Node', name, {
    labels,
    status: { addresses: [{ type: 'InternalIP', address: internal }] },
  });
  const prefixed = Object.fromEntries(
    Object.entries(annotations).map(([key, value]) => [`projectcalico.org/${key}`, value]),
  );
  return { ...one, metadata: { ...one.metadata, annotations: prefixed } } as Resource;
}

const block = (cidr: string, owner: string) =>
  calico('IPAMBlock', cidr.replaceAll(/[.:/]/g, '-'), {
    cidr,
    affinity: `host:${owner}`,
    allocations: [null, null, null, null],
    unallocated: [],
    attributes: [],
  });
const pool = (cidr: string, spec: object) =>
  calico('IPPool', cidr.replaceAll(/[.:/]/g, '-'), { cidr, ...spec });
const felix = (spec: object, name = 'default', more: object = {}) => {
  const one = calico('FelixConfiguration', name, spec);
  return { ...one, metadata: { ...one.metadata, ...more } } as Resource;
};

const ONE = { IPv4Address: '172.16.0.1/24', IPv4VXLANTunnelAddr: '10.1.0.0' };
const TWO = { IPv4Address: '172.16.0.2/24', IPv4VXLANTunnelAddr: '10.2.0.0' };
const FAR = { IPv4Address: '172.16.9.3/24', IPv4VXLANTunnelAddr: '10.3.0.0' };
const OVERLAY = [
  node(HOST, '172.16.0.1', ONE),
  node('two', '172.16.0.2', TWO),
  node('far', '172.16.9.3', FAR),
  block('10.1.0.0/30', HOST),
  block('10.2.0.0/30', 'two'),
  block('10.3.0.0/30', 'far'),
];

test('[CG37] blocks of a VXLAN pool go over the tunnel, to the tunnel addresses of their hosts', () => {
  const graph = graphOf(...OVERLAY, pool('10.0.0.0/8', { vxlanMode: 'Always' }));
  const { routes, tunnels, blackholes } = graph.state();
  assert.deepEqual(routes, [
    { destination: '10.2.0.0/30', gateway: '10.2.0.0', by: 'vxlan' },
    { destination: '10.3.0.0/30', gateway: '10.3.0.0', by: 'vxlan' },
  ]);
  assert.deepEqual(blackholes, ['10.1.0.0/30']);
  const [tunnel] = tunnels;
  assert.deepEqual(
    {
      ...tunnel,
      mac: '',
      peers: tunnel?.peers.map((peer) => [peer.node, peer.address, peer.underlay]),
    },
    {
      family: 4,
      vni: 4096,
      port: 4789,
      mtu: 0,
      address: '10.1.0.0',
      mac: '',
      underlay: '172.16.0.1',
      peers: [
        ['far', '10.3.0.0', '172.16.9.3'],
        ['two', '10.2.0.0', '172.16.0.2'],
      ],
    },
  );
  graph.onUpdates([update(pool('10.0.0.0/8', { vxlanMode: 'CrossSubnet' }))]);
  assert.deepEqual(graph.state().routes, [
    { destination: '10.2.0.0/30', gateway: '172.16.0.2' },
    { destination: '10.3.0.0/30', gateway: '10.3.0.0', by: 'vxlan' },
  ]);
});

test('[CG37] while an end of the tunnel is missing there is no route over it', () => {
  const graph = graphOf(...OVERLAY, pool('10.0.0.0/8', { vxlanMode: 'Always' }));
  graph.onUpdates([update(node('two', '172.16.0.2'))]);
  assert.deepEqual(
    graph.state().routes.map(({ destination }) => destination),
    ['10.3.0.0/30'],
  );
  graph.onUpdates([update(node(HOST, '172.16.0.1'))]);
  assert.deepEqual(graph.state().routes, []);
  assert.deepEqual(graph.state().tunnels, []);
  graph.onUpdates([update(node(HOST, '172.16.0.1', ONE)), update(felix({ vxlanEnabled: false }))]);
  assert.deepEqual(graph.state().routes, [], 'switched off by configuration');
});

test('[CG37] the address of an end is a route of its own where its host has no block around it', () => {
  const far = { ...FAR, IPv4VXLANTunnelAddr: '10.9.0.1' };
  const graph = graphOf(...OVERLAY, pool('10.0.0.0/8', { vxlanMode: 'Always' }));
  graph.onUpdates([update(node('far', '172.16.9.3', far))]);
  assert.deepEqual(graph.state().routes.slice(1), [
    { destination: '10.3.0.0/30', gateway: '10.9.0.1', by: 'vxlan' },
    { destination: '10.9.0.1/32', gateway: '10.9.0.1', by: 'vxlan' },
  ]);
});

test('[CG37] IPv6 is the same by another device', () => {
  const six = (n: number) => ({ IPv6Address: `fd16::${n}/64`, IPv6VXLANTunnelAddr: `fd0${n}::1` });
  const graph = graphOf(
    node(HOST, '172.16.0.1', six(1)),
    node('two', '172.16.0.2', six(2)),
    block('fd02::/126', 'two'),
    pool('fd00::/8', { vxlanMode: 'Always' }),
    felix({ vxlanMTUV6: 1400, vxlanPort: 4790 }),
  );
  assert.deepEqual(graph.state().routes, [
    { destination: 'fd02::/126', gateway: 'fd02::1', by: 'vxlan' },
  ]);
  const [tunnel, ...others] = graph.state().tunnels;
  assert.deepEqual(others, []);
  assert.deepEqual([tunnel?.family, tunnel?.mtu, tunnel?.port], [6, 1400, 4790]);
});

test('[CG38] annotations before InternalIP; MAC addresses chosen or derived', () => {
  const graph = graphOf(
    node(HOST, '172.16.0.1', ONE),
    node('remotehostname', '172.16.5.5', { ...TWO, VXLANTunnelMACAddr: '66:74:c5:72:3f:01' }),
    pool('10.0.0.0/8', { vxlanMode: 'Always' }),
  );
  const peer = () => graph.state().tunnels[0]?.peers[0];
  assert.deepEqual(peer(), {
    node: 'remotehostname',
    address: '10.2.0.0',
    mac: '66:74:c5:72:3f:01',
    underlay: '172.16.0.2',
  });
  graph.onUpdates([
    update(node('remotehostname', '172.16.5.5', { IPv4VXLANTunnelAddr: '10.2.0.0' })),
  ]);
  assert.equal(peer()?.mac, '66:3e:ca:a4:db:65');
  assert.equal(peer()?.underlay, '172.16.5.5');
});

test('[CG39] pools with natOutgoing are translated, except towards pools and hosts', () => {
  const graph = graphOf(
    node('two', '172.16.0.2', { IPv6Address: 'fd16::2/64' }),
    pool('10.1.2.3/16', { natOutgoing: true }),
    pool('10.2.0.0/16', {}),
    pool('fd00::/8', { natOutgoing: true }),
  );
  assert.deepEqual(graph.state().natOutgoing, {
    sources: ['10.1.0.0/16', 'fd00::/8'],
    excluded: ['10.1.0.0/16', '10.2.0.0/16', 'fd00::/8'],
  });
  const spec = { natOutgoingExclusions: 'IPPoolsAndHostIPs', natPortRange: '1024:2047' };
  graph.onUpdates([update(felix(spec))]);
  assert.deepEqual(graph.state().natOutgoing, {
    sources: ['10.1.0.0/16', 'fd00::/8'],
    excluded: ['10.1.0.0/16', '10.2.0.0/16', '172.16.0.2/32', 'fd00::/8', 'fd16::2/128'],
    ports: [1024, 2047],
  });
});

test('[CG40] parameters come from the strongest source that gives them', () => {
  const environment = { name: 'environment variables', local: true, values: { LogPrefix: 'env' } };
  const graph = new CalcGraph(HOST, [environment]);
  const set = (...resources: readonly Resource[]) =>
    graph.onUpdates(resources.map((one) => update(one)));
  const edge = (spec: object, name: string, creationTimestamp: string) =>
    felix({ ...spec, nodeSelector: 'role == "edge"' }, name, { creationTimestamp });
  set(
    node(HOST, '172.16.0.1', {}, { role: 'edge' }),
    felix({ vxlanPort: 1, vxlanVNI: 2, logPrefix: 'no', ipForwarding: 'Disabled' }),
    felix({ vxlanPort: 5, vxlanVNI: 6 }, `node.${HOST}`),
    felix({ vxlanPort: 9 }, 'node.two'),
    edge({ vxlanVNI: 11, ipForwarding: 'Enabled' }, 'young', '2026-02-01T00:00:00Z'),
  );
  const { settings } = graph.state();
  assert.equal(settings.vxlanPort, 5);
  assert.equal(settings.logPrefix, 'env');
  assert.equal(settings.ipForwarding, true, 'by selector before default');
  assert.equal(graph.parameters().values.get('VXLANVNI'), 6, 'by name before by selector');
  set(edge({ routeSyncDisabled: true }, 'old', '2026-01-01T00:00:00Z'));
  assert.equal(graph.state().settings.routeSync, false);
  assert.equal(graph.state().settings.ipForwarding, false, 'the oldest alone counts');
  const told = graph.problems().map(({ message }) => message);
  assert.deepEqual(told, ['selects this node in old, young: old, the oldest, counts']);
  set(node(HOST, '172.16.0.1', {}, { role: 'none' }));
  assert.equal(graph.state().settings.routeSync, true, 'nothing selects the node any more');
});

test('[CG40] what cannot be read leaves the default, and is a problem', () => {
  const values = { VXLANPort: 'many', NoSuchThing: '1' };
  const graph = new CalcGraph(HOST, [{ name: 'file', local: true, values }]);
  assert.equal(graph.state().settings.vxlanPort, 4789);
  const keys = graph.problems().map(({ key }) => key);
  assert.deepEqual(keys, ['parameter NoSuchThing', 'parameter VXLANPort']);
});

test('[CG40] settings and failsafe ports of the configuration are those of the state', () => {
  const graph = graphOf(
    felix({
      failsafeInboundHostPorts: [{ protocol: 'tcp', port: 22, net: '10.0.0.0/8' }],
      failsafeOutboundHostPorts: [],
      nftablesFilterDenyAction: 'REJECT',
      disableConntrackInvalidCheck: true,
      allowVXLANPacketsFromWorkloads: true,
      deviceRouteSourceAddress: '192.0.2.9',
      serviceLoopPrevention: 'Reject',
      logPrefix: '%t %p',
      logActionRateLimit: '20/hour',
      logActionRateLimitBurst: 7,
      nftablesFlowTableOffload: 'All',
      nftablesFlowTableDataIfacePattern: '^eth',
    }),
    calico('BGPConfiguration', 'default', {
      serviceClusterIPs: [{ cidr: '10.96.0.0/12' }],
      serviceExternalIPs: [{ cidr: 'fd96::/112' }],
    }),
    calico('BGPConfiguration', 'node.two', { serviceClusterIPs: [{ cidr: '10.9.0.0/16' }] }),
  );
  const { settings, serviceLoopPrevention } = graph.state();
  assert.deepEqual(settings.failsafeInbound, [{ protocol: 6, port: 22, net: '10.0.0.0/8' }]);
  assert.deepEqual(settings.failsafeOutbound, []);
  assert.equal(settings.denyAction, 'Reject');
  assert.equal(settings.dropInvalid, false);
  assert.deepEqual(settings.flowOffload, { hostInterfacePattern: '^eth' });
  assert.equal(settings.allowVxlanFromWorkloads, true);
  assert.deepEqual(settings.deviceRouteSource, { 4: '192.0.2.9' });
  assert.equal(settings.logPrefix, '%t %p');
  assert.deepEqual(settings.logRate, { packets: 20, per: 'hour', burst: 7 });
  assert.deepEqual(serviceLoopPrevention, {
    action: 'Reject',
    nets: ['10.96.0.0/12', 'fd96::/112'],
  });
});

test('[CG40] interfaces of pods are workloads, whatever other prefixes there are', () => {
  const prefixes = (interfacePrefix: string) =>
    graphOf(felix({ interfacePrefix })).state().settings.workloadPrefixes;
  assert.deepEqual(prefixes('tap'), ['cali', 'tap']);
  assert.deepEqual(prefixes('tap,cali,tap'), ['cali', 'tap']);
});

test('[CG41] with WorkloadIPs each workload is a route of its own', () => {
  const graph = graphOf(
    node('two', '172.16.0.2'),
    namespace('shop'),
    pod('shop/there', '10.5.0.1', { node: 'two' }),
    pod('shop/here', '10.5.0.2'),
    block('10.2.0.0/30', 'two'),
  );
  const routes = () => graph.state().routes.map(({ destination }) => destination);
  assert.deepEqual(routes(), ['10.2.0.0/30']);
  graph.onUpdates([update(felix({ routeSource: 'WorkloadIPs' }))]);
  assert.deepEqual(routes(), ['10.5.0.1/32']);
  graph.onUpdates([update(pod('shop/there', '10.5.0.9', { node: 'two' }))]);
  assert.deepEqual(routes(), ['10.5.0.9/32']);
  graph.onUpdates([update(felix({}))]);
  assert.deepEqual(routes(), ['10.2.0.0/30']);
});

test('[CG42] the ambient mesh is an IP set while the mode is on', () => {
  const mode = (value: string) => ({ 'istio.io/dataplane-mode': value });
  const graph = graphOf(
    namespace('mesh', mode('ambient')),
    namespace('plain'),
    pod('mesh/in', '10.0.0.1'),
    pod('mesh/out', '10.0.0.2', { labels: mode('none') }),
    pod('plain/in', '10.0.0.3', { labels: mode('ambient') }),
    pod('plain/out', '10.0.0.4'),
    calico('NetworkSet', 'mesh/set', { nets: ['192.0.2.0/24'] }),
  );
  assert.equal(graph.state().ipSets.size, 0);
  graph.onUpdates([update(felix({ istioAmbientMode: 'Enabled' }))]);
  const members = graph.state().ipSets.get('all-istio-weps')?.members ?? [];
  assert.deepEqual([...members].sort(), ['10.0.0.1/32', '10.0.0.3/32']);
  graph.onUpdates([update(felix({ istioAmbientMode: 'Disabled' }))]);
  assert.equal(graph.state().ipSets.size, 0);
});

test('[CG44] a node with BGP and no address is not told of', () => {
  const graph = graphOf(
    resource('v1', 'Node', 'two'),
    node('three', '172.16.0.3', { ASNumber: '64512' }),
  );
  const hosts = () => [...graph.topology().hosts.keys()];
  assert.deepEqual(hosts(), ['three', 'two']);
  const annotations = { 'projectcalico.org/ASNumber': '64512' };
  const bare = resource('v1', 'Node', 'two');
  graph.onUpdates([update({ ...bare, metadata: { ...bare.metadata, annotations } })]);
  assert.deepEqual(hosts(), ['three']);
});

test('[CG46] a parameter that does nothing here is a problem where it is set to something of its own', () => {
  const graph = graphOf(
    felix({ bpfEnabled: true, wireguardEnabled: false, usageReportingEnabled: false }),
  );
  const told = graph.problems().map(({ key, message }) => `${key} ${message}`);
  assert.deepEqual(told, [
    'parameter BPFEnabled is accepted but has no effect: it needs the eBPF dataplane, not built yet',
    'parameter UsageReportingEnabled is accepted but has no effect: ' +
      'nothing is ever reported to anybody outside the cluster',
  ]);
  const { problems } = validateResource(felix({ bpfEnabled: true }));
  assert.deepEqual(
    problems.map(({ path, severity }) => [path, severity]),
    [['spec.bpfEnabled', 'warning']],
  );
});

test("[CG37] a tunnel address out of another host's block is a route of its own, said or not", () => {
  const two = { ...TWO, IPv4VXLANTunnelAddr: '10.3.0.2' };
  const always = pool('10.0.0.0/8', { vxlanMode: 'Always' });
  const graph = graphOf(...OVERLAY, always, node('two', '172.16.0.2', two));
  const wanted = [
    { destination: '10.2.0.0/30', gateway: '10.3.0.2', by: 'vxlan' },
    { destination: '10.3.0.0/30', gateway: '10.3.0.0', by: 'vxlan' },
    { destination: '10.3.0.2/32', gateway: '10.3.0.2', by: 'vxlan' },
  ];
  assert.deepEqual(graph.state().routes, wanted);
  const said = block('10.3.0.0/30', 'far') as Resource & { readonly spec: object };
  const attributes = [{ handle_id: 'h', secondary: { node: 'two', type: 'vxlanTunnelAddress' } }];
  const spec = { ...said.spec, allocations: [null, null, 0, null], attributes };
  graph.onUpdates([update({ ...said, spec } as Resource)]);
  assert.deepEqual(graph.state().routes, wanted);
  const own = { ...TWO, IPv4VXLANTunnelAddr: '10.1.0.2' };
  graph.onUpdates([update(node('two', '172.16.0.2', own))]);
  const routes = graph.state().routes.filter(({ destination }) => destination === '10.1.0.2/32');
  assert.deepEqual(routes, [{ destination: '10.1.0.2/32', gateway: '10.1.0.2', by: 'vxlan' }]);
});

test('[CG47] blocks of an IPIP pool go through that device to the node, and not within a subnet if so', () => {
  const one = { ...ONE, IPv4IPIPTunnelAddr: '10.1.0.1' };
  const far = { ...FAR, IPv4IPIPTunnelAddr: '10.7.0.1' };
  const graph = graphOf(
    ...OVERLAY,
    node(HOST, '172.16.0.1', one),
    node('far', '172.16.9.3', far),
    pool('10.0.0.0/8', { ipipMode: 'CrossSubnet' }),
    felix({ ipipMTU: 1400 }),
  );
  const { routes, ipip } = graph.state();
  assert.deepEqual(routes, [
    { destination: '10.2.0.0/30', gateway: '172.16.0.2' },
    { destination: '10.3.0.0/30', gateway: '172.16.9.3', by: 'ipip' },
    { destination: '10.7.0.1/32', gateway: '172.16.9.3', by: 'ipip' },
  ]);
  assert.deepEqual(ipip, {
    mtu: 1400,
    address: '10.1.0.1',
    peers: ['172.16.9.3', '172.16.0.2'],
  });
  graph.onUpdates([update(felix({ ipipEnabled: false }))]);
  assert.equal(graph.state().ipip, null);
  assert.deepEqual(graph.state().routes, [{ destination: '10.2.0.0/30', gateway: '172.16.0.2' }]);
});

test('[CG48] routes to other hosts are made as programClusterRoutes says, those of VXLAN always', () => {
  const routesOf = (programClusterRoutes: string, spec: object) =>
    graphOf(...OVERLAY, pool('10.0.0.0/8', spec), felix({ programClusterRoutes })).state().routes;
  const count = (programClusterRoutes: string) =>
    [{}, { ipipMode: 'Always' }, { vxlanMode: 'CrossSubnet' }].map(
      (spec) => routesOf(programClusterRoutes, spec).length,
    );
  assert.deepEqual(count('Disabled'), [0, 0, 2]);
  assert.deepEqual(count('Enabled'), [2, 2, 2]);
  assert.deepEqual(count('EnabledIPIPOnly'), [2, 2, 2], 'nobody else makes the others');
  assert.deepEqual(count('EnabledNoEncapOnly'), [2, 0, 2]);
});

test('[CG49] the host answers for its pods of pools without tunnel, and for its share of load balancers', () => {
  const balancer = (ips: readonly string[], spec: object = {}) =>
    resource('v1', 'Service', 'shop/web', {
      spec: { type: 'LoadBalancer', ...spec },
      status: { loadBalancer: { ingress: ips.map((ip) => ({ ip })) } },
    });
  const many = Array.from({ length: 40 }, (_, index) => `172.16.0.${100 + index}`);
  const nodes = [node(HOST, '172.16.0.1', ONE), node('two', '172.16.0.2', TWO)];
  const on = felix({ localSubnetL2Reachability: 'PodsAndLoadBalancers' });
  const plain = pool('172.16.0.0/26', {});
  const graph = graphOf(
    ...nodes,
    plain,
    pool('10.0.0.0/24', { vxlanMode: 'Always' }),
    namespace('shop'),
    pod('shop/web', '172.16.0.9'),
    pod('shop/wrapped', '10.0.0.9'),
    pod('shop/remote', '172.16.0.10', { node: 'two' }),
    balancer(['10.0.0.77', ...many]),
  );
  assert.deepEqual(graph.state().proxied, []);
  graph.onUpdates([update(on)]);
  const [, ...share] = graph.state().proxied.toSorted((a, b) => a.length - b.length);
  assert.ok(graph.state().proxied.includes('172.16.0.9'), 'its own pod');
  assert.ok(!graph.state().proxied.includes('10.0.0.77'), 'of a pool with a tunnel');
  assert.ok(share.length > 5 && share.length < 35, `${share.length} of 40`);
  graph.onUpdates([update(node('two', '172.16.0.2', TWO), true)]);
  assert.equal(graph.state().proxied.length, 41, 'the last node has all');
  graph.onUpdates([update(balancer(many, { externalTrafficPolicy: 'Local' }))]);
  assert.deepEqual(graph.state().proxied, ['172.16.0.9']);
});

test('[CG49] a pod that goes when the parameter does is answered for no more', () => {
  const web = pod('shop/web', '172.16.0.9');
  const on = felix({ localSubnetL2Reachability: 'PodsAndLoadBalancers' });
  const graph = graphOf(node(HOST, '172.16.0.1', ONE), pool('172.16.0.0/26', {}), web, on);
  assert.deepEqual(graph.state().proxied, ['172.16.0.9']);
  graph.onUpdates([update(web, true), update(on, true)]);
  assert.deepEqual(graph.state().proxied, []);
});
