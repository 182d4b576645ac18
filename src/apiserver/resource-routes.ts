// The requests on resources: each HTTP method becomes a call on `Resources`, checked for who asks.
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { KindDefinition, Resource } from '#api';
import { RevisionTooOld } from '#datastore';
import { isObject } from '#lib';
import type { Access, Authorizer } from './auth/authorization.ts';
import type { Identity } from './auth/identity.ts';
import { selectedTier } from './auth/tier-authorization.ts';
import { deleteOptions, isDryRun } from './deletion-options.ts';
import { inStoredVersion, inVersion, storedKind } from './kind-version.ts';
import { expiredList, knownRevision, pageOf, pageRequest } from './list-page.ts';
import { jsonPatch } from './json-patch.ts';
import { mergePatch } from './merge-patch.ts';
import { type ObjectSelector, objectSelector } from './object-selector.ts';
import {
  acceptedForm,
  includedObject,
  listBody,
  type Representation,
  resourceBody,
} from './representation.ts';
import {
  deletionBody,
  jsonBody,
  mediaType,
  objectBody,
  refuseDepth,
  yamlBody,
} from './request-body.ts';
import {
  badRequest,
  invalidOption,
  notAllowed,
  RequestError,
  unsupportedMediaType,
} from './request-error.ts';
import type { ResourcePath } from './request-path.ts';
import type { NamedTarget, Resources } from './resources.ts';
import { strategicMerge, takesStrategicPatch } from './strategic-merge.ts';
import { watchRequest } from './watch-request.ts';
import { streamWatch } from './watch-response.ts';
import type { Accepted, FieldValidation, Target } from './write-strategy.ts';

type Query = Readonly<Record<string, string | undefined>>;

/** Who asks, and who says what they may. */
export interface Caller {
  readonly identity: Identity;
  readonly authorizer: Authorizer;
}

/** One request on a resource or a collection. */
export class ResourceRequest {
  readonly #resources: Resources;
  readonly #path: ResourcePath;
  readonly #request: FastifyRequest;
  readonly #query: Query;
  readonly #caller: Caller;

  constructor(resources: Resources, path: ResourcePath, request: FastifyRequest, caller: Caller) {
    this.#resources = resources;
    this.#path = path;
    this.#request = request;
    this.#query = readQuery(request.query);
    this.#caller = caller;
  }

