// Calls to an etcd cluster: one of its endpoints at a time, the next where one fails; TLS, users, deadlines.
import { isIP } from 'node:net';
import { checkServerIdentity } from 'node:tls';
import {
  type ChannelCredentials,
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
  Metadata,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { StoreUnavailable } from '../store.ts';
import { authenticate, type Method } from './etcd-messages.ts';
import type { Decoded, Encodable, Fields, Message, MessageOf } from '#lib/protobuf-message';

export interface EtcdTls {
  /** PEM. Absent: the system's certificate authorities. */
  readonly ca?: Buffer;
  /** PEM of the client, both or neither. */
  readonly certificate?: Buffer;
  readonly key?: Buffer;
}

export interface EtcdConnectionOptions {
  /** Such as `http://127.0.0.1:2379`; `https` is with TLS. At least one. */
  readonly endpoints: readonly string[];
  readonly tls?: EtcdTls;
  readonly user?: { readonly name: string; readonly password: string };
  /** How long a call is tried at all endpoints before it fails (10 s). */
  readonly timeoutMs?: number;
}

/** `M` is the definition of the response. */
export interface Answer<M> {
  readonly response: MessageOf<M>;
  /** An earlier try failed without an answer: it may have taken effect too. */
  readonly isRepeat: boolean;
}

/** An answer of etcd's that no other endpoint would give differently. */
export class EtcdRefusal extends Error {
  /** gRPC status code. */
  readonly code: number;

  constructor(error: ServiceError) {
    super(error.details);
    this.name = 'EtcdRefusal';
    this.code = error.code;
  }
}

const TIMEOUT_MS = 10_000;
/** What one endpoint has to answer one try. */
const ATTEMPT_MS = 4_000;
const FIRST_WAIT_MS = 20;
const LONGEST_WAIT_MS = 1_000;
/** The answers after which the next endpoint may do better. */
const PASSING: readonly number[] = [
  status.UNAVAILABLE,
  status.DEADLINE_EXCEEDED,
  status.INTERNAL,
  status.CANCELLED,
  status.ABORTED,
];
const CHANNEL = {
  'grpc.initial_reconnect_backoff_ms': 50,
  'grpc.min_reconnect_backoff_ms': 50,
  'grpc.max_reconnect_backoff_ms': 1_000,
  // etcd allows one every 5 s; a peer that vanished is noticed after both.
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 4_000,
  // Calls are tried again here, at the next endpoint.
  'grpc.enable_retries': 0,
  'grpc.max_receive_message_length': -1,
  'grpc.max_send_message_length': -1,
};

export class EtcdConnection {
  #endpoints: readonly OpenEndpoint[];
  readonly #user: EtcdConnectionOptions['user'];
  readonly #timeoutMs: number;
  #current = 0;
  #token: Promise<string> | undefined;
  #closed = false;

  /** Throws on an endpoint that is no URL, and on certificates that are none. Connects when called. */
  constructor(options: EtcdConnectionOptions) {
    const { endpoints, tls = {}, user, timeoutMs = TIMEOUT_MS } = options;
    this.#user = user;
    this.#timeoutMs = timeoutMs;
    this.#endpoints = endpoints.map((url) => openEndpoint(url, tls));
  }

  /**
   * Calls and streams that begin from now on are with these certificates; those under way go on. Throws where
   * they are none, and leaves all as it was.
   */
  renew(tls: EtcdTls): void {
    if (this.#closed) return;
    const before = this.#endpoints;
    this.#endpoints = before.map(({ url }) => openEndpoint(url, tls));
    for (const { client } of before) client.close();
  }

  /** Where calls go at present. */
  get endpoint(): string {
    return this.#endpoints[this.#current]?.url ?? '';
  }

  get endpoints(): string {
    return this.#endpoints.map(({ url }) => url).join(', ');
  }

  /** Tries every endpoint in turn. Throws `EtcdRefusal`, and `StoreUnavailable` when the time is over. */
  async call<Request extends Fields, Response extends Fields>(
    method: Method<Request, Response>,
    request: Encodable<Request>,
  ): Promise<Answer<Message<Response>>> {
    const deadline = Date.now() + this.#timeoutMs;
    let wait = FIRST_WAIT_MS;
    let isRepeat = false;
    for (let attempt = 1; ; attempt++) {
      if (this.#closed) throw new StoreUnavailable('the store is closed');
      const at = this.#current;
      try {
        const token = await this.#authenticated(deadline);
        return { response: await this.#once(at, method, { request, deadline, token }), isRepeat };
      } catch (error) {
        if (!isServiceError(error)) throw error;
        isRepeat ||= !isTokenRefused(error);
        this.#judge(error, attempt);
        this.advance(at);
        if (Date.now() + wait >= deadline) throw this.#unreachable(error);
      }
      // A turn around all endpoints is not held up.
      if (attempt % this.#endpoints.length !== 0) continue;
      await new Promise((resolve) => setTimeout(resolve, wait * (0.5 + Math.random() / 2)));
      wait = Math.min(wait * 2, LONGEST_WAIT_MS);
    }
  }

  /** A stream both ways at the present endpoint; whoever sees it fail calls `advance` and opens anew. */
  async duplex<Request extends Fields, Response extends Fields>(
    method: Method<Request, Response>,
  ): Promise<ClientDuplexStream<Encodable<Request>, Decoded<Response>>> {
    const token = await this.#authenticated(Date.now() + this.#timeoutMs);
    const metadata = metadataOf(token);
    // A member that has lost its cluster ends the stream, where it would be silent otherwise.
    metadata.set('hasleader', 'true');
    const { request, response } = method;
    return this.#client(this.#current).makeBidiStreamRequest(
      method.path,
      encoderOf(request),
      decoderOf(response),
      metadata,
    );
  }

  /** A stream from the present endpoint. */
  async stream<Request extends Fields, Response extends Fields>(
    method: Method<Request, Response>,
    request: Encodable<Request>,
  ): Promise<ClientReadableStream<Decoded<Response>>> {
    const token = await this.#authenticated(Date.now() + this.#timeoutMs);
    return this.#client(this.#current).makeServerStreamRequest(
      method.path,
      encoderOf(method.request),
      decoderOf(method.response),
      request,
      metadataOf(token),
    );
  }

  /** Calls go to the next endpoint from now on, unless somebody has moved them on already. */
  advance(from = this.#current): void {
    if (this.#current === from) this.#current = (from + 1) % this.#endpoints.length;
  }

  /** The next call asks for a token again. */
  forgetToken(): void {
    this.#token = undefined;
  }

  close(): void {
    this.#closed = true;
    for (const { client } of this.#endpoints) client.close();
  }

  /** Throws what is final, having forgotten a token that is not taken any more. */
  #judge(error: ServiceError, attempt: number): void {
    if (isTokenRefused(error) && attempt === 1 && this.#user) {
      this.forgetToken();
      return;
    }
    const isBusy = error.code === status.RESOURCE_EXHAUSTED && /too many/.test(error.details);
    if (!isBusy && !PASSING.includes(error.code)) throw new EtcdRefusal(error);
  }

  #authenticated(deadline: number): Promise<string | undefined> {
    if (!this.#user) return Promise.resolve(undefined);
    const { name, password } = this.#user;
    const request = { name, password };
    if (!this.#token) {
      const token = this.#once(this.#current, authenticate, { request, deadline })
        .then((response) => response.token)
        .catch((error: unknown) => {
          if (this.#token === token) this.#token = undefined;
          throw error;
        });
      this.#token = token;
    }
    return this.#token;
  }

  #once<Request extends Fields, Response extends Fields>(
    at: number,
    method: Method<Request, Response>,
    call: { request: Encodable<Request>; deadline: number; token?: string | undefined },
  ): Promise<Decoded<Response>> {
    const { promise, resolve, reject } = Promise.withResolvers<Decoded<Response>>();
    this.#client(at).makeUnaryRequest(
      method.path,
      encoderOf(method.request),
      decoderOf(method.response),
      call.request,
      metadataOf(call.token),
      { deadline: Math.min(call.deadline, Date.now() + ATTEMPT_MS) },
      (error, response) => {
        if (response) resolve(response);
        else reject(error ?? new Error(`etcd answered ${method.path} with nothing`));
      },
    );
    return promise;
  }

  #client(at: number): Client {
    const endpoint = this.#endpoints[at];
    if (!endpoint) throw new Error('there is no etcd endpoint; give --etcd-endpoints');
    return endpoint.client;
  }

  #unreachable(error: ServiceError): StoreUnavailable {
    // grpc-js wraps the reason in its own words.
    const wrapped = /Last error: (?:Error: )?(?<reason>.*?)\.? Resolution note:/.exec(
      error.details,
    );
    const reason = wrapped?.groups?.['reason'] ?? error.details;
    return new StoreUnavailable(
      `cannot reach etcd at ${this.endpoints}: ${reason}; check that it runs and that ` +
        'the endpoints and certificates are right',
      error,
    );
  }
}

interface OpenEndpoint {
  readonly url: string;
  readonly client: Client;
}

function openEndpoint(url: string, tls: EtcdTls): OpenEndpoint {
  const endpoint = readEndpoint(url);
  const { target, secure } = endpoint;
  const credentials = secure ? secureBy(tls, endpoint) : plain();
  // TLS takes no address for a server's name (RFC 6066): what is sent is not looked at.
  const named = isIP(endpoint.host) > 0 ? { 'grpc.ssl_target_name_override': 'etcd' } : {};
  return { url, client: new Client(target, credentials, { ...CHANNEL, ...named }) };
}

interface Endpoint {
  /** A name or an address, without brackets. */
  readonly host: string;
  /** With the port. */
  readonly target: string;
  readonly secure: boolean;
}

function readEndpoint(url: string): Endpoint {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  const secure = parsed?.protocol === 'https:';
  if (!parsed || parsed.pathname !== '/' || !(secure || parsed.protocol === 'http:')) {
    throw new Error(`"${url}" is no etcd endpoint; write http://HOST:PORT or https://HOST:PORT`);
  }
  // `URL` drops a port that is its protocol's own.
  const port = /:(?<port>\d+)\/?$/.exec(url)?.groups?.['port'] ?? '2379';
  const host = parsed.hostname.replaceAll(/[[\]]/g, '');
  return { host, target: `${parsed.hostname}:${port}`, secure };
}

function plain(): ChannelCredentials {
  return credentials.createInsecure();
}

function secureBy({ ca, key, certificate }: EtcdTls, { host }: Endpoint): ChannelCredentials {
  return credentials.createSsl(ca ?? null, key ?? null, certificate ?? null, {
    checkServerIdentity: (_name, peer) => checkServerIdentity(host, peer),
  });
}

function metadataOf(token: string | undefined): Metadata {
  const metadata = new Metadata();
  if (token !== undefined) metadata.set('token', token);
  return metadata;
}

/** Before anything was done: the token is unknown, or older than a change of users and roles. */
function isTokenRefused({ code, details }: ServiceError): boolean {
  return code === status.UNAUTHENTICATED || /revision of auth store is old/.test(details);
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'code' in error && 'details' in error;
}

function encoderOf<F extends Fields>(message: Message<F>): (value: Encodable<F>) => Buffer {
  return (value) => {
    const { buffer, byteOffset, byteLength } = message.encode(value);
    return Buffer.from(buffer, byteOffset, byteLength);
  };
}

function decoderOf<F extends Fields>(message: Message<F>): (bytes: Buffer) => Decoded<F> {
  return (bytes) => message.decode(bytes);
}
