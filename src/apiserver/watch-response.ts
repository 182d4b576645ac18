// Streams a watch to one client at the client's own pace; one that does not read is told and dropped.
import type { ServerResponse } from 'node:http';
import { apiVersionOf } from '#api';
import { RevisionTooOld, type StoredObject, type StoreEvent, type StorePosition } from '#datastore';
import { resourceBody } from './representation.ts';
import { failureStatus, gone, RequestError, tooLargeRevision } from './request-error.ts';
import type { ResourcePage, Resources } from './resources.ts';
import { resourceText, storeKey, toResource } from './stored-resource.ts';
import type { WatchRequest } from './watch-request.ts';

export interface WatchLimits {
  /** Bytes that may wait for a client before the watch pauses until they are read. */
  readonly waitingBytes: number;
  /** Milliseconds that a client may leave them unread. */
  readonly stallMs: number;
  /** Milliseconds that a client that was told that it is dropped has for reading that. */
  readonly farewellMs: number;
  /** Milliseconds between bookmarks. */
  readonly bookmarkMs: number;
}

type EventType = 'ADDED' | 'MODIFIED' | 'DELETED';

export const WATCH_LIMITS: WatchLimits = {
  waitingBytes: 128 * 1024,
  stallMs: 30_000,
  farewellMs: 5_000,
  bookmarkMs: 15_000,
};
/** Objects that are read at once of what is there. */
const PAGE = 500;

/**
 * Answers with the watch, and resolves when it runs. Throws (410, 504) before anything is sent where it
 * cannot begin.
 */
export async function streamWatch(
  resources: Resources,
  request: WatchRequest,
  response: ServerResponse,
): Promise<void> {
  const stream = new WatchStream(resources, request, response);
  await stream.begin();
}

/**
 * Nothing is kept for a client that reads slowly but what waits in its socket: the watch pauses, and goes
 * on from the change log. What the log has forgotten by then is lost, and the client is told to list again.
 */
class WatchStream {
  readonly #resources: Resources;
  readonly #request: WatchRequest;
  readonly #response: ServerResponse;
  readonly #limits: WatchLimits;
  readonly #timers: NodeJS.Timeout[] = [];
  /** Everything up to this revision has been sent, or does not concern this watch. */
  #position = 0;
  #paused = false;
  #stop: (() => void) | undefined;
  #stall: NodeJS.Timeout | undefined;
  #ended = false;

  constructor(resources: Resources, request: WatchRequest, response: ServerResponse) {
    this.#resources = resources;
    this.#request = request;
    this.#response = response;
    this.#limits = resources.watchLimits;
  }

  async begin(): Promise<void> {
    const { from, notOlderThan, skipsInitial, timeoutMs, bookmarks } = this.#request;
    this.#response.once('close', () => this.#finish());
    if (from !== undefined || skipsInitial) {
      this.#position = from ?? (await this.#resources.store.sync());
      await this.#follow();
      this.#open();
    } else {
      const newest = await this.#resources.store.sync();
      if (notOlderThan > newest) throw tooLargeRevision(notOlderThan, newest);
      const initial = await this.#page();
      this.#open();
      this.#goOn(this.#sendInitial(initial));
    }
    this.#timers.push(setTimeout(() => this.#timeOut(), timeoutMs));
    const bookmark = () => this.#bookmark(false);
    if (bookmarks) this.#timers.push(setInterval(bookmark, this.#limits.bookmarkMs));
    if (this.#response.destroyed) this.#finish();
  }

  /** The first part of what is there; the rest is read when the client has read this. */
  async #page(at?: number, after?: StorePosition): Promise<ResourcePage> {
    const { kind, namespace, name, selector } = this.#request;
    if (name === undefined) {
      return this.#resources.page(kind, namespace, { selector, at, after, limit: PAGE });
    }
    const { revision } = this.#resources.store;
    const found = await this.#resources.store.get(storeKey(kind, namespace ?? '', name));
    const items = found && (selector?.(found.value) ?? true) ? [found] : [];
    return { items, revision, rest: undefined };
  }

