// Ranges of addresses or ports as elements of the kernel's interval sets: half-open.
import type { PersistentMap } from '#lib';
import type { SetElement } from '#linux';
import type { Interval } from '../rules/intervals.ts';
import { networkHex } from './bytes.ts';

/** The start and end element of a range; one that reaches the last value has no end element. */
export function intervalElements([first, last]: Interval, bytes: number): SetElement[] {
  const start: SetElement = { key: networkHex(first, bytes) };
  if (last + 1n >= 1n << BigInt(bytes * 8)) return [start];
  return [start, { key: networkHex(last + 1n, bytes), intervalEnd: true }];
}

/** Ranges that neither overlap nor touch, each by its text, which begins with the first value. */
export type RangeEntries = PersistentMap<readonly SetElement[]>;

export function rangeText([start, end]: readonly SetElement[]): string {
  return end ? `${start?.key ?? ''}-<${end.key}` : (start?.key ?? '');
}

/** Without the values of a range; undefined where not all of them are in one of the ranges. */
export function withoutRange(
  ranges: RangeEntries,
  [first, last]: Interval,
  bytes: number,
): RangeEntries | undefined {
  const around = rangeUpTo(ranges, first, bytes);
  if (!around || around.range[1] < last) return undefined;
  const [start, end] = around.range;
  let rest = ranges.without(around.text);
  if (start < first) rest = withEntry(rest, [start, first - 1n], bytes);
  if (last < end) rest = withEntry(rest, [last + 1n, end], bytes);
  return rest;
}

/** With the values of a range, joined with what it touches; undefined where it has some of them. */
export function withRange(
  ranges: RangeEntries,
  [first, last]: Interval,
  bytes: number,
): RangeEntries | undefined {
  const before = rangeUpTo(ranges, first, bytes);
  const after = rangeOf(ranges.firstFrom(networkHex(first, bytes)), bytes);
  if ((before && before.range[1] >= first) || (after && after.range[0] <= last)) return undefined;
  let rest = ranges;
  let [start, end] = [first, last];
  if (before && before.range[1] + 1n === first) {
    rest = rest.without(before.text);
    [start] = before.range;
  }
  if (after && after.range[0] === last + 1n) {
    rest = rest.without(after.text);
    [, end] = after.range;
  }
  return withEntry(rest, [start, end], bytes);
}

function withEntry(ranges: RangeEntries, range: Interval, bytes: number): RangeEntries {
  const elements = intervalElements(range, bytes);
  return ranges.with(rangeText(elements), elements);
}

interface RangeEntry {
  readonly text: string;
  readonly range: Interval;
}

/** The last range that does not begin beyond a value. */
function rangeUpTo(ranges: RangeEntries, value: bigint, bytes: number): RangeEntry | undefined {
  return rangeOf(ranges.lastUpTo(`${networkHex(value, bytes)}~`), bytes);
}

function rangeOf(
  entry: readonly [text: string, elements: readonly SetElement[]] | undefined,
  bytes: number,
): RangeEntry | undefined {
  if (!entry) return undefined;
  const [text, [start, end]] = entry;
  const last = end ? BigInt(`0x${end.key}`) : 1n << BigInt(bytes * 8);
  return { text, range: [BigInt(`0x${start?.key ?? '0'}`), last - 1n] };
}
