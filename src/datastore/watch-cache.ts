// The store's contents and recent changes in memory: reads, lists at a revision, watches.
import { type Change, ChangeLog, type LogLimits } from './change-log.ts';
import { OrderedVersions } from './ordered-versions.ts';
import { ParsedValues } from './parsed-values.ts';
import {
  RevisionTooOld,
  type StoredObject,
  type StoredValue,
  type StoreEvent,
  type StoreKey,
  type StoreListOptions,
  type StorePage,
  type StoreUnavailable,
  type StoreWatch,
} from './store.ts';
import { type Place, ValueArena, Version } from './value-arena.ts';
import { concerns, WatcherIndex } from './watcher-index.ts';

/** Rows that nothing needs any more, and the oldest revision that a watch may still start from. */
export interface Compaction {
  readonly revision: number;
  readonly dropped: readonly number[];
}

/** Rows of the file in the order of their revisions, column by column. */
export interface LoadedRows {
  readonly revisions: Float64Array;
  /** Of each row, the index in `places`. */
  readonly placeOf: Int32Array;
  readonly places: readonly Place[];
  readonly names: readonly string[];
  /** Of the text in `bytes`, where those of all rows lie one after the other; -1: it was deleted. */
  readonly lengths: Int32Array;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export interface CacheOptions {
  /** JSON text that is also kept parsed, in bytes; 64 MiB by default. */
  readonly parsedBytes?: number | undefined;
  /** Revisions between two writes that follow one another were never given, and are refused as too old. */
  readonly refusesGaps?: boolean;
  /** Milliseconds of a clock that is never set. */
  readonly now?: () => number;
}

const PARSED_BYTES = 64 * 1024 * 1024;

interface Collection extends Place {
  readonly versions: OrderedVersions;
  /** What was loaded and is not yet sorted into `versions`, in the order of revisions. */
  loaded: Version[];
}

/** As a key had it at a revision: undefined where it was not there. */
type Then = Map<string, Version | undefined>;

export class WatchCache {
  readonly #kinds = new Map<string, Map<string, Collection>>();
  readonly #arena = new ValueArena();
  readonly #parsed: ParsedValues;
  readonly #watchers = new WatcherIndex();
  readonly #log: ChangeLog;
  readonly #now: () => number;
  readonly #refusesGaps: boolean;
  /** Where revisions were left out: the ones on either side. */
  #gaps: (readonly [after: number, before: number])[] = [];
  #compacted: number;
  #revision: number;

  /** `compacted`: every change up to it is folded into what is loaded or applied first. */
  constructor(limits: LogLimits, compacted: number, options: CacheOptions = {}) {
    const { parsedBytes = PARSED_BYTES, now = () => performance.now() } = options;
    this.#refusesGaps = options.refusesGaps === true;
    this.#log = new ChangeLog(limits);
    this.#parsed = new ParsedValues(parsedBytes);
    this.#now = now;
    this.#compacted = compacted;
    this.#revision = compacted;
  }

  get revision(): number {
    return this.#revision;
  }

  /** 0 where there is no such key. */
  revisionOf(key: StoreKey): number {
    return this.#find(key)?.revision ?? 0;
  }

  get(key: StoreKey): StoredValue | undefined {
    const version = this.#find(key);
    return version && this.#stored(version);
  }

