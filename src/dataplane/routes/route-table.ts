// Makes the host's routes equal to the desired ones: local workloads, other hosts' blocks, own blocks.
import {
  DeltaTracker,
  type Family,
  formatAddress,
  formatPrefix,
  hostPrefix,
  maskPrefix,
  parseAddress,
  parsePrefix,
} from '#lib';
import { NetlinkError, ROUTE_PROTOCOL, ROUTE_TABLE, type Route } from '#linux';
import type { DataplaneState } from '#calc/dataplane-update';
import { TUNNEL_DEVICE } from '../rules/names.ts';
import type { ApplyError } from '../rules/ruleset.ts';

/** What the driver needs of rtnetlink. */
export interface RouteKernel {
  routes(filter: { table?: number; protocol?: number }): Route[];
  replaceRoute(route: Route): void;
  deleteRoute(route: Route): boolean;
  readonly writes: number;
}

/** Higher than that of any route to a workload, which thus wins even for a block of one address. */
const BLACKHOLE_METRIC = 4096;

/** The interface is not there yet, or down: the route is made at a later apply. */
const NOT_YET: readonly string[] = ['ENODEV', 'ENETDOWN'];

/** Owns the routes of protocol 80 in the main table, and touches no other. */
export class RouteTable {
  readonly #kernel: RouteKernel;
  readonly #tracker = new DeltaTracker<string, Route>(sameRoute);
  /** What the last apply had left in the kernel and this one does not find there. */
  #lost = new Set<string>();

  constructor(kernel: RouteKernel) {
    this.#kernel = kernel;
  }

  /** Routes that are wanted, and the interfaces that they lead to. */
  get size(): { readonly routes: number; readonly interfaces: number } {
    const routes = [...this.#tracker.desired.values()];
    const interfaces = new Set(routes.flatMap((route) => route.interface ?? []));
    return { routes: routes.length, interfaces: interfaces.size };
  }

  /**
   * Takes the desired routes, and reads which there are: the kernel removes routes by itself when an
   * interface goes, so memory is no guide.
   */
  update(routes: ReadonlyMap<string, Route>): void {
    this.#tracker.replaceDesired(routes);
    const own = { table: ROUTE_TABLE.MAIN, protocol: ROUTE_PROTOCOL.TORTIE };
    const found = new Map(
      this.#kernel.routes(own).map((route): [string, Route] => [routeKey(route), route]),
    );
    const left = [...this.#tracker.actual].filter(([key, route]) => {
      const now = found.get(key);
      return !now || !sameRoute(route, now);
    });
    this.#lost = new Set(left.map(([key]) => key));
    this.#tracker.replaceActual(found);
  }

  /** Whether the kernel has the route to an endpoint's address as desired. */
  holds(destination: string): boolean {
    const prefix = parsePrefix(destination);
    const key = prefix ? formatPrefix(maskPrefix(prefix)) : destination;
    const desired = this.#tracker.desired.get(key);
    const actual = this.#tracker.actual.get(key);
    return desired !== undefined && actual !== undefined && sameRoute(desired, actual);
  }

  /** Removes routes to destinations that are wanted no more. */
  removeUnwanted(): ApplyError[] {
    const errors: ApplyError[] = [];
    for (const [key, route] of this.#tracker.pendingDeletes()) {
      attempt(key, errors, () => {
        this.#kernel.deleteRoute(route);
        this.#tracker.deleteActual(key);
      });
    }
    return errors;
  }

