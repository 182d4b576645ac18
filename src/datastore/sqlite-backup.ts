// Copies a store while a server uses it, and puts a copy back in its place.
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { checkStore, newestRevision, reading, type StoreReport } from './sqlite-check.ts';
import { explained } from './sqlite-failure.ts';
import { formatOf, lockStore, openStoreFile, setMeta, transaction } from './sqlite-file.ts';

export interface Restored extends StoreReport {
  /** Where the store that was there before is now. */
  readonly replaced: string | undefined;
}

/**
 * Writes a copy of the store to a new file, durably: everything as it was at one revision, at least
 * all that was acknowledged before. Writers do not wait for it. Throws an Error that begins with
 * `cannot`, and leaves no file then.
 */
export function backupStore(path: string, target: string): StoreReport {
  refuseExisting(target);
  const partial = `${target}.partial`;
  try {
    copyStore(path, partial);
    const report = checked(partial, `the copy of "${path}"`);
    renameSync(partial, target);
    syncFolder(target);
    return report;
  } finally {
    removeCopy(partial);
  }
}

/**
 * Makes a backup the store at `path`; no server may be using that. What was there is kept beside it,
 * and is only replaced where `replace` says so. Clients that knew the earlier store are told that
 * their revisions are too old, and none of those is ever given again. `now`: milliseconds since 1970.
 */
export function restoreStore(
  backup: string,
  path: string,
  { replace, now }: { readonly replace: boolean; readonly now: number },
): Restored {
  checked(backup, `the backup "${backup}"`);
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const unlock = explained('restore the store', path, () => lockStore(path));
  const partial = `${path}.restoring`;
  try {
    if (existsSync(path) && !replace) {
      throw new Error(
        `cannot restore to "${path}": there is a store; with --replace it is put aside and kept`,
      );
    }
    const earlier = existsSync(path) ? earlierRevision(path) : 0;
    copyStore(backup, partial);
    explained('restore the store', path, () => startAnew(partial, { earlier, now }));
    const report = checked(partial, `the copy of "${backup}"`);
    const replaced = existsSync(path) ? `${path}.replaced-${earlier || now}` : undefined;
    if (replaced !== undefined) putAside(path, replaced);
    // From one moment to the next: at no time is there no store, which would be made anew.
    renameSync(partial, path);
    syncFolder(path);
    return { ...report, replaced };
  } finally {
    removeCopy(partial);
    unlock();
  }
}

/** A compact and durable copy at one revision. */
function copyStore(path: string, target: string): void {
  reading('copy', path, (database) => {
    explained('write', target, () => {
      removeCopy(target);
      // Nobody else may read what is in it, whatever the umask.
      closeSync(openSync(target, 'wx', 0o600));
      database.prepare('VACUUM INTO ?').run(target);
      const file = openSync(target, 'r');
      fsyncSync(file);
      closeSync(file);
    });
  });
}

function checked(path: string, what: string): StoreReport {
  const report = checkStore(path);
  const [problem] = report.problems;
  if (problem === undefined) return report;
  const more = report.problems.length > 1 ? ` and ${report.problems.length - 1} more` : '';
  throw new Error(`cannot use ${what}: ${problem}${more}; see \`tortie datastore check\``);
}

/** Its changes are folded into its values, at a revision above all that anyone was ever told. */
function startAnew(path: string, { earlier, now }: { earlier: number; now: number }): void {
  const database = openStoreFile(path, now);
  try {
    const revision = Math.max(newestRevision(database), earlier, now) + 1;
    transaction(database, () => {
      database.exec(
        `DELETE FROM history WHERE value IS NULL OR
          revision NOT IN (SELECT max(revision) FROM history GROUP BY place, name)`,
      );
      setMeta(database, 'compacted', revision);
    });
  } finally {
    // As the last one that has it open, this puts its log into the file and removes it.
    database.close();
  }
}

/** 0 where the store that is there cannot be read any more. Puts its log into its file. */
function earlierRevision(path: string): number {
  const database = new DatabaseSync(path);
  try {
    return formatOf(database) === undefined ? 0 : newestRevision(database);
  } catch {
    return 0;
  } finally {
    database.close();
  }
}

/** The store stays where it is, and has another name too; a log that belongs to it goes along. */
function putAside(path: string, replaced: string): void {
  for (const end of ['-wal', '-shm']) {
    if (existsSync(`${path}${end}`)) renameSync(`${path}${end}`, `${replaced}${end}`);
  }
  linkSync(path, replaced);
}

/** With what SQLite leaves beside it where it fails. */
function removeCopy(path: string): void {
  for (const end of ['', '-journal', '-wal', '-shm']) rmSync(`${path}${end}`, { force: true });
}

function refuseExisting(path: string): void {
  if (!existsSync(path)) return;
  throw new Error(`cannot back up to "${path}": it exists; choose another name or remove it`);
}

function syncFolder(path: string): void {
  const folder = openSync(dirname(path), 'r');
  fsyncSync(folder);
  closeSync(folder);
}
