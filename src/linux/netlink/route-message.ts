// Messages of rtnetlink about routes (struct rtmsg, linux/rtnetlink.h).

import {
  type Family,
  type Prefix,
  addressBytes,
  maskPrefix,
  parseAddress,
  parsePrefix,
} from '#lib';
import { addressText } from '../address-text.ts';
import { LITTLE_ENDIAN } from '../libc.ts';
import { SCOPE, type Scope, familyNumber, familyOf, scopeName } from './address-message.ts';
import { type AttributeMap, AttributeWriter, align4, parseAttributes } from './attribute.ts';

/** What the kernel does with a packet that matches a route. */
export const ROUTE_TYPE = {
  unicast: 1,
  local: 2,
  broadcast: 3,
  anycast: 4,
  multicast: 5,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
  throw: 9,
} as const;
export type RouteType = keyof typeof ROUTE_TYPE;

const TYPE_NAMES = new Map<number, RouteType>([
  [1, 'unicast'],
  [2, 'local'],
  [3, 'broadcast'],
  [4, 'anycast'],
  [5, 'multicast'],
  [6, 'blackhole'],
  [7, 'unreachable'],
  [8, 'prohibit'],
  [9, 'throw'],
]);

/** Types that send the packet nowhere; the kernel ties those of IPv6 to `lo`, which is left out. */
const REJECTING: ReadonlySet<RouteType> = new Set([
  'blackhole',
  'unreachable',
  'prohibit',
  'throw',
]);

/** One of several ways of a route. */
export interface NextHop {
  readonly gateway?: string;
  readonly interface?: string;
  readonly onLink?: boolean;
  /** 1 to 256; its share among the ways. */
  readonly weight: number;
}

/**
 * A route as it is asked for and as it is read back: the two are equal when the kernel has it.
 * Absent are what the kernel sets by itself: no metric (IPv6: 1024), and no scope where it is the
 * usual one (IPv4 without gateway `link`, else `universe`).
 */
export interface Route {
  readonly family: Family;
  /** Masked prefix; the default route is `0.0.0.0/0` or `::/0`. */
  readonly destination: string;
  /** May be of IPv6 for a route of IPv4. */
  readonly gateway?: string;
  /** Name of the interface. */
  readonly interface?: string;
  /** 254 is the main table. */
  readonly table: number;
  /** Who made it; see ROUTE_PROTOCOL. */
  readonly protocol: number;
  readonly type: RouteType;
  readonly scope?: Scope;
  /** Preferred source address. */
  readonly source?: string;
  /** The gateway is reachable though no route says so. */
  readonly onLink?: boolean;
  readonly metric?: number;
  /** Several ways, instead of `gateway` and `interface`. */
  readonly nextHops?: readonly NextHop[];
}

/** Protocol numbers of routes; TORTIE (80, free in rtnetlink.h) marks those that are ours. */
export const ROUTE_PROTOCOL = { KERNEL: 2, BOOT: 3, STATIC: 4, BIRD: 12, TORTIE: 80 } as const;

/** Tables of routes. */
export const ROUTE_TABLE = { DEFAULT: 253, MAIN: 254, LOCAL: 255 } as const;

export const ROUTE_MESSAGE = { NEW: 24, DELETE: 25, GET: 26 } as const;

const RTA = {
  DST: 1,
  OIF: 4,
  GATEWAY: 5,
  PRIORITY: 6,
  PREFSRC: 7,
  MULTIPATH: 9,
  TABLE: 15,
  VIA: 18,
} as const;
const HEADER = 12;
const NEXT_HOP_HEADER = 8;
const RTNH_F_ONLINK = 4;
const IPV6_METRIC = 1024;

type IndexOf = (name: string) => number;
type NameOf = (index: number) => string;

/** Body of a dump of the routes of one family, filtered by the kernel. */
export function routeQuery(family: Family, table = 0, protocol = 0): Uint8Array {
  const header = new Uint8Array(HEADER);
  header[0] = familyNumber(family);
  header[4] = table < 256 ? table : 0;
  header[5] = protocol;
  const writer = new AttributeWriter(header);
  if (table) writer.u32(RTA.TABLE, table);
  return writer.finish();
}

