// What this node goes back to when nobody confirms a change, in a file: all that an agent knows that starts cut off.
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { type DataplaneState, BARE_STATE } from '#calc/dataplane-update';
import { isObject } from '#lib';

/** All that the host enforces once the pending changes are undone, and when that is due. */
export interface UndoNote {
  /** Milliseconds since 1970. */
  readonly dueAt: number;
  /** The longest that there was to wait when it was written: a clock that is set back waits no longer. */
  readonly waitMs: number;
  /** By uid of each PendingChange. */
  readonly dueTimes: Readonly<Record<string, number>>;
  readonly state: DataplaneState;
}

export interface UndoNoteFileOptions {
  readonly path: string;
  /** Of the program: the state of another one may mean something else. */
  readonly version: string;
  readonly log: (message: string) => void;
}

/** Lies where the kernel's state does not outlive it: in a folder that is empty after the machine started. */
export class UndoNoteFile {
  readonly #options: UndoNoteFileOptions;

  constructor(options: UndoNoteFileOptions) {
    this.#options = options;
  }

  /** Whole or not at all; readable by its owner alone. */
  write(note: UndoNote): void {
    const { path, version } = this.#options;
    const text = JSON.stringify({ version, ...note }, withCollections);
    writeFileSync(`${path}.new`, text, { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }

  remove(): void {
    rmSync(this.#options.path, { force: true });
  }

  /** Undefined where there is none, and, with a word in the log, where it cannot be used. */
  read(): UndoNote | undefined {
    const { path, version, log } = this.#options;
    let text: string;
    try {
      text = readFileSync(path, 'utf8');
    } catch {
      return undefined;
    }
    try {
      return noteOf(JSON.parse(text, asCollections), version);
    } catch (error) {
      log(`Cannot use ${path}, a pending change is not undone by it: ${String(error)}`);
      return undefined;
    }
  }
}

function noteOf(value: unknown, version: string): UndoNote {
  if (!isObject(value)) throw new Error('it is no object');
  const { dueAt, waitMs, dueTimes, state } = value;
  if (value['version'] !== version) {
    throw new Error(`version ${JSON.stringify(value['version'])} wrote it, this is "${version}"`);
  }
  if (typeof dueAt !== 'number' || typeof waitMs !== 'number' || !isObject(dueTimes)) {
    throw new Error('it does not say when');
  }
  if (!isObject(state)) throw new Error('it has no state');
  const missing = Object.keys(BARE_STATE).filter((field) => !(field in state));
  if (missing.length > 0) throw new Error(`its state has no ${missing.join(', ')}`);
  return {
    dueAt,
    waitMs,
    dueTimes: dueTimes as UndoNote['dueTimes'],
    state: state as unknown as DataplaneState,
  };
}

const MAP = '\u0000map';
const SET = '\u0000set';

/** A state is plain but for its maps and sets, of whatever class. */
function withCollections(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  if (!(Symbol.iterator in value)) return value;
  const items = [...(value as Iterable<unknown>)];
  return 'get' in value ? { [MAP]: items } : { [SET]: items };
}

function asCollections(_key: string, value: unknown): unknown {
  if (!isObject(value)) return value;
  if (Array.isArray(value[MAP])) return new Map(value[MAP] as [unknown, unknown][]);
  return Array.isArray(value[SET]) ? new Set(value[SET]) : value;
}
