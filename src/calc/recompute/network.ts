// The twin's routes and tunnels: each prefix looked at against all that is known, every time.
import type { IPAMBlock, IPPool, KubernetesNode, Service } from '#api';
import {
  compareCodePoints,
  FAMILIES,
  type Family,
  formatAddress,
  formatPrefix,
  maskPrefix,
  parseAddress,
  parsePrefix,
  type Prefix,
  prefixContains,
  sha1Hex,
} from '#lib';
import { balancerAddresses } from '../balancer-decoder.ts';
import type { Parameters } from '../configuration.ts';
import type { HostRoute, IpipTunnel, VxlanPeer, VxlanTunnel } from '../dataplane-update.ts';
import { natOutgoing } from '../host-settings.ts';
import type { BlockSource, PoolSource, Workload } from '../model.ts';
import { decodeBlock, type DecodedNode, decodeNode, decodePool } from '../node-decoder.ts';
import type { HostNetwork, Topology } from '../network-graph.ts';
import { balancerOwner } from '../routes/proxied-addresses.ts';
import { encapsulationOf } from '../routes/encapsulation.ts';
import type { L3Route, RouteType } from '../routes/l3-route.ts';
import type { Cluster } from './cluster.ts';

interface Fact {
  readonly prefix: Prefix;
  readonly what: 'pool' | 'block' | 'borrowed' | 'host' | 'workload' | 'tunnel';
  readonly node?: string;
  readonly pool?: PoolSource;
  readonly tunnel?: string;
}

interface Network {
  readonly hostname: string;
  readonly nodes: ReadonlyMap<string, DecodedNode>;
  readonly pools: readonly PoolSource[];
  readonly blocks: readonly BlockSource[];
  readonly facts: readonly Fact[];
  readonly parameters: Parameters;
  readonly services: readonly Service[];
}

export interface RecomputedNetwork {
  readonly host: HostNetwork;
  readonly topology: Topology;
}

export function networkOf(
  hostname: string,
  cluster: Cluster,
  workloads: readonly Workload[],
  parameters: Parameters,
): RecomputedNetwork {
  const nodes = new Map(
    cluster.list<KubernetesNode>('/Node').map((node) => [node.metadata.name, decodeNode(node)]),
  );
  const pools = cluster.list<IPPool>('projectcalico.org/IPPool').map(decodePool);
  const blocks = cluster
    .list<IPAMBlock>('projectcalico.org/IPAMBlock')
    .flatMap((block) => decodeBlock(block) ?? []);
  const byWorkload = parameters.is('RouteSource', 'WorkloadIPs');
  const placed = workloads.filter(({ node }) => node === hostname || (byWorkload && node));
  const facts = [
    ...pools.map((pool) => ({ cidr: pool.cidr, what: 'pool' as const, pool })),
    ...(byWorkload ? [] : blocks.flatMap(blockFacts)),
    ...[...nodes].flatMap(([name, node]) => nodeFacts(name, node)),
    ...placed.flatMap(({ node, members }) =>
      members.map((cidr) => ({ cidr, what: 'workload' as const, ...(node && { node }) })),
    ),
  ].flatMap(({ cidr, ...fact }): Fact[] => {
    const prefix = parsePrefix(cidr);
    return prefix ? [{ ...fact, prefix: maskPrefix(prefix) }] : [];
  });
  const services = cluster.list<Service>('/Service');
  const network: Network = { hostname, nodes, pools, blocks, facts, parameters, services };
  return { host: hostNetwork(network), topology: topologyOf(network) };
}

function blockFacts({ cidr, host, borrowed }: BlockSource) {
  return [
    ...(host === undefined ? [] : [{ cidr, what: 'block' as const, node: host }]),
    ...borrowed.map(({ address, node }) => ({ cidr: address, what: 'borrowed' as const, node })),
  ];
}

