// When the kernel is looked at though nobody said that it changed: each part at an interval of its own (spec 04).
import type { KernelPart } from './apply-loop.ts';

/** Besides them: telling neighbours which addresses are here. */
export type RefreshPart = KernelPart | 'announcements';

const PARTS: readonly RefreshPart[] = ['table', 'routes', 'host', 'announcements'];

/** Milliseconds; 0 is never. */
export type RefreshIntervals = Readonly<Record<RefreshPart, number>>;

/** Beyond this a timer of Node.js would fire at once. */
const MOST_MS = 2 ** 31 - 1;

export class RefreshTimers {
  readonly #onDue: (part: RefreshPart) => void;
  readonly #timers = new Map<
    RefreshPart,
    { readonly ms: number; readonly timer: NodeJS.Timeout }
  >();

  constructor(onDue: (part: RefreshPart) => void) {
    this.#onDue = onDue;
  }

  /** A part whose interval stays goes on as it was. */
  set(intervals: RefreshIntervals): void {
    for (const part of PARTS) {
      const ms = Math.min(intervals[part], MOST_MS);
      const before = this.#timers.get(part);
      if (before?.ms === ms) continue;
      clearInterval(before?.timer);
      this.#timers.delete(part);
      if (!(ms > 0)) continue;
      const timer = setInterval(() => this.#onDue(part), ms);
      timer.unref();
      this.#timers.set(part, { ms, timer });
    }
  }

  stop(): void {
    for (const { timer } of this.#timers.values()) clearInterval(timer);
    this.#timers.clear();
  }
}
