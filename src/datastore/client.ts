// A client of the Kubernetes-style API: CRUD, patch, watch, and raw requests, over HTTPS.
import { readFile } from 'node:fs/promises';
import { Agent, type Dispatcher, request } from 'undici';
import { apiVersionOf, type KindDefinition, type Resource } from '#api';
import { isObject } from '#lib';
import { ApiError, apiErrorFrom, apiErrorFromStatus, ConnectionError } from './api-error.ts';
import { readingProblem } from './given-file.ts';
import { jsonLines } from './json-lines.ts';
import type { ClientConfig } from './kubeconfig.ts';
import { type ResourceKey, resourcePath } from './resource-path.ts';

export { ApiError, ConnectionError } from './api-error.ts';
export { type ClientConfig, loadKubeconfig } from './kubeconfig.ts';
export {
  checkGivenFiles,
  type GivenFile,
  type Holds,
  readGivenFile,
  readingProblem,
} from './given-file.ts';
export { type ResourceKey, resourceKey, resourcePath } from './resource-path.ts';

export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  /** Of a bookmark only `metadata.resourceVersion` counts. */
  readonly object: Resource;
}

export interface ListOptions {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Items a page; the pages are fetched one after another and joined. Default 500. */
  readonly limit?: number;
  readonly signal?: AbortSignal;
}

export interface WatchOptions {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Events after this revision. */
  readonly resourceVersion: string;
  readonly signal?: AbortSignal;
  /** Called once the server has accepted the watch. */
  readonly onOpen?: () => void;
}

export type PatchType = 'merge' | 'json' | 'strategic';

export interface PatchOptions {
  /** Default `merge` (RFC 7386). */
  readonly type?: PatchType;
  readonly subresource?: 'status';
}

export interface DeleteOptions {
  /** Only the object with this uid. */
  readonly uid?: string;
  /** Only at this revision. */
  readonly resourceVersion?: string;
  /** 0: whoever runs it has ended it. */
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: 'Background' | 'Foreground' | 'Orphan';
}

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

export interface RequestOptions {
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly signal?: AbortSignal;
}

const PATCH_TYPES: Readonly<Record<PatchType, string>> = {
  merge: 'application/merge-patch+json',
  json: 'application/json-patch+json',
  strategic: 'application/strategic-merge-patch+json',
};

const PAGE = 500;
const EXPIRED = Symbol('the continue token has expired');
const MAX_BODY = 256 * 1024 * 1024;
/** Answers must begin and keep flowing within this; milliseconds. */
const ANSWER_TIMEOUT = 30_000;
/** A watch is silent no longer than this: the server sends bookmarks more often. Milliseconds. */
const WATCH_SILENCE = 100_000;

/** One per process and server. Methods throw `ApiError` (refused) or `ConnectionError` (no answer). */
export class ApiClient {
  readonly #config: ClientConfig;
  readonly #agent: Agent;

