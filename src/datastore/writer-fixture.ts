// For tests: 64 writers of one store in a process that is to be killed; says in a file what it knows.
import { appendFileSync, openSync, writeSync } from 'node:fs';
import { argv } from 'node:process';
import { openSqliteStore } from './sqlite-store.ts';
import { RevisionConflict, type StoreKey } from './store.ts';

const WRITERS = 64;
/** So many of them also count up one key that they share. */
const COUNTERS = 8;
const KIND = 'pods';
/** Few enough that compaction is under way all the time. */
const LOG = { events: 3_000, bytes: 16 * 1024 * 1024 };

/** Lines of the file: what was there, what a watch told, what was acknowledged. */
export type Line =
  | { readonly type: 'list'; readonly revision: number; readonly items: readonly Item[] }
  | ({ readonly type: 'event' } & Item)
  | { readonly type: 'acknowledged'; readonly revision: number; readonly name: string };

export interface Item {
  readonly name: string;
  readonly revision: number;
  /** Undefined: deleted. */
  readonly value?: unknown;
}

const keyOf = (name: string): StoreKey => ({ kind: KIND, namespace: 'default', name });

/** Goes on from the revision up to which a watch was told everything; 0: from the beginning. */
async function main(path: string, file: string, told: number): Promise<void> {
  const log = openSync(file, 'a');
  // Each line is with the kernel before anything else is done: a kill takes none back.
  const say = (line: Line): void => void writeSync(log, `${JSON.stringify(line)}\n`);
  const store = await openSqliteStore({ path, log: LOG });
  const from = told || store.revision;
  const { items } = await store.list(KIND, { at: from });
  say({
    type: 'list',
    revision: from,
    items: items.map(({ key, revision, value }) => ({ name: key.name, revision, value })),
  });
  await store.watch({
    kind: KIND,
    from,
    onEvent: ({ key, revision, value }) =>
      say({ type: 'event', name: key.name, revision, ...(value ? { value } : {}) }),
  });
  const write = async (name: string, value: Record<string, unknown> | undefined): Promise<void> => {
    const revision = await store.write({ key: keyOf(name), value });
    say({ type: 'acknowledged', name, revision });
  };
  const count = async (): Promise<void> => {
    const current = await store.get(keyOf('shared'));
    const value = { count: Number(current?.value['count'] ?? 0) + 1 };
    try {
      const expected = current?.revision ?? 0;
      const revision = await store.write({ key: keyOf('shared'), value, expected });
      say({ type: 'acknowledged', name: 'shared', revision });
    } catch (error) {
      if (!(error instanceof RevisionConflict)) throw error;
    }
  };
  const writer = async (number: number): Promise<never> => {
    const name = `writer-${number}`;
    for (let turn = 0; ; turn++) {
      if (number < COUNTERS) await count();
      await write(name, { turn, text: 'x'.repeat((turn * 97 + number) % 900) });
      if (turn % 5 === number % 5) await write(name, undefined);
    }
  };
  await Promise.all(Array.from({ length: WRITERS }, (_, number) => writer(number)));
}

const [, program, path, file, told] = argv;
if (program === import.meta.filename && path !== undefined && file !== undefined) {
  await main(path, file, Number(told)).catch((error: unknown) => {
    appendFileSync(file, `${JSON.stringify({ type: 'failed', error: String(error) })}\n`);
    process.exitCode = 1;
  });
}
