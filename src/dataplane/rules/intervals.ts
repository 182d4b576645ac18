// Ranges of addresses or ports as sorted lists that do not touch, and the algebra of such lists.
import { type Family, familyBits, maskPrefix, parsePrefix } from '#lib';
import type { IpSet, PortRange } from '#calc/dataplane-update';

/** First and last value; both belong to the range. */
export type Interval = readonly [first: bigint, last: bigint];

/** A range, and what holds in all of it. */
export interface Fragment<T> {
  readonly first: bigint;
  readonly last: bigint;
  readonly value: T;
}

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
  return mergeIntervals(prefixIntervals(nets, family));
}

/** The same, each prefix by itself and in the order that is given. */
export function prefixIntervals(nets: Iterable<string>, family: Family): Interval[] {
  const intervals: Interval[] = [];
  for (const net of nets) {
    const prefix = parsePrefix(net);
    if (prefix?.family !== family) continue;
    const first = maskPrefix(prefix).bits;
    intervals.push([first, first + (1n << BigInt(familyBits(family) - prefix.length)) - 1n]);
  }
  return intervals;
}

export function portIntervals(ports: readonly PortRange[]): Interval[] {
  return mergeIntervals(ports.map(([first, last]): Interval => [BigInt(first), BigInt(last)]));
}

/** The whole of a space of so many bits. */
export function wholeInterval(bits: number): Interval {
  return [0n, (1n << BigInt(bits)) - 1n];
}

/** What both lists have. Both are sorted and do not overlap. */
export function intersectIntervals(
  one: readonly Interval[],
  other: readonly Interval[],
): Interval[] {
  const common: Interval[] = [];
  for (let a = 0, b = 0; ; ) {
    const [left, right] = [one[a], other[b]];
    if (!left || !right) return common;
    const first = left[0] > right[0] ? left[0] : right[0];
    const last = left[1] < right[1] ? left[1] : right[1];
    if (first <= last) common.push([first, last]);
    if (left[1] < right[1]) a++;
    else b++;
  }
}

/** What is left of a space of so many bits without a sorted list. */
export function complementOf(intervals: readonly Interval[], bits: number): Interval[] {
  const [start, end] = wholeInterval(bits);
  const rest: Interval[] = [];
  let next = start;
  for (const [first, last] of intervals) {
    if (first > next) rest.push([next, first - 1n]);
    next = last + 1n;
  }
  if (next <= end) rest.push([next, end]);
  return rest;
}

/** Sets are values: the same object has the same members. Big ones take time to read. */
const known: Readonly<Record<Family, WeakMap<IpSet, readonly Interval[]>>> = {
  4: new WeakMap(),
  6: new WeakMap(),
};

/**
 * The addresses of a set of type `net` that are of one family. Where every member is one address each is a range of its
 * own, so that one more or less leaves the others as they are.
 */
export function setIntervals(set: IpSet, family: Family): readonly Interval[] {
  const before = known[family].get(set);
  if (before) return before;
  const each = prefixIntervals(set.members, family);
  const isExact = each.every(([first, last]) => first === last);
  const intervals = isExact ? distinctValues(each) : mergeIntervals(each);
  known[family].set(set, intervals);
  return intervals;
}

function distinctValues(single: readonly Interval[]): Interval[] {
  const sorted = single.toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return sorted.filter(([value], index) => value !== sorted[index - 1]?.[0]);
}

interface Edge {
  readonly at: bigint;
  readonly index: number;
  readonly opens: boolean;
}

function edgesOf(lists: readonly (readonly Interval[])[]): Edge[] {
  const edges: Edge[] = [];
  for (const [index, list] of lists.entries()) {
    for (const [first, last] of list) {
      edges.push({ at: first, index, opens: true }, { at: last + 1n, index, opens: false });
    }
  }
  return edges.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
}

/**
 * Cuts the union of sorted lists into ranges in which the same lists hold, each with the ascending
 * indexes of those. Undefined when the indexes would be more than `most` altogether.
 */
export function allMatches(
  lists: readonly (readonly Interval[])[],
  most: number,
): Fragment<readonly number[]>[] | undefined {
  const fragments: Fragment<readonly number[]>[] = [];
  const open = new Set<number>();
  const edges = edgesOf(lists);
  let held = 0;
  for (let next = 0; next < edges.length; ) {
    const at = edges[next]?.at ?? 0n;
    for (let edge = edges[next]; edge?.at === at; edge = edges[++next]) {
      if (edge.opens) open.add(edge.index);
      else open.delete(edge.index);
    }
    const until = edges[next]?.at;
    if (open.size === 0 || until === undefined) continue;
    held += open.size;
    if (held > most) return undefined;
    const value = [...open].toSorted((a, b) => a - b);
    fragments.push({ first: at, last: until - 1n, value });
  }
  return fragments;
}

/** Cuts the union of sorted lists into ranges, each with the first of the lists that holds there. */
export function firstMatches(lists: readonly (readonly Interval[])[]): Fragment<number>[] {
  const fragments: Fragment<number>[] = [];
  const open = new LowestFirst();
  const edges = edgesOf(lists);
  for (let next = 0; next < edges.length; ) {
    const at = edges[next]?.at ?? 0n;
    for (let edge = edges[next]; edge?.at === at; edge = edges[++next]) {
      if (edge.opens) open.add(edge.index);
      else open.remove(edge.index);
    }
    const until = edges[next]?.at;
    const value = open.lowest();
    if (value === undefined || until === undefined) continue;
    const before = fragments.at(-1);
    if (before?.value === value && before.last + 1n === at) {
      fragments[fragments.length - 1] = { ...before, last: until - 1n };
    } else {
      fragments.push({ first: at, last: until - 1n, value });
    }
  }
  return fragments;
}

/** Numbers of which the lowest is asked for: a binary heap, from which the removed are taken late. */
class LowestFirst {
  readonly #heap: number[] = [];
  readonly #held = new Set<number>();

  add(number: number): void {
    this.#held.add(number);
    this.#heap.push(number);
    this.#rise(this.#heap.length - 1);
  }

  remove(number: number): void {
    this.#held.delete(number);
  }

  lowest(): number | undefined {
    for (;;) {
      const [top] = this.#heap;
      if (top === undefined || this.#held.has(top)) return top;
      const last = this.#heap.pop();
      if (this.#heap.length === 0 || last === undefined) continue;
      this.#heap[0] = last;
      this.#sink();
    }
  }

  #rise(from: number): void {
    for (let at = from; at > 0; ) {
      const parent = (at - 1) >> 1;
      if ((this.#heap[parent] ?? 0) <= (this.#heap[at] ?? 0)) return;
      this.#swap(at, parent);
      at = parent;
    }
  }

  #sink(): void {
    for (let at = 0; ; ) {
      const [left, right] = [2 * at + 1, 2 * at + 2];
      const value = (place: number) => this.#heap[place] ?? Infinity;
      const smaller = value(left) <= value(right) ? left : right;
      if (value(smaller) >= value(at)) return;
      this.#swap(at, smaller);
      at = smaller;
    }
  }

  #swap(a: number, b: number): void {
    const [one = 0, other = 0] = [this.#heap[a], this.#heap[b]];
    this.#heap[a] = other;
    this.#heap[b] = one;
  }
}
