// The schemas of the API's documents: kinds, their lists, and what all kinds share.
import { apiVersionOf, type KindDefinition, objectMetaSchema, openApiSchema } from '#api';
import { isObject } from '#lib';
import { isSetList, mergeKeys, takesStrategicPatch } from '../strategic-merge.ts';

export type Json = Readonly<Record<string, unknown>>;

const META = 'io.k8s.apimachinery.pkg.apis.meta.v1';
export const OBJECT_META = `${META}.ObjectMeta`;
export const STATUS = `${META}.Status`;
export const DELETE_OPTIONS = `${META}.DeleteOptions`;
const LIST_META = `${META}.ListMeta`;

/** What Kubernetes' lists merged by key look like to clients that make strategic patches. */
const PATCH_KEY = 'x-kubernetes-patch-merge-key';
const PATCH_STRATEGY = 'x-kubernetes-patch-strategy';

/** As Kubernetes names its own: `io.k8s.api.core.v1.Pod`; others by their group: `org.projectcalico.v3.Tier`. */
export function schemaName({ group, version, kind }: KindDefinition): string {
  return `${domainOf(group)}.${version}.${kind}`;
}

function domainOf(group: string): string {
  const [first = '', ...rest] = group.split('.');
  if (group === '') return 'io.k8s.api.core';
  // Kubernetes' own groups; others under its domain are custom resources there too.
  const own = ['k8s.io', 'authorization.k8s.io'].includes(rest.join('.'));
  return own ? `io.k8s.api.${first}` : group.split('.').reverse().join('.');
}

/** All schemas by name; references are `#/<name>`, for the document to complete. */
export function definitionsOf(kinds: readonly KindDefinition[]): Map<string, Json> {
  const named = kinds.flatMap((kind) => [
    [schemaName(kind), objectSchema(kind)] as const,
    [`${schemaName(kind)}List`, listSchema(kind)] as const,
  ]);
  return new Map([...named, ...SHARED]);
}

/** A reference that `withReferences` completes. */
export function reference(name: string): Json {
  return { $ref: `#/${name}` };
}

/** The value with each reference below `prefix`, such as `#/definitions/`. */
export function withReferences(value: unknown, prefix: string): unknown {
  if (Array.isArray(value)) return value.map((item) => withReferences(item, prefix));
  if (!isObject(value)) return value;
  const entries = Object.entries(value).map(([name, member]) =>
    name === '$ref' && typeof member === 'string'
      ? [name, member.replace('#/', prefix)]
      : [name, withReferences(member, prefix)],
  );
  return Object.fromEntries(entries);
}

function objectSchema(kind: KindDefinition): Json {
  const schema = withPatchKeys(openApiSchema(kind), kind, '');
  const { metadata, ...rest } = schema['properties'] as Record<string, Json>;
  const { description } = metadata ?? {};
  const { apiVersion, kind: name, ...fields } = rest;
  const shared = { allOf: [reference(OBJECT_META)], description };
  return { ...schema, properties: { apiVersion, kind: name, metadata: shared, ...fields } };
}

function listSchema(kind: KindDefinition): Json {
  const { group, version } = kind;
  const name = `${kind.kind}List`;
  return {
    description: `${name} is a list of ${kind.kind}`,
    type: 'object',
    required: ['items'],
    properties: {
      apiVersion: { type: 'string', description: `Is ${apiVersionOf(kind)}` },
      kind: { type: 'string', description: `Is ${name}` },
      metadata: {
        allOf: [reference(LIST_META)],
        description: 'Which version the list is of, and how to go on where it is a part',
      },
      items: {
        type: 'array',
        items: { allOf: [reference(schemaName(kind))] },
        description: 'The objects, by namespace and name',
      },
    },
    'x-kubernetes-group-version-kind': [{ group, version, kind: name }],
  };
}

