// The routes that a state wants: to local workloads, to blocks of other hosts, and blackholes for own blocks.
import {
  type Family,
  formatAddress,
  formatPrefix,
  hostPrefix,
  maskPrefix,
  parseAddress,
  parsePrefix,
} from '#lib';
import { ROUTE_PROTOCOL, ROUTE_TABLE, type Route } from '#linux';
import type { DataplaneState, HostSettings, LocalEndpoint } from '#calc/dataplane-update';
import { IPIP_DEVICE, TUNNEL_DEVICE } from '../rules/names.ts';

/** Higher than that of any route to a workload, which thus wins even for a block of one address. */
const BLACKHOLE_METRIC = 4096;
const IPV6_METRIC = 1024;

/** All routes that a state wants, by key. Of two for one destination the first counts. */
export function desiredRoutes(
  state: DataplaneState,
  onProblem: (what: string, message: string) => void,
): Map<string, Route> {
  const routes = new Map<string, Route>();
  if (!state.settings.routeSync) return routes;
  const add = (what: string, { destination, route }: Wish) => {
    if (!route) {
      onProblem(what, `cannot route to ${JSON.stringify(destination)}: it is not a prefix`);
      return;
    }
    if (route.family === 6 && !state.settings.ipv6) return;
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
    for (const wish of endpoint ? wishesOf(endpoint, state.settings) : []) add(id, wish);
  }
  const { clusterProtocol: protocol, priority } = state.settings.routes;
  for (const { destination, gateway, by } of state.routes) {
    const family = parsePrefix(destination)?.family ?? 4;
    const name = by === 'ipip' ? IPIP_DEVICE : TUNNEL_DEVICE[family];
    const device = by && { interface: name, onLink: true };
    const metric = metricOf(family, priority[family].normal);
    add('host route', wishFor(destination, { gateway, protocol, ...metric, ...device }));
  }
  for (const block of state.blackholes) {
    add('block', wishFor(block, { type: 'blackhole', metric: BLACKHOLE_METRIC }));
  }
  return routes;
}

/** A destination, and the route to it; undefined when it is not a prefix. */
interface Wish {
  readonly destination: string;
  readonly route: Route | undefined;
}

function wishFor(destination: string, rest: Partial<Route>): Wish {
  const prefix = parsePrefix(destination);
  const route = prefix && routeTo(formatPrefix(maskPrefix(prefix)), prefix.family, canonical(rest));
  return { destination, route };
}

/** Endpoints and settings are values. */
const known = new WeakMap<HostSettings, WeakMap<LocalEndpoint, readonly Wish[]>>();

function wishesOf(endpoint: LocalEndpoint, settings: HostSettings): readonly Wish[] {
  const ofSettings = known.get(settings) ?? new WeakMap<LocalEndpoint, readonly Wish[]>();
  known.set(settings, ofSettings);
  const before = ofSettings.get(endpoint);
  if (before) return before;
  const { addresses, floatingAddresses, interfaceName, routing } = endpoint;
  const floating = floatingAddresses.map(({ external }) => hostRoute(external));
  const destinations = routing === 'none' ? [] : [...addresses, ...floating];
  const wishes = destinations.map((address) =>
    wishFor(address, { interface: interfaceName, ...deviceRoute(address, endpoint, settings) }),
  );
  ofSettings.set(endpoint, wishes);
  return wishes;
}

/** `192.0.2.1` as the destination of a route; what is no address stays as it is, for the report. */
function hostRoute(text: string): string {
  const address = parseAddress(text);
  return address ? formatPrefix(hostPrefix(address)) : text;
}

/** What a route to a workload says besides its interface. */
function deviceRoute(
  address: string,
  { routing }: LocalEndpoint,
  settings: HostSettings,
): Partial<Route> {
  const family = parsePrefix(address)?.family ?? 4;
  const { deviceProtocol: protocol, priority } = settings.routes;
  const source = settings.deviceRouteSource[family];
  const metric = priority[family][routing === 'elevated' ? 'elevated' : 'normal'];
  return { protocol, ...metricOf(family, metric), ...(source && { source }) };
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

/** The kernel gives routes of IPv6 1024 by itself, and does not say so. */
function metricOf(family: Family, metric: number): { metric?: number } {
  return family === 6 && metric === IPV6_METRIC ? {} : { metric };
}

/** What makes a route the same for the kernel: destination and metric. */
export function routeKey(route: Route): string {
  return route.metric === undefined
    ? route.destination
    : `${route.destination} metric ${route.metric}`;
}

/**
 * A route through a gateway comes back with the interface that the kernel found; where only one of the two
 * says which, that is no difference.
 */
export function sameRoute(a: Route, b: Route): boolean {
  if (a === b) return true;
  const found = a.gateway !== undefined && (a.interface === undefined || b.interface === undefined);
  return signature(a) === signature(b) && (found || a.interface === b.interface);
}

/** Routes are values. */
const signatures = new WeakMap<Route, string>();

function signature(route: Route): string {
  const before = signatures.get(route);
  if (before !== undefined) return before;
  const text = signatureOf(route);
  signatures.set(route, text);
  return text;
}

function signatureOf(route: Route): string {
  const { type, protocol, destination, gateway, metric, scope, source, onLink, nextHops } = route;
  return JSON.stringify([
    type,
    protocol,
    destination,
    gateway,
    metric,
    scope,
    source,
    onLink,
    nextHops,
  ]);
}
