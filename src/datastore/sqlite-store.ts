// The embedded store: one SQLite file written by a worker thread, all of it cached in memory.
import { Worker } from 'node:worker_threads';
import type { FromWorker, Row, RowsMessage, ToWorker, WorkerOptions } from './sqlite-messages.ts';
import {
  RevisionConflict,
  type Store,
  type StoredValue,
  type StoreKey,
  type StorePage,
  type StoreListOptions,
  StoreUnavailable,
  type StoreWatch,
  type StoreWrite,
} from './store.ts';
import type { LogLimits } from './change-log.ts';
import type { Place } from './value-arena.ts';
import { type Compaction, WatchCache } from './watch-cache.ts';

export interface SqliteStoreOptions {
  /** The database file; it is created, its folder is not. */
  readonly path: string;
  /** How much of the change log is kept for watches that resume; 10,000 changes and 64 MiB. */
  readonly log?: LogLimits;
  /** Bytes of JSON text that are also kept parsed, 64 MiB by default: what is read most. */
  readonly parsedBytes?: number;
  /**
   * The least revision of what is written from now on, by default the time in milliseconds. A client that holds
   * a revision of an earlier store, or one that this store had before an older copy of its file was put in its
   * place, is then told to list again.
   */
  readonly firstRevision?: number;
  /** The thread died: nothing can be written any more and the process should end. */
  readonly onFatal?: (error: Error) => void;
}

/** What waits for a commit: a write, or (without one) a compaction. */
interface Pending {
  readonly row?: Row;
  readonly write?: StoreWrite;
  readonly durable: Promise<number>;
  readonly resolve: (revision: number) => void;
  readonly reject: (error: Error) => void;
}

const DEFAULT_LOG: LogLimits = { events: 10_000, bytes: 64 * 1024 * 1024 };
/** How often it is seen whether changes are too old to keep. */
const AGE_CHECK_MS = 10_000;

/** Opens or creates the store; rejects with an Error that names the file and what is wrong. */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<Store> {
  const store = new SqliteStore(options);
  try {
    await store.opened;
  } catch (error) {
    // Until then it may hold the file.
    await store.exited;
    throw error;
  }
  return store;
}

/**
 * Writes are checked against the newest accepted state, collected while a transaction is under way,
 * and committed together in the next one. They become visible only when they are durable.
 */
