// The recent changes in order, those of each kind also by themselves, and which of them to forget.
import type { Version } from './value-arena.ts';

export interface LogLimits {
  /** Changes that are kept, at least 1; it may be up to 1,000 more, or twice this. */
  readonly events: number;
  /** Of JSON text, likewise. */
  readonly bytes: number;
  /** How long a change is kept, in milliseconds; without limit when absent. */
  readonly ageMs?: number;
}

/** One durable write. */
export interface Change {
  readonly version: Version;
  readonly previous: Version | undefined;
  /** Milliseconds, of the clock that `expired` is asked by. */
  readonly time: number;
}

/** Forgotten at once at most, so that no commit waits long for the removal of rows. */
const FORGET_MAX = 1_000;

/** A list that grows at its end and is forgotten from its beginning. */
class Queue {
  #changes: Change[] = [];
  #start = 0;

  get length(): number {
    return this.#changes.length - this.#start;
  }

  at(index: number): Change | undefined {
    return this.#changes[this.#start + index];
  }

  push(change: Change): void {
    this.#changes.push(change);
  }

  shift(): Change | undefined {
    const change = this.#changes[this.#start];
    if (!change) return undefined;
    this.#start++;
    if (this.#start >= FORGET_MAX && this.#start * 2 >= this.#changes.length) {
      this.#changes = this.#changes.slice(this.#start);
      this.#start = 0;
    }
    return change;
  }

  /** How many are of this revision or older. */
  countUpTo(revision: number): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.at(middle)?.version.revision ?? 0) > revision) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

export class ChangeLog {
  readonly #limits: LogLimits;
  readonly #all = new Queue();
  readonly #kinds = new Map<string, Queue>();
  #bytes = 0;

  constructor(limits: LogLimits) {
    this.#limits = limits;
  }

  push(change: Change): void {
    const { kind } = change.version.place;
    const queue = this.#kinds.get(kind) ?? new Queue();
    this.#kinds.set(kind, queue);
    queue.push(change);
    this.#all.push(change);
    this.#bytes += change.version.length;
  }

  /** The kind's changes after the revision. Not to be used across a change. */
  *after(kind: string, revision: number): Generator<Change, void> {
    const queue = this.#kinds.get(kind);
    if (!queue) return;
    for (let index = queue.countUpTo(revision); index < queue.length; index++) {
      const change = queue.at(index);
      if (change) yield change;
    }
  }

  /** What the limits do not cover, once it is worth a commit; undefined: nothing. */
  excess(now: number): number | undefined {
    const { events, bytes, ageMs = Infinity } = this.#limits;
    const slack = Math.min(events, FORGET_MAX);
    const over =
      this.#all.length >= events + slack ||
      this.#bytes > bytes * 2 ||
      (this.#all.at(0)?.time ?? now) < now - ageMs;
    if (!over) return undefined;
    let left = this.#bytes;
    let count = 0;
    while (count < Math.min(FORGET_MAX, this.#all.length)) {
      const { time = now, version } = this.#all.at(count) ?? {};
      if (this.#all.length - count <= events && left <= bytes && time >= now - ageMs) break;
      left -= version?.length ?? 0;
      count++;
    }
    return this.#all.at(count - 1)?.version.revision;
  }

  /** Takes out and returns the changes up to the revision. */
  forget(revision: number): Change[] {
    const forgotten: Change[] = [];
    for (let count = this.#all.countUpTo(revision); count > 0; count--) {
      const change = this.#all.shift();
      if (!change) break;
      const { kind } = change.version.place;
      const queue = this.#kinds.get(kind);
      queue?.shift();
      if (queue?.length === 0) this.#kinds.delete(kind);
      this.#bytes -= change.version.length;
      forgotten.push(change);
    }
    return forgotten;
  }
}
