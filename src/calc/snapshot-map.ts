// A map that changes, and its values over time: the same value while nothing changes, in the order of keys.
import { PersistentMap } from '#lib';

/** `equal`: an entry that is set to an equal value keeps the one it has. */
export class SnapshotMap<V extends NonNullable<unknown>> {
  readonly #equal: (a: V, b: V) => boolean;
  #values: PersistentMap<V> = PersistentMap.EMPTY;
  /** Those that were set or deleted since the last snapshot. */
  readonly #touched = new Set<string>();
  #snapshot: PersistentMap<V> = PersistentMap.EMPTY;

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
    this.#values = this.#values.with(key, same ? published : value);
    this.#touched.add(key);
  }

  delete(key: string): void {
    const rest = this.#values.without(key);
    if (rest !== this.#values) this.#touched.add(key);
    this.#values = rest;
  }

  /** The present entries by key; the same object as before where nothing changed. */
  snapshot(): ReadonlyMap<string, V> {
    for (const key of this.#touched) {
      if (this.#snapshot.get(key) === this.#values.get(key)) continue;
      this.#snapshot = this.#values;
      break;
    }
    this.#touched.clear();
    return this.#snapshot;
  }
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
