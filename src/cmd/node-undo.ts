// The part of `tortie node` that goes back to what was before a change, also where the agent starts cut off.
import { join } from 'node:path';
import { GuardedCalculation, type PendingChanges, UndoNoteFile } from '#agent';
import type { CalcGraph, DataplaneState } from '#calc';
import { VERSION } from './version.ts';

/** An agent that starts is given so long to reach the server, before what is overdue is undone; milliseconds. */
const START_MS = 5_000;

export interface NodeUndo {
  /** Notes what to go back to before it gives a state. */
  readonly calculation: GuardedCalculation;
  /** When changes are due that the agent before this one had seen. */
  readonly dueTimes: Readonly<Record<string, number>>;
  readonly stop: () => void;
}

export function watchUndo(options: {
  readonly runDir: string;
  readonly calculation: CalcGraph;
  readonly pending: () => Pick<PendingChanges, 'undoing'>;
  /** Until the server is reached. */
  readonly enforceMeanwhile: (state: DataplaneState) => void;
  readonly log: (message: string) => void;
}): NodeUndo {
  const { runDir, calculation, pending, enforceMeanwhile, log } = options;
  const file = new UndoNoteFile({ path: join(runDir, 'undo.json'), version: VERSION, log });
  const note = file.read();
  const undo = () => {
    if (!note) return;
    log('the server is out of reach and an unconfirmed change is due: it is undone on this node');
    enforceMeanwhile(note.state);
  };
  const waitMs = note ? Math.min(note.dueAt - Date.now(), note.waitMs) : 0;
  const timer = note && setTimeout(undo, Math.max(START_MS, waitMs));
  return {
    calculation: new GuardedCalculation({
      calculation,
      undoing: () => pending().undoing(),
      file,
      log,
    }),
    dueTimes: note?.dueTimes ?? {},
    stop: () => clearTimeout(timer),
  };
}
