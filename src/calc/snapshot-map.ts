// A map that changes, and its values over time: the same value while nothing changes, in the order of keys.
import { compareCodePoints } from '#lib';

/** Above this many new keys since the last snapshot, sorting all is less work than inserting each. */
const INSERT_MAX = 64;

/** `equal`: an entry that is set to an equal value keeps the one it has. */
export class SnapshotMap<V> {
  readonly #equal: (a: V, b: V) => boolean;
  readonly #values = new Map<string, V>();
  /** Those that were set or deleted since the last snapshot. */
  readonly #touched = new Set<string>();
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
    // What went and came back since the last snapshot is what was there.
    const published = this.#snapshot.get(key);
    const same = published !== undefined && this.#equal(published, value);
    this.#values.set(key, same ? published : value);
    this.#touched.add(key);
  }

  delete(key: string): void {
    if (this.#values.delete(key)) this.#touched.add(key);
  }

  /** The present entries by key; the same object as before where nothing changed. */
  snapshot(): ReadonlyMap<string, V> {
    const changed = [...this.#touched].filter(
      (key) => this.#snapshot.get(key) !== this.#values.get(key),
    );
    this.#touched.clear();
    if (changed.length === 0) return this.#snapshot;
    const isSameKeys = changed.every((key) => this.#snapshot.has(key) && this.#values.has(key));
    this.#snapshot = isSameKeys ? this.#replaced(changed) : this.#ordered(changed);
    return this.#snapshot;
  }

  #replaced(changed: readonly string[]): Map<string, V> {
    const next = new Map(this.#snapshot);
    for (const key of changed) {
      const value = this.#values.get(key);
      if (value !== undefined) next.set(key, value);
    }
    return next;
  }

  #ordered(changed: readonly string[]): Map<string, V> {
    const added = changed.filter((key) => this.#values.has(key) && !this.#snapshot.has(key));
    if (added.length > INSERT_MAX) this.#keys = [...this.#values.keys()].sort(compareCodePoints);
    else {
      this.#keys = this.#keys.filter((key) => this.#values.has(key));
      for (const key of added) insertSorted(this.#keys, key);
    }
    const next = new Map<string, V>();
    for (const key of this.#keys) {
      const value = this.#values.get(key);
      if (value !== undefined) next.set(key, value);
    }
    return next;
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
