// The values that were read or written lately, parsed: whoever reads one shares it with the others.
import type { StoredObject } from './store.ts';
import { textOf, type Version } from './value-arena.ts';

/** Two generations: what is not read while one fills up goes with the older. */
export class ParsedValues {
  readonly #bytes: number;
  #young = new Map<Version, StoredObject>();
  #old = new Map<Version, StoredObject>();
  #youngBytes = 0;

  /** `bytes` of JSON text, at most, are kept parsed. */
  constructor(bytes: number) {
    this.#bytes = bytes;
  }

  /** Undefined for a deletion. Throws where the file was damaged. */
  read(version: Version): StoredObject | undefined {
    if (!version.block) return undefined;
    const young = this.#young.get(version);
    if (young) return young;
    const value = this.#old.get(version) ?? parse(version);
    this.keep(version, value);
    return value;
  }

  /** What the version's text says. */
  keep(version: Version, value: StoredObject): void {
    this.#young.set(version, value);
    this.#youngBytes += version.length;
    if (this.#youngBytes * 2 <= this.#bytes) return;
    this.#old = this.#young;
    this.#young = new Map();
    this.#youngBytes = 0;
  }

  /** Nobody will ask for it again. */
  forget(version: Version): void {
    if (this.#young.delete(version)) this.#youngBytes -= version.length;
    this.#old.delete(version);
  }
}

function parse(version: Version): StoredObject {
  try {
    // Only objects are written.
    return JSON.parse(textOf(version)) as StoredObject;
  } catch (error) {
    const { place, name, revision } = version;
    throw new Error(
      `${place.kind} ${place.namespace}/${name} is damaged at revision ${revision}: ` +
        'see `tortie datastore check`, and restore a backup',
      { cause: error },
    );
  }
}
