// The end of a log file, for messages.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

const BYTES_MAX = 4096;
const LINES_MAX = 12;

/** The last lines under a heading; empty where there is nothing in the log. */
export function logTail(label: string, path: string): string[] {
  const lines = lastText(path)
    .split('\n')
    .filter((line) => line !== '')
    .slice(-LINES_MAX);
  return lines.length === 0
    ? []
    : [`the end of ${path} (${label}):`, ...lines.map((it) => `  ${it}`)];
}

function lastText(path: string): string {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch {
    return '';
  }
  try {
    const { size } = fstatSync(file);
    const buffer = Buffer.alloc(Math.min(size, BYTES_MAX));
    readSync(file, buffer, 0, buffer.length, size - buffer.length);
    return buffer.toString('utf8');
  } finally {
    closeSync(file);
  }
}
