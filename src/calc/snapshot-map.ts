// A map that changes, and its values over time: the same value while nothing changes, in the order of keys.
import { compareCodePoints } from '#lib';

/** Above this many new keys since the last snapshot, sorting all is less work than inserting each. */
const INSERT_MAX = 64;

/** `equal`: an entry that is set to an equal value keeps the one it has. */
export class SnapshotMap<V> {
  readonly #equal: (a: V, b: V) => boolean;
  readonly #values = new Map<string, V>();
  readonly #newKeys = new Set<string>();
  #goneKeys = false;
  #changed = false;
  #keys: string[] = [];
  #snapshot: ReadonlyMap<string, V> = new Map();

  constructor(equal: (a: V, b: V) => boolean) {
    this.#equal = equal;
  }

  get(key: string): V | undefined {
    return this.#values.get(key);
  }

  set(key: string, value: V): void {
    const before = this.#values.get(key);
    if (before !== undefined && (before === value || this.#equal(before, value))) return;
    // An entry that went and came back since the last snapshot is the one that was there.
    const published = before === undefined ? this.#snapshot.get(key) : undefined;
    const same = published !== undefined && this.#equal(published, value);
    this.#values.set(key, same ? published : value);
    if (before === undefined) this.#newKeys.add(key);
    this.#changed = true;
  }

  delete(key: string): void {
    if (!this.#values.delete(key)) return;
    this.#newKeys.delete(key);
    this.#goneKeys = true;
    this.#changed = true;
  }

  /** The present entries by key; the same object as before where nothing changed. */
  snapshot(): ReadonlyMap<string, V> {
    if (!this.#changed) return this.#snapshot;
    this.#sortKeys();
    const next = new Map<string, V>();
    let same = this.#keys.length === this.#snapshot.size;
    for (const key of this.#keys) {
      const value = this.#values.get(key);
      if (value === undefined) continue;
      next.set(key, value);
      same = same && this.#snapshot.get(key) === value;
    }
    this.#changed = false;
    if (!same) this.#snapshot = next;
    return this.#snapshot;
  }

  #sortKeys(): void {
    if (this.#newKeys.size > INSERT_MAX) {
      this.#keys = [...this.#values.keys()].sort(compareCodePoints);
    } else {
      if (this.#goneKeys) this.#keys = this.#keys.filter((key) => this.#values.has(key));
      for (const key of this.#newKeys) insertSorted(this.#keys, key);
    }
    this.#newKeys.clear();
    this.#goneKeys = false;
  }
}

function insertSorted(keys: string[], key: string): void {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareCodePoints(keys[middle] ?? '', key) < 0) low = middle + 1;
    else high = middle;
  }
  if (keys[low] !== key) keys.splice(low, 0, key);
}

/** The values of a map in the order of its keys, as a list that is the same object while they are the same. */
export class SnapshotList<V> {
  #of: ReadonlyMap<string, V> | undefined;
  #list: readonly V[] = [];

  list(snapshot: ReadonlyMap<string, V>): readonly V[] {
    if (snapshot !== this.#of) this.#list = [...snapshot.values()];
    this.#of = snapshot;
    return this.#list;
  }
}
