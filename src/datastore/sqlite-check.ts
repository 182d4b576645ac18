// Looks through a store's file, also while a server uses it: what it holds, and what is wrong with it.
import { statSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { explained } from './sqlite-failure.ts';
import { formatOf, metaValue, readStoreFile } from './sqlite-file.ts';

export interface StoreReport {
  readonly format: number;
  /** The newest. */
  readonly revision: number;
  /** Watches and lists can begin from here. */
  readonly oldestRevision: number;
  readonly objects: number;
  /** Revisions that are kept for watches and earlier lists, besides the objects. */
  readonly changes: number;
  /** Of the file and its write-ahead log. */
  readonly bytes: number;
  /** What is wrong, a sentence each; none: all is well. */
  readonly problems: readonly string[];
}

/** Problems of one kind that are listed. */
const PROBLEMS_MAX = 20;

/** Throws an Error that begins with `cannot` where the file cannot be read as a store at all. */
export function checkStore(path: string): StoreReport {
  return reading('check', path, (database) => {
    // One view of it, whatever a server writes meanwhile.
    database.exec('BEGIN');
    const log = statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0;
    return inspect(database, statSync(path).size + log);
  });
}

/** Opens the file for what is done with it; errors say what was tried, and what to do. */
export function reading<T>(action: string, path: string, act: (database: DatabaseSync) => T): T {
  return explained(`${action} the store`, path, () => {
    // SQLite's own words for its absence say nothing.
    statSync(path);
    const database = readStoreFile(path);
    try {
      return act(database);
    } finally {
      database.close();
    }
  });
}

/** The newest revision of the file. */
export function newestRevision(database: DatabaseSync): number {
  return Math.max(
    metaValue(database, 'compacted'),
    numberOf(database, 'SELECT ifnull(max(revision), 0) AS n FROM history'),
  );
}

function inspect(database: DatabaseSync, bytes: number): StoreReport {
  const format = formatOf(database) ?? 0;
  const of = format === 1 ? 'kind, namespace, name' : 'place, name';
  const objects = numberOf(
    database,
    `SELECT count(*) AS n FROM
      (SELECT value, max(revision) FROM history GROUP BY ${of}) WHERE value IS NOT NULL`,
  );
  const rows = numberOf(database, 'SELECT count(*) AS n FROM history');
  return {
    format,
    revision: newestRevision(database),
    oldestRevision: metaValue(database, 'compacted'),
    objects,
    changes: rows - objects,
    bytes,
    problems: problemsOf(database, format),
  };
}

function problemsOf(database: DatabaseSync, format: number): string[] {
  const problems: string[] = [];
  for (const row of database.prepare(`PRAGMA integrity_check(${PROBLEMS_MAX})`).all()) {
    if (row['integrity_check'] !== 'ok') problems.push(String(row['integrity_check']));
  }
  const each = (query: string, text: string): void => {
    for (const row of database.prepare(`${query} LIMIT ${PROBLEMS_MAX}`).all()) {
      problems.push(`revision ${String(row['revision'])}, "${String(row['name'])}": ${text}`);
    }
  };
  each(
    `SELECT revision, name FROM history WHERE value IS NOT NULL AND
      CASE WHEN json_valid(value) THEN json_type(value) <> 'object' ELSE 1 END`,
    'its value is no JSON object',
  );
  each('SELECT revision, name FROM history WHERE revision <= 0', 'a revision must be above 0');
  if (format > 1) {
    each(
      `SELECT revision, name FROM history
        WHERE NOT EXISTS (SELECT 1 FROM place WHERE id = history.place)`,
      'its kind and namespace are missing',
    );
  }
  return problems;
}

function numberOf(database: DatabaseSync, query: string): number {
  const { n } = database.prepare(query).get() ?? {};
  if (typeof n !== 'number') throw new Error(`it has no number for: ${query}`);
  return n;
}
