// Streams a watch to one client: what is there, what changes, bookmarks; slow readers are dropped.
import type { ServerResponse } from 'node:http';
import { apiVersionOf, type KindDefinition } from '#api';
import { RevisionTooOld, type StoredObject, type StoreEvent } from '#datastore';
import type { ObjectSelector } from './object-selector.ts';
import { type Representation, resourceBody } from './representation.ts';
import { gone } from './request-error.ts';
import type { Resources } from './resources.ts';
import { resourceText, storeKey, toResource } from './stored-resource.ts';

export interface WatchRequest {
  readonly kind: KindDefinition;
  readonly namespace: string | undefined;
  readonly selector: ObjectSelector | undefined;
  /** Undefined or `0`: begin with what is there. */
  readonly resourceVersion: string | undefined;
  readonly sendInitialEvents: boolean;
  readonly bookmarks: boolean;
  readonly timeoutMs: number;
  readonly representation: Representation;
}

type EventType = 'ADDED' | 'MODIFIED' | 'DELETED';

const BOOKMARK_MS = 15_000;
/** Bytes that may wait for a slow reader; then it is cut off, and resumes or lists again. */
const MAX_WAITING = 16 * 1024 * 1024;

/** Answers with the watch; throws (410) before anything is sent where it cannot begin. */
export async function streamWatch(
  resources: Resources,
  request: WatchRequest,
  response: ServerResponse,
): Promise<void> {
  const stream = new WatchStream(request, response);
  const { kind, namespace, resourceVersion } = request;
  const fromNow =
    resourceVersion === undefined || resourceVersion === '0' || request.sendInitialEvents;
  const initial = fromNow
    ? await resources.list(kind, namespace, { selector: request.selector })
    : { items: [], revision: Number(resourceVersion) };
  const watch = {
    kind: storeKey(kind, '', '').kind,
    ...(kind.namespaced && namespace !== undefined ? { namespace } : {}),
    from: initial.revision,
    onEvent: (event: StoreEvent) => stream.onEvent(event),
  };
  const begin = (): void => {
    stream.open();
    for (const { value, revision } of initial.items) stream.send('ADDED', value, revision);
    if (request.sendInitialEvents) stream.bookmark(initial.revision, true);
  };
  if (fromNow) begin();
  let stop: () => void;
  try {
    stop = await resources.store.watch(watch);
  } catch (error) {
    if (!(error instanceof RevisionTooOld)) throw error;
    throw gone(`too old resource version: ${error.message}; list again`);
  }
  if (!fromNow) begin();
  const timer = request.bookmarks
    ? setInterval(() => stream.bookmark(resources.store.revision, false), BOOKMARK_MS)
    : undefined;
  const end = setTimeout(() => response.end(), request.timeoutMs);
  response.once('close', () => {
    stop();
    clearInterval(timer);
    clearTimeout(end);
  });
  if (response.destroyed) response.emit('close');
}

class WatchStream {
  readonly #request: WatchRequest;
  readonly #response: ServerResponse;

  constructor(request: WatchRequest, response: ServerResponse) {
    this.#request = request;
    this.#response = response;
  }

  open(): void {
    if (this.#response.headersSent) return;
    this.#response.writeHead(200, {
      'content-type': 'application/json',
      'cache-control': 'no-cache, private',
    });
    this.#response.flushHeaders();
  }

  /** What the event means to one who sees only what is selected. */
  onEvent({ value, previous, revision }: StoreEvent): void {
    const before = previous !== undefined && this.#selects(previous);
    const after = value !== undefined && this.#selects(value);
    if (after) this.send(before ? 'MODIFIED' : 'ADDED', value, revision);
    else if (before) this.send('DELETED', previous, revision);
  }

  send(type: EventType, value: StoredObject, revision: number): void {
    const { kind, representation } = this.#request;
    const object =
      representation.form === 'object'
        ? resourceText(value, revision)
        : resourceBody(kind, toResource(value, revision), {
            ...representation,
            now: Date.now(),
          });
    this.#write(`{"type":"${type}","object":${object}}\n`);
  }

  bookmark(revision: number, initialEventsEnd: boolean): void {
    const { kind, representation } = this.#request;
    const metadata = {
      resourceVersion: String(revision),
      creationTimestamp: null,
      ...(initialEventsEnd ? { annotations: { 'k8s.io/initial-events-end': 'true' } } : {}),
    };
    const object =
      representation.form === 'table'
        ? { kind: 'Table', apiVersion: 'meta.k8s.io/v1', metadata, columnDefinitions: [], rows: [] }
        : { kind: kind.kind, apiVersion: apiVersionOf(kind), metadata };
    this.#write(`${JSON.stringify({ type: 'BOOKMARK', object })}\n`);
  }

  #selects(value: StoredObject): boolean {
    return this.#request.selector?.(value) ?? true;
  }

  #write(line: string): void {
    this.open();
    if (this.#response.destroyed || this.#response.writableEnded) return;
    this.#response.write(line);
    if (this.#response.writableLength > MAX_WAITING) this.#response.destroy();
  }
}
