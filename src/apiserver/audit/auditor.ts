// The audit log: for each request and stage an audit.k8s.io/v1 Event, as much of it as the policy wants.
import { randomUUID } from 'node:crypto';
import { isObject } from '#lib';
import type { Attributes, Identity } from '../auth/identity.ts';
import { userInfo } from '../auth/reviews.ts';
import {
  type AuditDecision,
  auditDecision,
  type AuditPolicy,
  type AuditStage,
} from './audit-policy.ts';

export interface AuditorOptions {
  readonly policy: AuditPolicy;
  /** Takes one line without its end. */
  readonly append: (line: string) => void;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** What is known of a request when it comes. */
export interface AuditedRequest {
  /** Undefined: nobody that is known. */
  readonly identity: Identity | undefined;
  readonly attributes: Attributes;
  readonly method: string;
  readonly uri: string;
  readonly sourceIps: readonly string[];
  readonly userAgent: string | undefined;
  /** As the client names it, if it does. */
  readonly id: string | undefined;
  /** Milliseconds since 1970. */
  readonly received: number;
}

const MAX_ID = 64;

export class Auditor {
  readonly #options: AuditorOptions;

  constructor(options: AuditorOptions) {
    this.#options = options;
  }

  /** Logs that the request came; undefined where the policy wants nothing of it. */
  begin(request: AuditedRequest): AuditTrail | undefined {
    const { policy, append, now } = this.#options;
    const decision = auditDecision(policy, request.identity, request.attributes);
    if (decision.level === 'None') return undefined;
    const trail = new AuditTrail(request, decision, { append, now });
    if (request.identity) trail.log('RequestReceived');
    return trail;
  }
}

/** The events of one request. */
export class AuditTrail {
  readonly id: string;
  readonly #request: AuditedRequest;
  readonly #decision: AuditDecision;
  readonly #out: Pick<AuditorOptions, 'append' | 'now'>;
  #impersonated: Identity | undefined;
  #requestObject: unknown;
  #responseObject: unknown;
  #status: Record<string, unknown> | undefined;
  #annotations: Record<string, string> = {};
  #ended = false;

  constructor(
    request: AuditedRequest,
    decision: AuditDecision,
    out: Pick<AuditorOptions, 'append' | 'now'>,
  ) {
    const given = request.id !== undefined && /^[\x21-\x7e]+$/.test(request.id);
    this.id = given && request.id ? request.id.slice(0, MAX_ID) : randomUUID();
    this.#request = request;
    this.#decision = decision;
    this.#out = out;
  }

  get wantsRequest(): boolean {
    return this.#decision.level === 'Request' || this.wantsResponse;
  }

  get wantsResponse(): boolean {
    return this.#decision.level === 'RequestResponse';
  }

  setImpersonated(identity: Identity): void {
    this.#impersonated = identity;
  }

  annotate(key: string, value: string): void {
    this.#annotations[key] = value;
  }

  /** What the request's body says. */
  setRequest(object: unknown): void {
    if (this.wantsRequest) this.#requestObject = this.#shown(object);
  }

  /** The answer, as JSON text; of a refusal its Status is logged at every level. */
  setResponse(code: number, text: string | undefined): void {
    const object =
      text !== undefined && (code >= 400 || this.wantsResponse) ? this.#object(text) : undefined;
    if (this.wantsResponse) this.#responseObject = object;
    const { status, reason, message } = code >= 400 && isObject(object) ? object : {};
    this.#status = {
      metadata: {},
      ...(typeof status === 'string' ? { status } : {}),
      ...(typeof message === 'string' ? { message } : {}),
      ...(typeof reason === 'string' ? { reason } : {}),
      code,
    };
  }

  /** Once, when the answer has ended. */
  end(code: number): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#status ??= { metadata: {}, code };
    this.log('ResponseComplete');
  }

  log(stage: AuditStage): void {
    if (this.#decision.omitStages.has(stage)) return;
    const { attributes, identity, uri, sourceIps, userAgent, received } = this.#request;
    const answered = stage !== 'RequestReceived';
    this.#out.append(
      JSON.stringify({
        kind: 'Event',
        apiVersion: 'audit.k8s.io/v1',
        level: this.#decision.level,
        auditID: this.id,
        stage,
        requestURI: uri,
        verb: attributes.verb,
        user: identity ? userInfo(identity) : {},
        ...(this.#impersonated ? { impersonatedUser: userInfo(this.#impersonated) } : {}),
        sourceIPs: sourceIps,
        ...(userAgent === undefined ? {} : { userAgent }),
        ...('path' in attributes ? {} : { objectRef: objectReference(attributes) }),
        ...(answered && this.#status ? { responseStatus: this.#status } : {}),
        ...(answered && this.#requestObject !== undefined
          ? { requestObject: this.#requestObject }
          : {}),
        ...(answered && this.#responseObject !== undefined
          ? { responseObject: this.#responseObject }
          : {}),
        requestReceivedTimestamp: microTime(received),
        stageTimestamp: microTime(this.#out.now()),
        ...(answered && Object.keys(this.#annotations).length > 0
          ? { annotations: this.#annotations }
          : {}),
      }),
    );
  }

  #object(text: string): unknown {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      return undefined;
    }
    return this.#shown(value);
  }

  #shown(value: unknown): unknown {
    return this.#decision.omitManagedFields ? withoutManagedFields(value) : value;
  }
}

function withoutManagedFields(value: unknown): unknown {
  if (!isObject(value)) return value;
  const { metadata, items } = value;
  const kept = isObject(metadata) ? { metadata: without(metadata) } : {};
  const all = Array.isArray(items) ? { items: items.map(withoutManagedFields) } : {};
  return { ...value, ...kept, ...all };
}

function without({ managedFields: _, ...metadata }: Record<string, unknown>): object {
  return metadata;
}

function objectReference(attributes: Exclude<Attributes, { path: string }>): object {
  const { resource, namespace, name, group, version, subresource } = attributes;
  return {
    resource,
    ...(namespace === '' ? {} : { namespace }),
    ...(name === '' ? {} : { name }),
    ...(group === '' ? {} : { apiGroup: group }),
    ...(version === undefined ? {} : { apiVersion: version }),
    ...(subresource === '' ? {} : { subresource }),
  };
}

/** metav1.MicroTime. */
function microTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace('Z', '000Z');
}
