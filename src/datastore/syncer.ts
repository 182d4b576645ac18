// Keeps a copy of some kinds in step with the server: list, watch, resume, and list again.
import { setTimeout as delay } from 'node:timers/promises';
import type { KindDefinition, Resource } from '#api';
import { ApiError } from './api-error.ts';
import type { ApiClient, WatchEvent } from './client.ts';
import { resourceKey } from './resource-path.ts';

export { resourceKey };

export interface SyncerUpdate {
  readonly kind: KindDefinition;
  /** As `resourceKey` makes it: unique over all kinds. */
  readonly key: string;
  /** Undefined: it is gone. */
  readonly resource: Resource | undefined;
}

/**
 * `waiting`: nothing listed yet. `resync`: some kind is not listed yet, or its watch is lost (what
 * was delivered still stands). `in-sync`: every kind is listed and watched.
 */
export type SyncerStatus = 'waiting' | 'resync' | 'in-sync';

export interface SyncerCallbacks {
  /** In order for each key; several kinds may be mixed. */
  onUpdates(updates: readonly SyncerUpdate[]): void;
  /** Called on each change, after the updates that led to it. */
  onStatus(status: SyncerStatus): void;
  /** Why a kind could not be listed or watched; it is tried again by itself. */
  onError?(kind: KindDefinition, error: unknown): void;
}

/** Time and chance, replaced in tests. */
export interface SyncerClock {
  /** Milliseconds; rejects when `signal` aborts. */
  sleep(milliseconds: number, signal: AbortSignal): Promise<void>;
  /** In [0, 1). */
  random(): number;
}

export interface SyncerOptions {
  readonly client: Pick<ApiClient, 'list' | 'watch'>;
  readonly kinds: readonly KindDefinition[];
  readonly callbacks: SyncerCallbacks;
  readonly clock?: SyncerClock;
}

const FIRST_BACKOFF = 200;
const LAST_BACKOFF = 10_000;

const systemClock: SyncerClock = {
  sleep: (milliseconds, signal) => delay(milliseconds, undefined, { signal }),
  random: Math.random,
};

interface KindState {
  readonly kind: KindDefinition;
  /** uid and resourceVersion of each resource delivered, by key. */
  readonly known: Map<string, string>;
  /** Where to watch from; undefined: list first. */
  resourceVersion: string | undefined;
  inSync: boolean;
  failures: number;
  /** Ends the watch that is open, so that it is opened again. */
  reopen: AbortController | undefined;
}

/** Lists and watches each kind by itself; joins what arrives together into one call. */
export class Syncer {
  readonly #options: SyncerOptions;
  readonly #clock: SyncerClock;
  readonly #abort = new AbortController();
  readonly #states: KindState[];
  #loops: Promise<void>[] = [];
  #pending: SyncerUpdate[] = [];
  #flush: NodeJS.Immediate | undefined;
  #status: SyncerStatus | undefined;

