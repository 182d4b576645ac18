// Lines of a file or of standard input, one at a time however long the input is.
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { readingProblem } from '#datastore/client';
import { UsageError } from './cli-error.ts';
import type { Terminal } from './terminal.ts';

/** `-` is standard input. Throws UsageError where the file cannot be read. */
export async function* readLines(path: string, terminal: Terminal): AsyncGenerator<string> {
  const input = path === '-' ? terminal.inputStream() : createReadStream(path, 'utf8');
  try {
    yield* createInterface({ input, crlfDelay: Infinity });
  } catch (error) {
    // What the reader of the lines throws never comes here: only the input's own failures do.
    throw new UsageError(`Cannot read ${path}: ${readingProblem(error)}`);
  }
}
