// What the API's documents say of requests: the paths of a kind, their operations and parameters.
import type { KindDefinition } from '#api';
import { resourcePath } from '#datastore';
import { takesStrategicPatch } from '../strategic-merge.ts';

export interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query';
  readonly type: 'boolean' | 'integer' | 'string';
  readonly description: string;
}

export interface Operation {
  readonly method: 'get' | 'post' | 'put' | 'patch' | 'delete';
  /** What Kubernetes' documents call it: `list`, `deletecollection` ... */
  readonly action: string;
  /** Unique in all documents. */
  readonly id: string;
  readonly description: string;
  readonly parameters: readonly Parameter[];
  /** What the body may be, and what it holds. */
  readonly body?: { readonly types: readonly string[]; readonly holds: Body } | undefined;
  readonly answer: 'object' | 'list' | 'status';
}

/** `patch` is any value: its form is that of its content type. */
export type Body = 'object' | 'options' | 'patch';

export interface Path {
  /** With `{namespace}` and `{name}`. */
  readonly path: string;
  readonly parameters: readonly Parameter[];
  readonly operations: readonly Operation[];
}

const NAMESPACE = parameter('namespace', 'the namespace of the objects', 'string', 'path');
const NAME = parameter('name', 'the name of the object', 'string', 'path');

const DRY_RUN = parameter('dryRun', 'All: the request is checked and answered, nothing is stored');
const MANAGER = parameter('fieldManager', 'who is written down as owner of the fields that change');
const VALIDATION = parameter(
  'fieldValidation',
  'what becomes of unknown fields: Ignore drops them, Warn drops them and says so, Strict refuses',
);
const FORCE = parameter(
  'force',
  'of an apply: takes fields over that others own; refused with a conflict otherwise',
  'boolean',
);
const SELECTION = [
  parameter('labelSelector', 'only objects with such labels: "app=web,stage!=test,team in (a,b)"'),
  parameter('fieldSelector', 'only objects with such fields: "metadata.name=web"'),
];
const LIST = [
  ...SELECTION,
  parameter('limit', 'at most so many objects; the answer says how to go on', 'integer'),
  parameter('continue', 'where to go on: metadata.continue of the answer before'),
  parameter('resourceVersion', 'not older than this version, or exactly this one'),
  parameter('resourceVersionMatch', 'NotOlderThan or Exact, which resourceVersion means'),
  parameter('watch', 'sends changes as they happen instead of a list', 'boolean'),
  parameter('allowWatchBookmarks', 'a watch sends now and then which version it is at', 'boolean'),
  parameter('sendInitialEvents', 'a watch begins with the objects that are there', 'boolean'),
  parameter('timeoutSeconds', 'a watch ends after so many seconds', 'integer'),
];
const DELETION = [
  DRY_RUN,
  parameter('gracePeriodSeconds', 'how long the object may take to end', 'integer'),
  parameter('propagationPolicy', 'what becomes of what it owns: Orphan, Background, Foreground'),
  parameter('orphanDependents', 'older form of propagationPolicy', 'boolean'),
];
const WRITE = [DRY_RUN, MANAGER, VALIDATION];

const JSON_TYPE = ['application/json'];
const PATCH_TYPES = [
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/apply-patch+yaml',
];
const STRATEGIC = 'application/strategic-merge-patch+json';

function parameter(
  name: string,
  description: string,
  type: Parameter['type'] = 'string',
  place: Parameter['in'] = 'query',
): Parameter {
  return { name, in: place, type, description };
}

/** Every path under which the kind is served. */
export function pathsOf(kind: KindDefinition): Path[] {
  const own = kind.namespaced ? [NAMESPACE] : [];
  const collection = templated(kind, kind.namespaced);
  const name = `${collection}/{name}`;
  return [
    ...(kind.namespaced
      ? [{ path: templated(kind, false), parameters: [], operations: [everywhere(kind)] }]
      : []),
    { path: collection, parameters: own, operations: collectionOperations(kind) },
    { path: name, parameters: [NAME, ...own], operations: objectOperations(kind) },
    ...(kind.hasStatus
      ? [{ path: `${name}/status`, parameters: [NAME, ...own], operations: statusOperations(kind) }]
      : []),
  ];
}

function templated(kind: KindDefinition, namespaced: boolean): string {
  const path = resourcePath(kind, { namespace: namespaced ? '{namespace}' : undefined });
  return path.replace('%7Bnamespace%7D', '{namespace}');
}

function everywhere(kind: KindDefinition): Operation {
  return { ...list(kind), id: `${idOf(kind, 'list')}ForAllNamespaces` };
}

function list(kind: KindDefinition): Operation {
  return {
    method: 'get',
    action: 'list',
    id: idOf(kind, 'list'),
    description: `list or watch objects of kind ${kind.kind}`,
    parameters: LIST,
    answer: 'list',
  };
}

function collectionOperations(kind: KindDefinition): Operation[] {
  const options = { types: JSON_TYPE, holds: 'options' } as const;
  return [
    list(kind),
    {
      ...write(kind, 'create', 'post'),
      description: `create ${kind.kind}`,
      body: { types: JSON_TYPE, holds: 'object' },
    },
    {
      method: 'delete',
      action: 'deletecollection',
      id: `${idOf(kind, 'delete')}Collection`,
      description: `delete the selected objects of kind ${kind.kind}`,
      parameters: [...SELECTION, ...DELETION],
      body: options,
      answer: 'status',
    },
  ];
}

function objectOperations(kind: KindDefinition): Operation[] {
  return [
    ...readAndWrite(kind, ''),
    {
      method: 'delete',
      action: 'delete',
      id: idOf(kind, 'delete'),
      description: `delete ${kind.kind}`,
      parameters: DELETION,
      body: { types: JSON_TYPE, holds: 'options' },
      answer: 'status',
    },
  ];
}

function statusOperations(kind: KindDefinition): Operation[] {
  return readAndWrite(kind, 'Status');
}

/** Of the object or of a part of it. */
function readAndWrite(kind: KindDefinition, part: string): Operation[] {
  const what = part === '' ? kind.kind : `the status of ${kind.kind}`;
  const get = {
    method: 'get',
    action: 'get',
    id: `${idOf(kind, 'read')}${part}`,
    description: `read ${what}`,
    parameters: [],
    answer: 'object',
  } as const;
  const put = write(kind, 'replace', 'put', part);
  const patch = write(kind, 'patch', 'patch', part);
  const types = takesStrategicPatch(kind) ? [...PATCH_TYPES, STRATEGIC] : PATCH_TYPES;
  return [
    get,
    { ...put, description: `replace ${what}`, body: { types: JSON_TYPE, holds: 'object' } },
    {
      ...patch,
      description: `change ${what}`,
      parameters: [...WRITE, FORCE],
      body: { types, holds: 'patch' },
    },
  ];
}

function write(
  kind: KindDefinition,
  verb: string,
  method: 'post' | 'put' | 'patch',
  part = '',
): Omit<Operation, 'description'> {
  const id = `${idOf(kind, verb)}${part}`;
  return { method, action: method, id, parameters: WRITE, answer: 'object' };
}

/** `listNetworkingV1NamespacedNetworkPolicy`, as Kubernetes' own documents have it. */
function idOf({ group, version, kind, namespaced }: KindDefinition, verb: string): string {
  const domain = group === '' ? 'core' : group.replace(/\.k8s\.io$/, '');
  const words = [...domain.split('.'), version].map(
    (word) => word.slice(0, 1).toUpperCase() + word.slice(1),
  );
  return `${verb}${words.join('')}${namespaced ? 'Namespaced' : ''}${kind}`;
}
