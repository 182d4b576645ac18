// Durable writes a second of the store against bare node:sqlite, and what 1,000 watchers cost.
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { openSqliteStore, type Store } from '#datastore';
import { printFigure, printMachine, timedAsync } from './measurement.ts';
import { type Scratch, withScratch } from './scratch.ts';

const WRITERS = [1, 8, 64, 512];
const SECONDS = 3;
/** Longer than the write-ahead log grows: from its first turn on, its blocks are there. */
const WARM_SECONDS = 1;
const WATCHERS = 1000;
const WATCHED_WRITES = 1000;
const KIND = 'projectcalico.org/networkpolicies';

/** About one kilobyte, as a policy is. */
function valueOf(index: number): Record<string, unknown> {
  const rules = Array.from({ length: 8 }, (_, rule) => ({
    action: 'Allow',
    protocol: 'TCP',
    source: { selector: `app == "client-${rule}" && tier in {"front", "back"}` },
    destination: { ports: [8000 + rule] },
  }));
  return { metadata: { name: `p${index}`, labels: { count: String(index) } }, spec: { rules } };
}

/** One insert a transaction, synced to the disk at each, with the settings of the store. */
function bareWritesASecond(path: string): number {
  const database = new DatabaseSync(path);
  database.exec('PRAGMA locking_mode = EXCLUSIVE');
  database.exec('PRAGMA journal_mode = WAL');
  database.exec('PRAGMA synchronous = FULL');
  database.exec('CREATE TABLE history (revision INTEGER PRIMARY KEY, name TEXT, value TEXT)');
  const insert = database.prepare('INSERT INTO history VALUES (?, ?, ?)');
  let revision = 0;
  const run = (seconds: number): number => {
    const first = revision;
    const start = performance.now();
    while (performance.now() < start + seconds * 1000) {
      const value = JSON.stringify(valueOf(++revision));
      insert.run(revision, `p${revision}`, value);
    }
    return (revision - first) / ((performance.now() - start) / 1000);
  };
  run(WARM_SECONDS);
  const figure = run(SECONDS);
  database.close();
  return figure;
}

/** Each writer waits until its write is durable before the next one. */
async function writesASecond(store: Store, writers: number): Promise<number> {
  let count = 0;
  const write = async (writer: number, limit: number): Promise<void> => {
    const key = { kind: KIND, namespace: 'default', name: `writer-${writer}` };
    for (let each = 0; performance.now() < limit; each++, count++) {
      await store.write({ key, value: valueOf(each) });
    }
  };
  const run = (seconds: number) => {
    const limit = performance.now() + seconds * 1000;
    return Promise.all(Array.from({ length: writers }, (_, writer) => write(writer, limit)));
  };
  await run(WARM_SECONDS);
  count = 0;
  const seconds = await timedAsync(() => run(SECONDS));
  return count / seconds;
}

async function writeAll(store: Store): Promise<number> {
  const writes = Array.from({ length: WATCHED_WRITES }, (_, index) => {
    const key = { kind: KIND, namespace: 'default', name: `watched-${index}` };
    return store.write({ key, value: valueOf(index) });
  });
  return timedAsync(() => Promise.all(writes));
}

async function watchers(store: Store): Promise<void> {
  await writeAll(store);
  const without = await writeAll(store);
  let events = 0;
  const from = store.revision;
  const ends = await Promise.all(
    Array.from({ length: WATCHERS }, () =>
      store.watch({ kind: KIND, from, onEvent: () => void events++ }),
    ),
  );
  const withWatchers = await writeAll(store);
  for (const end of ends) end();
  if (events !== WATCHERS * WATCHED_WRITES) throw new Error(`${events} events were delivered`);
  printFigure(`${WATCHED_WRITES} writes, ${WATCHERS} watchers`, withWatchers * 1000, 'ms', {
    name: 'the same without watchers',
    figure: without * 1000,
  });
  printFigure('events delivered to watchers', events / withWatchers, 'events/s');
}

async function main(scratch: Scratch): Promise<void> {
  printMachine();
  const folder = scratch.folder();
  const bares = [bareWritesASecond(join(folder, 'bare-1.db'))];
  const store = await openSqliteStore({ path: join(folder, 'store.db') });
  scratch.later(() => store.close());
  const figures: number[] = [];
  for (const count of WRITERS) figures.push(await writesASecond(store, count));
  bares.push(bareWritesASecond(join(folder, 'bare-2.db')));
  for (const bare of bares) {
    printFigure('bare node:sqlite, one insert a transaction', bare, 'writes/s');
  }
  const bare = { name: 'bare node:sqlite, the faster run', figure: Math.max(...bares) };
  for (const [index, figure] of figures.entries()) {
    printFigure(`store, writers ${WRITERS[index]}`, figure, 'durable writes/s', bare);
  }
  await watchers(store);
}

await withScratch(main);
