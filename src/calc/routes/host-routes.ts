// The routes that this host makes to workloads of others: by their node's address, over VXLAN or IPIP.
import { jsonEqual, parsePrefix } from '#lib';
import type { HostRoute } from '../dataplane-update.ts';
import { SnapshotList, SnapshotMap } from '../snapshot-map.ts';
import type { Encapsulation } from './encapsulation.ts';
import type { L3Route } from './l3-route.ts';
import type { L3RouteResolver } from './l3-route-resolver.ts';
import type { NodeBook } from './node-book.ts';
import type { VxlanResolver } from './vxlan-resolver.ts';

/** Which routes to other hosts are made here (spec 04: programClusterRoutes). */
export type ClusterRoutes = 'Disabled' | 'Enabled' | 'EnabledIPIPOnly' | 'EnabledNoEncapOnly';

export class HostRoutes {
  readonly #resolver: L3RouteResolver;
  readonly #vxlan: VxlanResolver;
  readonly #nodes: NodeBook;
  readonly #routes = new SnapshotMap<HostRoute>(jsonEqual);
  readonly #list = new SnapshotList<HostRoute>();
  #programming: ClusterRoutes = 'EnabledIPIPOnly';

  constructor(resolver: L3RouteResolver, vxlan: VxlanResolver, nodes: NodeBook) {
    this.#resolver = resolver;
    this.#vxlan = vxlan;
    this.#nodes = nodes;
  }

  /** `destinations`: those whose L3 route or tunnel may be another now. */
  settle(destinations: Iterable<string>, encapsulation: Encapsulation): void {
    for (const destination of destinations) {
      const route = this.#resolver.route(destination);
      const made = route && this.#hostRoute(route, encapsulation);
      if (made) this.#routes.set(destination, made);
      else this.#routes.delete(destination);
    }
  }

  /** Returns whether others are made now. */
  setProgramming(programming: ClusterRoutes): boolean {
    const isChanged = this.#programming !== programming;
    this.#programming = programming;
    return isChanged;
  }

  /** Whether the route is made here. What VXLAN is for always is; there is nobody yet to make those without tunnel. */
  #isOurs({ pool }: L3Route): boolean {
    if (pool === 'vxlan') return true;
    if (pool === 'ipip') return ['Enabled', 'EnabledIPIPOnly'].includes(this.#programming);
    return this.#programming !== 'Disabled';
  }

  /** In the order of their destinations' text. */
  list(): readonly HostRoute[] {
    return this.#list.list(this.#routes.snapshot());
  }

  /** Of a workload of another node; none while it is not known how to reach that. */
  #hostRoute(route: L3Route, encapsulation: Encapsulation): HostRoute | undefined {
    const { destination, node, nodeAddress } = route;
    if (node === undefined || node === this.#nodes.hostname || !leadsToWorkload(route)) {
      return undefined;
    }
    const family = parsePrefix(destination)?.family ?? 4;
    const isTunnelled = route.pool !== 'plain' && route.pool !== undefined && !route.sameSubnet;
    if (!isTunnelled || route.pool === 'ipip') {
      const isWanted = isTunnelled ? encapsulation.ipip : true;
      if (nodeAddress === undefined || !isWanted || !this.#isOurs(route)) return undefined;
      return { destination, gateway: nodeAddress, ...(isTunnelled && { by: 'ipip' }) };
    }
    if (!(family === 4 ? encapsulation.vxlan : encapsulation.vxlanV6)) return undefined;
    const end = this.#vxlan.end(node, family);
    const own = this.#vxlan.end(this.#nodes.hostname, family);
    if (!end || !own) return undefined;
    return { destination, gateway: end.address, by: 'vxlan' };
  }
}

/**
 * Whether what another host runs, or its end of the overlay, is there, and no wider route leads there anyway: the
 * address of an end that is within a block of its own host needs none of its own.
 */
function leadsToWorkload({ types, borrowed, tunnels, pool }: L3Route): boolean {
  if (types.includes('remote-host')) return false;
  const isWorkload = types.includes('remote-workload');
  if (!types.includes('remote-tunnel')) return isWorkload;
  return isWorkload ? borrowed : pool !== undefined && tunnels.includes(pool);
}
