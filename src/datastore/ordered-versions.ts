// The current versions of one collection in the order of their names, in runs that stay short.
import type { Version } from './value-arena.ts';

/** A longer run is split in two. */
const RUN_MAX = 512;

export class OrderedVersions {
  /** None is empty, but for the only one. */
  readonly #runs: Version[][] = [[]];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Takes in what is sorted by name, each name once, where there was nothing. */
  fill(sorted: readonly Version[]): void {
    this.#runs.length = 0;
    for (let start = 0; start < sorted.length; start += RUN_MAX) {
      this.#runs.push(sorted.slice(start, start + RUN_MAX));
    }
    if (this.#runs.length === 0) this.#runs.push([]);
    this.#size = sorted.length;
  }

  get(name: string): Version | undefined {
    const { run, index } = this.#seek(name);
    const found = run[index];
    return found?.name === name ? found : undefined;
  }

  /** Returns what it replaces. */
  set(version: Version): Version | undefined {
    const { run, index, at } = this.#seek(version.name);
    const before = run[index];
    if (before?.name === version.name) {
      run[index] = version;
      return before;
    }
    run.splice(index, 0, version);
    this.#size++;
    // The last run is filled in order, as by a load: it is not cut in half.
    if (run.length > RUN_MAX) {
      const last = at === this.#runs.length - 1 && index === run.length - 1;
      this.#runs.splice(at + 1, 0, run.splice(last ? RUN_MAX : RUN_MAX / 2));
    }
    return undefined;
  }

  /** Returns what was there. */
  delete(name: string): Version | undefined {
    const { run, index, at } = this.#seek(name);
    const before = run[index];
    if (before?.name !== name) return undefined;
    run.splice(index, 1);
    this.#size--;
    if (run.length === 0 && this.#runs.length > 1) this.#runs.splice(at, 1);
    return before;
  }

  /** Those behind the name, in order; all when it is undefined. Not to be used across a change. */
  *after(name: string | undefined): Generator<Version, void> {
    const { at, index } = this.#behind(name);
    for (let turn = at; turn < this.#runs.length; turn++) {
      const run = this.#runs[turn] ?? [];
      for (let place = turn === at ? index : 0; place < run.length; place++) {
        const version = run[place];
        if (version) yield version;
      }
    }
  }

  /** How many `after` gives. */
  countAfter(name: string | undefined): number {
    const { at, index } = this.#behind(name);
    let count = -index;
    for (let turn = at; turn < this.#runs.length; turn++) count += this.#runs[turn]?.length ?? 0;
    return count;
  }

  #behind(name: string | undefined): { at: number; index: number } {
    if (name === undefined) return { at: 0, index: 0 };
    const { run, at, index } = this.#seek(name);
    return { at, index: run[index]?.name === name ? index + 1 : index };
  }

  /** Where the name is or belongs: in the last run that begins with it or before it. */
  #seek(name: string): { run: Version[]; at: number; index: number } {
    const runs = this.#runs;
    let at = 0;
    for (let high = runs.length; at + 1 < high; ) {
      const middle = (at + high) >> 1;
      if ((runs[middle]?.[0]?.name ?? '') > name) high = middle;
      else at = middle;
    }
    const run = runs[at] ?? [];
    let index = 0;
    for (let high = run.length; index < high; ) {
      const middle = (index + high) >> 1;
      if ((run[middle]?.name ?? '') < name) index = middle + 1;
      else high = middle;
    }
    return { run, at, index };
  }
}