  async #sendInitial(first: ResourcePage): Promise<void> {
    const { revision } = first;
    let page = first;
    for (;;) {
      for (const { value, revision: written } of page.items) {
        if (this.#isFull()) await this.#drained();
        if (this.#ended) return;
        this.#send('ADDED', value, written);
      }
      if (!page.rest) break;
      page = await this.#page(revision, page.rest.after);
    }
    this.#position = revision;
    if (this.#request.marksInitialEnd) this.#bookmark(true);
    await this.#follow();
  }

  /** Throws 410. */
  async #follow(): Promise<void> {
    const { kind, namespace, name } = this.#request;
    const { store } = this.#resources;
    const place = kind.namespaced ? namespace : '';
    // Then it has every revision that was ever told: one that is to come is of another store.
    if (this.#position > store.revision) await store.sync();
    this.#paused = false;
    try {
      const stop = await store.watch({
        kind: storeKey(kind, '', '').kind,
        ...(kind.namespaced && namespace === undefined ? {} : { namespace: place ?? '' }),
        ...(name === undefined || place === undefined ? {} : { name }),
        from: this.#position,
        onEvent: (event) => this.#onEvent(event),
        onBookmark: (revision) => {
          if (!this.#paused) this.#position = Math.max(this.#position, revision);
        },
        onEnd: (error) => this.#refuse(expired(error.message)),
      });
      if (this.#ended || this.#paused) stop();
      else this.#stop = stop;
    } catch (error) {
      throw error instanceof RevisionTooOld ? expired(error.message) : error;
    }
  }

  /** After the answer has begun, a refusal is told in it. */
  #goOn(work: Promise<void>): void {
    work.catch((error: unknown) => {
      const why = error instanceof Error ? error.message : String(error);
      if (error instanceof RequestError) this.#refuse(error);
      else this.#refuse(expired(why));
    });
  }

  /** What the event means to one who sees only what is selected. */
  #onEvent({ value, previous, revision }: StoreEvent): void {
    if (this.#paused || this.#ended) return;
    // Between revisions only: it goes on after the last one, of which nothing may be left.
    if (revision > this.#position && this.#isFull()) {
      this.#pause();
      return;
    }
    const before = previous !== undefined && this.#selects(previous);
    const after = value !== undefined && this.#selects(value);
    this.#position = revision;
    if (after) this.#send(before ? 'MODIFIED' : 'ADDED', value, revision);
    else if (before) this.#send('DELETED', previous, revision);
  }

  #pause(): void {
    this.#paused = true;
    this.#stop?.();
    this.#stop = undefined;
    this.#goOn(this.#drained().then(() => (this.#ended ? undefined : this.#follow())));
  }

  /** Resolves when the client has read what waits, or the watch has ended. */
  async #drained(): Promise<void> {
    if (this.#ended) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const stall = setTimeout(() => {
      this.#refuse(gone('the client does not read this watch; list again'));
    }, this.#limits.stallMs);
    this.#stall = stall;
    this.#response.once('drain', resolve);
    this.#response.once('close', resolve);
    await promise;
    clearTimeout(stall);
    this.#response.off('drain', resolve);
    this.#response.off('close', resolve);
  }

  #isFull(): boolean {
    return this.#response.writableLength > this.#limits.waitingBytes;
  }

  #open(): void {
    if (this.#response.headersSent) return;
    this.#response.writeHead(200, {
      'content-type': 'application/json',
      'cache-control': 'no-cache, private',
    });
    this.#response.flushHeaders();
  }

  #send(type: EventType, value: StoredObject, revision: number): void {
    this.#resources.counts.eventSent();
    const { kind, representation } = this.#request;
    this.#write(
      representation.form === 'object' && !kind.storedAs
        ? objectLine({ type, value, revision })
        : `{"type":"${type}","object":${resourceBody(kind, toResource(value, revision), {
            ...representation,
            now: Date.now(),
          })}}\n`,
    );
  }

  #bookmark(initialEventsEnd: boolean): void {
    if (this.#paused || (!initialEventsEnd && !this.#stop)) return;
    const { kind, representation } = this.#request;
    // Every event up to the store's revision has been told.
    if (!initialEventsEnd)
      this.#position = Math.max(this.#position, this.#resources.store.revision);
    const metadata = {
      resourceVersion: String(this.#position),
      creationTimestamp: null,
      ...(initialEventsEnd ? { annotations: { 'k8s.io/initial-events-end': 'true' } } : {}),
    };
    const object =
      representation.form === 'table'
        ? { kind: 'Table', apiVersion: 'meta.k8s.io/v1', metadata, columnDefinitions: [], rows: [] }
        : { kind: kind.kind, apiVersion: apiVersionOf(kind), metadata };
    this.#write(`${JSON.stringify({ type: 'BOOKMARK', object })}\n`);
  }

  #timeOut(): void {
    if (this.#request.bookmarks) this.#bookmark(false);
    this.#response.end();
  }

  /** The client is told why, as far as it reads; what it does not read in time is thrown away. */
  #refuse(error: RequestError): void {
    if (this.#ended) return;
    this.#resources.counts.watchDropped();
    this.#write(`${JSON.stringify({ type: 'ERROR', object: failureStatus(error) })}\n`);
    this.#response.end();
    this.#finish();
    const farewell = setTimeout(() => this.#response.destroy(), this.#limits.farewellMs);
    this.#response.once('close', () => clearTimeout(farewell));
  }

  #finish(): void {
    this.#ended = true;
    this.#stop?.();
    this.#stop = undefined;
    clearTimeout(this.#stall);
    for (const timer of this.#timers) clearTimeout(timer);
  }

  #selects(value: StoredObject): boolean {
    return this.#request.selector?.(value) ?? true;
  }

  #write(line: string | Buffer): void {
    this.#open();
    if (this.#response.destroyed || this.#response.writableEnded) return;
    this.#response.write(line);
  }
}

interface Line {
  readonly type: EventType;
  readonly value: StoredObject;
  readonly revision: number;
}

let lastLine: { readonly line: Line; readonly bytes: Buffer } | undefined;

/** Made once for each event, however many watch: they are told one after another. */
function objectLine(line: Line): Buffer {
  const { type, value, revision } = line;
  const last = lastLine?.line;
  if (lastLine && last?.value === value && last.revision === revision && last.type === type) {
    return lastLine.bytes;
  }
  const bytes = Buffer.from(`{"type":"${type}","object":${resourceText(value, revision)}}\n`);
  lastLine = { line, bytes };
  return bytes;
}

function expired(why: string): RequestError {
  return gone(`too old resource version: ${why}; list again`);
}
