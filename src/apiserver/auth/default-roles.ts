// The cluster roles and bindings that every Kubernetes cluster begins with, as far as what is served here goes.
import {
  apiVersionOf,
  type ClusterRole,
  clusterRoleBindingKind,
  clusterRoleKind,
  type PolicyRule,
  RBAC_GROUP,
  type Subject,
} from '#api';
import { RequestError } from '../request-error.ts';
import type { Resources } from '../resources.ts';
import { AUTHENTICATED, MASTERS, UNAUTHENTICATED } from './identity.ts';
import { uncoveredRules } from './rbac-rules.ts';

const LABELS = { 'kubernetes.io/bootstrapping': 'rbac-defaults' };
const AUTO_UPDATE = 'rbac.authorization.kubernetes.io/autoupdate';
const AGGREGATE = 'rbac.authorization.k8s.io/aggregate-to-';

const READ = ['get', 'list', 'watch'];
const WRITE = ['create', 'delete', 'deletecollection', 'patch', 'update'];
const V3 = 'projectcalico.org';
const TIERED = ['tier.networkpolicies', 'tier.stagednetworkpolicies'];
const SETS = ['networksets', 'stagedkubernetesnetworkpolicies'];
const INFO_PATHS = ['/healthz', '/livez', '/readyz', '/version', '/version/'];
const ISSUER_PATHS = ['/.well-known/openid-configuration', '/openid/v1/jwks'];

function rule(group: string, resources: readonly string[], verbs: readonly string[]): PolicyRule {
  return { apiGroups: [group], resources: [...resources], verbs: [...verbs] };
}

function paths(nonResourceURLs: readonly string[]): PolicyRule {
  return { nonResourceURLs: [...nonResourceURLs], verbs: ['get'] };
}

/** Policies of the default tier, which Kubernetes' own policies are in too. */
function defaultTier(verbs: readonly string[]): PolicyRule {
  return { ...rule(V3, TIERED, verbs), resourceNames: ['default.*'] };
}

const VIEW: readonly PolicyRule[] = [
  rule(
    '',
    [
      'configmaps',
      'endpoints',
      'events',
      'namespaces',
      'namespaces/status',
      'pods',
      'pods/log',
      'pods/status',
      'serviceaccounts',
      'services',
      'services/status',
    ],
    READ,
  ),
  rule('discovery.k8s.io', ['endpointslices'], READ),
  rule('events.k8s.io', ['events'], READ),
  rule('networking.k8s.io', ['networkpolicies'], READ),
  rule(V3, SETS, READ),
  defaultTier(READ),
];

const EDIT: readonly PolicyRule[] = [
  rule('', ['secrets'], READ),
  rule('', ['serviceaccounts'], ['impersonate']),
  rule('', ['configmaps', 'endpoints', 'pods', 'secrets', 'serviceaccounts', 'services'], WRITE),
  rule('', ['serviceaccounts/token'], ['create']),
  rule('discovery.k8s.io', ['endpointslices'], WRITE),
  rule('networking.k8s.io', ['networkpolicies'], WRITE),
  rule(V3, SETS, WRITE),
  defaultTier(WRITE),
];

const ADMIN: readonly PolicyRule[] = [
  rule('authorization.k8s.io', ['localsubjectaccessreviews'], ['create']),
  rule(RBAC_GROUP, ['roles', 'rolebindings'], [...READ, ...WRITE]),
];

