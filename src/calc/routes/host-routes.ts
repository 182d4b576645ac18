// The routes that this host makes to workloads of others: by their node's address, or over VXLAN.
import { jsonEqual, parsePrefix } from '#lib';
import type { HostRoute } from '../dataplane-update.ts';
import { SnapshotList, SnapshotMap } from '../snapshot-map.ts';
import type { Encapsulation } from './encapsulation.ts';
import type { L3Route } from './l3-route.ts';
import type { L3RouteResolver } from './l3-route-resolver.ts';
import type { NodeBook } from './node-book.ts';
import type { VxlanResolver } from './vxlan-resolver.ts';

export class HostRoutes {
  readonly #resolver: L3RouteResolver;
  readonly #vxlan: VxlanResolver;
  readonly #nodes: NodeBook;
  readonly #routes = new SnapshotMap<HostRoute>(jsonEqual);
  readonly #list = new SnapshotList<HostRoute>();

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
    const isTunnelled = route.pool === 'vxlan' && !route.sameSubnet;
    if (!isTunnelled)
      return nodeAddress === undefined ? undefined : { destination, gateway: nodeAddress };
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
  return isWorkload ? borrowed : pool === 'vxlan' && tunnels.includes('vxlan');
}
