// Which flows of other agents were taken in already: after a reconnection they come again.
import { type Flow, recordKey } from '#flows';

const KEPT_MS = 10 * 60_000;
const KEPT_MAX = 200_000;

export class SeenFlows {
  /** In the order of arrival. */
  readonly #seen = new Map<string, number>();

  isNew(flow: Flow, nowMs: number): boolean {
    const key = `${flow.startTime} ${recordKey(flow, 0)}`;
    if (this.#seen.has(key)) return false;
    this.#seen.set(key, nowMs);
    for (const [oldest, atMs] of this.#seen) {
      if (atMs > nowMs - KEPT_MS && this.#seen.size <= KEPT_MAX) break;
      this.#seen.delete(oldest);
    }
    return true;
  }
}