  constructor(options: SyncerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#states = options.kinds.map((kind) => ({
      kind,
      known: new Map(),
      resourceVersion: undefined,
      inSync: false,
      failures: 0,
      reopen: undefined,
    }));
  }

  get status(): SyncerStatus {
    return this.#status ?? 'waiting';
  }

  start(): void {
    if (this.#loops.length > 0) throw new Error('the syncer was started already');
    this.#report('waiting');
    this.#loops = this.#states.map((state) => this.#run(state));
  }

  /** Ends all watches; no callback is called after it resolves. */
  async stop(): Promise<void> {
    this.#abort.abort();
    await Promise.all(this.#loops);
    if (this.#flush) clearImmediate(this.#flush);
    this.#pending = [];
  }

  async #run(state: KindState): Promise<void> {
    const { signal } = this.#abort;
    while (!signal.aborted) {
      try {
        if (state.resourceVersion === undefined) await this.#list(state);
        await this.#watch(state);
        await this.#pause(FIRST_BACKOFF);
      } catch (error) {
        if (signal.aborted) return;
        if (!state.reopen?.signal.aborted) await this.#recover(state, error);
      }
    }
  }

  async #recover(state: KindState, error: unknown): Promise<void> {
    if (error instanceof ApiError && error.gone) {
      state.resourceVersion = undefined;
      this.#reopenOthers(state);
    }
    state.inSync = false;
    this.#updateStatus();
    this.#options.callbacks.onError?.(state.kind, error);
    const ceiling = Math.min(LAST_BACKOFF, FIRST_BACKOFF * 2 ** Math.min(state.failures, 10));
    state.failures++;
    await this.#pause(ceiling);
  }

  /** The server may have another store: each watch asks whether it knows the revision that it is at. */
  #reopenOthers(state: KindState): void {
    for (const other of this.#states) {
      if (other === state || !other.inSync) continue;
      other.inSync = false;
      other.reopen?.abort();
    }
  }

  async #pause(ceiling: number): Promise<void> {
    const wait = ceiling * (0.5 + this.#clock.random() / 2);
    await this.#clock.sleep(wait, this.#abort.signal).catch(() => undefined);
  }

  async #list(state: KindState): Promise<void> {
    const { items, resourceVersion } = await this.#options.client.list(state.kind, {
      signal: this.#abort.signal,
    });
    if (this.#abort.signal.aborted) return;
    const gone = new Set(state.known.keys());
    for (const resource of items) {
      gone.delete(resourceKey(state.kind, resource.metadata));
      this.#deliver(state, resource);
    }
    for (const key of gone) this.#remove(state, key);
    state.resourceVersion = resourceVersion;
    this.#settle(state);
  }

  async #watch(state: KindState): Promise<void> {
    const { resourceVersion } = state;
    if (resourceVersion === undefined) return;
    const reopen = new AbortController();
    state.reopen = reopen;
    const events = this.#options.client.watch(state.kind, {
      resourceVersion,
      signal: AbortSignal.any([this.#abort.signal, reopen.signal]),
      onOpen: () => this.#settle(state),
    });
    for await (const event of events) {
      if (this.#abort.signal.aborted || reopen.signal.aborted) return;
      state.failures = 0;
      this.#apply(state, event);
    }
  }

  #apply(state: KindState, event: WatchEvent): void {
    const { metadata } = event.object;
    if (event.type === 'DELETED') this.#remove(state, resourceKey(state.kind, metadata));
    else if (event.type !== 'BOOKMARK') this.#deliver(state, event.object);
    if (metadata.resourceVersion) state.resourceVersion = metadata.resourceVersion;
  }

  #deliver(state: KindState, resource: Resource): void {
    const key = resourceKey(state.kind, resource.metadata);
    const { uid = '', resourceVersion = '' } = resource.metadata;
    const version = `${uid} ${resourceVersion}`;
    if (resourceVersion !== '' && state.known.get(key) === version) return;
    state.known.set(key, version);
    this.#enqueue({ kind: state.kind, key, resource });
  }

  #remove(state: KindState, key: string): void {
    if (state.known.delete(key)) this.#enqueue({ kind: state.kind, key, resource: undefined });
  }

  #enqueue(update: SyncerUpdate): void {
    this.#pending.push(update);
    this.#flush ??= setImmediate(() => this.#flushPending());
  }

  #flushPending(): void {
    if (this.#flush) clearImmediate(this.#flush);
    this.#flush = undefined;
    if (this.#pending.length === 0) return;
    const updates = this.#pending;
    this.#pending = [];
    this.#options.callbacks.onUpdates(updates);
  }

  #settle(state: KindState): void {
    state.inSync = true;
    this.#updateStatus();
  }

  #updateStatus(): void {
    this.#report(this.#states.every((state) => state.inSync) ? 'in-sync' : 'resync');
  }

  #report(status: SyncerStatus): void {
    if (status === this.#status) return;
    // Before the first list there is nothing to be out of step with.
    const nothingYet = this.#states.every((state) => state.resourceVersion === undefined);
    if (status === 'resync' && this.#status === 'waiting' && nothingYet) return;
    this.#status = status;
    this.#flushPending();
    this.#options.callbacks.onStatus(status);
  }
}
