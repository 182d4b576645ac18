// Merges a rule's ports: neighbours and overlaps become ranges.
import type { Port } from '../rule.ts';

const RANGE = /^(\d+):(\d+)$/;

/**
 * The same set of ports, shorter: names first in their order, then numbers ascending. A list without at least
 * two numbers or ranges comes back as it is.
 */
export function simplifyPorts(ports: readonly Port[]): Port[] {
  const names: Port[] = [];
  const ranges: (readonly [number, number])[] = [];
  for (const port of ports) {
    const range = numericRange(port);
    if (range) ranges.push(range);
    else names.push(port);
  }
  if (ranges.length < 2) return [...ports];
  ranges.sort(([a], [b]) => a - b);
  const merged: [number, number][] = [];
  for (const [first, last] of ranges) {
    const previous = merged.at(-1);
    if (previous && first <= previous[1] + 1) previous[1] = Math.max(previous[1], last);
    else merged.push([first, last]);
  }
  return [...names, ...merged.map(([first, last]) => portOf(first, last))];
}

/** A number or an `a:b` as first and last port; undefined for a name. */
export function numericRange(port: Port): readonly [number, number] | undefined {
  if (typeof port === 'number') return [port, port];
  const match = RANGE.exec(port);
  return match ? [Number(match[1]), Number(match[2])] : undefined;
}

/** How the API writes the ports from `first` to `last`. */
export function portOf(first: number, last: number): Port {
  return first === last ? first : `${first}:${last}`;
}
