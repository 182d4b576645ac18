// Field ownership on each write: updates take fields over, server-side apply asks first.
import { apiVersionOf, type KindDefinition, type Resource } from '#api';
import { isObject, jsonEqual } from '#lib';
import {
  compareFields,
  type Comparison,
  fieldsOf,
  mergeFields,
  removeFields,
} from './field-comparison.ts';
import { FieldSchema } from './field-schema.ts';
import { FieldSet, fieldPathText } from './field-set.ts';
import {
  isSameManager,
  type ManagedFields,
  managedFieldsOf,
  type ManagerId,
  parseManagedFields,
  withManagedFields,
} from './managed-fields.ts';
import { applyConflict, badRequest } from './request-error.ts';

export interface FieldManager {
  readonly name: string;
  readonly subresource?: 'status' | undefined;
  /** Milliseconds are cut off. */
  readonly time: string;
}

const schemas = new WeakMap<KindDefinition, FieldSchema>();

function schemaOf(kind: KindDefinition): FieldSchema {
  const schema = schemas.get(kind) ?? new FieldSchema(kind);
  schemas.set(kind, schema);
  return schema;
}

/** `next` with the fields that this create or update sets in the name of the manager. */
export function trackUpdate(
  kind: KindDefinition,
  { current, next }: { current: Resource | undefined; next: Resource },
  by: FieldManager,
): Resource {
  const changes = compareFields(schemaOf(kind), owned(current, by), owned(next, by));
  const { changed, removed } = changes;
  const { time } = by;
  const id = managerId(kind, by, 'Update');
  const before = managersBefore(current, next);
  const mine = before.find((entry) => isSameManager(entry, id));
  const others = before
    .filter((entry) => entry !== mine)
    .map((entry) => ({
      ...entry,
      fields: entry.fields.difference(changed).difference(removed),
    }));
  const fields = (mine?.fields ?? new FieldSet()).difference(removed).union(changed);
  return withManagedFields(next, [...others, entryOf(id, { mine, fields }, { time, changes })]);
}

/** What an apply makes of an object: the object that it wants, and who owns what once that is accepted. */
export interface Application {
  readonly wanted: unknown;
  /** Throws a 409 that names each field that somebody else has set to another value, unless forced. */
  readonly track: (next: Resource) => Resource;
}

/** Applies `body` to the current resource, or to nothing. Throws 400. */
export function applyFields(
  kind: KindDefinition,
  { current, body }: { current: Resource | undefined; body: unknown },
  by: FieldManager & { readonly force: boolean },
): Application {
  const schema = schemaOf(kind);
  const applied = appliedPart(kind, body, by);
  schema.checkApplied(applied);
  const { time } = by;
  const id = managerId(kind, by, 'Apply');
  const before = current ? managedFieldsOf(current) : [];
  const mine = before.find((entry) => isSameManager(entry, id));
  const others = before.filter((entry) => entry !== mine);
  const fields = fieldsOf(schema, owned(applied, by));
  const held = others.reduce((all, entry) => all.union(entry.fields), fields);
  const given = (mine?.fields ?? new FieldSet()).difference(held);
  const merged = current ? mergeFields(schema, current, applied) : applied;
  const wanted = removeFields(schema, merged, { given, owned: held });
  const track = (next: Resource): Resource => {
    const changes = compareFields(schema, owned(current, by), owned(next, by));
    const { changed, removed } = changes;
    const conflicts = others
      .map((entry) => ({ ...entry, fields: entry.fields.intersection(changed) }))
      .filter((entry) => !entry.fields.empty);
    if (conflicts.length > 0 && !by.force) throw conflictOf(kind, next, conflicts);
    const left = others.map((entry) => ({
      ...entry,
      fields: entry.fields.difference(changed).difference(removed),
    }));
    return withManagedFields(next, [...left, entryOf(id, { mine, fields }, { time, changes })]);
  };
  return { wanted, track };
}

