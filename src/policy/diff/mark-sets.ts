// Sets of marks, shared by content.
import { at, Identities } from './set-atoms.ts';

/** Equal sets have one identity; 0 is the empty set. */
export class MarkSets {
  readonly #identities = new Identities();
  readonly #sets: (readonly number[])[] = [[]];
  readonly #unions = new Map<string, number>();

  constructor() {
    this.#identities.of('');
  }

  of(marks: Iterable<number>): number {
    const sorted = [...new Set(marks)].sort((a, b) => a - b);
    const identity = this.#identities.of(sorted.join(','));
    this.#sets[identity] ??= sorted;
    return identity;
  }

  marks(identity: number): readonly number[] {
    return at(this.#sets, identity);
  }

  union(left: number, right: number): number {
    if (left === right || right === 0) return left;
    if (left === 0) return right;
    const key = `${left} ${right}`;
    const known = this.#unions.get(key);
    if (known !== undefined) return known;
    const identity = this.of([...this.marks(left), ...this.marks(right)]);
    this.#unions.set(key, identity);
    return identity;
  }
}
