// The thread that owns the database file: loads it, and makes each batch of writes durable.
import type { DatabaseSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';
import { failureReason } from './sqlite-failure.ts';
import { lockStore, metaValue, openStoreFile, transaction } from './sqlite-file.ts';
import type { Commit, FromWorker, Row, ToWorker, WorkerOptions } from './sqlite-messages.ts';
import type { Place } from './value-arena.ts';

/** What is loaded goes over in messages of about so much text, or so many rows. */
const MESSAGE_BYTES = 1 << 20;
const MESSAGE_ROWS = 8192;

type Port = NonNullable<typeof parentPort>;

/** Revision, place, name, value. */
type LoadedRow = readonly [number, number, string, string | null];

/** Numbers for pairs of kind and namespace, as the file has them. */
class Places {
  readonly #database: DatabaseSync;
  readonly #ids = new Map<string, number>();
  /** Made by the transaction under way. */
  #made: string[] = [];
  /** Of the file, and of no row in it. */
  #unused: readonly number[] = [];

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  known(id: number, place: Place): void {
    this.#ids.set(textOf(place), id);
  }

  /** Those that no row is of; the next transaction removes them. */
  unused(places: ReadonlyMap<number, Place>): void {
    for (const place of places.values()) this.#ids.delete(textOf(place));
    this.#unused = [...places.keys()];
  }

  removeUnused(): void {
    if (this.#unused.length === 0) return;
    const remove = this.#database.prepare('DELETE FROM place WHERE id = ?');
    for (const id of this.#unused) remove.run(id);
  }

  idOf(place: Place): number {
    const text = textOf(place);
    const known = this.#ids.get(text);
    if (known !== undefined) return known;
    const insert = this.#database.prepare('INSERT INTO place (kind, namespace) VALUES (?, ?)');
    const id = Number(insert.run(place.kind, place.namespace).lastInsertRowid);
    this.#ids.set(text, id);
    this.#made.push(text);
    return id;
  }

  committed(): void {
    this.#made = [];
    this.#unused = [];
  }

  rolledBack(): void {
    for (const text of this.#made) this.#ids.delete(text);
    this.#made = [];
  }
}

function textOf({ kind, namespace }: Place): string {
  return `${kind}\0${namespace}`;
}

/** Sends every row in the order of revisions; returns the places. */
function load(database: DatabaseSync, port: Port): Places {
  const send = (message: FromWorker): void => port.postMessage(message);
  send({ type: 'opened', compacted: metaValue(database, 'compacted') });
  const known = new Places(database);
  const places = new Map<number, Place>();
  for (const { id, kind, namespace } of database.prepare('SELECT * FROM place').iterate()) {
    places.set(Number(id), { kind: String(kind), namespace: String(namespace) });
  }
  const numbers = new Map<number, number>();
  let newPlaces: Place[] = [];
  const numberOf = (id: number): number => {
    const number = numbers.get(id) ?? numbers.size;
    const place = places.get(id);
    if (number < numbers.size) return number;
    if (!place) throw new Error(`its place ${id} is missing; it is damaged`);
    known.known(id, place);
    newPlaces.push(place);
    numbers.set(id, number);
    return number;
  };
  let rows: LoadedRow[] = [];
  let size = 0;
  const flush = (): void => {
    const placeOf = Int32Array.from(rows, ([, place]) => numberOf(place));
    sendRows(port, rows, { placeOf, newPlaces });
    [rows, newPlaces, size] = [[], [], 0];
  };
  const all = database.prepare(
    'SELECT revision, place, name, value FROM history ORDER BY revision',
  );
  all.setReturnArrays(true);
  for (const row of all.iterate() as Iterable<unknown> as Iterable<LoadedRow>) {
    rows.push(row);
    size += row[3]?.length ?? 0;
    if (size >= MESSAGE_BYTES || rows.length >= MESSAGE_ROWS) flush();
  }
  flush();
  for (const id of numbers.keys()) places.delete(id);
  known.unused(places);
  send({ type: 'loaded' });
  return known;
}

function sendRows(
  port: Port,
  rows: readonly LoadedRow[],
  { placeOf, newPlaces }: { placeOf: Int32Array; newPlaces: readonly Place[] },
): void {
  const lengths = Int32Array.from(rows, ([, , , value]) =>
    value === null ? -1 : Buffer.byteLength(value),
  );
  const total = lengths.reduce((sum, length) => sum + Math.max(0, length), 0);
  // Of its own memory, which goes over without being copied.
  const bytes = Buffer.allocUnsafeSlow(total);
  let used = 0;
  for (const [, , , value] of rows) if (value !== null) used += bytes.write(value, used);
  const message: FromWorker = {
    type: 'rows',
    rows: {
      revisions: Float64Array.from(rows, ([revision]) => revision),
      placeOf,
      newPlaces,
      names: rows.map(([, , name]) => name),
      lengths,
      bytes,
    },
  };
  port.postMessage(message, [bytes.buffer]);
}

function committer(database: DatabaseSync, places: Places): (commit: Commit) => void {
  const insert = database.prepare('INSERT INTO history VALUES (?, ?, ?, ?)');
  const drop = database.prepare('DELETE FROM history WHERE revision = ?');
  const compacted = database.prepare("UPDATE meta SET value = ? WHERE name = 'compacted'");
  const write = (row: Row): unknown =>
    insert.run(row.revision, places.idOf(row), row.name, row.value);
  return ({ rows, compaction }) => {
    try {
      transaction(database, () => {
        places.removeUnused();
        for (const row of rows) write(row);
        for (const revision of compaction?.dropped ?? []) drop.run(revision);
        if (compaction) compacted.run(compaction.revision);
      });
      places.committed();
    } catch (error) {
      places.rolledBack();
      throw error;
    }
  };
}

function serve({ path, firstRevision }: WorkerOptions, port: Port): void {
  const send = (message: FromWorker): void => port.postMessage(message);
  const attempt = <T>(act: () => T): T | undefined => {
    try {
      return act();
    } catch (error) {
      send({ type: 'failed', reason: failureReason(error, path) });
      return undefined;
    }
  };
  const opened = attempt(() => {
    const unlock = lockStore(path);
    const database = openStoreFile(path, firstRevision);
    return { unlock, database, places: load(database, port) };
  });
  if (!opened) return;
  const { unlock, database, places } = opened;
  const commit = committer(database, places);
  port.on('message', (message: ToWorker) => {
    if (message.type === 'close') {
      database.close();
      unlock();
      port.close();
    } else if (attempt(() => commit(message.commit) ?? true)) send({ type: 'committed' });
  });
}

if (parentPort) serve(workerData as WorkerOptions, parentPort);
