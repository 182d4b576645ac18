// Finds the test corpora, which are never part of the project: $CORPORA, else ../shared/corpora beside it.
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const root =
  process.env['CORPORA'] ?? resolve(import.meta.dirname, '..', '..', '..', 'shared', 'corpora');

/** Why the tests over a corpus cannot run; false where they can. For node:test's `skip`. */
export function corpusMissing(folder: string): string | false {
  const path = join(root, folder);
  return existsSync(path) ? false : `no corpus at ${path}; set CORPORA to its parent folder`;
}

/** A corpus file's rows. The caller states their type, as the corpus' README does. */
export function readCorpus<Row>(path: string): Row[] {
  return readCorpusFile<Row[]>(path);
}

/** A corpus file as one JSON value of the stated type. */
export function readCorpusFile<Content>(path: string): Content {
  return JSON.parse(readFileSync(join(root, path), 'utf8')) as Content;
}
