// Lists of numbers, shared by content, found by hash and compared in full.

/** Equal lists have one identity. */
export class NumberLists {
  readonly #byHash = new Map<number, number[]>();
  readonly #lists: (readonly number[])[] = [];

  /** The list must not change any more. */
  of(list: readonly number[]): number {
    let hash = list.length;
    for (const item of list) hash = (Math.imul(hash, 31) + item) | 0;
    const alike = this.#byHash.get(hash) ?? [];
    for (const identity of alike) {
      if (equal(this.list(identity), list)) return identity;
    }
    const identity = this.#lists.length;
    this.#lists.push(list);
    alike.push(identity);
    this.#byHash.set(hash, alike);
    return identity;
  }

  list(identity: number): readonly number[] {
    return this.#lists[identity] ?? [];
  }
}

function equal(left: readonly number[], right: readonly number[]): boolean {
  return left.length === right.length && left.every((item, index) => item === right[index]);
}