  constructor(config: ClientConfig) {
    this.#config = config;
    const { ca, certificate, key, serverName, insecureSkipTlsVerify } = config;
    this.#agent = new Agent({
      allowH2: false,
      headersTimeout: ANSWER_TIMEOUT,
      bodyTimeout: ANSWER_TIMEOUT,
      keepAliveTimeout: 20_000,
      connect: {
        timeout: 10_000,
        rejectUnauthorized: insecureSkipTlsVerify !== true,
        ...(ca === undefined ? {} : { ca }),
        ...(certificate === undefined ? {} : { cert: certificate }),
        ...(key === undefined ? {} : { key }),
        ...(serverName === undefined ? {} : { servername: serverName }),
      },
    });
  }

  /** The server's URL. */
  get server(): string {
    return this.#config.server;
  }

  /** The kubeconfig's namespace, `default` where it has none. */
  get namespace(): string {
    return this.#config.namespace ?? 'default';
  }

  /** All of a kind (in one namespace or everywhere), and the revision they were read at. */
  async list(
    kind: KindDefinition,
    options: ListOptions = {},
  ): Promise<{ items: Resource[]; resourceVersion: string }> {
    const { namespace, labelSelector, fieldSelector, signal } = options;
    const path = resourcePath(kind, { namespace });
    const items: Resource[] = [];
    let limit: number | undefined = options.limit ?? PAGE;
    let next: string | undefined;
    for (;;) {
      const query = { labelSelector, fieldSelector, limit, continue: next };
      const request = this.request('GET', path, { query, ...(signal ? { signal } : {}) });
      const page = await request.catch((error: unknown) => {
        if (next !== undefined && error instanceof ApiError && error.gone) return EXPIRED;
        throw error;
      });
      if (page === EXPIRED) {
        // Changes outran the pages: all at once cannot expire.
        items.length = 0;
        next = undefined;
        limit = undefined;
        continue;
      }
      if (!isObject(page) || !Array.isArray(page['items'])) throw notA(`list of ${kind.plural}`);
      for (const item of page['items']) items.push(asResource(kind, item));
      const metadata = isObject(page['metadata']) ? page['metadata'] : {};
      const { resourceVersion, continue: rest } = metadata;
      next = typeof rest === 'string' && rest !== '' ? rest : undefined;
      if (typeof resourceVersion !== 'string') throw notA(`list of ${kind.plural}`);
      if (!next) return { items, resourceVersion };
    }
  }

  /** One resource; undefined where there is none. */
  async get(kind: KindDefinition, key: ResourceKey): Promise<Resource | undefined> {
    try {
      return asResource(kind, await this.request('GET', resourcePath(kind, key)));
    } catch (error) {
      if (error instanceof ApiError && error.notFound) return undefined;
      throw error;
    }
  }

  /** Creates; `ApiError.alreadyExists` where it is there already. */
  async create(kind: KindDefinition, resource: Resource): Promise<Resource> {
    const path = resourcePath(kind, { namespace: resource.metadata.namespace });
    return asResource(kind, await this.request('POST', path, { body: resource }));
  }

  /** Replaces; with a resourceVersion only if that is the current one (`ApiError.conflict`). */
  async replace(
    kind: KindDefinition,
    resource: Resource,
    options: { subresource?: 'status' } = {},
  ): Promise<Resource> {
    const path = resourcePath(kind, resource.metadata, options.subresource);
    return asResource(kind, await this.request('PUT', path, { body: resource }));
  }

  /** Changes some fields; the patch may carry metadata.resourceVersion to be conditional. */
  async patch(
    kind: KindDefinition,
    key: ResourceKey,
    patch: unknown,
    options: PatchOptions = {},
  ): Promise<Resource> {
    const path = resourcePath(kind, key, options.subresource);
    const contentType = PATCH_TYPES[options.type ?? 'merge'];
    return asResource(kind, await this.request('PATCH', path, { body: patch, contentType }));
  }

  /** Deletes, or marks what must wait; `ApiError.notFound` where there is none. */
  async delete(kind: KindDefinition, key: ResourceKey, options: DeleteOptions = {}): Promise<void> {
    const { resourceVersion, uid, gracePeriodSeconds, propagationPolicy } = options;
    const body = {
      kind: 'DeleteOptions',
      apiVersion: 'v1',
      preconditions: { uid, resourceVersion },
      gracePeriodSeconds,
      propagationPolicy,
    };
    await this.request('DELETE', resourcePath(kind, key), { body });
  }

  /**
   * Events after `resourceVersion`, until the server ends the watch (normal: watch again from the
   * last revision seen) or an error is thrown. `ApiError.gone`: list again.
   */
  async *watch(kind: KindDefinition, options: WatchOptions): AsyncGenerator<WatchEvent> {
    const { namespace, labelSelector, fieldSelector, resourceVersion, signal, onOpen } = options;
    const query = {
      watch: 1,
      allowWatchBookmarks: true,
      resourceVersion,
      labelSelector,
      fieldSelector,
    };
    const path = resourcePath(kind, { namespace });
    const lines = await this.stream('GET', path, { query, ...(signal ? { signal } : {}) });
    onOpen?.();
    for await (const line of lines) yield asWatchEvent(kind, line);
  }

  /** Any request with a JSON answer; `path` begins with `/`. */
  async request(method: Method, path: string, options: RequestOptions = {}): Promise<unknown> {
    const response = await this.#send(method, path, options);
    const body = await this.#read(response);
    if (response.statusCode >= 400) throw apiErrorFrom(response.statusCode, body);
    return body === '' ? undefined : JSON.parse(body);
  }

  /** Any request whose answer is one JSON value a line, for as long as the server sends. */
  async stream(
    method: Method,
    path: string,
    options: RequestOptions = {},
  ): Promise<AsyncIterable<unknown>> {
    const response = await this.#send(method, path, { ...options, bodyTimeout: WATCH_SILENCE });
    if (response.statusCode >= 400) {
      throw apiErrorFrom(response.statusCode, await this.#read(response));
    }
    return jsonLines(this.#chunks(response));
  }

  /** Any request whose answer is bytes, as they come. */
  async download(
    method: Method,
    path: string,
    options: RequestOptions = {},
  ): Promise<AsyncIterable<Uint8Array>> {
    const response = await this.#send(method, path, options);
    if (response.statusCode >= 400) {
      throw apiErrorFrom(response.statusCode, await this.#read(response));
    }
    return this.#chunks(response);
  }

  /** Ends all requests, watches too. */
  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  async #send(
    method: Method,
    path: string,
    options: RequestOptions & { bodyTimeout?: number },
  ): Promise<Dispatcher.ResponseData> {
    const { query, body, contentType, signal, bodyTimeout } = options;
    const headers: Record<string, string> = { accept: 'application/json', 'user-agent': 'tortie' };
    const token = await this.#token();
    if (token) headers['authorization'] = `Bearer ${token}`;
    if (body !== undefined) headers['content-type'] = contentType ?? 'application/json';
    try {
      return await request(`${this.#config.server}${path}${queryText(query)}`, {
        dispatcher: this.#agent,
        method,
        headers,
        body: body === undefined ? null : JSON.stringify(body),
        ...(signal ? { signal } : {}),
        ...(bodyTimeout === undefined ? {} : { bodyTimeout }),
      });
    } catch (cause) {
      throw new ConnectionError(this.#config.server, cause);
    }
  }

  async #token(): Promise<string | undefined> {
    const { token, tokenFile } = this.#config;
    if (token !== undefined || tokenFile === undefined) return token;
    try {
      return (await readFile(tokenFile, 'utf8')).trim();
    } catch (cause) {
      const where = `the token file ${JSON.stringify(tokenFile)} of the kubeconfig`;
      throw new Error(`cannot read ${where}: ${readingProblem(cause)}`, { cause });
    }
  }

  async #read(response: Dispatcher.ResponseData): Promise<string> {
    const chunks: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of this.#chunks(response)) {
      length += chunk.length;
      if (length > MAX_BODY) throw new Error(`the answer is over ${MAX_BODY} bytes; list less`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString('utf8');
  }

  async *#chunks(response: Dispatcher.ResponseData): AsyncGenerator<Uint8Array> {
    try {
      yield* response.body;
    } catch (cause) {
      throw new ConnectionError(this.#config.server, cause);
    }
  }
}

function queryText(query: RequestOptions['query']): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined) parameters.set(name, String(value));
  }
  return parameters.size > 0 ? `?${parameters.toString()}` : '';
}

/**
 * Items of a list carry neither apiVersion nor kind at a Kubernetes server: fill them in. Who manages
 * which field is the server's business: left out, it stays as it is there.
 */
function asResource(kind: KindDefinition, value: unknown): Resource {
  if (!isObject(value) || !isObject(value['metadata'])) throw notA(kind.kind);
  const { managedFields: _, ...metadata } = value['metadata'];
  const head = { apiVersion: apiVersionOf(kind), kind: kind.kind };
  return { ...value, ...head, metadata } as unknown as Resource;
}

function asWatchEvent(kind: KindDefinition, value: unknown): WatchEvent {
  if (!isObject(value) || !isObject(value['object'])) throw notA('watch event');
  const { type, object } = value;
  if (type === 'ERROR') throw apiErrorFromStatus(object as Record<string, unknown>, 500);
  switch (type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED':
    case 'BOOKMARK':
      return { type, object: asResource(kind, object) };
    default:
      throw notA('watch event');
  }
}

function notA(what: string): Error {
  return new Error(`the server's answer is not a ${what}`);
}