function nodeFacts(name: string, { node }: DecodedNode) {
  const addresses = [...node.networks, ...node.addresses].map((text) => text.split('/')[0] ?? '');
  return [
    ...addresses.map((cidr) => ({ cidr, what: 'host' as const, node: name })),
    ...node.tunnels.map(({ address, type }) => ({
      cidr: address,
      what: 'tunnel' as const,
      node: name,
      tunnel: type,
    })),
  ];
}

function addressOf({ nodes }: Network, name: string, family: Family): Prefix | undefined {
  return nodes
    .get(name)
    ?.node.networks.flatMap((text) => parsePrefix(text) ?? [])
    .find((prefix) => prefix.family === family);
}

function routesOf(network: Network): Map<string, L3Route> {
  const prefixes = new Map(network.facts.map(({ prefix }) => [formatPrefix(prefix), prefix]));
  return new Map(
    [...prefixes]
      .sort(([a], [b]) => compareCodePoints(a, b))
      .map(([text, prefix]) => [text, routeOf(network, text, prefix)]),
  );
}

function routeOf(network: Network, destination: string, prefix: Prefix): L3Route {
  const path = network.facts
    .filter((fact) => fact.prefix.length <= prefix.length && prefixContains(fact.prefix, prefix))
    .sort((a, b) => a.prefix.length - b.prefix.length);
  const types = new Set<RouteType>();
  const blocks = path.filter(({ what }) => what === 'block' || what === 'borrowed');
  const side = (node: string | undefined) => (node === network.hostname ? 'local' : 'remote');
  let node: string | undefined;
  let tunnels: string[] = [];
  for (const level of new Set(path.map((fact) => fact.prefix.length))) {
    const at = path.filter((fact) => fact.prefix.length === level);
    for (const { what, node: owner } of at) {
      if (what === 'block' || what === 'borrowed') types.add(`${side(owner)}-workload`);
    }
    const first = (...kinds: readonly Fact['what'][]) =>
      at.flatMap((fact) => (kinds.includes(fact.what) ? (fact.node ?? []) : [])).sort()[0];
    node = first('borrowed') ?? first('block') ?? node;
    const host = first('host');
    if (host !== undefined) types.add(`${side(host)}-host`);
    const workload = first('workload');
    const tunnel = workload === undefined ? first('tunnel') : undefined;
    if (workload !== undefined) types.add(`${side(workload)}-workload`);
    if (tunnel !== undefined) {
      types.add(`${side(tunnel)}-tunnel`);
      const own = at.filter((fact) => fact.what === 'tunnel' && fact.node === tunnel);
      tunnels = [...new Set(own.flatMap((fact) => fact.tunnel ?? []))].sort();
    }
    node = workload ?? tunnel ?? host ?? node;
  }
  const pools = path.flatMap(({ pool }) => pool ?? []);
  const pool = pools.at(-1);
  const own = addressOf(network, network.hostname, prefix.family);
  const address = node === undefined ? undefined : addressOf(network, node, prefix.family);
  const modes = pools.flatMap(({ vxlanMode, ipipMode }) => [vxlanMode, ipipMode]);
  return {
    destination,
    types: ROUTE_TYPES.filter((type) => types.has(type)),
    ...(pool && { pool: poolTypeOf(pool) }),
    natOutgoing: pools.some(({ natOutgoing: nat }) => nat),
    ...(node !== undefined && { node }),
    ...(address && { nodeAddress: formatAddress(address) }),
    sameSubnet:
      modes.includes('CrossSubnet') &&
      own !== undefined &&
      address !== undefined &&
      prefixContains(own, address),
    localWorkload: path.some(
      ({ what, node: holder }) => what === 'workload' && holder === network.hostname,
    ),
    borrowed: isBorrowed(path, blocks),
    tunnels,
  };
}

/** Taken out of another host's block: the block says so, or it is not the host's whose tunnel has the address. */
function isBorrowed(path: readonly Fact[], blocks: readonly Fact[]): boolean {
  if (new Set(blocks.map((fact) => fact.node)).size > 1) return true;
  return path.some(({ prefix, what }) => {
    const at = path.filter((fact) => fact.prefix.length === prefix.length);
    if (what !== 'tunnel' || at.some((fact) => fact.what === 'workload')) return false;
    const [holder] = at.flatMap((fact) => (fact.what === 'tunnel' ? (fact.node ?? []) : [])).sort();
    const above = blocks.filter((fact) => fact.prefix.length <= prefix.length);
    return above.length > 0 && above.at(-1)?.node !== holder;
  });
}