  /** As `Store.list`. Costs the page, and what has changed of this kind since its revision. */
  list(kind: string, options: StoreListOptions): StorePage {
    const { namespace, at: revision = this.#revision, limit = Infinity, after } = options;
    this.#check(revision);
    const then = this.#then(kind, namespace, revision);
    const collections = this.#kinds.get(kind) ?? new Map<string, Collection>();
    const namespaces =
      namespace === undefined ? [...collections.keys(), ...then.keys()] : [namespace];
    const items: StoredValue[] = [];
    let total = 0;
    for (const place of [...new Set(namespaces)].sort(inOrder)) {
      if (after && inOrder(place, after.namespace) < 0) continue;
      const behind = after?.namespace === place ? after.name : undefined;
      const now = collections.get(place)?.versions;
      total += countAt(now, then.get(place), behind);
      if (items.length >= limit) continue;
      for (const version of versionsAt(now, then.get(place), behind)) {
        items.push(this.#stored(version));
        if (items.length >= limit) break;
      }
    }
    return { items, revision, remaining: total - items.length };
  }

  /** Takes rows of the file in, in the order of revisions; `loaded` comes after the last ones. */
  load({ revisions, placeOf, places, names, lengths, bytes }: LoadedRows): void {
    const texts: Version[] = [];
    const all: Version[] = [];
    for (const [index, name] of names.entries()) {
      const place = places[placeOf[index] ?? 0];
      if (!place) throw new Error(`row ${index} has no place`);
      const collection = this.#collection(place.kind, place.namespace);
      const version = new Version(collection, name, revisions[index] ?? 0);
      version.length = Math.max(0, lengths[index] ?? 0);
      if (lengths[index] !== -1) texts.push(version);
      all.push(version);
    }
    this.#arena.adopt(texts, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    for (const version of all) {
      const { kind, namespace } = version.place;
      const collection = this.#collection(kind, namespace);
      if (version.revision <= this.#compacted) {
        collection.loaded.push(version);
        continue;
      }
      if (collection.loaded.length > 0) this.#sort(collection);
      this.#store(collection, version);
    }
  }

  /** All rows are there. */
  loaded(): void {
    for (const collections of this.#kinds.values()) {
      for (const collection of collections.values()) this.#sort(collection);
    }
  }

  /** Of the rows up to the compaction, which the log has no part in, a key has one that counts. */
  #sort(collection: Collection): void {
    const { loaded, versions } = collection;
    collection.loaded = [];
    if (loaded.length === 0) return;
    loaded.sort((a, b) => compare(a.name, b.name) || a.revision - b.revision);
    const current = loaded.filter((version, index) => {
      if (version.name !== loaded[index + 1]?.name) return version.block !== undefined;
      this.#release(version);
      return false;
    });
    versions.fill(current);
    if (versions.size === 0) this.#kinds.get(collection.kind)?.delete(collection.namespace);
  }

  /** Takes one durable write in and tells whom it concerns. `text`: the value as JSON. */
  apply(
    { key, value }: { readonly key: StoreKey; readonly value: StoredObject | undefined },
    revision: number,
    text?: string | null,
  ): void {
    const collection = this.#collection(key.kind, key.namespace);
    const version = new Version(collection, key.name, revision);
    if (value) {
      this.#arena.put(version, text ?? JSON.stringify(value));
      this.#parsed.keep(version, value);
    }
    const change = this.#store(collection, version);
    if (change) this.#watchers.tell(this.#event(change, value));
  }

  /** Everything up to the revision has been taken in; there may be no change of ours at it. */
  advance(revision: number): void {
    this.#revision = Math.max(this.#revision, revision);
  }

  watch(watch: StoreWatch): () => void {
    this.#check(watch.from);
    for (const change of this.#log.after(watch.kind, watch.from)) {
      const { place, name } = change.version;
      if (concerns(watch, place.namespace, name)) watch.onEvent(this.#event(change));
    }
    return this.#watchers.add(watch);
  }

  /** Tells the watches how far they are. */
  bookmark(): void {
    this.#watchers.bookmark(this.#revision);
  }

  /** Ends every watch. */
  end(error: RevisionTooOld | StoreUnavailable): void {
    this.#watchers.end(error);
  }

  /** Forgets what is over the limits; undefined: nothing to do. */
  trim(): Compaction | undefined {
    const revision = this.#log.excess(this.#now());
    return revision === undefined ? undefined : this.compact(revision);
  }

  /** As `Store.compact`; undefined: nothing to do. */
  compact(revision: number): Compaction | undefined {
    if (revision > this.#revision) throw new RevisionTooOld(revision, this.#compacted);
    if (revision <= this.#compacted) return undefined;
    this.#compacted = revision;
    this.#gaps = this.#gaps.filter(([, before]) => before > revision);
    const dropped: number[] = [];
    for (const { version, previous } of this.#log.forget(revision)) {
      // The rows that it made useless: the one it replaced, and a deletion's own.
      if (!version.block) dropped.push(version.revision);
      if (!previous) continue;
      dropped.push(previous.revision);
      this.#release(previous);
    }
    return { revision, dropped };
  }

  /** Returns the change, where it is one that the log keeps. */
  #store(collection: Collection, version: Version): Change | undefined {
    const { versions } = collection;
    const deleted = version.block === undefined;
    const previous = deleted ? versions.delete(version.name) : versions.set(version);
    const collections = this.#kinds.get(collection.kind);
    if (versions.size === 0) collections?.delete(collection.namespace);
    else collections?.set(collection.namespace, collection);
    if (this.#refusesGaps && version.revision > this.#revision + 1) {
      this.#gaps.push([this.#revision, version.revision]);
    }
    // What is loaded may be older than what it was compacted at.
    this.advance(version.revision);
    if (version.revision <= this.#compacted) {
      if (previous) this.#release(previous);
      return undefined;
    }
    const change = { version, previous, time: this.#now() };
    this.#log.push(change);
    return change;
  }

  #release(version: Version): void {
    this.#parsed.forget(version);
    this.#arena.release(version);
  }

  #find({ kind, namespace, name }: StoreKey): Version | undefined {
    return this.#kinds.get(kind)?.get(namespace)?.versions.get(name);
  }

  #collection(kind: string, namespace: string): Collection {
    const collections = this.#kinds.get(kind) ?? new Map<string, Collection>();
    this.#kinds.set(kind, collections);
    const found = collections.get(namespace);
    if (found) return found;
    const collection = { kind, namespace, versions: new OrderedVersions(), loaded: [] };
    collections.set(namespace, collection);
    return collection;
  }

