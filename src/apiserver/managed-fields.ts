// `metadata.managedFields`: which manager owns which fields, read from and written to objects.
import type { Resource } from '#api';
import { isObject } from '#lib';
import { FieldSet } from './field-set.ts';

export interface ManagerId {
  readonly manager: string;
  readonly operation: 'Apply' | 'Update';
  readonly apiVersion: string;
  readonly subresource: 'status' | undefined;
}

export interface ManagedFields extends ManagerId {
  /** RFC 3339; when the set was last changed by its own manager. */
  readonly time: string | undefined;
  readonly fields: FieldSet;
}

/** Of Update managers; the oldest beyond are one. */
const MAX_UPDATERS = 10;
const ANCIENT = 'ancient-changes';
/** More are refused when a client writes them itself. */
const MAX_ENTRIES = 1000;
const MAX_NAME = 128;

/** Reads the entries; undefined where they cannot be read. */
export function parseManagedFields(entries: unknown): ManagedFields[] | undefined {
  if (!Array.isArray(entries) || entries.length > MAX_ENTRIES) return undefined;
  const parsed = entries.map(parseEntry).filter((entry) => entry !== undefined);
  return parsed.length === entries.length ? parsed : undefined;
}

function parseEntry(entry: unknown): ManagedFields | undefined {
  if (!isObject(entry)) return undefined;
  const { manager = '', operation, apiVersion, subresource, time, fieldsType, fieldsV1 } = entry;
  const fields = fieldsType === 'FieldsV1' ? FieldSet.parse(fieldsV1) : undefined;
  const named = typeof manager === 'string' && manager.length <= MAX_NAME;
  if (!fields || !named || typeof apiVersion !== 'string') return undefined;
  if (operation !== 'Apply' && operation !== 'Update') return undefined;
  const ofStatus = subresource === 'status' ? subresource : undefined;
  const when = typeof time === 'string' ? time : undefined;
  return { manager, operation, apiVersion, subresource: ofStatus, time: when, fields };
}

/** The entries of an object as they are kept: what cannot be read is nobody's. */
export function managedFieldsOf({ metadata }: Resource): ManagedFields[] {
  return parseManagedFields(metadata.managedFields ?? []) ?? [];
}

/** The resource with these entries, in the order of Kubernetes: who applies first, then by time and name. */
export function withManagedFields(
  resource: Resource,
  managers: readonly ManagedFields[],
): Resource {
  const { managedFields: _, ...metadata } = resource.metadata;
  const entries = limited(managers.filter(({ fields }) => !fields.empty))
    .sort(
      (a, b) =>
        compareTexts(a.operation, b.operation) ||
        compareTexts(a.time, b.time) ||
        compareTexts(a.manager, b.manager),
    )
    .map(({ manager, operation, apiVersion, time, subresource, fields }) => ({
      manager,
      operation,
      apiVersion,
      ...(time === undefined ? {} : { time }),
      fieldsType: 'FieldsV1',
      fieldsV1: fields.toJSON(),
      ...(subresource === undefined ? {} : { subresource }),
    }));
  const managed = entries.length > 0 ? { managedFields: entries } : {};
  return { ...resource, metadata: { ...metadata, ...managed } };
}

export function isSameManager(a: ManagerId, b: ManagerId): boolean {
  return (
    a.manager === b.manager &&
    a.operation === b.operation &&
    a.apiVersion === b.apiVersion &&
    a.subresource === b.subresource
  );
}

/** With the oldest updaters put together, so that an object cannot grow with every new client. */
function limited(managers: readonly ManagedFields[]): ManagedFields[] {
  const updaters = managers
    .filter(({ operation }) => operation === 'Update')
    .sort((a, b) => compareTexts(a.time, b.time));
  const ancient = updaters.slice(0, -MAX_UPDATERS);
  const [oldest] = ancient;
  if (!oldest) return [...managers];
  // One more, so that the merged one is within the limit too.
  const merged = updaters.slice(0, ancient.length + 1);
  const fields = merged.reduce((all, entry) => all.union(entry.fields), new FieldSet());
  const time = merged.at(-1)?.time;
  const entry = { ...oldest, manager: ANCIENT, subresource: undefined, time, fields };
  return [entry, ...managers.filter((manager) => !merged.includes(manager))];
}

function compareTexts(a = '', b = ''): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
