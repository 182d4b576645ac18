// The thread that owns the database file: loads it, and makes each batch of writes durable.
import { DatabaseSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';
import type { Commit, FromWorker, Row, ToWorker, WorkerOptions } from './sqlite-messages.ts';

/** Layout of the file; a newer one is refused, an older one is upgraded here. */
const FORMAT = 1;
const ROWS_A_MESSAGE = 1000;

// One row for each revision that is still needed: the newest of each key, and the change log.
const SCHEMA = `
  CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
  CREATE TABLE history (
    revision INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT
  ) STRICT;`;

function open({ path, firstRevision }: WorkerOptions): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: 0 });
  // Exclusive: a second server on the same file must fail at once, not share it.
  database.exec('PRAGMA locking_mode = EXCLUSIVE');
  database.exec('PRAGMA journal_mode = WAL');
  // FULL syncs the log at each commit: acknowledged means it survives the loss of power.
  database.exec('PRAGMA synchronous = FULL');
  database.exec('BEGIN IMMEDIATE');
  const empty = database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'meta'").get();
  if (!empty) {
    database.exec(SCHEMA);
    const insert = database.prepare('INSERT INTO meta VALUES (?, ?)');
    insert.run('format', FORMAT);
    insert.run('compacted', firstRevision);
  }
  database.exec('COMMIT');
  const format = metaValue(database, 'format');
  if (format > FORMAT) {
    throw new Error(`it has format ${format} and this program knows ${FORMAT}; use a newer one`);
  }
  return database;
}

function metaValue(database: DatabaseSync, name: string): number {
  const row = database.prepare('SELECT value FROM meta WHERE name = ?').get(name);
  if (typeof row?.['value'] !== 'number') throw new Error(`it has no "${name}" in its meta table`);
  return row['value'];
}

function load(database: DatabaseSync, send: (message: FromWorker) => void): void {
  send({ type: 'opened', compacted: metaValue(database, 'compacted') });
  let rows: Row[] = [];
  const all = database.prepare(
    'SELECT revision, kind, namespace, name, value FROM history ORDER BY revision',
  );
  for (const row of all.iterate()) {
    rows.push(row as unknown as Row);
    if (rows.length < ROWS_A_MESSAGE) continue;
    send({ type: 'rows', rows });
    rows = [];
  }
  send({ type: 'rows', rows });
  send({ type: 'loaded' });
}

function committer(database: DatabaseSync): (commit: Commit) => void {
  const insert = database.prepare('INSERT INTO history VALUES (?, ?, ?, ?, ?)');
  const drop = database.prepare('DELETE FROM history WHERE revision = ?');
  const compacted = database.prepare("UPDATE meta SET value = ? WHERE name = 'compacted'");
  return ({ rows, compaction }) => {
    database.exec('BEGIN IMMEDIATE');
    try {
      for (const row of rows) {
        insert.run(row.revision, row.kind, row.namespace, row.name, row.value);
      }
      for (const revision of compaction?.dropped ?? []) drop.run(revision);
      if (compaction) compacted.run(compaction.revision);
      database.exec('COMMIT');
    } catch (error) {
      if (database.isTransaction) database.exec('ROLLBACK');
      throw error;
    }
  };
}

function serve(options: WorkerOptions, port: NonNullable<typeof parentPort>): void {
  const send = (message: FromWorker): void => port.postMessage(message);
  const attempt = <T>(act: () => T): T | undefined => {
    try {
      return act();
    } catch (error) {
      send({ type: 'failed', message: error instanceof Error ? error.message : String(error) });
      return undefined;
    }
  };
  const database = attempt(() => {
    const opened = open(options);
    load(opened, send);
    return opened;
  });
  if (!database) return;
  const commit = committer(database);
  port.on('message', (message: ToWorker) => {
    if (message.type === 'close') {
      database.close();
      port.close();
    } else if (attempt(() => commit(message.commit) ?? true)) send({ type: 'committed' });
  });
}

if (parentPort) serve(workerData as WorkerOptions, parentPort);
