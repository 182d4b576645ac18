// The half of the graph that knows pools, blocks, nodes and tunnels: routes, overlay ends, encapsulation.
import { type Family, formatPrefix, jsonEqual, maskPrefix, parsePrefix } from '#lib';
import type { Parameters } from './configuration.ts';
import type {
  HostRoute,
  IpipTunnel,
  NatOutgoing,
  VxlanPeer,
  VxlanTunnel,
} from './dataplane-update.ts';
import { natOutgoing } from './host-settings.ts';
import type { BlockSource, NodeSource, PoolSource, VxlanSource, WireguardSource } from './model.ts';
import { type Encapsulation, encapsulationOf } from './routes/encapsulation.ts';
import { type ClusterRoutes, HostRoutes } from './routes/host-routes.ts';
import { IpipTunnels } from './routes/ipip-tunnels.ts';
import type { L3Route } from './routes/l3-route.ts';
import { L3RouteResolver, type PlacedWorkload } from './routes/l3-route-resolver.ts';
import { type HostMetadata, NodeBook } from './routes/node-book.ts';
import { ProxiedAddresses } from './routes/proxied-addresses.ts';
import { VxlanResolver } from './routes/vxlan-resolver.ts';
import { VxlanTunnels } from './routes/vxlan-tunnels.ts';
import { type WireguardEnd, WireguardResolver } from './routes/wireguard-resolver.ts';
import { SnapshotList, SnapshotMap } from './snapshot-map.ts';

/** The cluster's network as this host sees it, beyond what its kernel is told. */
export interface Topology {
  /** By destination. */
  readonly routes: ReadonlyMap<string, L3Route>;
  readonly hosts: ReadonlyMap<string, HostMetadata>;
  /** Ends of the overlay by node, of each family. */
  readonly vxlan: Readonly<Record<Family, ReadonlyMap<string, VxlanPeer>>>;
  readonly wireguard: Readonly<Record<Family, ReadonlyMap<string, WireguardEnd>>>;
  readonly encapsulation: Encapsulation;
}

export interface HostNetwork {
  readonly routes: readonly HostRoute[];
  readonly blackholes: readonly string[];
  readonly tunnels: readonly VxlanTunnel[];
  readonly proxied: readonly string[];
  readonly ipip: IpipTunnel | null;
  readonly natOutgoing: NatOutgoing;
}

const NO_ENDS: ReadonlyMap<string, WireguardEnd> = new Map();

export class NetworkGraph {
  readonly #hostname: string;
  readonly #nodes: NodeBook;
  readonly #resolver: L3RouteResolver;
  readonly #vxlan: VxlanResolver;
  readonly #wireguard: WireguardResolver;
  readonly #routes: HostRoutes;
  readonly #pools = new Map<string, PoolSource>();
  readonly #nodeSources = new Map<string, NodeSource>();
  readonly #ownBlocks = new Map<string, string>();
  readonly #blackholeUsers = new Map<string, number>();
  readonly #blackholes = new SnapshotMap<string>(Object.is);
  readonly #blackholeList = new SnapshotList<string>();
  readonly #tunnels: VxlanTunnels;
  readonly #ipip: IpipTunnels;
  readonly #proxied: ProxiedAddresses;
  readonly #touched = new Set<string>();
  #parameters: Parameters;
  #encapsulation: Encapsulation = { ipip: false, vxlan: false, vxlanV6: false };
  #natOutgoing: NatOutgoing = { sources: [], excluded: [] };
  #natIsOld = true;

  constructor(hostname: string, parameters: Parameters) {
    this.#hostname = hostname;
    this.#parameters = parameters;
    this.#nodes = new NodeBook(hostname);
    this.#resolver = new L3RouteResolver(this.#nodes);
    this.#vxlan = new VxlanResolver(this.#nodes);
    this.#wireguard = new WireguardResolver();
    this.#routes = new HostRoutes(this.#resolver, this.#vxlan, this.#nodes);
    this.#tunnels = new VxlanTunnels(hostname, this.#vxlan);
    this.#ipip = new IpipTunnels(this.#nodes);
    this.#proxied = new ProxiedAddresses(this.#nodes, this.#resolver);
  }

  /** `workloads`: all that have a node. */
  setParameters(
    parameters: Parameters,
    workloads: () => Iterable<readonly [key: string, workload: PlacedWorkload]>,
  ): void {
    this.#parameters = parameters;
    this.#natIsOld = true;
    const isByWorkload = parameters.is('RouteSource', 'WorkloadIPs');
    this.#resolver.setSource(isByWorkload ? 'WorkloadIPs' : 'CalicoIPAM', workloads());
  }

