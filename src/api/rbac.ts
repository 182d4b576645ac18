// Kubernetes' RBAC kinds: who may do what, as Role, ClusterRole and their bindings (rbac.authorization.k8s.io/v1).
import { type Static, Type } from 'typebox';
import { ageColumn, type KindDefinition, ObjectMeta, type Problem, type Resource } from './kind.ts';
import { LabelSelector } from './kubernetes-network-policy.ts';
import { fault, quoted } from './problem.ts';

export const RBAC_GROUP = 'rbac.authorization.k8s.io';

const texts = Type.Optional(Type.Array(Type.String()));

export const PolicyRule = Type.Object({
  /** Such as `get`, or `*`. */
  verbs: Type.Array(Type.String()),
  /** Empty text for the core group. */
  apiGroups: texts,
  /** Plurals, also `pods/log`, `*` and `*` with a subresource. */
  resources: texts,
  resourceNames: texts,
  /** Paths such as `/healthz`, or with a `*` at their end. */
  nonResourceURLs: texts,
});
export type PolicyRule = Static<typeof PolicyRule>;

export const RoleRef = Type.Object({
  apiGroup: Type.Optional(Type.String()),
  kind: Type.Enum(['Role', 'ClusterRole']),
  name: Type.String({ minLength: 1 }),
});
export type RoleRef = Static<typeof RoleRef>;

export const Subject = Type.Object({
  kind: Type.Enum(['User', 'Group', 'ServiceAccount']),
  apiGroup: Type.Optional(Type.String()),
  name: Type.String({ minLength: 1 }),
  namespace: Type.Optional(Type.String()),
});
export type Subject = Static<typeof Subject>;

const AggregationRule = Type.Object({
  clusterRoleSelectors: Type.Optional(Type.Array(LabelSelector)),
});

const rules = Type.Optional(Type.Array(PolicyRule));
const subjects = Type.Optional(Type.Array(Subject));

export interface Role extends Resource {
  readonly kind: 'Role';
  readonly rules?: readonly PolicyRule[];
}

export interface ClusterRole extends Resource {
  readonly kind: 'ClusterRole';
  readonly rules?: readonly PolicyRule[];
  readonly aggregationRule?: Static<typeof AggregationRule>;
}

export interface RoleBinding extends Resource {
  readonly kind: 'RoleBinding';
  readonly subjects?: readonly Subject[];
  readonly roleRef: RoleRef;
}

export interface ClusterRoleBinding extends Resource {
  readonly kind: 'ClusterRoleBinding';
  readonly subjects?: readonly Subject[];
  readonly roleRef: RoleRef;
}

const rbac = {
  group: RBAC_GROUP,
  version: 'v1',
  shortNames: [],
  hasStatus: false,
  nameProblem: segmentProblem,
} as const;

const createdColumn = {
  name: 'Created At',
  type: 'string',
  path: '.metadata.creationTimestamp',
  priority: 0,
} as const;

const bindingColumns = [
  { name: 'Role Kind', type: 'string', path: '.roleRef.kind', priority: 1 },
  { name: 'Role', type: 'string', path: '.roleRef.name', priority: 0 },
  { name: 'Subjects', type: 'string', path: '.subjects[*].name', priority: 1 },
] as const;

export const roleKind: KindDefinition = {
  ...rbac,
  kind: 'Role',
  plural: 'roles',
  singular: 'role',
  namespaced: true,
  schema: Type.Object({ metadata: ObjectMeta, rules }),
  columns: [createdColumn],
  check: (resource) => ruleProblems((resource as Role).rules ?? [], true),
};

export const clusterRoleKind: KindDefinition = {
  ...rbac,
  kind: 'ClusterRole',
  plural: 'clusterroles',
  singular: 'clusterrole',
  namespaced: false,
  schema: Type.Object({
    metadata: ObjectMeta,
    rules,
    aggregationRule: Type.Optional(AggregationRule),
  }),
  columns: [createdColumn],
  check: (resource) => {
    const { rules: given = [], aggregationRule } = resource as ClusterRole;
    const selectors = aggregationRule?.clusterRoleSelectors ?? [];
    return [
      ...ruleProblems(given, false),
      ...(aggregationRule && selectors.length === 0
        ? [fault('aggregationRule.clusterRoleSelectors', 'needs at least one selector')]
        : []),
    ];
  },
};

