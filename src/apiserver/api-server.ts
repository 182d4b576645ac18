// The HTTPS server: authentication, one dispatcher for every path, limits, and errors as Status.
import { constants } from 'node:crypto';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { SecureContextOptions } from 'node:tls';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { SERVED_KINDS } from '#api';
import { StoreUnavailable } from '#datastore';
import type { AccessControl } from './auth/access-control.ts';
import { answerAuth } from './auth/auth-routes.ts';
import type { Identity } from './auth/identity.ts';
import { FLOWS } from './auth/request-attributes.ts';
import { REVIEWS } from './auth/reviews.ts';
import type { KeyPair } from './certificate.ts';
import type { ServerCertificate } from './certificate-authority.ts';
import type { Auditor } from './audit/auditor.ts';
import { aggregatedDiscovery } from './aggregated-discovery.ts';
import { CaptureExchange } from './capture-exchange.ts';
import { streamCapture } from './capture-stream.ts';
import {
  type CaptureCall,
  captureAttributes,
  captureCall,
  removeCaptureFiles,
  sendCaptureFiles,
  speakingNode,
} from './capture-routes.ts';
import { coreVersions, groupDocument, groupList, resourceList } from './discovery.ts';
import { appendFlows, askKeptFlows, FLOWS_PATH, followFlows, queryFlows } from './flow-routes.ts';
import type { FlowStore } from './flow-store.ts';
import { type OpenApiAnswer, OpenApiDocuments } from './open-api/documents.ts';
import { jsonBody } from './request-body.ts';
import { failureStatus, noSuchPath, notAllowed, RequestError } from './request-error.ts';
import { pathOf, RequestGate } from './request-gate.ts';
import { DEFAULT_LIMITS, RequestLimits, type RequestLimitsOptions } from './request-limits.ts';
import { parseResourcePath } from './request-path.ts';
import { ResourceRequest } from './resource-routes.ts';
import type { Resources } from './resources.ts';

export interface ApiServerOptions {
  readonly resources: Resources;
  readonly access: AccessControl;
  readonly certificate: ServerCertificate;
  readonly flows?: FlowStore;
  readonly limits?: Partial<Omit<RequestLimitsOptions, 'now'>> | undefined;
  /** Takes the audit log; without it there is none. */
  readonly auditor?: Auditor | undefined;
  readonly version: string;
  /** Told of each request that failed for a reason of the server's own. */
  readonly onError: (error: unknown, request: { method: string; path: string }) => void;
}

/** Where to listen: an address, or a socket that was handed down. */
export type Listener = { readonly host: string; readonly port: number } | { readonly fd: number };

const MAX_BODY = 3 * 1024 * 1024;
/** Milliseconds that a client has for its handshake, and again for sending its request. */
const PATIENCE = 60_000;
/** Connections that the kernel holds until they are taken; it allows no more than `net.core.somaxconn`. */
const BACKLOG = 4096;
const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;
const DISCOVERED = [
  ...SERVED_KINDS,
  ...REVIEWS.map((review) => ({ ...review, verbs: ['create'] })),
];
const PUBLIC_PATHS = new Set(['/healthz', '/livez', '/readyz', '/version']);

export class ApiServer {
  readonly #options: ApiServerOptions;
  readonly #app: FastifyInstance;
  readonly #gate: RequestGate;
  readonly #captures = new CaptureExchange();
  readonly #openApi = new OpenApiDocuments(SERVED_KINDS);
  readonly #servers: Server[] = [];
  #certificate: KeyPair;

  constructor(options: ApiServerOptions) {
    this.#options = options;
    this.#certificate = options.certificate;
    const { access, auditor, resources } = options;
    const now = (): number => performance.now();
    const limits = new RequestLimits({ ...DEFAULT_LIMITS, ...options.limits, now });
    this.#gate = new RequestGate({ access, auditor, limits, counts: resources.counts });
    this.#app = this.#build();
  }

  /** Begins to serve; returns the port. Rejects with an Error that names the address. */
  async listen(listener: Listener): Promise<number> {
    await this.#app.ready();
    const server = createServer(
      {
        ...this.#secureContext(),
        // Who shows none may have a token; who shows another's is told so with a Status.
        requestCert: true,
        rejectUnauthorized: false,
        maxHeaderSize: 16 * 1024,
        keepAliveTimeout: 75_000,
        // A client that opens a thousand connections at once is long at its handshakes.
        handshakeTimeout: PATIENCE,
        headersTimeout: PATIENCE,
        requestTimeout: PATIENCE,
      },
      (request, response) => this.#app.routing(request, response),
    );
    await new Promise<void>((resolve, reject) => {
      server.once('error', (cause) => {
        const where = 'fd' in listener ? `descriptor ${listener.fd}` : addressText(listener);
        reject(new Error(`cannot listen on ${where}: ${cause.message}`, { cause }));
      });
      server.listen({ ...listener, backlog: BACKLOG }, resolve);
    });
    this.#servers.push(server);
    return (server.address() as AddressInfo).port;
  }

