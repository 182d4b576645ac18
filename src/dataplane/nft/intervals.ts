// Ranges of addresses or ports as elements of the kernel's interval sets: half-open.
import type { SetElement } from '#linux';
import type { Interval } from '../rules/intervals.ts';
import { networkHex } from './bytes.ts';

/** The start and end element of a range; one that reaches the last value has no end element. */
export function intervalElements([first, last]: Interval, bytes: number): SetElement[] {
  const start: SetElement = { key: networkHex(first, bytes) };
  if (last + 1n >= 1n << BigInt(bytes * 8)) return [start];
  return [start, { key: networkHex(last + 1n, bytes), intervalEnd: true }];
}
