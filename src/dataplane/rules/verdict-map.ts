// Maps that take a packet to a chain by one thing about it: one look-up instead of many rules.
import type { Family } from '#lib';
import type { PacketEnd } from './match.ts';

/**
 * What a map is asked for: `service` is family and protocol, `port` the destination's, `class` what a map found,
 * `class-port` both.
 */
export type MapKey =
  | { readonly by: 'service' }
  | { readonly by: 'port' }
  | { readonly by: 'address'; readonly end: PacketEnd; readonly family: Family }
  | { readonly by: 'class' }
  | { readonly by: 'class-port' };

/** A range of ports or addresses, a family and protocol, or a class, also at one port, and the chain that goes on. */
export type MapEntry = ServiceEntry | RangeEntry | ClassEntry | ClassPortEntry;

export interface ServiceEntry {
  readonly family: Family;
  readonly protocol: number;
  readonly chain: string;
}

export interface RangeEntry {
  readonly first: bigint;
  readonly last: bigint;
  readonly chain: string;
}

/** By the number of a class. */
export interface ClassEntry {
  readonly number: string;
  readonly chain: string;
}

export interface ClassPortEntry extends ClassEntry {
  readonly port: number;
}

/** Entries do not overlap. A packet that has none goes on behind the look-up. */
export interface VerdictMap {
  readonly name: string;
  readonly key: MapKey;
  readonly entries: readonly MapEntry[];
}

/** Whether every entry is one value: the kernel then looks up by hash, not by order. */
export function isExact(entries: readonly MapEntry[]): boolean {
  return entries.every((entry) => !('first' in entry) || entry.first === entry.last);
}
