// What rules have counted, by who decided: rules of one log prefix are one.
import type { CountedRule } from '#linux';
import type { Action } from './rules/action.ts';
import type { RuleHit } from './rules/log-prefix.ts';

/** A decision, and what it has been made about: for Allow the first packet of each connection. */
export interface RuleCounter extends RuleHit {
  readonly packets: number;
  readonly bytes: number;
}

/** Whether a rule with this action is told apart in what is counted. */
export function isCounted({ action }: Action): boolean {
  return action === 'log-packet';
}

export class CounterSums {
  readonly #hits: ReadonlyMap<string, RuleHit>;
  readonly #sums = new Map<string, RuleCounter>();

  /** `hits`: who decides, by log prefix. */
  constructor(hits: ReadonlyMap<string, RuleHit>) {
    this.#hits = hits;
  }

  add(counted: readonly CountedRule[]): void {
    for (const { prefix, packets, bytes } of counted) {
      const hit = prefix === undefined ? undefined : this.#hits.get(prefix);
      if (prefix === undefined || !hit) continue;
      const before = this.#sums.get(prefix);
      this.#sums.set(prefix, {
        ...hit,
        packets: packets + (before?.packets ?? 0),
        bytes: bytes + (before?.bytes ?? 0),
      });
    }
  }

  all(): RuleCounter[] {
    return [...this.#sums.values()];
  }
}