function managerId(
  kind: KindDefinition,
  by: FieldManager,
  operation: 'Apply' | 'Update',
): ManagerId {
  const apiVersion = apiVersionOf(kind);
  return { manager: by.name, operation, apiVersion, subresource: by.subresource };
}

/** Its time is that of the last write by the manager that changed the set, or a value. */
function entryOf(
  id: ManagerId,
  { mine, fields }: { mine: ManagedFields | undefined; fields: FieldSet },
  { time, changes }: { time: string; changes: Comparison },
): ManagedFields {
  const idle = changes.changed.empty && changes.removed.empty;
  return idle && mine?.fields.equals(fields) ? mine : { ...id, time, fields };
}

/**
 * What the body brings along counts where it can be read: a client may hand ownership over (`[{}]`: to nobody).
 * Otherwise what the object has.
 */
function managersBefore(current: Resource | undefined, next: Resource): ManagedFields[] {
  const { managedFields: brought = [] } = next.metadata;
  if (jsonEqual(brought, [{}])) return [];
  const parsed = current && brought.length > 0 ? parseManagedFields(brought) : undefined;
  return parsed ?? (current ? managedFieldsOf(current) : []);
}

/** Fields of the server's own, or that say which object it is: nobody manages them. */
const UNMANAGED = new Set([
  'name',
  'namespace',
  'uid',
  'resourceVersion',
  'generation',
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
  'selfLink',
  'managedFields',
]);

/** The part of an object that a request can own: the status, or all but it. */
function owned(object: unknown, { subresource }: FieldManager): Record<string, unknown> {
  if (!isObject(object)) return {};
  const { apiVersion: _, kind: __, metadata, status, ...rest } = object;
  if (subresource === 'status') return status === undefined ? {} : { status };
  const all = Object.entries(isObject(metadata) ? metadata : {});
  const managed = all.filter(([name]) => !UNMANAGED.has(name));
  return managed.length > 0 ? { metadata: Object.fromEntries(managed), ...rest } : rest;
}

/** What of the body is applied: nulls are absent, and of object and status only what is addressed. */
function appliedPart(kind: KindDefinition, body: unknown, by: FieldManager): unknown {
  if (!isObject(body)) throw badRequest('the body must be an object');
  for (const field of ['apiVersion', 'kind']) {
    if (typeof body[field] !== 'string')
      throw badRequest(`${field} is required in what is applied`);
  }
  const metadata = isObject(body['metadata']) ? body['metadata'] : {};
  const { managedFields, ...given } = metadata;
  if (Array.isArray(managedFields) && managedFields.length > 0) {
    throw badRequest('metadata.managedFields must not be in what is applied; leave it out');
  }
  const { status, ...rest } = body;
  if (by.subresource === 'status') return withoutNulls({ ...head(body, given), status });
  return withoutNulls({ ...rest, metadata: given, ...(kind.hasStatus ? {} : { status }) });
}

function head(body: Record<string, unknown>, metadata: Record<string, unknown>) {
  const { name, namespace, uid, resourceVersion } = metadata;
  const { apiVersion, kind } = body;
  return { apiVersion, kind, metadata: { name, namespace, uid, resourceVersion } };
}

function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (!isObject(value)) return value;
  const members = Object.entries(value).filter(
    ([, child]) => child !== null && child !== undefined,
  );
  return Object.fromEntries(members.map(([name, child]) => [name, withoutNulls(child)]));
}

function conflictOf(
  kind: KindDefinition,
  { metadata }: Resource,
  conflicts: readonly ManagedFields[],
): Error {
  const causes = conflicts.flatMap(({ manager, operation, apiVersion, subresource, ...entry }) => {
    const ofStatus = subresource ? ` with subresource "${subresource}"` : '';
    const since = entry.time === undefined ? '' : ` at ${entry.time}`;
    const update = operation === 'Update' ? ` using ${apiVersion}${since}` : '';
    const message = `conflict with "${manager}"${ofStatus}${update}`;
    return [...entry.fields.paths()].map((path) => ({ message, field: fieldPathText(path) }));
  });
  return applyConflict(kind, metadata.name, causes);
}
