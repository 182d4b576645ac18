// What happens to a request before its body is read: who it is from, the audit log, limits, impersonation.
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Auditor, AuditTrail } from './audit/auditor.ts';
import type { AccessControl } from './auth/access-control.ts';
import type { Attributes, Identity } from './auth/identity.ts';
import { impersonated } from './auth/impersonation.ts';
import { isLongRunning, requestAttributes } from './auth/request-attributes.ts';
import { PROTOBUF, protobufObject } from './protobuf-body.ts';
import { mediaType, yamlBody } from './request-body.ts';
import { RequestError } from './request-error.ts';
import type { RequestCounts } from './request-counts.ts';
import type { RequestLimits } from './request-limits.ts';

export interface RequestGateOptions {
  readonly access: AccessControl;
  readonly limits: RequestLimits;
  readonly counts: RequestCounts;
  readonly auditor: Auditor | undefined;
}

export class RequestGate {
  readonly #options: RequestGateOptions;
  readonly #identities = new WeakMap<FastifyRequest, Identity>();
  readonly #trails = new WeakMap<FastifyRequest, AuditTrail>();

  constructor(options: RequestGateOptions) {
    this.#options = options;
  }

  /** Throws 401, 403 or 429. */
  async admit(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { access, limits, counts } = this.#options;
    const received = Date.now();
    const { authentication, authorizer } = access;
    const query = new URLSearchParams(request.url.split('?')[1] ?? '');
    const attributes = requestAttributes(request.method, pathOf(request), query);
    const asked = { request, reply, attributes, received };
    const watchEnded = isLongRunning(attributes) ? counts.watchBegun() : undefined;
    whenEnded(reply, () => {
      watchEnded?.();
      counts.answered(attributes.verb, reply.raw.statusCode);
    });
    const own = await authentication.identify(request.raw).catch((error: unknown) => {
      this.#beginTrail(asked, undefined);
      throw error;
    });
    const trail = this.#beginTrail(asked, own);
    whenEnded(reply, limits.enter(own, attributes));
    const identity = impersonated(own, request.raw, authorizer);
    if (identity !== own) trail?.setImpersonated(identity);
    if (trail) {
      const { allowed, reason } = authorizer.decide(identity, attributes);
      trail.annotate('authorization.k8s.io/decision', allowed ? 'allow' : 'forbid');
      trail.annotate('authorization.k8s.io/reason', allowed ? reason : '');
    }
    this.#identities.set(request, identity);
  }

  /** Throws where the request was not admitted: nothing is answered to nobody. */
  identityOf(request: FastifyRequest): Identity {
    const identity = this.#identities.get(request);
    if (!identity) throw new RequestError(401, 'Unauthorized', 'Unauthorized');
    return identity;
  }

  /** For the audit log: the body as it came. */
  received(request: FastifyRequest): void {
    const trail = this.#trails.get(request);
    if (trail?.wantsRequest) trail.setRequest(objectOf(request));
  }

  /** For the audit log: the answer, where it is one text. */
  answering(request: FastifyRequest, code: number, body: unknown): void {
    const text = typeof body === 'string' ? body : undefined;
    this.#trails.get(request)?.setResponse(code, text);
  }

  #beginTrail(
    asked: {
      readonly request: FastifyRequest;
      readonly reply: FastifyReply;
      readonly attributes: Attributes;
      readonly received: number;
    },
    identity: Identity | undefined,
  ): AuditTrail | undefined {
    const { request, reply, attributes, received } = asked;
    const header = (name: string): string | undefined => {
      const value = request.headers[name];
      return typeof value === 'string' ? value : undefined;
    };
    const trail = this.#options.auditor?.begin({
      identity,
      attributes,
      method: request.method,
      uri: request.url,
      sourceIps: [request.ip],
      userAgent: header('user-agent'),
      id: header('audit-id'),
      received,
    });
    if (!trail) return undefined;
    this.#trails.set(request, trail);
    const { raw } = reply;
    raw.setHeader('audit-id', trail.id);
    if (isLongRunning(attributes)) whenStarted(reply, () => trail.log('ResponseStarted'));
    whenEnded(reply, () => trail.end(raw.statusCode));
    return trail;
  }
}

function whenEnded({ raw }: FastifyReply, then: () => void): void {
  if (raw.destroyed || raw.req.socket.destroyed) then();
  else raw.once('close', then);
}

/** Calls `then` once the head of a long answer is sent, if that is no refusal. */
function whenStarted({ raw }: FastifyReply, then: () => void): void {
  const flush = raw.flushHeaders.bind(raw);
  raw.flushHeaders = () => {
    flush();
    if (raw.statusCode < 400) then();
  };
}

function objectOf(request: FastifyRequest): unknown {
  const { body } = request;
  if (!Buffer.isBuffer(body) || body.length === 0) return undefined;
  try {
    return mediaType(request) === PROTOBUF ? protobufObject(body) : yamlBody(request);
  } catch {
    return undefined;
  }
}

/** The path of the URL, still escaped. */
export function pathOf(request: FastifyRequest): string {
  return request.url.split('?')[0] ?? '';
}