export const roleBindingKind: KindDefinition = {
  ...rbac,
  kind: 'RoleBinding',
  plural: 'rolebindings',
  singular: 'rolebinding',
  namespaced: true,
  schema: Type.Object({ metadata: ObjectMeta, subjects, roleRef: RoleRef }),
  columns: [bindingColumns[1], ageColumn, bindingColumns[0], bindingColumns[2]],
  immutableFields: ['roleRef'],
  defaults: withBindingDefaults,
  check: (resource) => bindingProblems(resource as RoleBinding, true),
};

export const clusterRoleBindingKind: KindDefinition = {
  ...rbac,
  kind: 'ClusterRoleBinding',
  plural: 'clusterrolebindings',
  singular: 'clusterrolebinding',
  namespaced: false,
  schema: Type.Object({ metadata: ObjectMeta, subjects, roleRef: RoleRef }),
  columns: [bindingColumns[1], ageColumn, bindingColumns[0], bindingColumns[2]],
  immutableFields: ['roleRef'],
  defaults: withBindingDefaults,
  check: (resource) => bindingProblems(resource as ClusterRoleBinding, false),
};

/** Names of RBAC objects are any one step of a path, so that they may hold colons. */
function segmentProblem(name: string): string | undefined {
  if (name === '') return 'is required';
  if (name === '.' || name === '..' || /[/%]/.test(name) || name.length > 253) {
    return `${quoted(name)} is no name: it may not be "." or "..", hold "/" or "%", or be over 253 characters`;
  }
  return undefined;
}

function ruleProblems(given: readonly PolicyRule[], namespaced: boolean): Problem[] {
  return given.flatMap((rule, index) => {
    const path = `rules[${index}]`;
    const { verbs, apiGroups = [], resources = [], nonResourceURLs = [] } = rule;
    const problems: Problem[] = [];
    if (verbs.length === 0) problems.push(fault(`${path}.verbs`, 'must contain at least one verb'));
    if (nonResourceURLs.length > 0) {
      if (namespaced) {
        const why = 'cannot be in a Role; use a ClusterRole and a ClusterRoleBinding';
        problems.push(fault(`${path}.nonResourceURLs`, why));
      }
      if (resources.length > 0 || apiGroups.length > 0 || (rule.resourceNames ?? []).length > 0) {
        const why = 'excludes apiGroups, resources and resourceNames; use a rule for each';
        problems.push(fault(`${path}.nonResourceURLs`, why));
      }
      return problems;
    }
    if (apiGroups.length === 0) {
      problems.push(fault(`${path}.apiGroups`, 'must contain a group; "" is the core group'));
    }
    if (resources.length === 0) {
      problems.push(fault(`${path}.resources`, 'must contain at least one resource'));
    }
    return problems;
  });
}

type Binding = RoleBinding | ClusterRoleBinding;

/** As Kubernetes: the group of the role, and that of users and groups. */
function withBindingDefaults(resource: Resource): Resource {
  const binding = resource as Binding;
  const subjectsWithGroup = binding.subjects?.map((subject) =>
    subject.kind === 'ServiceAccount' || subject.apiGroup
      ? subject
      : { ...subject, apiGroup: RBAC_GROUP },
  );
  const completed: Binding = {
    ...binding,
    roleRef: { ...binding.roleRef, apiGroup: binding.roleRef.apiGroup || RBAC_GROUP },
    ...(subjectsWithGroup ? { subjects: subjectsWithGroup } : {}),
  };
  return completed;
}

function bindingProblems({ roleRef, subjects: given = [] }: Binding, namespaced: boolean) {
  const problems: Problem[] = [];
  const wrongGroup = `must be ${quoted(RBAC_GROUP)}`;
  if (roleRef.apiGroup !== RBAC_GROUP) problems.push(fault('roleRef.apiGroup', wrongGroup));
  if (!namespaced && roleRef.kind !== 'ClusterRole') {
    problems.push(fault('roleRef.kind', 'must be "ClusterRole" in a ClusterRoleBinding'));
  }
  const nameProblem = segmentProblem(roleRef.name);
  if (nameProblem) problems.push(fault('roleRef.name', nameProblem));
  for (const [index, { kind, apiGroup, namespace }] of given.entries()) {
    const path = `subjects[${index}]`;
    if (kind === 'ServiceAccount') {
      if (apiGroup) problems.push(fault(`${path}.apiGroup`, 'must be empty for a ServiceAccount'));
      if (!namespace && !namespaced) {
        problems.push(fault(`${path}.namespace`, 'is required for a ServiceAccount'));
      }
      continue;
    }
    if (apiGroup !== RBAC_GROUP) problems.push(fault(`${path}.apiGroup`, wrongGroup));
    if (namespace)
      problems.push(fault(`${path}.namespace`, `is for a ServiceAccount, not a ${kind}`));
  }
  return problems;
}
