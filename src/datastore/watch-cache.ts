// The store's contents and recent changes in memory, and the index of who watches which of them.
import {
  RevisionTooOld,
  type StoredObject,
  type StoredValue,
  type StoreEvent,
  type StoreKey,
  type StoreListOptions,
  type StoreWatch,
} from './store.ts';

export interface LogLimits {
  /** At least 1. The log may grow to twice this before it is trimmed. */
  readonly events: number;
  /** Of JSON text, likewise. */
  readonly bytes: number;
}

/** Rows that nothing needs any more, and the oldest revision that a watch may still start from. */
export interface Compaction {
  readonly revision: number;
  readonly dropped: readonly number[];
}

interface LogEntry extends StoreEvent {
  readonly previousRevision: number;
  readonly size: number;
}

type Namespaces = Map<string, Map<string, StoredValue>>;
type Watchers = Map<string, Set<StoreWatch>>;

const EVERY_NAMESPACE = '*';

export class WatchCache {
  readonly #kinds = new Map<string, Namespaces>();
  /** The names of a namespace in their order, until one comes or goes. */
  readonly #names = new WeakMap<Map<string, StoredValue>, readonly string[]>();
  readonly #watchers = new Map<string, Watchers>();
  readonly #limits: LogLimits;
  #log: LogEntry[] = [];
  #logBytes = 0;
  #compacted: number;
  #revision: number;

  /** `compacted`: every change up to it is folded into the values that `load` brings. */
  constructor(limits: LogLimits, compacted: number) {
    this.#limits = limits;
    this.#compacted = compacted;
    this.#revision = compacted;
  }

  get revision(): number {
    return this.#revision;
  }

  get(key: StoreKey): StoredValue | undefined {
    return this.#kinds.get(key.kind)?.get(key.namespace)?.get(key.name);
  }

  /** Throws `RevisionTooOld` where `at` is before what the log reaches back to, or to come. */
  list(kind: string, { namespace, at = this.#revision }: StoreListOptions): StoredValue[] {
    if (at < this.#compacted || at > this.#revision) throw new RevisionTooOld(at, this.#compacted);
    const now = this.#current(kind, namespace);
    const then = new Map<string, StoredValue | undefined>();
    for (let index = this.#firstAfter(at); index < this.#log.length; index++) {
      const entry = this.#log[index];
      if (!entry || !matches({ kind, namespace }, entry)) continue;
      // The first change after `at` tells what the key had at it.
      const { key, previous, previousRevision } = entry;
      if (then.has(placeOf(key))) continue;
      then.set(placeOf(key), previous && { key, value: previous, revision: previousRevision });
    }
    if (then.size === 0) return now;
    const changed = [...then.values()].filter((item) => item !== undefined).sort(inOrder);
    const unchanged = now.filter(({ key }) => !then.has(placeOf(key)));
    // Both are in order, which the sort makes use of.
    return [...unchanged, ...changed].sort(inOrder);
  }

  #current(kind: string, namespace: string | undefined): StoredValue[] {
    const namespaces = this.#kinds.get(kind);
    if (!namespaces) return [];
    const places = namespace === undefined ? [...namespaces.keys()].sort() : [namespace];
    return places.flatMap((place) => this.#ordered(namespaces.get(place)));
  }

  #ordered(values: Map<string, StoredValue> | undefined): StoredValue[] {
    if (!values) return [];
    const names = this.#names.get(values) ?? [...values.keys()].sort();
    this.#names.set(values, names);
    return names.map((name) => values.get(name)).filter((item) => item !== undefined);
  }

  /** Takes one durable write in: a value (undefined deletes), and the size of its JSON text. */
  apply(write: { key: StoreKey; value: StoredObject | undefined }, revision: number, size: number) {
    const { key, value } = write;
    const before = this.get(key);
    this.#store(key, value, revision);
    this.#revision = revision;
    if (revision <= this.#compacted) return;
    const previousRevision = before?.revision ?? 0;
    const event = { key, revision, value, previous: before?.value, previousRevision, size };
    this.#log.push(event);
    this.#logBytes += size;
    this.#notify(event);
  }

  watch(watch: StoreWatch): () => void {
    if (watch.from < this.#compacted || watch.from > this.#revision) {
      throw new RevisionTooOld(watch.from, this.#compacted);
    }
    for (let index = this.#firstAfter(watch.from); index < this.#log.length; index++) {
      const event = this.#log[index];
      if (event && matches(watch, event)) watch.onEvent(event);
    }
    const watchers = this.#watchers.get(watch.kind) ?? new Map<string, Set<StoreWatch>>();
    this.#watchers.set(watch.kind, watchers);
    const name = watch.namespace ?? EVERY_NAMESPACE;
    const set = watchers.get(name) ?? new Set();
    watchers.set(name, set);
    set.add(watch);
    return () => {
      set.delete(watch);
      if (set.size === 0 && watchers.get(name) === set) watchers.delete(name);
    };
  }

  /** Forgets the oldest changes once the log is twice over its limits; undefined: nothing to do. */
  trim(): Compaction | undefined {
    const { events, bytes } = this.#limits;
    if (this.#log.length <= events * 2 && this.#logBytes <= bytes * 2) return undefined;
    let count = 0;
    let size = this.#logBytes;
    while (count < this.#log.length - 1 && (this.#log.length - count > events || size > bytes)) {
      size -= this.#log[count]?.size ?? 0;
      count++;
    }
    const forgotten = this.#log.slice(0, count);
    const last = forgotten.at(-1);
    if (!last) return undefined;
    this.#log = this.#log.slice(count);
    this.#logBytes = size;
    this.#compacted = last.revision;
    return { revision: last.revision, dropped: forgotten.flatMap(supersededBy) };
  }

  #store(key: StoreKey, value: StoredObject | undefined, revision: number): void {
    const namespaces = this.#kinds.get(key.kind) ?? new Map<string, Map<string, StoredValue>>();
    this.#kinds.set(key.kind, namespaces);
    const values = namespaces.get(key.namespace) ?? new Map<string, StoredValue>();
    const before = values.size;
    if (value === undefined) values.delete(key.name);
    else values.set(key.name, { key, value, revision });
    if (values.size !== before) this.#names.delete(values);
    if (values.size === 0) namespaces.delete(key.namespace);
    else namespaces.set(key.namespace, values);
  }

  #notify(event: StoreEvent): void {
    const watchers = this.#watchers.get(event.key.kind);
    for (const name of [event.key.namespace, EVERY_NAMESPACE]) {
      for (const watch of watchers?.get(name) ?? []) watch.onEvent(event);
    }
  }

  #firstAfter(revision: number): number {
    let low = 0;
    let high = this.#log.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#log[middle]?.revision ?? 0) > revision) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

function placeOf({ namespace, name }: StoreKey): string {
  return `${namespace}\0${name}`;
}

function matches(
  watch: { readonly kind: string; readonly namespace?: string | undefined },
  event: StoreEvent,
): boolean {
  if (event.key.kind !== watch.kind) return false;
  return watch.namespace === undefined || event.key.namespace === watch.namespace;
}

/** The rows that a forgotten change made useless: the one it replaced, and a deletion's own. */
function supersededBy(entry: LogEntry): number[] {
  const rows = entry.previousRevision > 0 ? [entry.previousRevision] : [];
  if (entry.value === undefined) rows.push(entry.revision);
  return rows;
}

function inOrder(a: StoredValue, b: StoredValue): number {
  return compare(a.key.namespace, b.key.namespace) || compare(a.key.name, b.key.name);
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
