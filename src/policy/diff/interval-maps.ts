// Maps from numbers to values, kept as ranges and shared by content, so that equal ones are one number.

/** `minus` keeps what is in the left and not in the right. */
export type SetOperation = 'and' | 'or' | 'minus';

/** Applies an operation to two values; 0 is nothing. */
export type CombineValues = (operation: SetOperation, left: number, right: number) => number;

/** For values that are only there (1) or not (0). */
export const COMBINE_PRESENCE: CombineValues = (operation, left, right) => {
  if (operation === 'and') return left & right;
  return operation === 'or' ? left | right : left & ~right;
};

/** Below this many maps, two identities fit one exact number. */
const IDENTITIES_MAX = 2 ** 26;

/**
 * A family of maps over whole numbers. A map is the flat list first, last, value of its ranges: ascending, apart,
 * without the value 0 and with neighbours of one value joined, so that equal maps have one identity. 0 is the empty
 * map. Nested families are sets of several dimensions.
 */
export class IntervalMaps {
  readonly #combine: CombineValues;
  readonly #identities = new Map<string, number>([['', 0]]);
  readonly #maps: (readonly number[])[] = [[]];
  readonly #known: Readonly<Record<SetOperation, Map<number, number>>> = {
    and: new Map(),
    or: new Map(),
    minus: new Map(),
  };

  constructor(combineValues: CombineValues) {
    this.#combine = combineValues;
  }

  /** The identity of a map given as ascending ranges that do not overlap; zero values are left out. */
  of(ranges: readonly (readonly [first: number, last: number, value: number])[]): number {
    const flat: number[] = [];
    for (const [first, last, value] of ranges) append(flat, first, last, value);
    return this.#intern(flat);
  }

  /** Every range of a map. */
  ranges(identity: number): (readonly [first: number, last: number, value: number])[] {
    const flat = this.#flat(identity);
    const list: (readonly [number, number, number])[] = [];
    for (let at = 0; at < flat.length; at += 3) {
      list.push([flat[at] ?? 0, flat[at + 1] ?? 0, flat[at + 2] ?? 0]);
    }
    return list;
  }

  combine(operation: SetOperation, left: number, right: number): number {
    if (left === right) return operation === 'minus' ? 0 : left;
    if (left === 0) return operation === 'or' ? right : 0;
    if (right === 0) return operation === 'and' ? 0 : left;
    const known = this.#known[operation];
    const swap = operation !== 'minus' && left > right;
    const key = swap ? right * IDENTITIES_MAX + left : left * IDENTITIES_MAX + right;
    const found = known.get(key);
    if (found !== undefined) return found;
    const result = this.#intern(this.#sweep(operation, left, right));
    known.set(key, result);
    return result;
  }

  #flat(identity: number): readonly number[] {
    return this.#maps[identity] ?? [];
  }

  #intern(flat: readonly number[]): number {
    const key = flat.join(',');
    const known = this.#identities.get(key);
    if (known !== undefined) return known;
    const identity = this.#maps.length;
    if (identity >= IDENTITIES_MAX) throw new RangeError('Cannot compare: too many port sets');
    this.#identities.set(key, identity);
    this.#maps.push(flat);
    return identity;
  }

  /** Walks both lists in step, from one start or end of a range to the next. */
  #sweep(operation: SetOperation, left: number, right: number): number[] {
    const a = this.#flat(left);
    const b = this.#flat(right);
    const result: number[] = [];
    let i = 0;
    let j = 0;
    let from = Math.min(a[0] ?? Infinity, b[0] ?? Infinity);
    while (i < a.length || j < b.length) {
      const startA = a[i] ?? Infinity;
      const startB = b[j] ?? Infinity;
      const inA = startA <= from;
      const inB = startB <= from;
      const endA = inA ? (a[i + 1] ?? 0) : startA - 1;
      const endB = inB ? (b[j + 1] ?? 0) : startB - 1;
      const to = Math.min(endA, endB);
      const valueA = inA ? (a[i + 2] ?? 0) : 0;
      const valueB = inB ? (b[j + 2] ?? 0) : 0;
      append(result, from, to, this.#combine(operation, valueA, valueB));
      if (inA && to === endA) i += 3;
      if (inB && to === endB) j += 3;
      from = to + 1;
    }
    return result;
  }
}

function append(flat: number[], first: number, last: number, value: number): void {
  if (value === 0) return;
  const end = flat.length;
  if (end > 0 && flat[end - 2] === first - 1 && flat[end - 1] === value) flat[end - 2] = last;
  else flat.push(first, last, value);
}