  /** Throws RequestError where it is refused. */
  async answer(reply: FastifyReply): Promise<unknown> {
    const { name, subresource } = this.#path;
    const { method } = this.#request;
    const { watch } = this.#query;
    if (subresource !== undefined && !['GET', 'PUT', 'PATCH'].includes(method)) {
      throw notAllowed(method, this.#request.url.split('?')[0] ?? '');
    }
    const isWatch = method === 'GET' && (watch === 'true' || watch === '1');
    if (isWatch) return this.#watch(reply);
    if (name === undefined) {
      if (method === 'GET') return this.#list(reply);
      if (method === 'POST') return this.#create(reply);
      if (method === 'DELETE') return this.#deleteCollection(reply);
    } else {
      const target = { ...this.#target(), name };
      if (method === 'GET') return this.#get(target, reply);
      if (method === 'PUT') return this.#replace(target, reply);
      if (method === 'PATCH') return this.#patch(target, reply);
      if (method === 'DELETE') return this.#delete(target, reply);
    }
    throw notAllowed(method, this.#request.url.split('?')[0] ?? '');
  }

  async #list(reply: FastifyReply): Promise<unknown> {
    const access = this.#authorize('list');
    const { kind, namespace } = this.#path;
    const selector = bothOf(objectSelector(kind, this.#query), access.visible);
    const page = pageRequest(this.#query, await this.#newest());
    const list = await this.#resources
      .page(kind, namespace, { selector, ...page })
      .catch((error: unknown) => {
        throw error instanceof RevisionTooOld ? expiredList(this.#query) : error;
      });
    return json(reply, listBody(kind, pageOf(list, !selector), this.#representation()));
  }

  async #watch(reply: FastifyReply): Promise<unknown> {
    const access = this.#authorize('watch');
    const asked = watchRequest(this.#path, this.#query, this.#representation());
    const watch = { ...asked, selector: bothOf(asked.selector, access.visible) };
    reply.hijack();
    await streamWatch(this.#resources, watch, reply.raw);
    return reply;
  }

  /** The store's revision, which is not older than any that the request may have seen. */
  async #newest(): Promise<number> {
    const { store } = this.#resources;
    const { resourceVersion = '' } = this.#query;
    const known = resourceVersion !== '' && Number(resourceVersion) <= store.revision;
    return known ? store.revision : store.sync();
  }

  async #create(reply: FastifyReply): Promise<unknown> {
    const { check } = this.#authorize('create');
    const options = { dryRun: this.#dryRun(), authorize: check, manager: this.#fieldManager() };
    const body = inStoredVersion(this.#path.kind, objectBody(this.#request));
    const accepted = await this.#resources.create(this.#writeTarget(), body, options);
    return this.#written(reply.code(201), accepted);
  }

  async #get(target: NamedTarget, reply: FastifyReply): Promise<unknown> {
    const access = this.#authorize('get');
    // What is served is the newest, which must not be older than what the client has seen.
    knownRevision(this.#query['resourceVersion'], await this.#newest());
    const resource = await this.#resources.get(target);
    access.checkFound?.({ ...resource });
    return json(reply, resourceBody(this.#path.kind, resource, this.#representation()));
  }

  async #replace(target: NamedTarget, reply: FastifyReply): Promise<unknown> {
    const body = inStoredVersion(this.#path.kind, objectBody(this.#request));
    return this.#update(target, reply, { verb: 'update', change: () => body });
  }

  async #apply(target: NamedTarget, reply: FastifyReply): Promise<unknown> {
    const { check } = this.#authorize('patch');
    const body = inStoredVersion(this.#path.kind, yamlBody(this.#request));
    const strict = { ...target, fieldValidation: 'Strict' } as const;
    const applied = await this.#resources.apply(strict, body, {
      dryRun: this.#dryRun(),
      authorize: (next, current) => {
        // What is applied and not there is created, which is a permission of its own.
        const access = current ? { check } : this.#authorize('create');
        access.check?.(next, current);
      },
      subresource: this.#path.subresource,
      manager: this.#fieldManager(),
      force: ['true', '1'].includes(this.#query['force'] ?? ''),
    });
    return this.#written(applied.created ? reply.code(201) : reply, applied);
  }

  async #patch(target: NamedTarget, reply: FastifyReply): Promise<unknown> {
    if (mediaType(this.#request) === APPLY_PATCH) return this.#apply(target, reply);
    if (this.#query['force'] !== undefined) {
      throw invalidOption('force', 'is for server-side apply only');
    }
    const patch = jsonBody(
      this.#request,
      PATCHES.map(({ type }) => type),
    );
    const { kind } = this.#path;
    const apply = patchOf(kind, mediaType(this.#request));
    const change = (current: Resource): unknown => {
      const patched = apply(target.kind, inVersion(kind, current), patch);
      refuseDepth(patched, 'the patched object');
      if (!isObject(patched)) return patched;
      return inStoredVersion(kind, withPrecondition(patched, current, patch));
    };
    return this.#update(target, reply, { verb: 'patch', change });
  }

  async #update(
    target: NamedTarget,
    reply: FastifyReply,
    { verb, change }: { verb: string; change: (current: Resource) => unknown },
  ): Promise<unknown> {
    const accepted = await this.#resources.update(target, change, {
      dryRun: this.#dryRun(),
      authorize: this.#authorize(verb).check,
      subresource: this.#path.subresource,
      manager: this.#fieldManager(),
    });
    return this.#written(reply, accepted);
  }

  async #delete(target: NamedTarget, reply: FastifyReply): Promise<unknown> {
    const { checkFound: authorize } = this.#authorize('delete');
    const options = deleteOptions(this.#query, deletionBody(this.#request));
    const { resource, gone } = await this.#resources.delete(target, { ...options, authorize });
    if (!gone) return json(reply, resourceBody(this.#path.kind, resource, this.#representation()));
    return json(reply, JSON.stringify(deletionStatus(target, resource)));
  }

  /** Deletes what a list with the same parameters would give, and answers with that list. */
  async #deleteCollection(reply: FastifyReply): Promise<unknown> {
    const access = this.#authorize('deletecollection');
    const { kind, namespace } = this.#path;
    const target = this.#writeTarget();
    const options = deleteOptions(this.#query, deletionBody(this.#request));
    const selector = bothOf(objectSelector(kind, this.#query), access.visible);
    const page = pageRequest(this.#query, await this.#newest());
    const chosen = pageOf(
      await this.#resources.page(kind, namespace, { selector, ...page }),
      !selector,
    );
    for (const { key } of chosen.items) {
      const named = { ...target, namespace: key.namespace, name: key.name };
      // Gone by another hand is as good as deleted.
      const authorize = access.checkFound;
      await this.#resources.delete(named, { ...options, authorize }).catch((error: unknown) => {
        if (!(error instanceof RequestError && error.code === 404)) throw error;
      });
    }
    return json(reply, listBody(kind, chosen, this.#representation()));
  }

  /** Throws a 403, or returns what the request has to keep to. */
  #authorize(verb: string): Access {
    const { identity, authorizer } = this.#caller;
    return authorizer.authorize(identity, { verb, ...this.#path, tier: selectedTier(this.#query) });
  }

  #target(): Target {
    const { kind, namespace = '' } = this.#path;
    return { kind: storedKind(kind), namespace, fieldValidation: this.#fieldValidation() };
  }

  #writeTarget(): Target {
    const target = this.#target();
    if (!target.kind.namespaced || target.namespace !== '') return target;
    throw badRequest(`this needs a namespace: /namespaces/NAME/${target.kind.plural}`);
  }

  #fieldValidation(): FieldValidation {
    const wanted = this.#query['fieldValidation'] || 'Strict';
    const known = FIELD_VALIDATIONS.find((candidate) => candidate === wanted);
    if (known) return known;
    throw invalidOption('fieldValidation', `must be one of ${FIELD_VALIDATIONS.join(', ')}`);
  }

  #dryRun(): boolean {
    return isDryRun(this.#query['dryRun']);
  }

  /** As the client says, else the program's name of its user agent. */
  #fieldManager(): string {
    const name = this.#query['fieldManager'] ?? '';
    if (name.length > MAX_MANAGER || /[^\P{C}]/u.test(name)) {
      const why = `must be at most ${MAX_MANAGER} characters, all of them printable`;
      throw invalidOption('fieldManager', why);
    }
    if (name !== '') return name;
    if (mediaType(this.#request) === APPLY_PATCH) {
      throw invalidOption('fieldManager', 'is required for server-side apply');
    }
    const program = (this.#request.headers['user-agent'] ?? '').split('/')[0]?.trim() ?? '';
    return program.slice(0, MAX_MANAGER) || 'unknown';
  }

  #representation(): Representation {
    return {
      form: acceptedForm(this.#request.headers.accept),
      includeObject: includedObject(this.#query['includeObject']),
      now: Date.now(),
    };
  }

  #written(reply: FastifyReply, { resource, warnings }: Accepted): unknown {
    if (warnings.length > 0) reply.header('warning', warnings.map(warningHeader));
    return json(reply, resourceBody(this.#path.kind, resource, this.#representation()));
  }
}

const APPLY_PATCH = 'application/apply-patch+yaml';
const MAX_MANAGER = 128;
const FIELD_VALIDATIONS = ['Strict', 'Warn', 'Ignore'] as const;

const PATCHES = [
  { type: 'application/merge-patch+json', apply: mergeInto },
  { type: 'application/json-patch+json', apply: jsonPatchInto },
  { type: 'application/strategic-merge-patch+json', apply: strategicMergeInto },
] as const;

type ApplyPatch = (kind: KindDefinition, current: Resource, patch: unknown) => unknown;

function patchOf(kind: KindDefinition, type: string): ApplyPatch {
  const usable = PATCHES.filter(({ apply }) =>
    apply === strategicMergeInto ? takesStrategicPatch(kind) : true,
  );
  const found = usable.find((patch) => patch.type === type);
  const types = [...usable.map((patch) => patch.type), APPLY_PATCH];
  if (!found) throw unsupportedMediaType(type, types);
  return found.apply;
}

function mergeInto(_kind: KindDefinition, current: Resource, patch: unknown): unknown {
  return mergePatch(current, patch);
}

function jsonPatchInto(_kind: KindDefinition, current: Resource, patch: unknown): unknown {
  return jsonPatch(current, patch);
}

function strategicMergeInto(kind: KindDefinition, current: Resource, patch: unknown): unknown {
  return strategicMerge(kind, { ...current }, patch);
}

/** A patch is conditional only where it names a resourceVersion itself. */
function withPrecondition(
  patched: Record<string, unknown>,
  current: Resource,
  patch: unknown,
): Record<string, unknown> {
  const wanted = isObject(patch) && isObject(patch['metadata']) ? patch['metadata'] : {};
  const metadata = isObject(patched['metadata']) ? patched['metadata'] : {};
  const resourceVersion = wanted['resourceVersion'] ?? current.metadata.resourceVersion;
  return { ...patched, metadata: { ...metadata, resourceVersion } };
}

function deletionStatus({ kind, name }: NamedTarget, deleted: Resource): Record<string, unknown> {
  const { uid } = deleted.metadata;
  const details = { name, group: kind.group, kind: kind.plural, uid };
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details };
}

function bothOf(
  a: ObjectSelector | undefined,
  b: ObjectSelector | undefined,
): ObjectSelector | undefined {
  return a && b ? (object) => a(object) && b(object) : (a ?? b);
}

function json(reply: FastifyReply, text: string): FastifyReply {
  return reply.type('application/json').send(text);
}

/** RFC 9111's form with code 299; what a header cannot carry is replaced. */
function warningHeader(text: string): string {
  const printable = text.replaceAll(/[^\x20-\x7e]/g, '?').replaceAll(/["\\]/g, String.raw`\$&`);
  return `299 - "${printable.slice(0, 1000)}"`;
}

/** Of a parameter that is there several times, the last. */
function readQuery(query: unknown): Query {
  const entries = Object.entries(isObject(query) ? query : {}).map(([name, value]) => {
    const last: unknown = Array.isArray(value) ? value.at(-1) : value;
    return [name, typeof last === 'string' ? last : undefined];
  });
  return Object.fromEntries(entries) as Query;
}
