// The store over etcd v3 in Calico's key layout: etcd decides, and all of it is cached in memory by one watch.
import { parseDuration } from '#api';
import { isObject } from '#lib';
import {
  RevisionConflict,
  RevisionTooOld,
  type Store,
  type StoredValue,
  type StoreKey,
  type StoreListOptions,
  type StorePage,
  StoreUnavailable,
  type StoreWatch,
  type StoreWrite,
} from '../store.ts';
import type { LogLimits } from '../change-log.ts';
import { WatchCache } from '../watch-cache.ts';
import {
  decodeValue,
  encodeValue,
  etcdKeyOf,
  FENCE,
  type Placed,
  ROOT,
  storeKeyOf,
} from './calico-layout.ts';
import {
  type Answer,
  type EtcdConnectionOptions,
  EtcdConnection,
  EtcdRefusal,
} from './etcd-connection.ts';
import {
  COMPARE_EQUAL,
  COMPARE_GREATER,
  COMPARE_MOD_REVISION,
  compact,
  EVENT_DELETE,
  type KeyValue,
  put,
  range,
  txn,
  type TxnRequest,
  type TxnResponse,
  type WatchEvent,
} from './etcd-messages.ts';
import { isForgotten, loadKeys } from './key-load.ts';
import { KeyWatch } from './key-watch.ts';
import { compactPeriodically } from './periodic-compaction.ts';
import type { InputOf } from './protobuf-message.ts';
import { RevisionGate } from './revision-gate.ts';

export interface EtcdStoreOptions extends EtcdConnectionOptions {
  /** How much of the changes is kept in memory for watches that resume. */
  readonly log?: LogLimits;
  /** What goes on although something is wrong: values that are none, a broken watch. */
  readonly onTrouble?: (error: Error) => void;
  /** etcd is another than it was, or was set back: the process should end, and begin anew. */
  readonly onFatal?: (error: Error) => void;
}

const DEFAULT_LOG: LogLimits = { events: 10_000, bytes: 64 * 1024 * 1024 };
/** How long the watch may be behind a read before a write of ours asks it where it is. */
const WATCH_LAG_MS = 20;
const TIMEOUT_MS = 10_000;
/** Has Calico's setting for how long changes are kept, and its default. */
const CONTROLLERS: StoreKey = {
  kind: 'kubecontrollersconfigurations.projectcalico.org',
  namespace: '',
  name: 'default',
};
const COMPACTION_MS = 600_000;

/** Rejects with `StoreUnavailable` where no endpoint can be reached, or with what etcd refuses. */
export async function openEtcdStore(options: EtcdStoreOptions): Promise<Store> {
  const store = new EtcdStore(options);
  try {
    await store.load();
    await store.sync();
    store.compactPeriodically();
  } catch (error) {
    await store.close();
    throw error;
  }
  return store;
}

/**
 * Every read first asks etcd for its revision, shared by all who read at that time, and waits until
 * the watch has brought that much: other servers' writes are seen. A write is acknowledged when the
 * watch has brought it.
 */
class EtcdStore implements Store {
  readonly #options: EtcdStoreOptions;
  readonly #connection: EtcdConnection;
  readonly #gate = new RevisionGate();
  #cache: WatchCache;
  #watch: KeyWatch | undefined;
  #loading: Promise<void> = Promise.resolve();
  #clusterId: string | undefined;
  /** The barrier that began before now, and the one that is to begin after it. */
  #barrier: Promise<void> = Promise.resolve();
  #nextBarrier: Promise<void> | undefined;
  /** The last write of a key that is under way: those of one key go one after the other. */
  readonly #turns = new Map<string, Promise<unknown>>();
  #endCompaction: (() => void) | undefined;
  #closed: StoreUnavailable | undefined;

  constructor(options: EtcdStoreOptions) {
    this.#options = options;
    this.#connection = new EtcdConnection(options);
    this.#cache = new WatchCache(options.log ?? DEFAULT_LOG, 0);
  }

  /** Reads everything, as it was as far back as the log may reach, and follows from there. */
  load(): Promise<void> {
    this.#loading = this.#load();
    return this.#loading;
  }

