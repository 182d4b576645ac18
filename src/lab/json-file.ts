// JSON files that one process writes and others read at any moment: whole or not at all.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';

/** Replaces the file in one step. Not readable by other users. */
export function writeJsonFile(path: string, value: unknown): void {
  const draft = `${path}.${process.pid}.new`;
  writeFileSync(draft, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600 });
  renameSync(draft, path);
}

/** The value; undefined where there is no such file, or no JSON in it. */
export function readJsonFile(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