  /** What had another version at the revision than it has now, by namespace and name. */
  #then(kind: string, namespace: string | undefined, at: number): Map<string, Then> {
    const places = new Map<string, Then>();
    for (const { version, previous } of this.#log.after(kind, at)) {
      const { place, name } = version;
      if (namespace !== undefined && place.namespace !== namespace) continue;
      const names: Then = places.get(place.namespace) ?? new Map();
      places.set(place.namespace, names);
      // The first change after `at` tells what the key had at it.
      if (!names.has(name)) names.set(name, previous);
    }
    return places;
  }

  #stored(version: Version): StoredValue {
    const parsed = this.#parsed;
    return {
      key: keyOf(version),
      revision: version.revision,
      get value() {
        return parsed.read(version) ?? {};
      },
    };
  }

  /** Parsed only where somebody looks, and once for all who do. */
  #event({ version, previous }: Change, value?: StoredObject): StoreEvent {
    const parsed = this.#parsed;
    let now = value;
    let before: StoredObject | undefined;
    return {
      key: keyOf(version),
      revision: version.revision,
      get value() {
        now ??= parsed.read(version);
        return now;
      },
      get previous() {
        before ??= previous && parsed.read(previous);
        return before;
      },
    };
  }

  #check(revision: number): void {
    const isKept = revision >= this.#compacted && revision <= this.#revision;
    if (isKept && !this.#gaps.some(([after, before]) => revision > after && revision < before)) {
      return;
    }
    throw new RevisionTooOld(revision, this.#compacted);
  }
}

function keyOf({ place: { kind, namespace }, name }: Version): StoreKey {
  return { kind, namespace, name };
}

/** The versions of a namespace behind the name, in order: as they are, but for what was another then. */
function* versionsAt(
  now: OrderedVersions | undefined,
  then: Then | undefined,
  behind: string | undefined,
): Generator<Version, void> {
  const earlier = [...(then?.values() ?? [])]
    .filter((version) => version !== undefined)
    .filter(({ name }) => behind === undefined || name > behind)
    .sort((a, b) => compare(a.name, b.name));
  let next = 0;
  for (const version of now?.after(behind) ?? []) {
    if (then?.has(version.name)) continue;
    for (; (earlier[next]?.name ?? version.name) < version.name; next++)
      yield* earlier.slice(next, next + 1);
    yield version;
  }
  yield* earlier.slice(next);
}

/** How many `versionsAt` gives. */
function countAt(
  now: OrderedVersions | undefined,
  then: Then | undefined,
  behind: string | undefined,
): number {
  let count = now?.countAfter(behind) ?? 0;
  for (const [name, version] of then ?? []) {
    if (behind !== undefined && name <= behind) continue;
    count += (version ? 1 : 0) - (now?.get(name) ? 1 : 0);
  }
  return count;
}

/** Of namespaces, as they stand in `namespace/name`. */
function inOrder(a: string, b: string): number {
  return compare(`${a}/`, `${b}/`);
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