/** Marks the lists that strategic patches and applies merge by item. */
function withPatchKeys(schema: Json, kind: KindDefinition, path: string): Json {
  if (!takesStrategicPatch(kind)) return schema;
  const marked = { ...schema, ...patchKeys(kind, path, schema) };
  const { items, properties } = schema;
  if (isObject(items)) return { ...marked, items: withPatchKeys(items, kind, path) };
  if (!isObject(properties)) return marked;
  const members = Object.entries(properties).map(([name, member]) => {
    const at = path === '' ? name : `${path}.${name}`;
    return [name, withPatchKeys(member as Json, kind, at)];
  });
  return { ...marked, properties: Object.fromEntries(members) };
}

function patchKeys(kind: KindDefinition, path: string, { type }: Json): Json {
  if (type !== 'array') return {};
  if (isSetList(path)) return { [PATCH_STRATEGY]: 'merge', 'x-kubernetes-list-type': 'set' };
  const key = mergeKeys(kind)[path];
  return key === undefined ? {} : { [PATCH_STRATEGY]: 'merge', [PATCH_KEY]: key };
}

const text = (description: string): Json => ({ type: 'string', description });
const whole = (description: string): Json => ({ type: 'integer', format: 'int64', description });

const SHARED: readonly (readonly [string, Json])[] = [
  [OBJECT_META, metadataSchema()],
  [
    LIST_META,
    {
      description: 'ListMeta says which version a list is of, and whether there is more',
      type: 'object',
      properties: {
        continue: text('Sent as the parameter `continue`, gives the next part'),
        remainingItemCount: whole('How many objects come after this part'),
        resourceVersion: text('The version that the list is of; a watch can begin there'),
        selfLink: text('Not set'),
      },
    },
  ],
  [
    STATUS,
    {
      description: 'Status says what became of a request that does not answer with an object',
      type: 'object',
      properties: {
        apiVersion: text('Is v1'),
        kind: text('Is Status'),
        metadata: { allOf: [reference(LIST_META)], description: 'Empty, or that of a list' },
        status: text('Success or Failure'),
        code: { type: 'integer', format: 'int32', description: 'The HTTP status' },
        reason: text('One word for programs, such as NotFound or Conflict'),
        message: text('What happened, for people'),
        details: { type: 'object', description: 'The object, and each field that was refused' },
      },
      'x-kubernetes-group-version-kind': [{ group: '', version: 'v1', kind: 'Status' }],
    },
  ],
  [
    DELETE_OPTIONS,
    {
      description: 'DeleteOptions says how to delete',
      type: 'object',
      properties: {
        apiVersion: text('Is v1'),
        kind: text('Is DeleteOptions'),
        dryRun: { type: 'array', items: { type: 'string' }, description: 'All: only try' },
        gracePeriodSeconds: whole('How long the object may take to end'),
        orphanDependents: { type: 'boolean', description: 'Older form of propagationPolicy' },
        propagationPolicy: text('What becomes of what it owns: Orphan, Background, Foreground'),
        preconditions: {
          type: 'object',
          description: 'Refuses to delete another object, or another version of it',
          properties: {
            uid: text('The uid that it must have'),
            resourceVersion: text('The version that it must have'),
          },
        },
      },
      'x-kubernetes-group-version-kind': [{ group: '', version: 'v1', kind: 'DeleteOptions' }],
    },
  ],
];

function metadataSchema(): Json {
  // The name is not required of a client that gives generateName.
  const { required: _, properties, ...metadata } = objectMetaSchema();
  const { ownerReferences, finalizers, ...fields } = properties as Record<string, Json>;
  const owners = { ...ownerReferences, [PATCH_STRATEGY]: 'merge', [PATCH_KEY]: 'uid' };
  const set = { ...finalizers, [PATCH_STRATEGY]: 'merge', 'x-kubernetes-list-type': 'set' };
  return { ...metadata, properties: { ...fields, finalizers: set, ownerReferences: owners } };
}