/** Body that adds or replaces a route. Values that cannot be are a RangeError. */
export function newRoute(route: Route, indexOf: IndexOf): Uint8Array {
  const scope = SCOPE[route.scope ?? usualScope(route)];
  return routeBody(route, scope, route.metric, indexOf);
}

/** Body that deletes exactly this route, whatever its scope. */
export function deleteRouteBody(route: Route, indexOf: IndexOf): Uint8Array {
  const metric = route.metric ?? (route.family === 6 ? IPV6_METRIC : undefined);
  return routeBody(route, SCOPE.nowhere, metric, indexOf);
}

function routeBody(
  route: Route,
  scope: number,
  metric: number | undefined,
  indexOf: IndexOf,
): Uint8Array {
  const destination = checkDestination(route);
  const header = new Uint8Array(HEADER);
  header[0] = familyNumber(route.family);
  header[1] = destination.length;
  header[4] = route.table < 256 ? route.table : 0;
  header[5] = route.protocol;
  header[6] = route.family === 4 ? scope : 0;
  header[7] = ROUTE_TYPE[route.type];
  if (route.onLink) new DataView(header.buffer).setUint32(8, RTNH_F_ONLINK, LITTLE_ENDIAN);
  const writer = new AttributeWriter(header).u32(RTA.TABLE, route.table);
  if (destination.length > 0) writer.bytes(RTA.DST, addressBytes(destination));
  if (route.source !== undefined) writer.bytes(RTA.PREFSRC, bytesOf(route.source, route.family));
  if (metric !== undefined) writer.u32(RTA.PRIORITY, metric);
  if (route.gateway !== undefined) writeGateway(writer, route.gateway, route.family);
  if (route.interface !== undefined) writer.u32(RTA.OIF, indexOf(route.interface));
  if (route.nextHops) writeNextHops(writer, route, route.nextHops, indexOf);
  return writer.finish();
}

function usualScope(route: Pick<Route, 'family' | 'type' | 'gateway' | 'nextHops'>): Scope {
  if (route.family === 6) return 'universe';
  if (route.type === 'local') return 'host';
  const direct = route.gateway === undefined && !route.nextHops;
  return direct && !REJECTING.has(route.type) ? 'link' : 'universe';
}

function checkDestination(route: Route): Prefix {
  const prefix = parsePrefix(route.destination);
  if (prefix?.family === route.family && maskPrefix(prefix).bits === prefix.bits) return prefix;
  const text = JSON.stringify(route.destination);
  throw new RangeError(`${text} is not a prefix of IPv${route.family} without host bits`);
}

function bytesOf(text: string, family: Family): Uint8Array {
  const address = parseAddress(text);
  if (address?.family === family) return addressBytes(address);
  throw new RangeError(`${JSON.stringify(text)} is not an address of IPv${family}`);
}

function writeGateway(writer: AttributeWriter, text: string, family: Family): void {
  const address = parseAddress(text);
  if (!address || address.family < family) {
    throw new RangeError(`${JSON.stringify(text)} cannot be a gateway of IPv${family} routes`);
  }
  if (address.family === family) writer.bytes(RTA.GATEWAY, addressBytes(address));
  else writer.bytes(RTA.VIA, Uint8Array.of(...shortBytes(10), ...addressBytes(address)));
}

function shortBytes(value: number): Uint8Array {
  return new Uint8Array(Uint16Array.of(value).buffer);
}

function writeNextHops(
  writer: AttributeWriter,
  route: Route,
  hops: readonly NextHop[],
  indexOf: IndexOf,
): void {
  const encoded = hops.map((hop) => {
    if (hop.weight < 1 || hop.weight > 256 || !Number.isInteger(hop.weight)) {
      throw new RangeError(`weight ${hop.weight} of a next hop is not between 1 and 256`);
    }
    const attributes = new AttributeWriter(new Uint8Array(NEXT_HOP_HEADER));
    if (hop.gateway !== undefined) writeGateway(attributes, hop.gateway, route.family);
    const bytes = attributes.finish();
    const view = new DataView(bytes.buffer);
    view.setUint16(0, bytes.length, LITTLE_ENDIAN);
    view.setUint8(2, hop.onLink ? RTNH_F_ONLINK : 0);
    view.setUint8(3, hop.weight - 1);
    if (hop.interface !== undefined) view.setInt32(4, indexOf(hop.interface), LITTLE_ENDIAN);
    return bytes;
  });
  writer.bytes(RTA.MULTIPATH, Buffer.concat(encoded));
}

