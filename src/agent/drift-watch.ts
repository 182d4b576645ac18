// Has drift repaired as soon as it is heard, ever more seldom where somebody keeps undoing the repair, and times it.

export interface DriftWatchOptions {
  /** Reads the kernel back and makes it as desired again. */
  readonly repair: () => void;
  /** The wait before the second repair in a row, and the longest. */
  readonly againMs?: number;
  readonly mostMs?: number;
  /** After a repair nobody changes anything for so long: the next change is the first of a row. */
  readonly quietMs?: number;
}

const AGAIN_MS = 100;
const MOST_MS = 30_000;
const QUIET_MS = 5_000;

/**
 * The first change is repaired at once. Each one that comes before it was quiet for a while, or for twice the last
 * wait, doubles the wait, so that two that undo each other's work do it ever more slowly.
 */
export class DriftWatch {
  readonly #options: Required<DriftWatchOptions>;
  #waitMs = 0;
  #lastAt = Number.NEGATIVE_INFINITY;
  /** When the first change was heard that may not be undone yet. */
  #heardAt: number | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: DriftWatchOptions) {
    this.#options = { againMs: AGAIN_MS, mostMs: MOST_MS, quietMs: QUIET_MS, ...options };
  }

  /** Somebody else has changed what is ours. */
  onChange(): void {
    const now = performance.now();
    this.#heardAt ??= now;
    if (this.#timer) return;
    const { againMs, mostMs, quietMs, repair } = this.#options;
    const isAgain = now - this.#lastAt < Math.max(quietMs, 2 * this.#waitMs);
    this.#waitMs = isAgain ? Math.min(Math.max(againMs, 2 * this.#waitMs), mostMs) : 0;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#lastAt = performance.now();
      repair();
    }, this.#waitMs);
  }

  /**
   * Called after each apply. Milliseconds from when the change was heard until now, where the apply has undone
   * something; undefined where it has not, or where nothing was heard of that.
   */
  onApplied(hasRepaired: boolean): number | undefined {
    const heardAt = this.#heardAt;
    // What was changed and needs no repair is forgotten once it was looked at.
    if (hasRepaired || !this.#timer) this.#heardAt = undefined;
    return hasRepaired && heardAt !== undefined ? performance.now() - heardAt : undefined;
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