const ROUTE_TYPES: readonly RouteType[] = [
  'remote-workload',
  'remote-host',
  'local-workload',
  'local-host',
  'remote-tunnel',
  'local-tunnel',
];

function poolTypeOf({ vxlanMode, ipipMode }: PoolSource) {
  if (vxlanMode !== 'Never') return 'vxlan';
  return ipipMode === 'Never' ? 'plain' : 'ipip';
}

function endsOf(network: Network, family: Family): Map<string, VxlanPeer> {
  const ends = [...network.nodes].flatMap(([node, { vxlan }]): [string, VxlanPeer][] => {
    const underlay = addressOf(network, node, family);
    const address = vxlan.addresses.find((text) => parseAddress(text)?.family === family);
    if (!underlay || address === undefined) return [];
    const digest = sha1Hex(family === 4 ? node : `${node}-v6`);
    const derived = `66${[0, 2, 4, 6, 8].map((at) => `:${digest.slice(at, at + 2)}`).join('')}`;
    const mac = (family === 4 ? vxlan.mac : vxlan.macV6) ?? derived;
    return [[node, { node, address, mac, underlay: formatAddress(underlay) }]];
  });
  return new Map(ends);
}

function encapsulation({ pools, parameters }: Network) {
  const ipip = parameters.choice('IpInIpEnabled');
  const [vxlan, ipv6] = [parameters.choice('VXLANEnabled'), parameters.flag('Ipv6Support')];
  return encapsulationOf(pools, { ipip, vxlan, ipv6 });
}

function hostNetwork(network: Network): HostNetwork {
  const { hostname, parameters, blocks, pools, nodes } = network;
  const own = blocks.flatMap(({ cidr, host }) => {
    const prefix = host === hostname ? parsePrefix(cidr) : undefined;
    return prefix ? [formatPrefix(maskPrefix(prefix))] : [];
  });
  return {
    routes: [...routesOf(network).values()].flatMap((route) => hostRoute(network, route) ?? []),
    blackholes: [...new Set(own)].sort(compareCodePoints),
    tunnels: FAMILIES.flatMap((family) => tunnelOf(network, family) ?? []),
    proxied: proxiedOf(network),
    ipip: ipipOf(network),
    natOutgoing: natOutgoing(
      parameters,
      pools,
      [...nodes.values()].map(({ node }) => node),
    ),
  };
}

function hostRoute(network: Network, route: L3Route): HostRoute | undefined {
  const { destination, node, nodeAddress, types } = route;
  if (types.includes('remote-host')) return undefined;
  const isEnd = types.includes('remote-tunnel');
  const ofBlock = types.includes('remote-workload');
  const alone = !ofBlock && route.pool !== undefined && route.tunnels.includes(route.pool);
  if (isEnd ? !alone && !(ofBlock && route.borrowed) : !ofBlock) return undefined;
  if (node === undefined || node === network.hostname) return undefined;
  const family = destination.includes(':') ? 6 : 4;
  if (route.pool === 'vxlan' && !route.sameSubnet) {
    const gateway = tunnelOf(network, family)?.peers.find((peer) => peer.node === node)?.address;
    return gateway === undefined ? undefined : { destination, gateway, by: 'vxlan' };
  }
  const programming = network.parameters.text('ProgramClusterRoutes');
  const isIpip = route.pool === 'ipip';
  const isMade = isIpip
    ? programming === 'Enabled' || programming === 'EnabledIPIPOnly'
    : programming !== 'Disabled' || route.pool === 'vxlan';
  if (nodeAddress === undefined || !isMade) return undefined;
  if (!isIpip || route.sameSubnet) return { destination, gateway: nodeAddress };
  const { ipip } = encapsulation(network);
  return ipip ? { destination, gateway: nodeAddress, by: 'ipip' } : undefined;
}

