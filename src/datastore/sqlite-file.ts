// The store's file: its layout and format version, the upgrade of older ones, and who may use it.
import { accessSync, constants } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';

/** The store's file in a server's data folder. */
export const STORE_FILE = 'store.db';
/** Layout of the file; a newer one is refused, an older one is upgraded when a server opens it. */
export const FORMAT = 2;
/** `PRAGMA application_id`: "Tort". Since format 2. */
const APPLICATION = 0x54_6f_72_74;
/** Others hold the lock of a transaction for moments only. */
const BUSY_MS = 5_000;

// One row for each revision that is still needed: the newest of each key, and the change log.
const SCHEMA = `
  CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
  CREATE TABLE place (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    namespace TEXT NOT NULL,
    UNIQUE (kind, namespace)
  ) STRICT;
  CREATE TABLE history (
    revision INTEGER PRIMARY KEY,
    place INTEGER NOT NULL,
    name TEXT NOT NULL,
    value TEXT
  ) STRICT;`;

/** Format 1 had kind and namespace in each row of its history. */
const FROM_FORMAT_1 = `
  ALTER TABLE meta RENAME TO meta_1;
  ALTER TABLE history RENAME TO history_1;
  ${SCHEMA}
  INSERT INTO meta SELECT name, value FROM meta_1;
  INSERT INTO place (kind, namespace) SELECT DISTINCT kind, namespace FROM history_1;
  INSERT INTO history
    SELECT revision, place.id, name, value FROM history_1 JOIN place USING (kind, namespace)
    ORDER BY revision;
  DROP TABLE meta_1;
  DROP TABLE history_1;`;

/**
 * Takes the store for this process until the returned function is called or the process ends. Throws
 * where another one has it. Reading the file (as a backup does) needs no lock.
 */
export function lockStore(path: string): () => void {
  const lock = new DatabaseSync(`${path}.lock`, { timeout: 0 });
  try {
    // Of an empty database, that nothing is ever written to: the system drops it with the process.
    lock.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  } catch (error) {
    lock.close();
    if (!(error instanceof Error) || !/locked/.test(error.message)) throw error;
    throw new Error('another server is using it; stop that one first', { cause: error });
  }
  return () => lock.close();
}

/** Opens the file for the server that has its lock; makes or upgrades it. */
export function openStoreFile(path: string, firstRevision: number): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: BUSY_MS });
  try {
    // SQLite would open what cannot be written for reading, and say so at the first write.
    accessSync(path, constants.W_OK);
    const format = formatOf(database);
    database.exec('PRAGMA journal_mode = WAL');
    // FULL syncs the log at each commit: acknowledged means it survives the loss of power.
    database.exec('PRAGMA synchronous = FULL');
    // The log is as long as a backup takes; what is more than this is given back afterwards.
    database.exec(`PRAGMA journal_size_limit = ${64 * 1024 * 1024}`);
    if (format !== FORMAT) {
      transaction(database, () => {
        database.exec(format === undefined ? SCHEMA : FROM_FORMAT_1);
        setMeta(database, 'format', FORMAT);
        if (format === undefined) setMeta(database, 'compacted', firstRevision);
        database.exec(`PRAGMA application_id = ${APPLICATION}`);
      });
    }
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Opens the file for reading, also while a server uses it; throws where it is no store. */
export function readStoreFile(path: string): DatabaseSync {
  const database = new DatabaseSync(path, { readOnly: true, timeout: BUSY_MS });
  try {
    if (formatOf(database) === undefined) throw new Error('it is empty');
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Undefined: the file is new. Throws for what is no store, or one that this program cannot read. */
export function formatOf(database: DatabaseSync): number | undefined {
  const tables = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
  if (tables.length === 0) return undefined;
  if (!tables.some(({ name }) => name === 'meta')) throw new Error('it is of another program');
  const format = metaValue(database, 'format');
  const application = database.prepare('PRAGMA application_id').get()?.['application_id'];
  if (format > 1 && application !== APPLICATION) throw new Error('it is of another program');
  if (format >= 1 && format <= FORMAT) return format;
  throw new Error(
    `it has format ${format}, and this program knows ${FORMAT} and older: run the newer tortie ` +
      'that wrote it, or restore a backup from before it did with `tortie datastore restore`',
  );
}

/** Throws where it is absent. */
export function metaValue(database: DatabaseSync, name: string): number {
  const row = database.prepare('SELECT value FROM meta WHERE name = ?').get(name);
  if (typeof row?.['value'] !== 'number') throw new Error(`it has no "${name}" in its meta table`);
  return row['value'];
}

export function setMeta(database: DatabaseSync, name: string, value: number): void {
  database.prepare('INSERT OR REPLACE INTO meta VALUES (?, ?)').run(name, value);
}

/** All of it or, where it throws, nothing. */
export function transaction(database: DatabaseSync, act: () => void): void {
  database.exec('BEGIN IMMEDIATE');
  try {
    act();
    database.exec('COMMIT');
  } catch (error) {
    // Where the disk is full SQLite may have rolled back by itself.
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}
