// The store over etcd v3 in Calico's key layout: etcd decides, a mirror of it answers.
import { parseDuration } from '#api';
import { isObject } from '#lib';
import type { LogLimits } from '../change-log.ts';
import {
  RevisionConflict,
  type Store,
  type StoredValue,
  type StoreKey,
  type StoreListOptions,
  type StorePage,
  StoreUnavailable,
  type StoreWatch,
  type StoreWrite,
} from '../store.ts';
import { encodeValue, etcdKeyOf } from './calico-layout.ts';
import {
  type Answer,
  EtcdConnection,
  type EtcdConnectionOptions,
  EtcdRefusal,
  type EtcdTls,
} from './etcd-connection.ts';
import {
  COMPARE_EQUAL,
  COMPARE_GREATER,
  COMPARE_MOD_REVISION,
  compact,
  txn,
  type TxnRequest,
  type TxnResponse,
} from './etcd-messages.ts';
import { EtcdMirror } from './etcd-mirror.ts';
import { isForgotten } from './key-load.ts';
import { compactPeriodically } from './periodic-compaction.ts';
import { renewPeriodically } from './renewed-certificates.ts';
import type { InputOf } from '#lib/protobuf-message';

export interface EtcdStoreOptions extends EtcdConnectionOptions {
  /** Reads the certificates again, which are then renewed without a restart; those of `tls` are the first. */
  readonly readTls?: () => EtcdTls;
  /** Milliseconds between looks at them (10 s). */
  readonly renewMs?: number;
  /** How much of the changes is kept in memory for watches that resume. */
  readonly log?: LogLimits;
  /** What goes on although something is wrong: values that are none, a broken watch. */
  readonly onTrouble?: (error: Error) => void;
  /** etcd is another than it was, or was set back: the process should end, and begin anew. */
  readonly onFatal?: (error: Error) => void;
}

const DEFAULT_LOG: LogLimits = { events: 10_000, bytes: 64 * 1024 * 1024 };
const TIMEOUT_MS = 10_000;
/** Has Calico's setting for how long changes are kept, and its default. */
const CONTROLLERS: StoreKey = {
  kind: 'kubecontrollersconfigurations.projectcalico.org',
  namespace: '',
  name: 'default',
};
const COMPACTION_MS = 600_000;
const RENEW_MS = 10_000;

/** Rejects with `StoreUnavailable` where no endpoint can be reached, or with what etcd refuses. */
export async function openEtcdStore(options: EtcdStoreOptions): Promise<Store> {
  const store = new EtcdStore(options);
  try {
    await store.begin();
  } catch (error) {
    await store.close();
    throw error;
  }
  return store;
}

/**
 * Every read first asks etcd for its revision, shared by all who read at that time, and waits until
 * the mirror has that much: other servers' writes are seen. A write is acknowledged when the mirror
 * has it.
 */
class EtcdStore implements Store {
  readonly #connection: EtcdConnection;
  readonly #mirror: EtcdMirror;
  /** The last write of a key that is under way: those of one key go one after the other. */
  readonly #turns = new Map<string, Promise<unknown>>();
  readonly #options: EtcdStoreOptions;
  #endCompaction: (() => void) | undefined;
  #endRenewal: (() => void) | undefined;

