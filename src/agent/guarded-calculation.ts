// The calculation, with a note on the node of what to go back to, written before what may cut the node off is enforced.
import type { DataplaneState } from '#calc/dataplane-update';
import type { SyncerUpdate } from '#datastore/syncer';
import type { Calculation } from './apply-loop.ts';
import type { UndoNote } from './undo-note.ts';

/** What would undo all changes that nobody has confirmed yet. */
export interface Undoing {
  readonly dueAt: number;
  readonly waitMs: number;
  readonly dueTimes: Readonly<Record<string, number>>;
  /** What was before, and what is now, of each resource that a change names. */
  readonly back: readonly SyncerUpdate[];
  readonly forth: readonly SyncerUpdate[];
}

export interface GuardedCalculationOptions {
  readonly calculation: Calculation;
  /** Undefined: no change waits. */
  readonly undoing: () => Undoing | undefined;
  readonly file: { write(note: UndoNote): void; remove(): void };
  readonly log: (message: string) => void;
}

/** At most this part of the time is spent on notes, where states change quickly. */
const SHARE = 1 / 20;

/**
 * The note is there before a state is handed out that a pending change is part of; later ones follow as they can.
 * Where it cannot be written, the state is handed out nevertheless: an agent that lives undoes by itself.
 */
export class GuardedCalculation implements Calculation {
  readonly #options: GuardedCalculationOptions;
  /** Undefined: there may be a file, of a process before. */
  #noted: { readonly state: DataplaneState | undefined; readonly uids: string } | undefined;
  #nextAt = 0;

  constructor(options: GuardedCalculationOptions) {
    this.#options = options;
  }

  onUpdates(updates: readonly SyncerUpdate[]): void {
    this.#options.calculation.onUpdates(updates);
  }

  state(): DataplaneState {
    const { calculation, undoing, file } = this.#options;
    const state = calculation.state();
    const undo = undoing();
    if (!undo) {
      if (this.#noted?.uids !== '') this.#attempt(() => file.remove());
      this.#noted = { state: undefined, uids: '' };
      return state;
    }
    const uids = Object.keys(undo.dueTimes).join(' ');
    const isNew = this.#noted?.uids !== uids;
    if (!isNew && (this.#noted?.state === state || performance.now() < this.#nextAt)) return state;
    const begun = performance.now();
    const { back, forth, ...due } = undo;
    calculation.onUpdates(back);
    const before = calculation.state();
    this.#attempt(() => file.write({ ...due, state: before }));
    calculation.onUpdates(forth);
    const again = calculation.state();
    this.#noted = { state: again, uids };
    this.#nextAt = performance.now() + (performance.now() - begun) / SHARE;
    return again;
  }

  #attempt(change: () => void): void {
    try {
      change();
    } catch (error) {
      this.#options.log(
        `Cannot note what an unconfirmed change is to go back to: ${String(error)}`,
      );
    }
  }
}
