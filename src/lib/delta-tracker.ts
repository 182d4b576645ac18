// Desired, actual and the difference between them, for any keyed state that somebody else holds.

/**
 * Tracks what we want (desired) against what the other side has (actual). No I/O: the owner reads
 * the pending changes, makes them, and records what became of them with `setActual`/`deleteActual`.
 */
export class DeltaTracker<K, V> {
  readonly #desired = new Map<K, V>();
  readonly #actual = new Map<K, V>();
  readonly #dirty = new Set<K>();
  readonly #equal: (a: V, b: V) => boolean;

  constructor(equal: (a: V, b: V) => boolean = Object.is) {
    this.#equal = equal;
  }

  get desired(): ReadonlyMap<K, V> {
    return this.#desired;
  }

  get actual(): ReadonlyMap<K, V> {
    return this.#actual;
  }

  setDesired(key: K, value: V): void {
    this.#desired.set(key, value);
    this.#mark(key);
  }

  deleteDesired(key: K): void {
    this.#desired.delete(key);
    this.#mark(key);
  }

  /** Replaces the whole desired state. */
  replaceDesired(entries: Iterable<readonly [K, V]>): void {
    const next = new Map(entries);
    for (const key of this.#desired.keys()) if (!next.has(key)) this.deleteDesired(key);
    for (const [key, value] of next) this.setDesired(key, value);
  }

  setActual(key: K, value: V): void {
    this.#actual.set(key, value);
    this.#mark(key);
  }

  deleteActual(key: K): void {
    this.#actual.delete(key);
    this.#mark(key);
  }

  /** Replaces the whole actual state, as read back in a resync. */
  replaceActual(entries: Iterable<readonly [K, V]>): void {
    const next = new Map(entries);
    for (const key of this.#actual.keys()) if (!next.has(key)) this.deleteActual(key);
    for (const [key, value] of next) this.setActual(key, value);
  }

  get inSync(): boolean {
    return this.#dirty.size === 0;
  }

  /** Keys to create or change, with the value wanted. */
  pendingUpdates(): Map<K, V> {
    const updates = new Map<K, V>();
    for (const key of this.#dirty) {
      const value = this.#desired.get(key);
      if (value !== undefined) updates.set(key, value);
    }
    return updates;
  }

  /** Keys that the other side has and we do not want, with the value it has. */
  pendingDeletes(): Map<K, V> {
    const deletes = new Map<K, V>();
    for (const key of this.#dirty) {
      const value = this.#actual.get(key);
      if (value !== undefined && !this.#desired.has(key)) deletes.set(key, value);
    }
    return deletes;
  }

  #mark(key: K): void {
    const desired = this.#desired.get(key);
    const actual = this.#actual.get(key);
    const same =
      desired === undefined
        ? actual === undefined
        : actual !== undefined && this.#equal(desired, actual);
    if (same) this.#dirty.delete(key);
    else this.#dirty.add(key);
  }
}
