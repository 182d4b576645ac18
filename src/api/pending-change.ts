// PendingChange: a change that undoes itself unless somebody confirms it, by deleting this, in time.
import { type Static, Type } from 'typebox';
import { type KindDefinition, ObjectMeta, type Problem, type Resource } from './kind.ts';
import { fault, quoted } from './problem.ts';

/** Groups whose resources may be part of one: policy and networking, nothing that holds secrets. */
const GROUPS: readonly string[] = [
  'projectcalico.org',
  'networking.k8s.io',
  'policy.networking.k8s.io',
];

const ChangedObject = Type.Object({
  apiVersion: Type.String(),
  kind: Type.String(),
  namespace: Type.Optional(Type.String()),
  name: Type.String(),
  /** As the server found it when the change was announced; absent where there was none. */
  before: Type.Optional(Type.Object({}, { additionalProperties: true })),
});

export const PendingChangeSpec = Type.Object({
  /** Counted from the creation. */
  confirmWithinSeconds: Type.Integer({ minimum: 1, maximum: 86_400 }),
  objects: Type.Array(ChangedObject, { minItems: 1, maxItems: 1000 }),
});

export const PendingChangeStatus = Type.Object({
  /** RFC 3339; set when the undoing has begun. */
  undoingSince: Type.Optional(Type.String()),
});

export type ChangedObject = Static<typeof ChangedObject>;

export interface PendingChange extends Resource {
  readonly kind: 'PendingChange';
  readonly spec: Static<typeof PendingChangeSpec>;
  readonly status?: Static<typeof PendingChangeStatus>;
}

export const pendingChangeKind: KindDefinition = {
  group: 'tortie.dev',
  version: 'v1',
  kind: 'PendingChange',
  plural: 'pendingchanges',
  singular: 'pendingchange',
  shortNames: [],
  namespaced: false,
  hasStatus: true,
  schema: Type.Object({
    metadata: ObjectMeta,
    spec: PendingChangeSpec,
    status: Type.Optional(PendingChangeStatus),
  }),
  columns: [
    { name: 'Within', type: 'integer', path: '.spec.confirmWithinSeconds', priority: 0 },
    { name: 'Since', type: 'date', path: '.metadata.creationTimestamp', priority: 0 },
  ],
  immutableFields: ['spec'],
  check: (resource) => (resource as PendingChange).spec.objects.flatMap(objectProblems),
};

function objectProblems({ apiVersion }: ChangedObject, index: number): Problem[] {
  const [group = ''] = apiVersion.split('/');
  if (GROUPS.includes(group)) return [];
  const path = `spec.objects[${index}].apiVersion`;
  return [fault(path, `${quoted(apiVersion)} cannot be undone; only ${GROUPS.join(', ')} can`)];
}
