// The folders of captures below one root: where they are, what files they hold, and how these are removed.
import { closeSync, fstatSync, openSync, readdirSync, readSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { CAPTURE_ENDING } from './ring-file.ts';

/** Names of namespaces, captures and pods: they become names of files. */
const SAFE_NAME = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/;
const NAME_MAX = 253;

/** Throws RangeError for names that no object can have. */
export function captureFolder(root: string, namespace: string, name: string): string {
  for (const part of [namespace, name]) {
    if (!SAFE_NAME.test(part) || part.length > NAME_MAX) {
      throw new RangeError(`${JSON.stringify(part)} is no name of a namespace or a capture`);
    }
  }
  return join(root, namespace, name);
}

/** Names of a folder's capture files; none where there is no folder. */
export function captureFiles(directory: string): string[] {
  return namesIn(directory, false)
    .filter((name) => name.endsWith(CAPTURE_ENDING))
    .sort();
}

/** Every folder of a capture below a root. */
export function captureFolders(root: string): { namespace: string; name: string }[] {
  return namesIn(root, true).flatMap((namespace) =>
    namesIn(join(root, namespace), true).map((name) => ({ namespace, name })),
  );
}

/** Removes the capture files of a folder, and the folders that are empty then. */
export function removeCaptureFiles(directory: string): void {
  for (const name of captureFiles(directory)) rmSync(join(directory, name), { force: true });
  for (const folder of [directory, join(directory, '..')]) removeEmpty(folder);
}

function removeEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch (error) {
    if (!hasCode(error, 'ENOTEMPTY', 'ENOENT', 'EEXIST', 'EBUSY')) throw error;
  }
}

/** The file's bytes as they are when it is opened, in pieces; nothing where it went meanwhile. */
export function* readPieces(path: string, pieceBytes: number): Generator<Uint8Array> {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return;
    throw error;
  }
  try {
    let left = fstatSync(fd).size;
    while (left > 0) {
      const piece = Buffer.allocUnsafe(Math.min(pieceBytes, left));
      const length = readSync(fd, piece);
      if (length === 0) return;
      left -= length;
      yield piece.subarray(0, length);
    }
  } finally {
    closeSync(fd);
  }
}

function namesIn(folder: string, folders: boolean): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => (folders ? entry.isDirectory() : entry.isFile()))
      .map(({ name }) => name);
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}

function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}
