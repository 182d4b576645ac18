// What was counted of connections that had to be forgotten while they go on, so that nothing is counted twice.
import type { Counts } from './connection.ts';

const MAX = 262_144;

/** By the kernel's number of the entry; the oldest go first. */
export class EvictedEntries {
  readonly #counts = new Map<number, Counts>();
  readonly #max: number;
  #isComplete = true;

  constructor(max = MAX) {
    this.#max = max;
  }

  /** False once one had to go: from then on an entry that is not here may be old. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  add(id: number, counts: Counts): void {
    this.#counts.set(id, counts);
    if (this.#counts.size <= this.#max) return;
    this.#isComplete = false;
    for (const oldest of this.#counts.keys()) {
      this.#counts.delete(oldest);
      return;
    }
  }

  /** Removes it. */
  take(id: number): Counts | undefined {
    const counts = this.#counts.get(id);
    this.#counts.delete(id);
    return counts;
  }
}