  /**
   * Makes and changes routes; `pending` are those that wait for their interface, `repaired` those that somebody
   * else had taken away or changed.
   */
  addWanted(): {
    readonly errors: ApplyError[];
    readonly pending: string[];
    readonly repaired: string[];
  } {
    const errors: ApplyError[] = [];
    const pending: string[] = [];
    const repaired: string[] = [];
    for (const [key, route] of this.#tracker.pendingUpdates()) {
      const before = this.#tracker.actual.get(key);
      attempt(key, errors, () => {
        try {
          // IPv6 puts a second route beside one of another kind instead of in its place.
          if (before && route.family === 6) this.#kernel.deleteRoute(before);
          this.#kernel.replaceRoute(route);
          this.#tracker.setActual(key, route);
          if (this.#lost.has(key)) repaired.push(`route ${key}`);
        } catch (error) {
          if (!(error instanceof NetlinkError && NOT_YET.includes(error.code))) throw error;
          pending.push(`${route.destination} on ${route.interface ?? route.gateway ?? '?'}`);
        }
      });
    }
    return { errors, pending, repaired };
  }
}

function attempt(key: string, errors: ApplyError[], change: () => void): void {
  try {
    change();
  } catch (error) {
    if (!(error instanceof NetlinkError || error instanceof RangeError)) throw error;
    errors.push({ what: `route ${key}`, message: error.message });
  }
}

/** All routes that a state wants, by key. Of two for one destination the first counts. */
export function desiredRoutes(
  state: DataplaneState,
  onProblem: (what: string, message: string) => void,
): Map<string, Route> {
  const routes = new Map<string, Route>();
  if (!state.settings.routeSync) return routes;
  const add = (what: string, destination: string, rest: Partial<Route>) => {
    const prefix = parsePrefix(destination);
    if (!prefix) {
      onProblem(what, `cannot route to ${JSON.stringify(destination)}: it is not a prefix`);
      return;
    }
    const route = routeTo(formatPrefix(maskPrefix(prefix)), prefix.family, canonical(rest));
    const key = routeKey(route);
    const holder = routes.get(key);
    if (!holder) routes.set(key, route);
    else if (!sameRoute(holder, route)) {
      const way = holder.interface ?? holder.gateway ?? holder.type;
      onProblem(what, `cannot route to ${destination}: it goes by ${way} already`);
    }
  };
  for (const id of [...state.endpoints.keys()].toSorted()) {
    const endpoint = state.endpoints.get(id);
    const floating = endpoint?.floatingAddresses.map(({ external }) => hostRoute(external)) ?? [];
    for (const address of [...(endpoint?.addresses ?? []), ...floating]) {
      const source = deviceSource(address, state);
      add(id, address, { interface: endpoint?.interfaceName ?? '', ...(source && { source }) });
    }
  }
  for (const { destination, gateway, by } of state.routes) {
    const family = parsePrefix(destination)?.family ?? 4;
    const device = by && { interface: TUNNEL_DEVICE[family], onLink: true };
    add('host route', destination, { gateway, ...device });
  }
  for (const block of state.blackholes) {
    add('block', block, { type: 'blackhole', metric: BLACKHOLE_METRIC });
  }
  return routes;
}

/** `192.0.2.1` as the destination of a route; what is no address stays as it is, for the report. */
function hostRoute(text: string): string {
  const address = parseAddress(text);
  return address ? formatPrefix(hostPrefix(address)) : text;
}

function deviceSource(address: string, { settings }: DataplaneState): string | undefined {
  const family = parsePrefix(address)?.family;
  return family && settings.deviceRouteSource[family];
}

/** The gateway as the kernel writes it: what is compared must be written alike. */
function canonical(rest: Partial<Route>): Partial<Route> {
  const gateway = rest.gateway === undefined ? undefined : parseAddress(rest.gateway);
  return gateway ? { ...rest, gateway: formatAddress(gateway) } : rest;
}

function routeTo(destination: string, family: Family, rest: Partial<Route>): Route {
  const table = ROUTE_TABLE.MAIN;
  return { family, destination, table, protocol: ROUTE_PROTOCOL.TORTIE, type: 'unicast', ...rest };
}

/** What makes a route the same for the kernel: destination and metric. */
function routeKey(route: Route): string {
  return route.metric === undefined
    ? route.destination
    : `${route.destination} metric ${route.metric}`;
}

/**
 * A route through a gateway comes back with the interface that the kernel found; where only one of the two
 * says which, that is no difference.
 */
function sameRoute(a: Route, b: Route): boolean {
  const found = a.gateway !== undefined && (a.interface === undefined || b.interface === undefined);
  return signature(a) === signature(b) && (found || a.interface === b.interface);
}

function signature(route: Route): string {
  const { type, destination, gateway, metric, scope, source, onLink, nextHops } = route;
  return JSON.stringify([type, destination, gateway, metric, scope, source, onLink, nextHops]);
}
