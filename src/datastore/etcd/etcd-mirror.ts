// All of etcd that is ours, in memory: read once, followed by one watch, and known to be current on demand.
import type { LogLimits } from '../change-log.ts';
import { RevisionTooOld, StoreUnavailable } from '../store.ts';
import { WatchCache } from '../watch-cache.ts';
import { decodeValue, etcdKeyOf, FENCE, type Placed, ROOT, storeKeyOf } from './calico-layout.ts';
import { type Answer, type EtcdConnection, EtcdRefusal } from './etcd-connection.ts';
import {
  clusterOf,
  EVENT_DELETE,
  type KeyValue,
  type Method,
  put,
  range,
  type WatchEvent,
} from './etcd-messages.ts';
import { isForgotten, oldestKept, readKeys } from './key-load.ts';
import { KeyWatch } from './key-watch.ts';
import type { Encodable, Fields, Message } from '#lib/protobuf-message';
import { RevisionGate } from './revision-gate.ts';

export interface EtcdMirrorOptions {
  readonly log: LogLimits;
  /** How long the watch may take to bring what is known to be there. */
  readonly timeoutMs: number;
  readonly onTrouble: (error: Error) => void;
  /** etcd is another than it was. */
  readonly onFatal: (error: StoreUnavailable) => void;
}

/** How long the watch may be behind a read before a write of ours asks it where it is. */
const WATCH_LAG_MS = 20;
const READ_ATTEMPTS = 5;
const READ_AGAIN_MS = 1_000;

export class EtcdMirror {
  readonly #connection: EtcdConnection;
  readonly #options: EtcdMirrorOptions;
  readonly #gate = new RevisionGate();
  #cache: WatchCache;
  #watch: KeyWatch | undefined;
  #loading: Promise<void> = Promise.resolve();
  #clusterId: string | undefined;
  /** The barrier that began before now, and the one that is to begin after it. */
  #barrier: Promise<void> = Promise.resolve();
  #nextBarrier: Promise<void> | undefined;
  #ended: StoreUnavailable | undefined;

  constructor(connection: EtcdConnection, options: EtcdMirrorOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#cache = new WatchCache(options.log, 0);
  }

  /** As it is now; another one after all was read again. */
  get cache(): WatchCache {
    return this.#cache;
  }

  /** Why nothing is served any more. */
  get ended(): StoreUnavailable | undefined {
    return this.#ended;
  }

  /** While all is read again; rejects where that cannot be. */
  get loading(): Promise<void> {
    return this.#loading;
  }

  /** Reads everything, as it was as far back as the log may reach, and follows from there. */
  load(): Promise<void> {
    this.#loading = this.#load();
    return this.#loading;
  }

  /** Watches end with the error; nothing more is told or waited for. */
  end(error: StoreUnavailable): void {
    this.#ended ??= error;
    this.#watch?.end();
    this.#cache.end(error);
    this.#gate.close();
  }

