// The store's contents and recent changes in memory, and the index of who watches which of them.
import {
  RevisionTooOld,
  type StoredObject,
  type StoredValue,
  type StoreEvent,
  type StoreKey,
  type StoreListOptions,
  type StorePage,
  type StorePosition,
  type StoreUnavailable,
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

export class WatchCache {
  readonly #kinds = new Map<string, Namespaces>();
  /** The names of a namespace in their order, until one comes or goes. */
  readonly #names = new WeakMap<Map<string, StoredValue>, readonly string[]>();
  readonly #watchers = new Map<string, Watchers>();
  /** Every watch, and the revision of its last bookmark. */
  readonly #told = new Map<StoreWatch, number>();
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
  list(kind: string, options: StoreListOptions): StorePage {
    const { at: revision = this.#revision, limit = Infinity, after } = options;
    const all = this.#listAll(kind, options.namespace, revision);
    const rest = after ? all.filter(({ key }) => inOrder(key, after) > 0) : all;
    const items = rest.slice(0, limit);
    return { items, revision, remaining: rest.length - items.length };
  }

  #listAll(kind: string, namespace: string | undefined, at: number): StoredValue[] {
    this.#check(at);
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
    const changed = [...then.values()]
      .filter((item) => item !== undefined)
      .sort((a, b) => inOrder(a.key, b.key));
    const unchanged = now.filter(({ key }) => !then.has(placeOf(key)));
    // Both are in order, which the sort makes use of.
    return [...unchanged, ...changed].sort((a, b) => inOrder(a.key, b.key));
  }

  #current(kind: string, namespace: string | undefined): StoredValue[] {
    const namespaces = this.#kinds.get(kind);
    if (!namespaces) return [];
    const places =
      namespace === undefined
        ? [...namespaces.keys()].sort((a, b) => compare(`${a}/`, `${b}/`))
        : [namespace];
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
    this.#check(watch.from);
    for (let index = this.#firstAfter(watch.from); index < this.#log.length; index++) {
      const event = this.#log[index];
      if (event && matches(watch, event)) watch.onEvent(event);
    }
    this.#told.set(watch, watch.from);
    this.#bookmark(watch);
    const watchers = this.#watchers.get(watch.kind) ?? new Map<string, Set<StoreWatch>>();
    this.#watchers.set(watch.kind, watchers);
    const place = scopeOf(watch);
    const set = watchers.get(place) ?? new Set();
    watchers.set(place, set);
    set.add(watch);
    return () => {
      this.#told.delete(watch);
      set.delete(watch);
      if (set.size === 0 && watchers.get(place) === set) watchers.delete(place);
    };
  }

  /** Tells every watch how far it is. */
  bookmark(): void {
    for (const watch of this.#told.keys()) this.#bookmark(watch);
  }

  /** Everything up to the revision has been taken in; there may be no change of ours at it. */
  advance(revision: number): void {
    this.#revision = Math.max(this.#revision, revision);
  }

  /** Ends every watch. */
  end(error: RevisionTooOld | StoreUnavailable): void {
    const watches = [...this.#told.keys()];
    this.#told.clear();
    this.#watchers.clear();
    for (const { onEnd } of watches) onEnd?.(error);
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
    return this.#forget(count, size);
  }

  /** As `Store.compact`; undefined: nothing to do. */
  compact(revision: number): Compaction | undefined {
    if (revision > this.#revision) throw new RevisionTooOld(revision, this.#compacted);
    const count = this.#firstAfter(revision);
    const size = this.#log.slice(count).reduce((sum, entry) => sum + entry.size, 0);
    return this.#forget(count, size);
  }

  #forget(count: number, size: number): Compaction | undefined {
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
    if (!watchers) return;
    const { namespace, name } = event.key;
    for (const scope of [{}, { namespace }, { namespace, name }]) {
      for (const watch of watchers.get(scopeOf(scope)) ?? []) watch.onEvent(event);
    }
  }

  #bookmark(watch: StoreWatch): void {
    if (!watch.onBookmark || this.#told.get(watch) === this.#revision) return;
    this.#told.set(watch, this.#revision);
    watch.onBookmark(this.#revision);
  }

  #check(revision: number): void {
    if (revision >= this.#compacted && revision <= this.#revision) return;
    throw new RevisionTooOld(revision, this.#compacted);
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

/** What a watch is found by: everything of its kind, a namespace's, or one name's. */
function scopeOf(scope: { readonly namespace?: string; readonly name?: string }): string {
  const { namespace, name } = scope;
  if (namespace === undefined) return '*';
  return name === undefined ? `${namespace}/` : `${namespace}/${name}`;
}

function matches(
  watch: {
    readonly kind: string;
    readonly namespace?: string | undefined;
    readonly name?: string | undefined;
  },
  event: StoreEvent,
): boolean {
  if (event.key.kind !== watch.kind) return false;
  if (watch.name !== undefined && event.key.name !== watch.name) return false;
  return watch.namespace === undefined || event.key.namespace === watch.namespace;
}

/** The rows that a forgotten change made useless: the one it replaced, and a deletion's own. */
function supersededBy(entry: LogEntry): number[] {
  const rows = entry.previousRevision > 0 ? [entry.previousRevision] : [];
  if (entry.value === undefined) rows.push(entry.revision);
  return rows;
}

function inOrder(a: StorePosition, b: StorePosition): number {
  return compare(`${a.namespace}/`, `${b.namespace}/`) || compare(a.name, b.name);
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