  setPool(key: string, pool: PoolSource | undefined): void {
    if (jsonEqual(this.#pools.get(key), pool)) return;
    if (pool) this.#pools.set(key, pool);
    else this.#pools.delete(key);
    this.#natIsOld = true;
    this.#proxied.onPools();
    this.#resolver.setPool(key, pool);
  }

  setBlock(key: string, block: BlockSource | undefined): void {
    if (jsonEqual(this.#resolver.block(key), block)) return;
    const prefix = block?.host === this.#hostname ? parsePrefix(block.cidr) : undefined;
    const cidr = prefix && formatPrefix(maskPrefix(prefix));
    const before = this.#ownBlocks.get(key);
    if (before !== undefined && before !== cidr) this.#countBlackhole(before, -1);
    if (cidr !== undefined && before !== cidr) this.#countBlackhole(cidr, 1);
    if (cidr === undefined) this.#ownBlocks.delete(key);
    else this.#ownBlocks.set(key, cidr);
    this.#resolver.setBlock(key, block);
  }

  setNode(name: string, node: NodeSource | undefined): void {
    const before = this.#nodeSources.get(name);
    // Nodes report that they are alive all the time.
    if (jsonEqual(before, node)) return;
    if (node) this.#nodeSources.set(name, node);
    else this.#nodeSources.delete(name);
    this.#natIsOld ||= this.#parameters.is('NATOutgoingExclusions', 'IPPoolsAndHostIPs');
    this.#nodes.setNode(name, node);
    this.#resolver.onNode(name, before, node);
    this.#vxlan.onNode(name);
    this.#touchRoutes(name);
  }

  setVxlan(node: string, source: VxlanSource | undefined): void {
    if (this.#vxlan.setSource(node, source)) this.#touchRoutes(node);
  }

  /** Addresses of a Service's load balancer. */
  setBalancer(key: string, addresses: readonly string[] | undefined): void {
    this.#proxied.setBalancer(key, addresses);
  }

  setWireguard(node: string, source: WireguardSource | undefined): void {
    this.#wireguard.setSource(node, source);
  }

  setWorkload(key: string, workload: PlacedWorkload | undefined): void {
    this.#resolver.setWorkload(key, workload);
  }

  /** Works out what has changed. */
  settle(): void {
    const destinations = new Set([...this.#resolver.settle(), ...this.#touched]);
    this.#touched.clear();
    const encapsulation = encapsulationOf(this.#pools.values(), {
      ipip: this.#parameters.choice('IpInIpEnabled'),
      vxlan: this.#parameters.choice('VXLANEnabled'),
      ipv6: this.#parameters.flag('Ipv6Support'),
    });
    const programming = this.#parameters.text('ProgramClusterRoutes') as ClusterRoutes;
    const isOther = this.#routes.setProgramming(programming);
    if (isOther || !jsonEqual(encapsulation, this.#encapsulation)) {
      this.#encapsulation = encapsulation;
      for (const destination of this.#resolver.routes().keys()) destinations.add(destination);
    }
    this.#routes.settle(destinations, this.#encapsulation);
    const isProxy = this.#parameters.is('LocalSubnetL2Reachability', 'PodsAndLoadBalancers');
    this.#proxied.settle(destinations, isProxy);
    if (this.#natIsOld) {
      const hosts = this.#nodeSources.values();
      const nat = natOutgoing(this.#parameters, this.#pools.values(), hosts);
      if (!jsonEqual(nat, this.#natOutgoing)) this.#natOutgoing = nat;
      this.#natIsOld = false;
    }
  }

  hostNetwork(): HostNetwork {
    return {
      routes: this.#routes.list(),
      blackholes: this.#blackholeList.list(this.#blackholes.snapshot()),
      tunnels: this.#tunnels.list(this.#parameters, this.#encapsulation),
      proxied: this.#proxied.list(this.#pools.values()),
      ipip: this.#ipip.tunnel(this.#parameters, this.#encapsulation),
      natOutgoing: this.#natOutgoing,
    };
  }

  topology(): Topology {
    const isOn4 = this.#parameters.flag('WireguardEnabled');
    const isOn6 = this.#parameters.flag('WireguardEnabledV6');
    return {
      routes: this.#resolver.routes(),
      hosts: this.#nodes.metadata(),
      vxlan: { 4: this.#vxlan.ends(4), 6: this.#vxlan.ends(6) },
      wireguard: {
        4: isOn4 ? this.#wireguard.ends(4) : NO_ENDS,
        6: isOn6 ? this.#wireguard.ends(6) : NO_ENDS,
      },
      encapsulation: this.#encapsulation,
    };
  }

  /** Two blocks of one prefix are one blackhole. */
  #countBlackhole(cidr: string, change: 1 | -1): void {
    const users = (this.#blackholeUsers.get(cidr) ?? 0) + change;
    if (users > 0) {
      this.#blackholeUsers.set(cidr, users);
      this.#blackholes.set(cidr, cidr);
    } else {
      this.#blackholeUsers.delete(cidr);
      this.#blackholes.delete(cidr);
    }
  }

  /** Routes by VXLAN need both ends: where this host's own changes, all may. */
  #touchRoutes(node: string): void {
    const all = node === this.#hostname;
    const destinations = all ? this.#resolver.routes().keys() : this.#resolver.routesTo(node);
    for (const destination of destinations) this.#touched.add(destination);
  }
}
