// Keeps back what a server says after it was lost until it has said all, so that no mixture of two states is enforced.
import type { SyncerStatus, SyncerUpdate } from '#datastore/syncer';

export interface HeldUpdatesOptions {
  readonly deliver: (updates: readonly SyncerUpdate[]) => void;
  readonly log: (message: string) => void;
  /** The longest that anything is kept back, for a server that never says all; milliseconds. */
  readonly mostMs?: number;
}

const MOST_MS = 30_000;

/**
 * Each kind is listed and watched by itself. A server that comes back with a store from before may say what one
 * policy is long before it says what the labels are: the mixture may allow what neither state does. So from the
 * moment that a watch is lost, updates wait until all kinds are in sync again. Before the first in-sync nothing
 * is enforced, and nothing needs to wait.
 */
export class HeldUpdates {
  readonly #options: HeldUpdatesOptions;
  /** By key: of what changes twice the last counts. */
  readonly #held = new Map<string, SyncerUpdate>();
  #isHolding = false;
  #wasInSync = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: HeldUpdatesOptions) {
    this.#options = options;
  }

  onUpdates(updates: readonly SyncerUpdate[]): void {
    if (!this.#isHolding) {
      this.#options.deliver(updates);
      return;
    }
    for (const update of updates) {
      // In the order of the last ones.
      this.#held.delete(update.key);
      this.#held.set(update.key, update);
    }
    const { mostMs = MOST_MS, log } = this.#options;
    this.#timer ??= setTimeout(() => {
      log(`not all that the server holds was told within ${mostMs / 1000} s: what was told counts`);
      this.#release();
      this.#isHolding = false;
    }, mostMs);
  }

  /** Called after the updates that led to it. */
  onStatus(status: SyncerStatus): void {
    if (status === 'in-sync') this.#release();
    this.#wasInSync ||= status === 'in-sync';
    this.#isHolding = this.#wasInSync && status !== 'in-sync';
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #release(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#held.size === 0) return;
    const updates = [...this.#held.values()];
    this.#held.clear();
    this.#options.deliver(updates);
  }
}