  /** From now on new connections get this certificate, and are asked for those of today's client authorities. */
  renew(certificate: KeyPair): void {
    this.#certificate = certificate;
    for (const server of this.#servers) server.setSecureContext(this.#secureContext());
  }

  #secureContext(): SecureContextOptions {
    const { certificate, key } = this.#certificate;
    return {
      cert: certificate,
      key,
      ca: this.#options.access.clientAuthorities.pem,
      minVersion: 'TLSv1.2',
      // Each connection is verified anew, by the authorities of now.
      secureOptions: constants.SSL_OP_NO_TICKET,
    };
  }

  /** Ends every request, watches too. */
  async close(): Promise<void> {
    const closed = this.#servers.map(
      (server) => new Promise<void>((resolve) => server.close(() => resolve())),
    );
    for (const server of this.#servers) server.closeAllConnections();
    await Promise.all(closed);
    await this.#app.close();
  }

  #build(): FastifyInstance {
    const app = fastify({
      bodyLimit: MAX_BODY,
      exposeHeadRoutes: false,
      logger: false,
      frameworkErrors: (error, request, reply) => this.#refuse(error, request, reply),
    });
    app.removeAllContentTypeParsers();
    app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => {
      done(null, body);
    });
    // Before the body is read, so that nobody unknown makes the server hold one.
    app.addHook('onRequest', async (request, reply) => {
      if (!PUBLIC_PATHS.has(pathOf(request))) await this.#gate.admit(request, reply);
    });
    app.addHook('preHandler', async (request) => this.#gate.received(request));
    app.addHook('onSend', async (request, reply, payload) => {
      this.#gate.answering(request, reply.statusCode, payload);
      return payload;
    });
    app.setErrorHandler((error, request, reply) => this.#refuse(error, request, reply));
    app.setNotFoundHandler((request, reply) => {
      return this.#refuse(notAllowed(request.method, pathOf(request)), request, reply);
    });
    app.route({
      method: [...METHODS],
      url: '/*',
      handler: (request, reply) => this.#handle(request, reply),
    });
    return app;
  }

  async #handle(request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
    try {
      return await this.#dispatch(request, reply);
    } catch (error) {
      return this.#refuse(error, request, reply);
    }
  }

  async #dispatch(request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
    const path = pathOf(request);
    if (PUBLIC_PATHS.has(path)) return this.#public(path, reply);
    const { access, resources } = this.#options;
    const { authorizer } = access;
    const identity = this.#gate.identityOf(request);
    if (path.startsWith(`${FLOWS_PATH}/`) && this.#options.flows) {
      const params = Object.fromEntries(new URLSearchParams(request.url.split('?')[1] ?? ''));
      authorizer.require(identity, { ...FLOWS, verb: 'list' });
      if (request.method !== 'GET') throw notAllowed(request.method, path);
      const question = path.slice(FLOWS_PATH.length + 1);
      return reply.send(await askKeptFlows(this.#options.flows, question, params));
    }
    if (path === FLOWS_PATH && this.#options.flows) {
      return this.#flows(this.#options.flows, { request, reply, identity });
    }
    const capture = captureCall(request.method, path);
    if (capture) return this.#capture(capture, { request, reply, identity });
    const resource = parseResourcePath(path);
    if (resource) {
      const caller = { identity, authorizer };
      return new ResourceRequest(resources, resource, request, caller).answer(reply);
    }
    const answer = await answerAuth({ access, resources, identity }, path, request);
    if (answer) return reply.code(answer.code).send(answer.body);
    authorizer.require(identity, { verb: request.method.toLowerCase(), path });
    const { accept } = request.headers;
    const aggregated = aggregatedDiscovery(DISCOVERED, path.replace(/\/$/, ''), accept);
    if (aggregated && request.method === 'GET') {
      return reply.type(aggregated.type).send(JSON.stringify(aggregated.body));
    }
    const openApi = this.#openApiAnswer(path, accept);
    if (openApi && request.method === 'GET') return sendOpenApi(openApi, request, reply);
    const document = this.#document(path, request);
    if (document === undefined && !openApi) throw noSuchPath(path);
    if (request.method !== 'GET') throw notAllowed(request.method, path);
    return reply.send(document);
  }

  #public(path: string, reply: FastifyReply): unknown {
    if (path !== '/version') return reply.type('text/plain').send('ok');
    // Clients read major and minor as those of the Kubernetes API that is spoken.
    return reply.send({
      major: '1',
      minor: '32',
      gitVersion: `v1.32.0+tortie-${this.#options.version}`,
      platform: `linux/${process.arch === 'x64' ? 'amd64' : process.arch}`,
    });
  }

  #openApiAnswer(path: string, accept: string | undefined): OpenApiAnswer | undefined {
    const [root, version = '', ...rest] = path.replace(/\/$/, '').split('/').slice(1);
    if (root !== 'openapi') return undefined;
    if (version === 'v3' && rest.length === 0) return this.#openApi.index();
    if (version === 'v3') return this.#openApi.version3(rest.join('/'));
    return version === 'v2' && rest.length === 0 ? this.#openApi.version2(accept) : undefined;
  }

  /** Discovery. */
  #document(path: string, request: FastifyRequest): Record<string, unknown> | undefined {
    const steps = path.replace(/\/$/, '').split('/').slice(1);
    const [root, group = '', version = ''] = steps;
    if (root === 'api' && steps.length === 1) return coreVersions(request.host);
    if (root === 'api' && steps.length === 2) return resourceList(DISCOVERED, '', group);
    if (root === 'apis' && steps.length === 1) return groupList(DISCOVERED);
    if (root === 'apis' && steps.length === 2) return groupDocument(DISCOVERED, group);
    if (root === 'apis' && steps.length === 3) return resourceList(DISCOVERED, group, version);
    return undefined;
  }

  async #flows(
    store: FlowStore,
    {
      request,
      reply,
      identity,
    }: { request: FastifyRequest; reply: FastifyReply; identity: Identity },
  ): Promise<unknown> {
    const { follow, ...params } = Object.fromEntries(
      new URLSearchParams(request.url.split('?')[1] ?? ''),
    );
    const isFollowed = follow === '1' || follow === 'true';
    const verb = request.method === 'POST' ? 'create' : isFollowed ? 'watch' : 'list';
    this.#options.access.authorizer.require(identity, { ...FLOWS, verb });
    if (request.method === 'POST') {
      const answer = appendFlows(store, jsonBody(request));
      return reply.send({ kind: 'Status', apiVersion: 'v1', status: 'Success', ...answer });
    }
    if (request.method !== 'GET') throw notAllowed(request.method, FLOWS_PATH);
    if (!isFollowed) return reply.send(await queryFlows(store, params));
    await followFlows(store, params, reply.hijack().raw);
    return reply;
  }

  async #capture(
    call: CaptureCall,
    {
      request,
      reply,
      identity,
    }: { request: FastifyRequest; reply: FastifyReply; identity: Identity },
  ): Promise<unknown> {
    const { access, resources } = this.#options;
    access.authorizer.require(identity, captureAttributes(call));
    const parts = { resources, exchange: this.#captures };
    const done = { kind: 'Status', apiVersion: 'v1', status: 'Success' };
    switch (call.call) {
      case 'listen':
        this.#captures.listen(speakingNode(identity), reply.hijack().raw);
        return reply;
      case 'answer':
        await this.#captures.answer(speakingNode(identity), call.id, jsonBody(request));
        return reply.send(done);
      case 'remove':
        await removeCaptureFiles(parts, call);
        return reply.send(done);
      case 'download':
        await sendCaptureFiles(parts, call, () => reply.hijack().raw);
        return reply;
      case 'stream': {
        const all = new URLSearchParams(request.url.split('?')[1] ?? '').get('from') === 'start';
        const start = () => reply.hijack().raw;
        await streamCapture({ ...parts, ...call, all, start });
        return reply;
      }
      default:
        return call satisfies never;
    }
  }

  #refuse(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const refusal = this.#refusalOf(error, request);
    const { raw } = reply;
    if (raw.headersSent) {
      raw.destroy();
      return reply;
    }
    const body = JSON.stringify(failureStatus(refusal));
    const { retryAfterSeconds: wait } = refusal.details;
    const again = wait === undefined ? {} : { 'retry-after': String(wait) };
    if (reply.sent) {
      this.#gate.answering(request, refusal.code, body);
      raw.writeHead(refusal.code, { 'content-type': 'application/json', ...again }).end(body);
      return reply;
    }
    reply.headers(again);
    return reply.code(refusal.code).type('application/json').send(body);
  }

  #refusalOf(error: unknown, request: FastifyRequest): RequestError {
    if (error instanceof RequestError) return error;
    const code = error instanceof Error && 'statusCode' in error ? error.statusCode : undefined;
    if (error instanceof Error && code === 413) {
      const message = `the body is over ${MAX_BODY} bytes; make the resource smaller`;
      return new RequestError(413, 'RequestEntityTooLarge', message);
    }
    if (error instanceof Error && typeof code === 'number' && code >= 400 && code < 500) {
      return new RequestError(code, 'BadRequest', error.message);
    }
    this.#options.onError(error, { method: request.method, path: pathOf(request) });
    if (error instanceof StoreUnavailable) {
      return new RequestError(503, 'ServiceUnavailable', error.message, { retryAfterSeconds: 1 });
    }
    return new RequestError(500, 'InternalError', 'the server failed; its log says why');
  }
}

/** Unchanged documents are not sent again. */
function sendOpenApi(
  { type, body, etag }: OpenApiAnswer,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  reply.header('etag', etag).header('vary', 'Accept');
  if (request.headers['if-none-match'] === etag) return reply.code(304).send();
  return reply.type(type).send(body);
}

function addressText({ host, port }: { host: string; port: number }): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
