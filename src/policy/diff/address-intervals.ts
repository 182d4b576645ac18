// The addresses of one family cut where any network of either world begins or ends.
import { type Family, familyBits } from '#lib';
import type { MarkedNetwork } from './memberships.ts';
import type { MarkSets } from './mark-sets.ts';
import { at } from './set-atoms.ts';

export type WhichWorld = 'before' | 'after';

/** Addresses that no network tells apart. */
export interface AddressInterval {
  readonly first: bigint;
  readonly last: bigint;
  /** Sets of marks by networks. */
  readonly before: number;
  readonly after: number;
}

type Networks = Readonly<Record<WhichWorld, readonly MarkedNetwork[]>>;

export class AddressIntervals {
  /** Ascending; together every address of the family. */
  readonly intervals: readonly AddressInterval[];

  /** `cuts` are further places to cut at: each begins an interval. */
  constructor(family: Family, networks: Networks, cuts: readonly bigint[], sets: MarkSets) {
    this.intervals = cut(family, networks, cuts, sets);
  }

  at(bits: bigint): AddressInterval {
    let low = 0;
    let high = this.intervals.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (at(this.intervals, middle).first <= bits) low = middle;
      else high = middle - 1;
    }
    return at(this.intervals, low);
  }
}

interface Change {
  readonly world: WhichWorld;
  readonly marks: number;
  /** 1 where the network begins, −1 after its end. */
  readonly by: 1 | -1;
}

function cut(
  family: Family,
  networks: Networks,
  cuts: readonly bigint[],
  sets: MarkSets,
): AddressInterval[] {
  const end = 1n << BigInt(familyBits(family));
  const changes = new Map<bigint, Change[]>([[0n, []]]);
  const add = (bits: bigint, ...list: readonly Change[]) => {
    if (bits >= end) return;
    const known = changes.get(bits);
    if (known) known.push(...list);
    else changes.set(bits, [...list]);
  };
  for (const bits of cuts) add(bits);
  for (const world of ['before', 'after'] as const) {
    for (const { prefix, marks } of networks[world]) {
      if (prefix.family !== family) continue;
      const size = 1n << BigInt(familyBits(family) - prefix.length);
      const first = prefix.bits - (prefix.bits % size);
      add(first, { world, marks, by: 1 });
      add(first + size, { world, marks, by: -1 });
    }
  }
  const starts = [...changes.keys()].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const active = { before: new ActiveMarks(sets), after: new ActiveMarks(sets) };
  return starts.map((first, index) => {
    for (const { world, marks, by } of changes.get(first) ?? []) active[world].change(marks, by);
    const last = (starts[index + 1] ?? end) - 1n;
    return { first, last, before: active.before.set(), after: active.after.set() };
  });
}

/** The sets of the networks that one is in while walking upwards, with how often. */
class ActiveMarks {
  readonly #sets: MarkSets;
  readonly #counts = new Map<number, number>();
  #current: number | undefined = 0;

  constructor(sets: MarkSets) {
    this.#sets = sets;
  }

  change(marks: number, by: 1 | -1): void {
    const count = (this.#counts.get(marks) ?? 0) + by;
    if (count === 0) this.#counts.delete(marks);
    else this.#counts.set(marks, count);
    if (count === 0 || count === by) this.#current = undefined;
  }

  set(): number {
    this.#current ??= this.#sets.of(
      [...this.#counts.keys()].flatMap((identity) => this.#sets.marks(identity)),
    );
    return this.#current;
  }
}
