// What went wrong with a store's file, in words that say what to do about it.
import { dirname } from 'node:path';

/** Result codes of SQLite (sqlite3.h): the low byte is the kind of error, the rest says more. */
const [BUSY, READONLY, IOERR, CORRUPT, FULL, CANTOPEN, NOTADB] = [5, 8, 10, 11, 13, 14, 26];
const IOERR_SHMSIZE = 4874;
/** Of the operating system. */
const REFUSED = new Set(['EROFS', 'EACCES', 'EPERM']);

const RESTORE = 'restore a backup with `tortie datastore restore`';

/** The reason of an error that `node:sqlite` threw for the file at `path`; the message of any other. */
export function failureReason(error: unknown, path: string): string {
  const message = error instanceof Error ? error.message : String(error);
  const code = codeOf(error);
  const folder = dirname(path);
  if (code === IOERR_SHMSIZE || (code & 0xff) === FULL) {
    return (
      `the file system of "${folder}" is full: free some space there; ` +
      'what is acknowledged is safe, and writes succeed again without a restart'
    );
  }
  const refused = error instanceof Error && 'code' in error && REFUSED.has(String(error.code));
  if (refused || (code & 0xff) === READONLY) {
    return (
      `"${path}" cannot be written: see that the file system of "${folder}" is mounted ` +
      'read-write and that this user owns the file'
    );
  }
  switch (code & 0xff) {
    case BUSY:
      return 'another program is writing to it; stop that one first';
    case IOERR:
      return (
        `the disk failed (${message}): see the kernel's log (dmesg); where the file system of ` +
        `"${folder}" has become read-only, stop the server, repair it, mount it again and start`
      );
    case CANTOPEN:
      return (
        `see that the folder "${folder}" is there, writable for this user, mounted read-write ` +
        'and not full'
      );
    case CORRUPT:
    case NOTADB:
      return `it is damaged or no store (${message}); ${RESTORE}`;
    default:
      return message;
  }
}

/** Says what was tried, with which file, and what to do. */
export class StoreFileError extends Error {}

/** The act's outcome; what it throws becomes a `StoreFileError`, unless it is one. */
export function explained<T>(action: string, path: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (error instanceof StoreFileError) throw error;
    const reason = failureReason(error, path);
    throw new StoreFileError(`cannot ${action} "${path}": ${reason}`, { cause: error });
  }
}

/** 0 where it is no error of SQLite. */
function codeOf(error: unknown): number {
  const code: unknown = error instanceof Error && 'errcode' in error ? error.errcode : 0;
  return typeof code === 'number' ? code : 0;
}
