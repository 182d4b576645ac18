// Ranges of addresses or ports as the kernel's interval sets want them: sorted, apart, half-open.
import { type Family, familyBits, maskPrefix, parsePrefix } from '#lib';
import type { PortRange } from '#calc/dataplane-update';
import type { SetElement } from '#linux';
import { networkHex } from './bytes.ts';

/** First and last value; both belong to the range. */
export type Interval = readonly [first: bigint, last: bigint];

/** Sorts, and joins what overlaps or touches. */
export function mergeIntervals(intervals: Iterable<Interval>): Interval[] {
  const sorted = [...intervals].toSorted((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
  const merged: Interval[] = [];
  for (const next of sorted) {
    const last = merged.at(-1);
    if (last && next[0] <= last[1] + 1n) {
      merged[merged.length - 1] = [last[0], next[1] > last[1] ? next[1] : last[1]];
    } else {
      merged.push(next);
    }
  }
  return merged;
}

/** The addresses of prefixes of one family; prefixes of the other are left out. */
export function netIntervals(nets: Iterable<string>, family: Family): Interval[] {
  const intervals: Interval[] = [];
  for (const net of nets) {
    const prefix = parsePrefix(net);
    if (prefix?.family !== family) continue;
    const first = maskPrefix(prefix).bits;
    intervals.push([first, first + (1n << BigInt(familyBits(family) - prefix.length)) - 1n]);
  }
  return mergeIntervals(intervals);
}

export function portIntervals(ports: readonly PortRange[]): Interval[] {
  return mergeIntervals(ports.map(([first, last]): Interval => [BigInt(first), BigInt(last)]));
}

/** The start and end element of a range; one that reaches the last value has no end element. */
export function intervalElements([first, last]: Interval, bytes: number): SetElement[] {
  const start: SetElement = { key: networkHex(first, bytes) };
  if (last + 1n >= 1n << BigInt(bytes * 8)) return [start];
  return [start, { key: networkHex(last + 1n, bytes), intervalEnd: true }];
}
