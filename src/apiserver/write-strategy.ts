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
import { metadataRuleProblems } from './metadata-rules.ts';
import { badRequest, conflict, invalid } from './request-error.ts';
import { timestamp } from './timestamp.ts';

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
  /** `Strict` where it is not given: a policy with a misspelt field is another policy. */
  readonly fieldValidation?: FieldValidation;
}

/** What becomes of fields that a kind does not have: refused, left out with a warning, left out. */
export type FieldValidation = 'Strict' | 'Warn' | 'Ignore';

type Fields = Record<string, unknown>;

/** The status that a new resource has until somebody reports one. */
const FIRST_STATUS: Readonly<Record<string, Fields>> = {
  Namespace: { phase: 'Active' },
  Pod: { phase: 'Pending' },
};

/** Consonants and digits of Kubernetes' generated names: no word comes out by chance. */
const NAME_LETTERS = 'bcdfghjklmnpqrstvwxz2456789';
/** So that the name is a DNS label with the letters. */
const MAX_GENERATE_NAME = 58;

/** What a new resource gets that nobody can foresee. */
export interface Birth {
  /** Milliseconds since 1970. */
  readonly now: number;
  /** The end of a generated name. */
  readonly suffix: () => string;
}

/** A new resource: named, identified, dated, with defaults. Throws 400 or 422. */
export function acceptCreate(target: Target, body: unknown, { now, suffix }: Birth): Accepted {
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
  return accept(target, {
    ...withNamespaceFinalizers(kind, withoutStatus(kind, object), [NAMESPACE_FINALIZER]),
    ...(kind.hasStatus && status ? { status } : {}),
    metadata: {
      ...given,
      ...generatedName(metadata, suffix),
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
  const wanted = {
    ...withNamespaceFinalizers(kind, withoutStatus(kind, object), namespaceFinalizers(current)),
    ...(kind.hasStatus && status !== undefined ? { status } : {}),
    metadata: withIdentityOf(current, metadata),
  };
  const accepted = accept(target, wanted, current);
  const changes = [
    ...checkUpdate(current, accepted.resource),
    ...immutableProblems(current, accepted.resource),
  ];
  if (changes.length > 0) throw invalid(kind, current.metadata.name, changes);
  return withGeneration(current, accepted);
}

/** The current resource with the status of `body`. */
export function acceptStatus(target: Target, current: Resource, body: unknown): Accepted {
  const object = addressed(target, body);
  checkPreconditions(target.kind, current, metadataOf(object));
  const { status } = object;
  const { status: _, ...rest } = fieldsOf(current);
  return accept(target, { ...rest, ...(status === undefined ? {} : { status }) }, current);
}

/** The current namespace with the `spec.finalizers` of `body`: its `finalize` subresource. */
export function acceptFinalize(target: Target, current: Resource, body: unknown): Accepted {
  const object = addressed(target, body);
  checkPreconditions(target.kind, current, metadataOf(object));
  const spec = isObject(object['spec']) ? object['spec'] : {};
  const finalizers: readonly unknown[] = Array.isArray(spec['finalizers'])
    ? spec['finalizers']
    : [];
  const wanted = withNamespaceFinalizers(target.kind, fieldsOf(current), finalizers);
  return accept(target, wanted, current);
}

/** What holds a namespace until it is empty, in its `spec.finalizers`. */
export const NAMESPACE_FINALIZER = 'kubernetes';

/** Those of a namespace; one that was stored without them has the usual one. */
export function namespaceFinalizers(namespace: Resource): readonly unknown[] {
  const { spec }: Resource & { spec?: unknown } = namespace;
  const finalizers = isObject(spec) ? spec['finalizers'] : undefined;
  return Array.isArray(finalizers) ? finalizers : [NAMESPACE_FINALIZER];
}

/** Namespaces have finalizers in their spec too, which only the `finalize` subresource changes. */
function withNamespaceFinalizers(
  kind: KindDefinition,
  object: Fields,
  finalizers: readonly unknown[],
): Fields {
  if (kind.group !== '' || kind.kind !== 'Namespace') return object;
  return { ...object, spec: { ...(isObject(object['spec']) ? object['spec'] : {}), finalizers } };
}

/** Equal but for the revision, the owners of fields with the rest: storing it would move everybody for nothing. */
export function isUnchanged(current: Resource, next: Resource): boolean {
  const { resourceVersion: _, selfLink: __, ...before } = current.metadata;
  const { resourceVersion: ___, selfLink: ____, ...after } = next.metadata;
  return jsonEqual({ ...current, metadata: before }, { ...next, metadata: after });
}

function accept(
  { kind, fieldValidation = 'Strict' }: Target,
  object: Fields,
  current?: Resource,
): Accepted {
  const validated = validateResource(object, { dropUnknown: fieldValidation !== 'Strict' });
  const { resource } = validated;
  const rules = resource ? metadataRuleProblems(resource, current) : [];
  const problems = [...validated.problems, ...rules];
  const errors = problems.filter(({ severity }) => severity === 'error');
  if (!resource || errors.length > 0) {
    const { name } = metadataOf(object);
    throw invalid(kind, typeof name === 'string' ? name : '', errors);
  }
  const told = fieldValidation === 'Ignore' ? problems.filter((it) => !it.unknownField) : problems;
  return { resource, warnings: told.map(warningText) };
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

function generatedName(metadata: Fields, suffix: () => string): Fields {
  const { name, generateName } = metadata;
  if ((name !== undefined && name !== '') || typeof generateName !== 'string') return {};
  return { name: `${generateName.slice(0, MAX_GENERATE_NAME)}${suffix()}` };
}

/** Five letters, drawn at random. */
export function nameSuffix(): string {
  const letters = Array.from({ length: 5 }, () => NAME_LETTERS[randomInt(NAME_LETTERS.length)]);
  return letters.join('');
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

/** What says which object it is, and how far gone, is the server's own. */
function withIdentityOf({ metadata }: Resource, wanted: Fields): Fields {
  const own = Object.entries(metadata).filter(([name]) => IDENTITY.includes(name));
  const others = Object.entries(wanted).filter(([name]) => !IDENTITY.includes(name));
  return Object.fromEntries([...others, ...own]);
}

const IDENTITY: readonly string[] = [
  'uid',
  'creationTimestamp',
  'generation',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
];

/** ConfigMaps and Secrets that say so keep what they hold, and that they say so. */
function immutableProblems(current: Resource, next: Resource): Problem[] {
  const [before, after] = [fieldsOf(current), fieldsOf(next)];
  if (before['immutable'] !== true) return [];
  const message = 'cannot change: the object is immutable; delete it and make another';
  return ['data', 'binaryData', 'immutable'].flatMap((path) =>
    jsonEqual(before[path] ?? null, after[path] ?? null)
      ? []
      : [{ path, message, severity: 'error' as const }],
  );
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