class SqliteStore implements Store {
  readonly opened: Promise<void>;
  readonly #path: string;
  readonly #worker: Worker;
  readonly exited: Promise<unknown>;
  readonly #onFatal: ((error: Error) => void) | undefined;
  #cache: WatchCache;
  /** The last write accepted for a key and not yet durable. */
  readonly #heads = new Map<string, Pending & { readonly row: Row }>();
  #nextRevision = 0;
  readonly #firstRevision: number;
  #queue: Pending[] = [];
  #committing: Pending[] = [];
  /** To be removed with the next commit, and with the one under way. */
  #compaction: Compaction | undefined;
  #compacting: Compaction | undefined;
  #settled: (() => void) | undefined;
  #closed: Error | undefined;
  #closing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: SqliteStoreOptions) {
    const { path, log = DEFAULT_LOG, firstRevision = Date.now(), parsedBytes, onFatal } = options;
    this.#path = path;
    this.#firstRevision = firstRevision;
    this.#onFatal = onFatal;
    this.#cache = new WatchCache(log, 0);
    const workerData: WorkerOptions = { path, firstRevision };
    this.#worker = new Worker(new URL('./sqlite-worker.ts', import.meta.url), { workerData });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.opened = promise;
    this.exited = new Promise((resolve) => this.#worker.once('exit', resolve));
    const places: Place[] = [];
    const onLoad = (message: FromWorker): void => {
      if (message.type === 'opened') {
        this.#cache = new WatchCache(log, message.compacted, { parsedBytes, refusesGaps: true });
      } else if (message.type === 'rows') this.#load(message.rows, places);
      else if (message.type === 'failed') {
        this.#closed = this.#failure('open', message.reason);
        reject(this.#closed);
      }
      if (message.type !== 'loaded') return;
      this.#cache.loaded();
      this.#resumeRevisions();
      this.#worker.off('message', onLoad).on('message', (answer) => this.#onAnswer(answer));
      if (log.ageMs !== undefined) this.#trimByAge(log.ageMs);
      resolve();
    };
    this.#worker.on('message', onLoad);
    const onDeath = (error: Error): void => {
      reject(error);
      this.#die(error);
    };
    this.#worker.on('error', (error) => onDeath(this.#failure('use', String(error))));
    this.#worker.on('exit', () => onDeath(this.#failure('use', 'its thread ended')));
  }

  get revision(): number {
    return this.#cache.revision;
  }

  async get(key: StoreKey): Promise<StoredValue | undefined> {
    return this.#cache.get(key);
  }

  async list(kind: string, options: StoreListOptions = {}): Promise<StorePage> {
    return this.#cache.list(kind, options);
  }

  async watch(watch: StoreWatch): Promise<() => void> {
    if (this.#closed) throw this.#closed;
    return this.#cache.watch(watch);
  }

  async sync(): Promise<number> {
    if (this.#closed) throw this.#closed;
    this.#cache.bookmark();
    return this.#cache.revision;
  }

  async compact(revision: number): Promise<void> {
    if (this.#closed) throw this.#closed;
    this.#compaction = both(this.#compaction, this.#cache.compact(revision));
    await this.#enqueue({});
  }

  async write(write: StoreWrite): Promise<number> {
    if (this.#closed) throw this.#closed;
    const { key, value, expected } = write;
    const actual = this.#currentRevision(key);
    if (expected !== undefined && expected !== actual) {
      // Whoever reads again must see what stood in the way: it is told once that is durable.
      await this.#heads.get(idOf(key))?.durable.catch(() => undefined);
      throw new RevisionConflict(key, expected, actual);
    }
    if (value === undefined && actual === 0) {
      await this.#heads.get(idOf(key))?.durable;
      return this.#cache.revision;
    }
    const text = value === undefined ? null : JSON.stringify(value);
    const row = { ...key, revision: this.#nextRevision++, value: text };
    return this.#enqueue({ row, write });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const wasOpen = this.#closed === undefined;
    this.#closed ??= new StoreUnavailable('the store is closed');
    clearInterval(this.#timer);
    this.#cache.end(new StoreUnavailable('the store is closed'));
    // What is forgotten goes from the file, or else with the first commit after the next start.
    if (wasOpen && this.#compaction) this.#enqueue({}).catch(() => undefined);
    while (this.#committing.length > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#settled = resolve;
      await promise;
    }
    this.#send({ type: 'close' });
    await this.exited;
  }

  /** With what is queued counted as done; 0: there is no such key. */
  #currentRevision(key: StoreKey): number {
    const head = this.#heads.get(idOf(key));
    if (head) return head.row.value === null ? 0 : head.row.revision;
    return this.#cache.revisionOf(key);
  }

  #resumeRevisions(): void {
    this.#nextRevision = Math.max(this.#cache.revision + 1, this.#firstRevision);
  }

  #load({ newPlaces, ...rows }: RowsMessage, places: Place[]): void {
    places.push(...newPlaces);
    this.#cache.load({ ...rows, places });
  }

  /** Also where nothing is written: what is old goes from the file. */
  #trimByAge(ageMs: number): void {
    const turn = (): void => {
      this.#compaction = both(this.#compaction, this.#cache.trim());
      // What fails now is tried again with the next commit.
      if (this.#compaction) this.#enqueue({}).catch(() => undefined);
    };
    this.#timer = setInterval(turn, Math.min(ageMs, AGE_CHECK_MS)).unref();
  }

  /** Resolves to the row's revision. */
  #enqueue({ row, write }: Pick<Pending, 'row' | 'write'>): Promise<number> {
    const { promise: durable, resolve, reject } = Promise.withResolvers<number>();
    if (row && write) {
      const pending = { row, write, durable, resolve, reject };
      this.#heads.set(idOf(row), pending);
      this.#queue.push(pending);
    } else this.#queue.push({ durable, resolve, reject });
    this.#commitNext();
    return durable;
  }

  #commitNext(): void {
    if (this.#committing.length > 0 || this.#queue.length === 0) return;
    this.#committing = this.#queue;
    this.#queue = [];
    this.#compacting = this.#compaction;
    this.#compaction = undefined;
    const rows = this.#committing.flatMap(({ row }) => row ?? []);
    this.#send({ type: 'commit', commit: { rows, compaction: this.#compacting } });
  }

  #send(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  #onAnswer(message: FromWorker): void {
    if (message.type === 'committed') this.#onCommitted();
    else if (message.type === 'failed') this.#onFailed(this.#failure('write', message.reason));
    this.#commitNext();
    if (this.#committing.length === 0) this.#settled?.();
  }

  #onCommitted(): void {
    const done = this.#committing;
    this.#committing = [];
    this.#compacting = undefined;
    for (const pending of done) {
      const { row, write, resolve } = pending;
      if (!row || !write) {
        resolve(this.#cache.revision);
        continue;
      }
      this.#cache.apply(write, row.revision, row.value);
      // A later write of the same key may be queued: then its head stays.
      if (this.#heads.get(idOf(row)) === pending) this.#heads.delete(idOf(row));
      resolve(row.revision);
    }
    this.#compaction = both(this.#compaction, this.#cache.trim());
  }

  /** What is queued was checked against what has just failed, so that it all fails together. */
  #onFailed(error: Error): void {
    const failed = [...this.#committing, ...this.#queue];
    this.#committing = [];
    this.#queue = [];
    this.#compaction = both(this.#compacting, this.#compaction);
    this.#heads.clear();
    this.#resumeRevisions();
    for (const { reject } of failed) reject(error);
  }

  #die(error: Error): void {
    const expected = this.#closed !== undefined;
    this.#closed ??= error;
    clearInterval(this.#timer);
    this.#onFailed(error);
    this.#cache.end(new StoreUnavailable(error.message, error));
    this.#settled?.();
    if (!expected) this.#onFatal?.(error);
  }

  #failure(action: string, reason: string): StoreUnavailable {
    return new StoreUnavailable(`cannot ${action} the store "${this.#path}": ${reason}`);
  }
}

function both(first?: Compaction, then?: Compaction): Compaction | undefined {
  if (!first || !then) return first ?? then;
  return { revision: then.revision, dropped: [...first.dropped, ...then.dropped] };
}

function idOf(key: StoreKey): string {
  return `${key.kind}\0${key.namespace}\0${key.name}`;
}
