// Makes the host's routes equal to the desired ones, and takes away what leads to workloads' interfaces besides.
import { DeltaTracker, formatPrefix, maskPrefix, parsePrefix } from '#lib';
import { NetlinkError, ROUTE_PROTOCOL, ROUTE_TABLE, type Route } from '#linux';
import type { HostSettings } from '#calc/dataplane-update';
import type { ApplyError } from '../rules/ruleset.ts';
import { routeKey, sameRoute } from './desired-routes.ts';

/** What the driver needs of rtnetlink. */
export interface RouteKernel {
  routes(filter: { table?: number; protocol?: number | readonly number[] }): Route[];
  replaceRoute(route: Route): void;
  deleteRoute(route: Route): boolean;
  readonly writes: number;
}

/** The interface is not there yet, or down: the route is made at a later apply. */
const NOT_YET: readonly string[] = ['ENODEV', 'ENETDOWN'];

const LINK_LOCAL = /^fe[89ab]/;

/**
 * Owns in the main table the routes of its own protocols: 80, which nobody else has, and that of routes to other
 * hosts; to workloads' interfaces also those of the protocol of such routes, and where so configured of any. The
 * kernel's own are nobody's.
 */
export class RouteTable {
  readonly #kernel: RouteKernel;
  readonly #tracker = new DeltaTracker<string, Route>(sameRoute);
  /** What the last apply had left in the kernel and this one does not find there. */
  #lost = new Set<string>();
  /** What is ours to take away, and nobody here has made. */
  #strangers = new Set<string>();
  /** Those of the last update: what it made may have to go. */
  #protocols: readonly number[] = [];
  /** By key, what the kernel refused: the route as it was wanted, undefined where it was to go. */
  #refused = new Map<string, { readonly route: Route | undefined; readonly error: ApplyError }>();
  #resync = true;
  #hasRead = false;

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
   * The next update looks at all routes of the table, not only at those of own protocols, and what was refused is
   * tried again.
   */
  resync(): void {
    this.#resync = true;
    this.#refused.clear();
  }

  /**
   * Takes the desired routes, and reads which there are: the kernel removes routes by itself when an
   * interface goes, so memory is no guide.
   */
  update(routes: ReadonlyMap<string, Route>, settings: HostSettings): void {
    this.#tracker.replaceDesired(routes);
    const before = this.#tracker.actual;
    const found = this.#read(settings);
    const left = [...before].filter(([key, route]) => {
      const now = found.get(key);
      return !now || !sameRoute(route, now);
    });
    this.#lost = new Set(left.map(([key]) => key));
    const strangers = [...found.keys()].filter((key) => !before.has(key) && !routes.has(key));
    this.#strangers = new Set(this.#hasRead ? strangers : []);
    this.#hasRead = true;
    this.#tracker.replaceActual(found);
    for (const [key, { route }] of this.#refused) {
      const wanted = routes.get(key);
      const isSame = route && wanted ? sameRoute(route, wanted) : route === wanted;
      if (!isSame) this.#refused.delete(key);
    }
  }

  #read(settings: HostSettings): Map<string, Route> {
    const { routeSync, routes } = settings;
    const own = [ROUTE_PROTOCOL.TORTIE, ...(routeSync ? [routes.clusterProtocol] : [])];
    const all = this.#resync && routeSync && routes.removeExternal;
    const protocols = [...own, ...(routeSync ? [routes.deviceProtocol] : [])];
    const protocol = [...new Set([...protocols, ...this.#protocols])];
    this.#protocols = protocols;
    const table = ROUTE_TABLE.MAIN;
    const listed = this.#kernel.routes(all ? { table } : { table, protocol });
    this.#resync = false;
    const held = this.#tracker.actual;
    const ours = listed
      .map((route): [string, Route] => [routeKey(route), route])
      .filter(([key, route]) => {
        const isHeld = held.get(key)?.protocol === route.protocol;
        return (
          isHeld || own.includes(route.protocol) || (routeSync && isOfWorkload(route, settings))
        );
      });
    return new Map(ours);
  }

  /** Whether the kernel has the route to an endpoint's address as desired. */
  holds(destination: string, settings: HostSettings): boolean {
    const prefix = parsePrefix(destination);
    const text = prefix ? formatPrefix(maskPrefix(prefix)) : destination;
    const { priority } = settings.routes;
    const metrics = Object.values(priority[prefix?.family ?? 4]).map(
      (one) => `${text} metric ${one}`,
    );
    return [text, ...metrics].some((key) => {
      const desired = this.#tracker.desired.get(key);
      const actual = this.#tracker.actual.get(key);
      return desired !== undefined && actual !== undefined && sameRoute(desired, actual);
    });
  }

  /** Removes routes to destinations that are wanted no more; `repaired` are those that somebody else had made. */
  removeUnwanted(): { readonly errors: ApplyError[]; readonly repaired: string[] } {
    const errors: ApplyError[] = [];
    const repaired: string[] = [];
    for (const [key, route] of this.#tracker.pendingDeletes()) {
      const error = this.#attempt(key, { route, isWanted: false }, () => {
        this.#kernel.deleteRoute(route);
        this.#tracker.deleteActual(key);
        if (this.#strangers.has(key)) repaired.push(`route ${route.destination}`);
      });
      if (error) errors.push(error);
    }
    return { errors, repaired };
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
      const error = this.#attempt(key, { route, isWanted: true }, () => {
        try {
          // IPv6 puts a second route beside one of another kind instead of in its place.
          if (before && route.family === 6) this.#kernel.deleteRoute(before);
          this.#kernel.replaceRoute(route);
          this.#tracker.setActual(key, route);
          if (this.#lost.has(key)) repaired.push(`route ${route.destination}`);
        } catch (error) {
          if (!(error instanceof NetlinkError && NOT_YET.includes(error.code))) throw error;
          pending.push(`${route.destination} on ${route.interface ?? route.gateway ?? '?'}`);
        }
      });
      if (error) errors.push(error);
    }
    return { errors, pending, repaired };
  }

  /** What was refused is not tried again while it is wanted as it was: only a resync does that. */
  #attempt(
    key: string,
    { route, isWanted }: { readonly route: Route; readonly isWanted: boolean },
    change: () => void,
  ): ApplyError | undefined {
    const refused = this.#refused.get(key);
    if (refused) return refused.error;
    try {
      change();
      return undefined;
    } catch (failure) {
      if (!(failure instanceof NetlinkError || failure instanceof RangeError)) throw failure;
      const error = { what: `route ${route.destination}`, message: failure.message };
      this.#refused.set(key, { route: isWanted ? route : undefined, error });
      return error;
    }
  }
}

/** All routes of the main table to an interface, as they are now. */
export function readRoutesTo(kernel: RouteKernel, interfaceName: string): Route[] {
  const all = kernel.routes({ table: ROUTE_TABLE.MAIN });
  return all.filter((route) => route.interface === interfaceName);
}

/** Whether a route leads to a workload, and is there for us to take away. */
function isOfWorkload(route: Route, { routes, workloadPrefixes }: HostSettings): boolean {
  const { interface: name = '', protocol, destination } = route;
  if (!workloadPrefixes.some((prefix) => name.startsWith(prefix))) return false;
  if (protocol === ROUTE_PROTOCOL.KERNEL || LINK_LOCAL.test(destination)) return false;
  return routes.removeExternal || protocol === routes.deviceProtocol;
}
