// Sets of packets by protocol, source port and destination port or ICMP type and code, as exact values.
import { EPHEMERAL_PORT, isIcmp, PROTOCOL_NUMBERS } from '../packet.ts';
import { COMBINE_PRESENCE, IntervalMaps } from './interval-maps.ts';

export type Range = readonly [first: number, last: number];

export const LAST_PORT = 65535;
const LAST_PROTOCOL = 255;
/** ICMP types and codes stand on the axis of destination ports, as type × 256 + code. */
export const ICMP_CODES = 256;

const { tcp, udp, sctp, udplite } = PROTOCOL_NUMBERS;
/** Packets of other protocols have no ports; the evaluator sees them with `EPHEMERAL_PORT` as source alone. */
const WITH_PORTS: ReadonlySet<number> = new Set([tcp, udp, sctp, udplite]);
const WITH_FIELDS: readonly number[] = [...WITH_PORTS, PROTOCOL_NUMBERS.icmp, 58];

export function hasPorts(protocol: number): boolean {
  return WITH_PORTS.has(protocol);
}

/** What one protocol's packets must be, in the terms of a rule. Of port lists each must have the port. */
export interface PortConditions {
  readonly sourcePorts: readonly (readonly Range[])[];
  readonly notSourcePorts: readonly Range[];
  readonly ports: readonly (readonly Range[])[];
  readonly notPorts: readonly Range[];
  /** Of `type × 256 + code`. */
  readonly icmp?: Range;
  readonly notIcmp?: Range;
}

/** One protocol's part of a set, for people: the product of its ranges. */
export interface TrafficBox {
  readonly sourcePorts: readonly Range[];
  /** Ports, or ICMP types and codes as `type × 256 + code`. */
  readonly ports: readonly Range[];
}

/**
 * All packets between two parties of one family. Sets are numbers: equal sets are equal numbers, 0 is none.
 * Within a protocol a set is a plane: source ports by destination port.
 */
export class TrafficSpace {
  readonly #ports = new IntervalMaps(COMBINE_PRESENCE);
  readonly #planes = new IntervalMaps((operation, left, right) =>
    this.#ports.combine(operation, left, right),
  );
  readonly #sets = new IntervalMaps((operation, left, right) =>
    this.#planes.combine(operation, left, right),
  );
  readonly #anyPort = this.#ports.of([[0, LAST_PORT, 1]]);
  readonly #anyPlane = this.#planes.of([[0, LAST_PORT, this.#anyPort]]);
  /** Every packet. */
  readonly all = this.#sets.of([[0, LAST_PROTOCOL, this.#anyPlane]]);

  and(left: number, right: number): number {
    return this.#sets.combine('and', left, right);
  }

  or(left: number, right: number): number {
    return this.#sets.combine('or', left, right);
  }

  minus(left: number, right: number): number {
    return this.#sets.combine('minus', left, right);
  }

  /**
   * The packets that meet the conditions of their protocol; undefined conditions exclude the protocol. `special`
   * are the protocols that `conditionsOf` tells apart; it is asked once, with `'other'`, for all that are neither
   * special nor have ports or ICMP types.
   */
  where(
    special: Iterable<number>,
    conditionsOf: (protocol: number | 'other') => PortConditions | undefined,
  ): number {
    const singles = [...new Set([...WITH_FIELDS, ...special])].sort((a, b) => a - b);
    const planeOf = (protocol: number | 'other') => {
      const conditions = conditionsOf(protocol);
      return conditions ? this.#plane(protocol, conditions) : 0;
    };
    const other = planeOf('other');
    const ranges: [number, number, number][] = [];
    let next = 0;
    for (const protocol of singles) {
      if (protocol > next) ranges.push([next, protocol - 1, other]);
      ranges.push([protocol, protocol, planeOf(protocol)]);
      next = protocol + 1;
    }
    if (next <= LAST_PROTOCOL) ranges.push([next, LAST_PROTOCOL, other]);
    return this.#sets.of(ranges);
  }

  #plane(protocol: number | 'other', conditions: PortConditions): number {
    const { ports, notPorts, sourcePorts, notSourcePorts, icmp, notIcmp } = conditions;
    if (protocol !== 'other' && isIcmp(protocol)) {
      if (ports.length > 0 || sourcePorts.length > 0) return 0;
      const types = this.#portSet(icmp ? [[icmp]] : [], notIcmp ? [notIcmp] : []);
      return this.#rows(types, this.#anyPort);
    }
    if (icmp) return 0;
    const sources = this.#portSet(sourcePorts, notSourcePorts);
    if (protocol !== 'other' && hasPorts(protocol)) {
      return this.#rows(this.#portSet(ports, notPorts), sources);
    }
    const ephemeral = this.#ports.of([[EPHEMERAL_PORT, EPHEMERAL_PORT, 1]]);
    if (ports.length > 0) return 0;
    return this.#ports.combine('and', sources, ephemeral) === 0 ? 0 : this.#anyPlane;
  }

  #portSet(within: readonly (readonly Range[])[], without: readonly Range[]): number {
    const union = (list: readonly Range[]) =>
      list.reduce(
        (sum, [first, last]) => this.#ports.combine('or', sum, this.#ports.of([[first, last, 1]])),
        0,
      );
    const base = within.reduce(
      (rest, list) => this.#ports.combine('and', rest, union(list)),
      this.#anyPort,
    );
    return this.#ports.combine('minus', base, union(without));
  }

  #rows(ports: number, sources: number): number {
    const ranges = this.#ports.ranges(ports);
    return this.#planes.of(ranges.map(([first, last]) => [first, last, sources] as const));
  }

  /** The parts of a set by protocols with one and the same plane, the plane as products of ranges. */
  describe(set: number): { readonly protocols: readonly Range[]; readonly boxes: TrafficBox[] }[] {
    const protocols = new Map<number, Range[]>();
    for (const [first, last, plane] of this.#sets.ranges(set)) {
      const list = protocols.get(plane);
      if (list) list.push([first, last]);
      else protocols.set(plane, [[first, last]]);
    }
    return [...protocols].map(([plane, ranges]) => ({
      protocols: ranges,
      boxes: this.#boxes(plane),
    }));
  }

  #boxes(plane: number): TrafficBox[] {
    const bySources = new Map<number, Range[]>();
    for (const [first, last, sources] of this.#planes.ranges(plane)) {
      const list = bySources.get(sources);
      if (list) list.push([first, last]);
      else bySources.set(sources, [[first, last]]);
    }
    return [...bySources].map(([sources, ports]) => ({
      ports,
      sourcePorts: this.#ports.ranges(sources).map(([first, last]) => [first, last] as const),
    }));
  }
}