function proxiedOf(network: Network): string[] {
  const { hostname, parameters, nodes, pools, services } = network;
  if (!parameters.is('LocalSubnetL2Reachability', 'PodsAndLoadBalancers')) return [];
  const told = [...nodes].filter(([, { node }]) => !node.bgp || node.networks.length > 0);
  const names = told.map(([name]) => name);
  const own = [...routesOf(network).values()].filter(
    ({ localWorkload, pool }) => localWorkload && pool === 'plain',
  );
  const inTunnel = (text: string) =>
    pools.some((pool) => {
      const prefix = parsePrefix(pool.cidr);
      const address = parseAddress(text);
      return prefix && address && poolTypeOf(pool) !== 'plain' && prefixContains(prefix, address);
    });
  const balancers = services
    .flatMap(balancerAddresses)
    .filter((address) => balancerOwner(address, names) === hostname && !inTunnel(address));
  const texts = [...own.map(({ destination }) => destination.split('/')[0] ?? ''), ...balancers];
  return [...new Set(texts)].sort();
}

function ipipOf(network: Network): IpipTunnel | null {
  const { hostname, nodes, parameters } = network;
  if (!encapsulation(network).ipip) return null;
  const own = nodes.get(hostname)?.node.tunnels.find(({ type }) => type === 'ipip');
  const others = [...nodes.keys()].filter((name) => name !== hostname).sort(compareCodePoints);
  return {
    mtu: parameters.number('IpInIpMtu'),
    address: own?.address ?? null,
    peers: others.flatMap((name) => {
      const address = addressOf(network, name, 4);
      return address ? [formatAddress(address)] : [];
    }),
  };
}

function tunnelOf(network: Network, family: Family): VxlanTunnel | undefined {
  const { parameters, hostname } = network;
  const { vxlan, vxlanV6 } = encapsulation(network);
  const ends = endsOf(network, family);
  const own = ends.get(hostname);
  if (!own || !(family === 4 ? vxlan : vxlanV6)) return undefined;
  return {
    family,
    vni: parameters.number('VXLANVNI'),
    port: parameters.number('VXLANPort'),
    mtu: parameters.number(family === 4 ? 'VXLANMTU' : 'VXLANMTUV6'),
    address: own.address,
    mac: own.mac,
    underlay: own.underlay,
    peers: [...ends.values()]
      .filter(({ node }) => node !== hostname)
      .sort((a, b) => compareCodePoints(a.node, b.node)),
  };
}

function topologyOf(network: Network): Topology {
  const { nodes, parameters } = network;
  const told = [...nodes].filter(([, { node }]) => !node.bgp || node.networks.length > 0);
  const hosts = told.map(([node, { node: source }]) => {
    const text = (family: Family) =>
      source.networks.find((it) => it.includes('/') && it.includes(':') === (family === 6));
    const [ipv4, ipv6] = [text(4), text(6)];
    const addresses = { ...(ipv4 && { ipv4 }), ...(ipv6 && { ipv6 }) };
    return [node, { node, ...addresses, labels: source.labels }] as const;
  });
  const wireguard = (family: Family) =>
    [...nodes].flatMap(([node, { wireguard: source }]) => {
      const isOn = parameters.flag(family === 4 ? 'WireguardEnabled' : 'WireguardEnabledV6');
      const publicKey = family === 4 ? source.publicKey : source.publicKeyV6;
      const address = source.addresses.find((text) => text.includes(':') === (family === 6));
      if (!isOn || !publicKey) return [];
      return [[node, { node, publicKey, ...(address && { address }) }] as const];
    });
  return {
    routes: routesOf(network),
    hosts: new Map(hosts),
    vxlan: { 4: endsOf(network, 4), 6: endsOf(network, 6) },
    wireguard: { 4: new Map(wireguard(4)), 6: new Map(wireguard(6)) },
    encapsulation: encapsulation(network),
  };
}
