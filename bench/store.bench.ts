// Durable writes a second of the store against bare node:sqlite, and what 1,000 watchers cost.
import { join } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { openSqliteStore, type Store, type StoreEvent } from '#datastore';
import { median, printFigure, printMachine, timedAsync } from './measurement.ts';
import { withScratch } from './scratch.ts';

const WRITERS = [1, 8, 64, 512];
const ROUNDS = 5;
const SECONDS = 1;
/** Longer than the write-ahead log grows: from its first turn on, its blocks are there. */
const WARM_SECONDS = 2;
const WATCHERS = 1000;
const WATCHED_WRITES = 1000;
const UNCONCERNED = 100_000;
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
class BareStore {
  readonly #database: DatabaseSync;
  readonly #insert: StatementSync;
  #revision = 0;

  constructor(path: string) {
    this.#database = new DatabaseSync(path);
    this.#database.exec('PRAGMA locking_mode = EXCLUSIVE');
    this.#database.exec('PRAGMA journal_mode = WAL');
    this.#database.exec('PRAGMA synchronous = FULL');
    const columns = 'revision INTEGER PRIMARY KEY, name TEXT, value TEXT';
    this.#database.exec(`CREATE TABLE history (${columns})`);
    this.#insert = this.#database.prepare('INSERT INTO history VALUES (?, ?, ?)');
  }

  writesASecond(seconds: number): number {
    const first = this.#revision;
    const start = performance.now();
    while (performance.now() < start + seconds * 1000) {
      const value = JSON.stringify(valueOf(++this.#revision));
      this.#insert.run(this.#revision, `p${this.#revision}`, value);
    }
    return (this.#revision - first) / ((performance.now() - start) / 1000);
  }

  close(): void {
    this.#database.close();
  }
}

/** Each writer waits until its write is durable before the next one. */
async function writesASecond(store: Store, writers: number, seconds: number): Promise<number> {
  let count = 0;
  const limit = performance.now() + seconds * 1000;
  const write = async (writer: number): Promise<void> => {
    const key = { kind: KIND, namespace: 'default', name: `writer-${writer}` };
    for (; performance.now() < limit; count++) await store.write({ key, value: valueOf(count) });
  };
  const all = () => Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)));
  const taken = await timedAsync(all);
  return count / taken;
}

async function writeAll(store: Store): Promise<number> {
  const writes = Array.from({ length: WATCHED_WRITES }, (_, index) => {
    const key = { kind: KIND, namespace: 'default', name: `watched-${index}` };
    return store.write({ key, value: valueOf(index) });
  });
  return timedAsync(() => Promise.all(writes));
}

async function watchers(store: Store): Promise<void> {
  const [alone, watched]: [number[], number[]] = [[], []];
  for (let round = 0; round < ROUNDS; round++) {
    alone.push(await writeAll(store));
    let events = 0;
    // As the API server does: it reads both, to see what the event means to its client.
    const onEvent = ({ value, previous }: StoreEvent): void => {
      if ((value ?? previous)?.['spec']) events++;
    };
    const from = store.revision;
    const watches = Array.from({ length: WATCHERS }, () =>
      store.watch({ kind: KIND, from, onEvent }),
    );
    const ends = await Promise.all(watches);
    watched.push(await writeAll(store));
    for (const end of ends) end();
    if (events !== WATCHERS * WATCHED_WRITES) throw new Error(`${events} events were delivered`);
  }
  printFigure(`${WATCHED_WRITES} writes, ${WATCHERS} watchers`, median(watched) * 1000, 'ms', {
    name: 'the same without watchers',
    figure: median(alone) * 1000,
  });
  const rate = (WATCHERS * WATCHED_WRITES) / median(watched);
  printFigure('events delivered to watchers', rate, 'events/s');
}

/** Each watches one name that is not written, as an agent watches its own node. */
async function unconcerned(store: Store): Promise<void> {
  const [alone, watched]: [number[], number[]] = [[], []];
  const onEvent = (): never => {
    throw new Error('an event was delivered');
  };
  for (let round = 0; round < ROUNDS; round++) {
    alone.push(await writeAll(store));
    const ends: (() => void)[] = [];
    const from = store.revision;
    for (let index = 0; index < UNCONCERNED; index++) {
      const name = `node-${index}`;
      ends.push(await store.watch({ kind: KIND, namespace: 'default', name, from, onEvent }));
    }
    watched.push(await writeAll(store));
    for (const end of ends) end();
  }
  const name = `${WATCHED_WRITES} writes, ${UNCONCERNED} watches of other names`;
  printFigure(name, median(watched) * 1000, 'ms', {
    name: 'the same without watchers',
    figure: median(alone) * 1000,
  });
}

await withScratch(async (scratch) => {
  printMachine();
  const folder = scratch.folder();
  const bareStore = new BareStore(join(folder, 'bare.db'));
  scratch.later(() => bareStore.close());
  const store = await openSqliteStore({ path: join(folder, 'store.db') });
  scratch.later(() => store.close());
  bareStore.writesASecond(WARM_SECONDS);
  await writesASecond(store, 8, WARM_SECONDS);
  const bares: number[] = [];
  const figures = WRITERS.map((): number[] => []);
  for (let round = 0; round < ROUNDS; round++) {
    bares.push(bareStore.writesASecond(SECONDS));
    for (const [index, writers] of WRITERS.entries()) {
      figures[index]?.push(await writesASecond(store, writers, SECONDS));
    }
  }
  const bare = { name: 'bare node:sqlite', figure: median(bares) };
  printFigure(`${bare.name}, one insert a transaction`, bare.figure, 'writes/s');
  for (const [index, writers] of WRITERS.entries()) {
    const figure = median(figures[index] ?? []);
    printFigure(`store, writers ${writers}`, figure, 'durable writes/s', bare);
  }
  await watchers(store);
  await unconcerned(store);
});
