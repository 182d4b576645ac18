// Staged policies: what would be enforced, for its verdicts to be seen first (spec 01, 1.2; spec 02, 2.3).
import { GLOBAL_POLICY_RULES, POLICY_RULES } from './policy-cel.ts';
import { type Static, Type } from 'typebox';
import { kubernetesPolicyToCalico } from './conversion/kubernetes-policy.ts';
import { type KindDefinition, ObjectMeta, type Problem, type Resource } from './kind.ts';
import {
  type KubernetesNetworkPolicy,
  KubernetesNetworkPolicySpec,
} from './kubernetes-network-policy.ts';
import { globalPolicyFields, policyColumns, policyDefaults, policyFields } from './policy.ts';
import {
  globalPolicyNameProblem,
  hostPolicyProblems,
  policyNameProblem,
  policyProblems,
} from './policy-check.ts';
import { fault } from './problem.ts';

/** Set would create or replace, Delete would delete the enforced policy of the same name. */
const StagedAction = Type.Optional(
  Type.Enum(['Set', 'Delete', 'Learn', 'Ignore'], { crd: { default: 'Set' } }),
);

export const StagedNetworkPolicySpec = Type.Object(
  { stagedAction: StagedAction, ...policyFields },
  { crd: POLICY_RULES },
);
export const StagedGlobalNetworkPolicySpec = Type.Object(
  {
    stagedAction: StagedAction,
    ...globalPolicyFields,
  },
  { crd: GLOBAL_POLICY_RULES },
);
export const StagedKubernetesNetworkPolicySpec = Type.Object({
  stagedAction: StagedAction,
  ...KubernetesNetworkPolicySpec.properties,
});

export interface StagedNetworkPolicy extends Resource {
  readonly kind: 'StagedNetworkPolicy';
  readonly spec: Static<typeof StagedNetworkPolicySpec>;
}

export interface StagedGlobalNetworkPolicy extends Resource {
  readonly kind: 'StagedGlobalNetworkPolicy';
  readonly spec: Static<typeof StagedGlobalNetworkPolicySpec>;
}

export interface StagedKubernetesNetworkPolicy extends Resource {
  readonly kind: 'StagedKubernetesNetworkPolicy';
  readonly spec: Static<typeof StagedKubernetesNetworkPolicySpec>;
}

type Staged = StagedNetworkPolicy | StagedGlobalNetworkPolicy;

/** A deletion says nothing about packets, so it gets no types. */
function stagedDefaults(resource: Resource): Resource {
  const staged = resource as Staged;
  const { stagedAction = 'Set' } = staged.spec;
  const filled = policyDefaults(staged) as Staged;
  const { types, ...others } = filled.spec;
  const kept = stagedAction === 'Delete' ? others : { ...others, types };
  const result = { ...filled, spec: { ...kept, stagedAction } };
  return result;
}

function deletionProblems(spec: Readonly<Record<string, unknown>>): Problem[] {
  if (spec['stagedAction'] !== 'Delete') return [];
  return Object.entries(spec).flatMap(([field, value]) => {
    const empty = value === '' || value === null || value === false;
    if (field === 'stagedAction' || field === 'tier' || empty) return [];
    if (Array.isArray(value) && value.length === 0) return [];
    return [fault(`spec.${field}`, 'has no place beside stagedAction Delete; remove it')];
  });
}

const calico = { group: 'projectcalico.org', version: 'v3', hasStatus: false } as const;

export const stagedNetworkPolicyKind: KindDefinition = {
  ...calico,
  kind: 'StagedNetworkPolicy',
  plural: 'stagednetworkpolicies',
  singular: 'stagednetworkpolicy',
  shortNames: ['scnp', 'snp'],
  namespaced: true,
  schema: Type.Object({ metadata: ObjectMeta, spec: StagedNetworkPolicySpec }),
  columns: policyColumns,
  nameProblem: policyNameProblem,
  defaults: stagedDefaults,
  check: (resource) => {
    const policy = resource as StagedNetworkPolicy;
    return [...policyProblems(policy, true), ...deletionProblems(policy.spec)];
  },
};

export const stagedGlobalNetworkPolicyKind: KindDefinition = {
  ...calico,
  kind: 'StagedGlobalNetworkPolicy',
  plural: 'stagedglobalnetworkpolicies',
  singular: 'stagedglobalnetworkpolicy',
  shortNames: ['sgnp'],
  namespaced: false,
  schema: Type.Object({ metadata: ObjectMeta, spec: StagedGlobalNetworkPolicySpec }),
  columns: policyColumns,
  nameProblem: globalPolicyNameProblem,
  defaults: stagedDefaults,
  check: (resource) => {
    const policy = resource as StagedGlobalNetworkPolicy;
    return [
      ...policyProblems(policy, false),
      ...hostPolicyProblems(policy.spec),
      ...deletionProblems(policy.spec),
    ];
  },
};

export const stagedKubernetesNetworkPolicyKind: KindDefinition = {
  ...calico,
  kind: 'StagedKubernetesNetworkPolicy',
  plural: 'stagedkubernetesnetworkpolicies',
  singular: 'stagedkubernetesnetworkpolicy',
  shortNames: ['sknp'],
  namespaced: true,
  schema: Type.Object({ metadata: ObjectMeta, spec: StagedKubernetesNetworkPolicySpec }),
  columns: [],
  defaults: (resource) => {
    const staged = resource as StagedKubernetesNetworkPolicy;
    const { stagedAction = 'Set' } = staged.spec;
    const result = { ...staged, spec: { ...staged.spec, stagedAction } };
    return result;
  },
  check: (resource) => {
    const staged = resource as StagedKubernetesNetworkPolicy;
    const { stagedAction: _, ...spec } = staged.spec;
    const enforced: KubernetesNetworkPolicy = { ...staged, kind: 'NetworkPolicy', spec };
    return [...kubernetesPolicyToCalico(enforced).problems, ...deletionProblems(staged.spec)];
  },
};