interface DefaultRole {
  readonly name: string;
  readonly rules: readonly PolicyRule[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly aggregates?: string;
  readonly groups?: readonly string[];
}

const ROLES: readonly DefaultRole[] = [
  {
    name: 'cluster-admin',
    rules: [rule('*', ['*'], ['*']), { nonResourceURLs: ['*'], verbs: ['*'] }],
    groups: [MASTERS],
  },
  { name: 'system:aggregate-to-view', rules: VIEW, labels: { [`${AGGREGATE}view`]: 'true' } },
  { name: 'system:aggregate-to-edit', rules: EDIT, labels: { [`${AGGREGATE}edit`]: 'true' } },
  { name: 'system:aggregate-to-admin', rules: ADMIN, labels: { [`${AGGREGATE}admin`]: 'true' } },
  { name: 'view', rules: [], aggregates: 'view', labels: { [`${AGGREGATE}edit`]: 'true' } },
  { name: 'edit', rules: [], aggregates: 'edit', labels: { [`${AGGREGATE}admin`]: 'true' } },
  { name: 'admin', rules: [], aggregates: 'admin' },
  {
    name: 'system:basic-user',
    rules: [
      rule(
        'authorization.k8s.io',
        ['selfsubjectaccessreviews', 'selfsubjectrulesreviews'],
        ['create'],
      ),
      rule('authentication.k8s.io', ['selfsubjectreviews'], ['create']),
    ],
    groups: [AUTHENTICATED],
  },
  {
    name: 'system:discovery',
    rules: [paths([...INFO_PATHS, '/api', '/api/*', '/apis', '/apis/*', '/openapi', '/openapi/*'])],
    groups: [AUTHENTICATED],
  },
  {
    name: 'system:public-info-viewer',
    rules: [paths(INFO_PATHS)],
    groups: [AUTHENTICATED, UNAUTHENTICATED],
  },
  {
    name: 'system:service-account-issuer-discovery',
    rules: [paths(ISSUER_PATHS)],
    groups: ['system:serviceaccounts'],
  },
  {
    name: 'system:auth-delegator',
    rules: [
      rule('authentication.k8s.io', ['tokenreviews'], ['create']),
      rule('authorization.k8s.io', ['subjectaccessreviews'], ['create']),
    ],
  },
  {
    // Roles bound in a namespace cannot give what is not in one: the tier that their policies are in.
    name: 'system:default-tier-reader',
    rules: [{ ...rule(V3, ['tiers'], ['get']), resourceNames: ['default'] }],
    groups: [AUTHENTICATED],
  },
];

/** Creates what is missing and gives back what default roles lost, unless their autoupdate is "false". */
export async function seedRoles(resources: Resources): Promise<void> {
  for (const role of ROLES) {
    await seedRole(resources, role);
    if (role.groups) await seedBinding(resources, role.name, role.groups);
  }
}

async function seedRole(resources: Resources, role: DefaultRole): Promise<void> {
  const { name, rules, labels = {}, aggregates } = role;
  const selectors = [{ matchLabels: { [`${AGGREGATE}${aggregates}`]: 'true' } }];
  const body = {
    apiVersion: apiVersionOf(clusterRoleKind),
    kind: clusterRoleKind.kind,
    metadata: {
      name,
      labels: { ...LABELS, ...labels },
      annotations: { [AUTO_UPDATE]: 'true' },
    },
    rules,
    ...(aggregates ? { aggregationRule: { clusterRoleSelectors: selectors } } : {}),
  };
  const target = { kind: clusterRoleKind, namespace: '', name };
  const current = await resources.find(target);
  if (!current) return create(resources, clusterRoleKind, body);
  if (current.metadata.annotations?.[AUTO_UPDATE] === 'false' || aggregates) return;
  const missing = uncoveredRules((current as ClusterRole).rules ?? [], rules);
  if (missing.length === 0) return;
  const extend = (found: object): object => {
    const { rules: kept = [] } = found as ClusterRole;
    return { ...found, rules: [...kept, ...uncoveredRules(kept, rules)] };
  };
  await resources.update(target, extend, { dryRun: false });
}

async function seedBinding(
  resources: Resources,
  name: string,
  groups: readonly string[],
): Promise<void> {
  const subjects = groups.map((group): Subject => {
    return { kind: 'Group', apiGroup: RBAC_GROUP, name: group };
  });
  await create(resources, clusterRoleBindingKind, {
    apiVersion: apiVersionOf(clusterRoleBindingKind),
    kind: clusterRoleBindingKind.kind,
    metadata: { name, labels: LABELS, annotations: { [AUTO_UPDATE]: 'true' } },
    roleRef: { apiGroup: RBAC_GROUP, kind: 'ClusterRole', name },
    subjects,
  });
}

async function create(
  resources: Resources,
  kind: typeof clusterRoleKind,
  body: object,
): Promise<void> {
  try {
    await resources.create({ kind, namespace: '' }, body, { dryRun: false });
  } catch (error) {
    if (!(error instanceof RequestError && error.reason === 'AlreadyExists')) throw error;
  }
}