  constructor(options: EtcdStoreOptions) {
    this.#options = options;
    const { log = DEFAULT_LOG, timeoutMs = TIMEOUT_MS, onTrouble, onFatal } = options;
    this.#connection = new EtcdConnection({ ...options, timeoutMs });
    this.#mirror = new EtcdMirror(this.#connection, {
      log,
      timeoutMs,
      onTrouble: (error) => onTrouble?.(error),
      onFatal: (error) => onFatal?.(error),
    });
  }

  async begin(): Promise<void> {
    await this.#mirror.load();
    await this.#mirror.current();
    this.#endCompaction = compactPeriodically({
      period: () => this.#compactionPeriod(),
      revision: () => this.revision,
      compact: (revision) => this.compact(revision),
      onTrouble: (error) => this.#mirror.trouble('cannot compact', error),
    });
    const { tls, readTls, renewMs = RENEW_MS } = this.#options;
    if (!readTls) return;
    this.#endRenewal = renewPeriodically({
      current: tls,
      read: readTls,
      renew: (renewed) => this.#connection.renew(renewed),
      everyMs: renewMs,
      onTrouble: (error) => this.#mirror.trouble('cannot take new certificates for etcd', error),
    });
  }

  get revision(): number {
    return this.#mirror.cache.revision;
  }

  async get(key: StoreKey): Promise<StoredValue | undefined> {
    await this.#mirror.current();
    return this.#mirror.cache.get(key);
  }

  async list(kind: string, options: StoreListOptions = {}): Promise<StorePage> {
    if (options.at === undefined || options.at > this.revision) await this.#mirror.current();
    return this.#mirror.cache.list(kind, options);
  }

  async watch(watch: StoreWatch): Promise<() => void> {
    await this.#mirror.loading;
    if (watch.from > this.revision) await this.#mirror.current();
    if (this.#mirror.ended) throw this.#mirror.ended;
    return this.#mirror.cache.watch(watch);
  }

  async sync(): Promise<number> {
    await this.#mirror.current();
    this.#mirror.cache.bookmark();
    return this.revision;
  }

  async compact(revision: number): Promise<void> {
    if (revision > this.revision) await this.#mirror.current();
    this.#mirror.cache.compact(revision);
    try {
      await this.#mirror.call(compact, { revision });
    } catch (error) {
      if (!isForgotten(error)) throw error;
    }
  }

  write(write: StoreWrite): Promise<number> {
    if (this.#mirror.ended) return Promise.reject(this.#mirror.ended);
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
    // Writes under way resolve when they are durable: nobody will read them here.
    this.#mirror.end(new StoreUnavailable('the store is closed'));
    this.#endCompaction?.();
    this.#endRenewal?.();
    while (this.#turns.size > 0) await Promise.all(this.#turns.values());
    this.#connection.close();
  }

  async #write(write: StoreWrite): Promise<number> {
    const { key, value, expected } = write;
    const place = await this.#placeOf(write);
    if (place === undefined) {
      if (expected !== undefined && expected !== 0) throw new RevisionConflict(key, expected, 0);
      return this.revision;
    }
    const text = value && encodeValue(place, key, value);
    const { response, isRepeat } = await this.#transact({
      compare: compareOf(place, write),
      success: [
        text === undefined ? { deleteRange: { key: place } } : { put: { key: place, value: text } },
      ],
      failure: [{ range: { key: place } }],
    });
    if (response.succeeded) return this.#mirror.seen(response.header?.revision ?? 0);
    const stands = response.responses[0]?.range?.kvs[0];
    const actual = stands?.modRevision ?? 0;
    // Whoever reads again sees what stands in the way.
    await (actual > 0 ? this.#mirror.seen(actual) : this.#mirror.current());
    // That may be this very write, whose answer was lost.
    if (isRepeat && stands?.value === text) return actual > 0 ? actual : this.revision;
    if (expected === undefined) return this.revision;
    throw new RevisionConflict(key, expected, actual);
  }

  async #transact(request: InputOf<typeof TxnRequest>): Promise<Answer<typeof TxnResponse>> {
    try {
      return await this.#mirror.call(txn, request);
    } catch (error) {
      if (!(error instanceof StoreUnavailable) || error.cause instanceof EtcdRefusal) throw error;
      throw new StoreUnavailable(`${error.message}; the write may have taken effect`, error);
    }
  }

  /** Undefined: there is nothing to delete. Throws on what would move an object to another key. */
  async #placeOf({ key, value, expected }: StoreWrite): Promise<string | undefined> {
    const fixed = etcdKeyOf(key);
    if (fixed !== undefined) return fixed;
    if (value === undefined && this.#mirror.cache.revisionOf(key) === 0) {
      await this.#mirror.current();
    }
    const held = etcdKeyOf(key, this.#mirror.cache.get(key)?.value);
    if (value === undefined) return held;
    const place = etcdKeyOf(key, value);
    if (held === undefined || held === place) return place;
    const actual = this.#mirror.cache.revisionOf(key);
    if (expected === 0 && actual > 0) throw new RevisionConflict(key, expected, actual);
    throw new Error(
      `${key.kind} "${key.name}" would move to another key of etcd: what it is for cannot ` +
        'change; delete it and create it anew',
    );
  }

  #compactionPeriod(): number {
    const spec = this.#mirror.cache.get(CONTROLLERS)?.value['spec'];
    const text = isObject(spec) ? spec['etcdV3CompactionPeriod'] : undefined;
    return (typeof text === 'string' ? parseDuration(text) : undefined) ?? COMPACTION_MS;
  }
}

interface CompareInput {
  readonly key: string;
  readonly target: number;
  readonly result: number;
  readonly modRevision: number;
}

function compareOf(place: string, { value, expected }: StoreWrite): readonly CompareInput[] {
  const about = { key: place, target: COMPARE_MOD_REVISION };
  if (expected !== undefined) return [{ ...about, result: COMPARE_EQUAL, modRevision: expected }];
  // Deleting what is not there makes no revision.
  return value === undefined ? [{ ...about, result: COMPARE_GREATER, modRevision: 0 }] : [];
}
