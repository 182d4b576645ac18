// What the server makes of a resource before it is stored: identity, defaults, validation.
import { randomInt, randomUUID } from 'node:crypto';
import {
  apiVersionOf,
  checkUpdate,
  type KindDefinition,
  type Problem,
  type Resource,
  validateResource,
} from '#api';
import { isObject, jsonEqual } from '#lib';
import { badRequest, conflict, invalid } from './request-error.ts';

export interface Accepted {
  readonly resource: Resource;
  /** For `Warning` headers. */
  readonly warnings: readonly string[];
}

/** Where the request says that the resource is; the body must not say otherwise. */
export interface Target {
  readonly kind: KindDefinition;
  readonly namespace: string;
  /** Undefined on a create. */
  readonly name?: string;
}

type Fields = Record<string, unknown>;

/** The status that a new resource has until somebody reports one. */
const FIRST_STATUS: Readonly<Record<string, Fields>> = {
  Namespace: { phase: 'Active' },
  Pod: { phase: 'Pending' },
};

/** Consonants and digits of Kubernetes' generated names: no word comes out by chance. */
const NAME_LETTERS = 'bcdfghjklmnpqrstvwxz2456789';

/** A new resource: named, identified, dated, with defaults. Throws 400 or 422. */
export function acceptCreate(target: Target, body: unknown, now: number): Accepted {
  const { kind } = target;
  const object = addressed(target, body);
  const metadata = metadataOf(object);
  if (metadata['resourceVersion']) {
    throw badRequest('metadata.resourceVersion must not be set on a resource to be created');
  }
  const {
    deletionTimestamp: _,
    deletionGracePeriodSeconds: __,
    managedFields: ___,
    ...given
  } = metadata;
  const status = FIRST_STATUS[kind.kind];
  return accept(kind, {
    ...withoutStatus(kind, object),
    ...(kind.hasStatus && status ? { status } : {}),
    metadata: {
      ...given,
      ...generatedName(metadata),
      uid: randomUUID(),
      generation: 1,
      creationTimestamp: timestamp(now),
    },
  });
}

/** The current resource as `body` wants it: identity and status stay. Throws 400, 409 or 422. */
export function acceptUpdate(target: Target, current: Resource, body: unknown): Accepted {
  const { kind } = target;
  const object = addressed(target, body);
  const metadata = metadataOf(object);
  checkPreconditions(kind, current, metadata);
  const status = fieldsOf(current)['status'];
  const accepted = accept(kind, {
    ...withoutStatus(kind, object),
    ...(kind.hasStatus && status !== undefined ? { status } : {}),
    metadata: { ...metadata, ...identityOf(current) },
  });
  const changes = checkUpdate(current, accepted.resource);
  if (changes.length > 0) throw invalid(kind, current.metadata.name, changes);
  return withGeneration(current, accepted);
}

/** The current resource with the status of `body`. */
export function acceptStatus(target: Target, current: Resource, body: unknown): Accepted {
  const object = addressed(target, body);
  checkPreconditions(target.kind, current, metadataOf(object));
  const { status } = object;
  const { status: _, ...rest } = fieldsOf(current);
  return accept(target.kind, { ...rest, ...(status === undefined ? {} : { status }) });
}

/** Equal but for the revision, the owners of fields with the rest: storing it would move everybody for nothing. */
export function isUnchanged(current: Resource, next: Resource): boolean {
  const { resourceVersion: _, selfLink: __, ...before } = current.metadata;
  const { resourceVersion: ___, selfLink: ____, ...after } = next.metadata;
  return jsonEqual({ ...current, metadata: before }, { ...next, metadata: after });
}

/** RFC 3339 in seconds, as Kubernetes writes it. */
export function timestamp(now: number): string {
  return `${new Date(now).toISOString().slice(0, 19)}Z`;
}

function accept(kind: KindDefinition, object: Fields): Accepted {
  const { resource, problems } = validateResource(object);
  const errors = problems.filter(({ severity }) => severity === 'error');
  if (!resource || errors.length > 0) {
    const { name } = metadataOf(object);
    throw invalid(kind, typeof name === 'string' ? name : '', errors);
  }
  return { resource, warnings: problems.map(warningText) };
}

function warningText({ path, message }: Problem): string {
  return path === '' ? message : `${path}: ${message}`;
}

function addressed(target: Target, body: unknown): Fields & { metadata: Fields } {
  const { kind, namespace, name } = target;
  if (!isObject(body)) throw badRequest('the body must be a JSON object');
  const apiVersion = apiVersionOf(kind);
  expectSame('apiVersion', body['apiVersion'], apiVersion);
  expectSame('kind', body['kind'], kind.kind);
  const metadata = body['metadata'] ?? {};
  if (!isObject(metadata)) throw badRequest('metadata must be an object');
  if (name !== undefined) expectSame('metadata.name', metadata['name'], name);
  const { namespace: given, ...rest } = metadata;
  if (kind.namespaced) expectSame('metadata.namespace', given, namespace);
  const named = name === undefined ? rest : { ...rest, name };
  const placed = kind.namespaced ? { namespace } : given ? { namespace: given } : {};
  return { ...body, apiVersion, kind: kind.kind, metadata: { ...named, ...placed } };
}

function expectSame(field: string, given: unknown, wanted: string): void {
  if (given === undefined || given === null || given === '' || given === wanted) return;
  const quoted = JSON.stringify(given).slice(0, 100);
  throw badRequest(`${field} is ${quoted}, but the request is for "${wanted}"`);
}

function generatedName(metadata: Fields): Fields {
  const { name, generateName } = metadata;
  if ((name !== undefined && name !== '') || typeof generateName !== 'string') return {};
  const letters = Array.from({ length: 5 }, () => NAME_LETTERS[randomInt(NAME_LETTERS.length)]);
  return { name: `${generateName.slice(0, 248)}${letters.join('')}` };
}

/** Preconditions that a body carries: the resourceVersion and the uid it was read with. */
function checkPreconditions(kind: KindDefinition, current: Resource, wanted: Fields): void {
  const { name, resourceVersion, uid } = current.metadata;
  const version = wanted['resourceVersion'];
  if (version && version !== resourceVersion) {
    throw conflict(kind, name, 'its resourceVersion is another; read it again and retry');
  }
  if (wanted['uid'] && wanted['uid'] !== uid) {
    throw conflict(kind, name, `its uid is ${uid}, not the one given`);
  }
}

function identityOf({ metadata }: Resource): Fields {
  const { uid, creationTimestamp, generation, deletionTimestamp } = metadata;
  return {
    uid,
    creationTimestamp,
    generation,
    ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
  };
}

/** The generation counts changes of what is wanted: all but metadata and status. */
function withGeneration(current: Resource, accepted: Accepted): Accepted {
  const { metadata: _, status: __, ...before } = fieldsOf(current);
  const { metadata: ___, status: ____, ...after } = fieldsOf(accepted.resource);
  if (jsonEqual(before, after)) return accepted;
  const { resource, warnings } = accepted;
  const generation = (current.metadata.generation ?? 1) + 1;
  return { resource: { ...resource, metadata: { ...resource.metadata, generation } }, warnings };
}

function withoutStatus(kind: KindDefinition, object: Fields): Fields {
  if (!kind.hasStatus) return object;
  const { status: _, ...rest } = object;
  return rest;
}

function metadataOf(object: Fields): Fields {
  return isObject(object['metadata']) ? object['metadata'] : {};
}

function fieldsOf(resource: Resource): Fields {
  return { ...resource };
}
