// Has drift repaired soon after it happens, and seldom where somebody keeps undoing the repair.

export interface DriftWatchOptions {
  /** Reads the kernel back and makes it as desired again. */
  readonly repair: () => void;
  readonly firstMs?: number;
  readonly mostMs?: number;
}

const FIRST_MS = 100;
const MOST_MS = 30_000;

/**
 * The first change is repaired at once; each one that comes before the last wait is over twice doubles the wait,
 * so that two that undo each other's work do it ever more slowly.
 */
export class DriftWatch {
  readonly #repair: () => void;
  readonly #firstMs: number;
  readonly #mostMs: number;
  #waitMs: number;
  #lastAt = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;

  constructor({ repair, firstMs = FIRST_MS, mostMs = MOST_MS }: DriftWatchOptions) {
    this.#repair = repair;
    this.#firstMs = firstMs;
    this.#mostMs = mostMs;
    this.#waitMs = firstMs;
  }

  /** Somebody else has changed what is ours. */
  onChange(): void {
    if (this.#timer) return;
    const quiet = performance.now() - this.#lastAt;
    const again = quiet < 2 * this.#waitMs;
    this.#waitMs = again ? Math.min(2 * this.#waitMs, this.#mostMs) : this.#firstMs;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#lastAt = performance.now();
      this.#repair();
    }, this.#waitMs);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