  /** Until the store is closed. */
  compactPeriodically(): void {
    this.#endCompaction = compactPeriodically({
      period: () => this.#compactionPeriod(),
      revision: () => this.#cache.revision,
      compact: (revision) => this.compact(revision),
      onTrouble: (error) => this.#trouble('cannot compact', error),
    });
  }

  get revision(): number {
    return this.#cache.revision;
  }

  async get(key: StoreKey): Promise<StoredValue | undefined> {
    await this.#current();
    return this.#cache.get(key);
  }

  async list(kind: string, options: StoreListOptions = {}): Promise<StorePage> {
    if (options.at === undefined || options.at > this.#cache.revision) await this.#current();
    return this.#cache.list(kind, options);
  }

  async watch(watch: StoreWatch): Promise<() => void> {
    if (this.#closed) throw this.#closed;
    await this.#loading;
    if (watch.from > this.#cache.revision) await this.#current();
    return this.#cache.watch(watch);
  }

  async sync(): Promise<number> {
    await this.#current();
    this.#cache.bookmark();
    return this.#cache.revision;
  }

  async compact(revision: number): Promise<void> {
    if (revision > this.#cache.revision) await this.#current();
    this.#cache.compact(revision);
    try {
      await this.#call(() => this.#connection.call(compact, { revision }));
    } catch (error) {
      if (!isForgotten(error)) throw error;
    }
  }

  write(write: StoreWrite): Promise<number> {
    if (this.#closed) return Promise.reject(this.#closed);
    const { kind, namespace, name } = write.key;
    const id = `${kind}\0${namespace}\0${name}`;
    const before = this.#turns.get(id) ?? Promise.resolve();
    const turn = before.then(() => this.#write(write));
    // One that fails holds up nobody.
    const settled = turn.then(
      () => undefined,
      () => undefined,
    );
    this.#turns.set(id, settled);
    void settled.then(() => {
      if (this.#turns.get(id) === settled) this.#turns.delete(id);
    });
    return turn;
  }

  async close(): Promise<void> {
    this.#closed ??= new StoreUnavailable('the store is closed');
    this.#cache.end(this.#closed);
    // Writes under way resolve when they are durable: nobody will read them here.
    this.#gate.close();
    while (this.#turns.size > 0) await Promise.all(this.#turns.values());
    this.#endCompaction?.();
    this.#watch?.end();
    this.#connection.close();
  }

  async #write(write: StoreWrite): Promise<number> {
    const { key, value, expected } = write;
    const place = await this.#placeOf(write);
    if (place === undefined) {
      if (expected !== undefined && expected !== 0) throw new RevisionConflict(key, expected, 0);
      return this.#cache.revision;
    }
    const text = value && encodeValue(place, key, value);
    const { response, isRepeat } = await this.#transact({
      compare: compareOf(place, write),
      success: [
        text === undefined ? { deleteRange: { key: place } } : { put: { key: place, value: text } },
      ],
      failure: [{ range: { key: place } }],
    });
    if (response.succeeded) return this.#seen(response.header?.revision ?? 0);
    const stands = response.responses[0]?.range?.kvs[0];
    const actual = stands?.modRevision ?? 0;
    // What stands in the way may be this very write, whose answer was lost.
    if (isRepeat && stands?.value === text) {
      return actual > 0 ? this.#seen(actual) : this.#current().then(() => this.#cache.revision);
    }
    await (actual > 0 ? this.#seen(actual) : this.#current());
    if (expected === undefined) return this.#cache.revision;
    throw new RevisionConflict(key, expected, actual);
  }

  async #transact(request: InputOf<typeof TxnRequest>): Promise<Answer<typeof TxnResponse>> {
    try {
      return await this.#call(() => this.#connection.call(txn, request));
    } catch (error) {
      if (!(error instanceof StoreUnavailable) || error.cause instanceof EtcdRefusal) throw error;
      throw new StoreUnavailable(`${error.message}; the write may have taken effect`, error);
    }
  }

  /** Undefined: there is nothing to delete. Throws on what would move an object to another key. */
  async #placeOf({ key, value }: StoreWrite): Promise<string | undefined> {
    if (value === undefined) {
      const known = etcdKeyOf(key, this.#cache.get(key)?.value);
      if (known !== undefined) return known;
      await this.#current();
      return etcdKeyOf(key, this.#cache.get(key)?.value);
    }
    const place = etcdKeyOf(key, value);
    const current = this.#cache.get(key);
    if (current && etcdKeyOf(key, current.value) !== place) {
      throw new Error(
        `${key.kind} "${key.name}" would move to another key of etcd: what it is for cannot ` +
          'change; delete it and create it anew',
      );
    }
    return place;
  }

  /** Resolves once all that anyone had acknowledged before the call is in the cache. */
  #current(): Promise<void> {
    if (this.#closed) return Promise.reject(this.#closed);
    this.#nextBarrier ??= this.#barrier
      .then(
        () => undefined,
        () => undefined,
      )
      .then(() => {
        this.#nextBarrier = undefined;
        this.#barrier = this.#awaitCurrent();
        return this.#barrier;
      });
    return this.#nextBarrier;
  }

  async #awaitCurrent(): Promise<void> {
    await this.#loading;
    const before = this.#cache.revision;
    const revision = await this.#head(before);
    if (await this.#gate.passed(revision, WATCH_LAG_MS)) return;
    // Keys of others have revisions too, which the watch does not tell of: this one it will.
    const { response } = await this.#call(() =>
      this.#connection.call(put, { key: FENCE, value: '' }),
    );
    const timeout = this.#options.timeoutMs ?? TIMEOUT_MS;
    if (await this.#gate.passed(response.header?.revision ?? 0, timeout)) return;
    if (this.#closed) throw this.#closed;
    throw new StoreUnavailable(
      `the watch of etcd at ${this.#connection.endpoints} is behind; try again`,
    );
  }

  /** etcd's revision, which is at least `least` as long as it is the etcd that it was. */
  async #head(least: number): Promise<number> {
    const { response } = await this.#call(() =>
      this.#connection.call(range, { key: FENCE, keysOnly: true }),
    );
    const { revision = 0, clusterId = '' } = response.header ?? {};
    this.#clusterId ??= clusterId;
    if (clusterId === this.#clusterId && revision >= least) return revision;
    const error = new StoreUnavailable(
      `etcd at ${this.#connection.endpoints} is not what it was: it is at revision ${revision} of ` +
        `cluster ${clusterId}, and was at ${least} of ${this.#clusterId}; start the server again`,
    );
    this.#cache.end(error);
    this.#options.onFatal?.(error);
    throw error;
  }

  async #load(): Promise<void> {
    const limits = this.#options.log ?? DEFAULT_LOG;
    const head = await this.#head(this.#cache.revision);
    const { base, pairs } = await this.#call(() =>
      loadKeys(this.#connection, { prefix: ROOT, head, history: limits.events }),
    );
    const cache = new WatchCache(limits, base);
    for (const pair of pairs) this.#apply(cache, pair, pair.value);
    cache.advance(base);
    this.#cache = cache;
    this.#gate.open(base);
    this.#watch = new KeyWatch(this.#connection, {
      prefix: ROOT,
      from: base,
      onEvents: (events) => this.#onEvents(events),
      onProgress: (revision) => this.#advance(revision),
      onForgotten: () => this.#onForgotten(),
      onTrouble: (error) => this.#trouble(`the watch broke: ${error.message}`, error),
    });
  }

  #onEvents(events: readonly WatchEvent[]): void {
    for (const { type, kv } of events) {
      if (kv) this.#apply(this.#cache, kv, type === EVENT_DELETE ? undefined : kv.value);
    }
    this.#cache.trim();
    this.#advance(events.at(-1)?.kv?.modRevision ?? 0);
  }

  #advance(revision: number): void {
    this.#cache.advance(revision);
    this.#gate.open(this.#cache.revision);
  }

  /** A value that is none counts as absent. */
  #apply(cache: WatchCache, pair: KeyValue, text: string | undefined): void {
    const key = storeKeyOf(pair.key);
    if (!key) return;
    const held = cache.get(key);
    if (held && etcdKeyOf(key, held.value) !== pair.key) {
      this.#trouble(`"${pair.key}" has the name of another object, ${key.name}; it is left out`);
      return;
    }
    const placed = text === undefined ? undefined : this.#decoded(pair);
    if (!placed && !held) return;
    cache.apply({ key, value: placed?.value }, pair.modRevision, placed?.text);
  }

  #decoded(pair: KeyValue): Placed | undefined {
    try {
      return decodeValue(pair);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#trouble(`the value of "${pair.key}" is left out: ${reason}`, error);
      return undefined;
    }
  }

  /** The watch was away for longer than etcd keeps changes: nobody can be told what was between. */
  #onForgotten(): void {
    if (this.#closed) return;
    const { revision } = this.#cache;
    this.#cache.end(new RevisionTooOld(revision, revision + 1));
    this.load().catch((error: unknown) => {
      this.#trouble('cannot read etcd again', error);
      setTimeout(() => this.#onForgotten(), 1_000).unref();
    });
  }

  #compactionPeriod(): number {
    const spec = this.#cache.get(CONTROLLERS)?.value['spec'];
    const text = isObject(spec) ? spec['etcdV3CompactionPeriod'] : undefined;
    return (typeof text === 'string' ? parseDuration(text) : undefined) ?? COMPACTION_MS;
  }

  async #seen(revision: number): Promise<number> {
    await this.#gate.passed(revision);
    return revision;
  }

  /** What etcd refuses for good is said with what to do. */
  async #call<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof EtcdRefusal) || isForgotten(error)) throw error;
      const advice = /space exceeded/.test(error.message)
        ? '; compact and defragment it, then disarm the alarm (etcdctl alarm disarm)'
        : '; check the user, its roles and the limits of etcd';
      throw new StoreUnavailable(`etcd refuses: ${error.message}${advice}`, error);
    }
  }

  #trouble(message: string, cause?: unknown): void {
    if (!this.#closed) this.#options.onTrouble?.(new Error(`etcd: ${message}`, { cause }));
  }
}

function compareOf(place: string, { value, expected }: StoreWrite): readonly CompareInput[] {
  const about = { key: place, target: COMPARE_MOD_REVISION };
  if (expected !== undefined) return [{ ...about, result: COMPARE_EQUAL, modRevision: expected }];
  // Deleting what is not there makes no revision.
  return value === undefined ? [{ ...about, result: COMPARE_GREATER, modRevision: 0 }] : [];
}

interface CompareInput {
  readonly key: string;
  readonly target: number;
  readonly result: number;
  readonly modRevision: number;
}