  /** Resolves once all that anyone had acknowledged before the call is in the cache. */
  current(): Promise<void> {
    if (this.#ended) return Promise.reject(this.#ended);
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

  /** Resolves to the revision once the watch has brought it, or nothing is waited for any more. */
  async seen(revision: number): Promise<number> {
    await this.#gate.passed(revision);
    return revision;
  }

  /** A call of the etcd that this mirrors. What it refuses for good is said with what to do. */
  async call<Request extends Fields, Response extends Fields>(
    method: Method<Request, Response>,
    request: Encodable<Request>,
  ): Promise<Answer<Message<Response>>> {
    const answer = await explained(this.#connection.call(method, request));
    const clusterId = clusterOf(answer.response);
    this.#clusterId ??= clusterId;
    if (clusterId === this.#clusterId) return answer;
    throw this.#abandon(`it is cluster ${clusterId}, and was ${this.#clusterId}`);
  }

  trouble(message: string, cause: unknown): void {
    if (!this.#ended) this.#options.onTrouble(new Error(`etcd: ${message}`, { cause }));
  }

  async #awaitCurrent(): Promise<void> {
    await this.#loading;
    const revision = await this.#head();
    if (await this.#gate.passed(revision, WATCH_LAG_MS)) return;
    // Keys of others have revisions too, which the watch does not tell of: this one it will.
    const { response } = await this.call(put, { key: FENCE, value: '' });
    const fence = response.header?.revision ?? 0;
    if (await this.#gate.passed(fence, this.#options.timeoutMs)) return;
    const { endpoints } = this.#connection;
    throw (
      this.#ended ?? new StoreUnavailable(`the watch of etcd at ${endpoints} is behind; try again`)
    );
  }

  /** etcd's revision: as long as it is the etcd that it was, not before what it had told before the call. */
  async #head(): Promise<number> {
    const told = this.#cache.revision;
    const { response } = await this.call(range, { key: FENCE, keysOnly: true });
    const revision = response.header?.revision ?? 0;
    if (revision >= told) return revision;
    throw this.#abandon(`it is at revision ${revision}, and was at ${told}`);
  }

  /** Nothing more is taken from this etcd. */
  #abandon(reason: string): StoreUnavailable {
    const { endpoints } = this.#connection;
    const error = new StoreUnavailable(
      `etcd at ${endpoints} is not what it was: ${reason}; start the server again`,
    );
    if (this.#ended) return error;
    this.end(error);
    this.#options.onFatal(error);
    return error;
  }

  async #load(): Promise<void> {
    const { base, cache } = await this.#read();
    this.#cache = cache;
    this.#gate.open(base);
    this.#watch = new KeyWatch(this.#connection, {
      prefix: ROOT,
      from: base,
      clusterId: this.#clusterId ?? '',
      onEvents: (events) => this.#onEvents(events),
      onProgress: (revision) => this.#advance(revision),
      onForgotten: () => this.#onForgotten(),
      onStranger: (clusterId) =>
        void this.#abandon(`it is cluster ${clusterId}, and was ${this.#clusterId}`),
      onTrouble: (error) => this.trouble(`the watch broke: ${error.message}`, error),
    });
    // It may have ended while this was read.
    if (this.#ended) this.end(this.#ended);
  }

  /** All that is at the oldest revision that etcd keeps and the log may reach back to. */
  async #read(): Promise<{ readonly base: number; readonly cache: WatchCache }> {
    const { log } = this.#options;
    for (let attempt = 1; ; attempt++) {
      const head = await this.#head();
      const kept = { key: FENCE, head, history: log.events };
      const base = await explained(oldestKept(this.#connection, kept));
      const cache = new WatchCache(log, base);
      try {
        for await (const pairs of readKeys(this.#connection, ROOT, base)) {
          for (const pair of pairs) this.#apply(cache, pair, pair.value);
        }
        cache.advance(base);
        return { base, cache };
      } catch (error) {
        // A compaction overtook it.
        if (!isForgotten(error) || attempt === READ_ATTEMPTS) throw withAdvice(error);
      }
    }
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
    const isHeld = cache.revisionOf(key) > 0;
    if (isHeld && (etcdKeyOf(key) ?? etcdKeyOf(key, cache.get(key)?.value)) !== pair.key) {
      const message = `"${pair.key}" has the name of another object, ${key.name}; it is left out`;
      this.trouble(message, undefined);
      return;
    }
    const placed = text === undefined ? undefined : this.#decoded(pair);
    if (!placed && !isHeld) return;
    cache.apply({ key, value: placed?.value }, pair.modRevision, placed?.text);
  }

  #decoded(pair: KeyValue): Placed | undefined {
    try {
      return decodeValue(pair);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.trouble(`the value of "${pair.key}" is left out: ${reason}`, error);
      return undefined;
    }
  }

  /** The watch was away for longer than etcd keeps changes: nobody can be told what was between. */
  #onForgotten(): void {
    if (this.#ended) return;
    const { revision } = this.#cache;
    this.#cache.end(new RevisionTooOld(revision, revision + 1));
    this.load().catch((error: unknown) => {
      this.trouble('cannot read all again', error);
      setTimeout(() => this.#onForgotten(), READ_AGAIN_MS).unref();
    });
  }
}

async function explained<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw withAdvice(error);
  }
}

function withAdvice(error: unknown): unknown {
  if (!(error instanceof EtcdRefusal) || isForgotten(error)) return error;
  const advice = /space exceeded/.test(error.message)
    ? 'compact and defragment it, then disarm the alarm (etcdctl alarm disarm)'
    : 'check the user, its roles and the limits of etcd';
  return new StoreUnavailable(`etcd refuses: ${error.message}; ${advice}`, error);
}