/** Reads an RTM_NEWROUTE message; undefined when it is malformed or not IP. */
export function parseRoute(body: Uint8Array, nameOf: NameOf): Route | undefined {
  const family = familyOf(body[0]);
  if (body.length < HEADER || family === undefined) return undefined;
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const attributes = parseAttributes(body.subarray(HEADER));
  const type = TYPE_NAMES.get(view.getUint8(7));
  const destination = parseDestination(family, view.getUint8(1), attributes.bytes(RTA.DST));
  if (type === undefined || destination === undefined) return undefined;
  const flags = view.getUint32(8, LITTLE_ENDIAN);
  const ways = REJECTING.has(type) ? {} : parseWays(family, attributes, flags, nameOf);
  const core = { family, type, ...ways };
  const scope = scopeName(view.getUint8(6));
  const source = addressText(family, attributes.bytes(RTA.PREFSRC));
  const metric = attributes.u32(RTA.PRIORITY);
  return {
    ...core,
    destination,
    table: attributes.u32(RTA.TABLE) ?? view.getUint8(4),
    protocol: view.getUint8(5),
    ...(scope === usualScope(core) ? {} : { scope }),
    ...(source === undefined ? {} : { source }),
    ...(!metric || (family === 6 && metric === IPV6_METRIC) ? {} : { metric }),
  };
}

function parseDestination(family: Family, length: number, bytes?: Uint8Array): string | undefined {
  const address = bytes ? addressText(family, bytes) : family === 4 ? '0.0.0.0' : '::';
  return address && `${address}/${length}`;
}

type Ways = Pick<Route, 'gateway' | 'interface' | 'onLink' | 'nextHops'>;

function parseWays(family: Family, attributes: AttributeMap, flags: number, nameOf: NameOf): Ways {
  const several = attributes.bytes(RTA.MULTIPATH);
  if (several) return { nextHops: parseNextHops(family, several, nameOf) };
  const gateway = parseGateway(family, attributes);
  const index = attributes.u32(RTA.OIF);
  return {
    ...(gateway === undefined ? {} : { gateway }),
    ...(index === undefined ? {} : { interface: nameOf(index) }),
    ...(flags & RTNH_F_ONLINK ? { onLink: true } : {}),
  };
}

function parseGateway(family: Family, attributes: AttributeMap): string | undefined {
  const gateway = addressText(family, attributes.bytes(RTA.GATEWAY));
  if (gateway !== undefined) return gateway;
  const via = attributes.bytes(RTA.VIA);
  return via && addressText(6, via.subarray(2));
}

function parseNextHops(family: Family, bytes: Uint8Array, nameOf: NameOf): NextHop[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const hops: NextHop[] = [];
  for (let at = 0; at + NEXT_HOP_HEADER <= bytes.length; ) {
    const length = view.getUint16(at, LITTLE_ENDIAN);
    if (length < NEXT_HOP_HEADER || at + length > bytes.length) break;
    const attributes = parseAttributes(bytes.subarray(at + NEXT_HOP_HEADER, at + length));
    const gateway = parseGateway(family, attributes);
    const index = view.getInt32(at + 4, LITTLE_ENDIAN);
    hops.push({
      ...(gateway === undefined ? {} : { gateway }),
      ...(index === 0 ? {} : { interface: nameOf(index) }),
      ...(view.getUint8(at + 2) & RTNH_F_ONLINK ? { onLink: true } : {}),
      weight: view.getUint8(at + 3) + 1,
    });
    at += align4(length);
  }
  return hops;
}
