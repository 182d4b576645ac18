// Calico NetworkPolicy, GlobalNetworkPolicy and Tier (spec 01, 1.2; defaults spec 02, 2.2).
import { ageColumn } from './kind.ts';
import { ConditionsStatus } from './conditions.ts';
import { GLOBAL_POLICY_RULES, POLICY_RULES, TIER_RULES } from './policy-cel.ts';
import { type Static, Type } from 'typebox';
import { type KindDefinition, ObjectMeta, type Problem, type Resource } from './kind.ts';
import {
  globalPolicyNameProblem,
  hostPolicyProblems,
  policyNameProblem,
  policyProblems,
  tierNameProblem,
} from './policy-check.ts';
import { fault } from './problem.ts';
import { Rule, SelectorText } from './rule.ts';

const RULES_MAX = 1024;

const PolicyType = Type.Enum(['Ingress', 'Egress']);
export type PolicyType = Static<typeof PolicyType>;

export const policyFields = {
  /** Empty means `default`. */
  tier: Type.Optional(
    Type.String({
      pattern: '^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?$',
      crd: { default: 'default' },
    }),
  ),
  order: Type.Optional(Type.Union([Type.Number(), Type.Null()])),
  selector: Type.Optional(SelectorText),
  serviceAccountSelector: Type.Optional(SelectorText),
  types: Type.Optional(
    Type.Array(PolicyType, { uniqueItems: true, crd: { minItems: 1, maxItems: 2 } }),
  ),
  ingress: Type.Optional(Type.Array(Rule, { maxItems: RULES_MAX })),
  egress: Type.Optional(Type.Array(Rule, { maxItems: RULES_MAX })),
  performanceHints: Type.Optional(
    Type.Array(Type.Enum(['AssumeNeededOnEveryNode']), { uniqueItems: true }),
  ),
};

export const NetworkPolicySpec = Type.Object(policyFields, { crd: POLICY_RULES });
export type NetworkPolicySpec = Static<typeof NetworkPolicySpec>;

export const globalPolicyFields = {
  ...policyFields,
  namespaceSelector: Type.Optional(SelectorText),
  doNotTrack: Type.Optional(Type.Boolean()),
  preDNAT: Type.Optional(Type.Boolean()),
  applyOnForward: Type.Optional(Type.Boolean()),
};

export const GlobalNetworkPolicySpec = Type.Object(globalPolicyFields, {
  crd: GLOBAL_POLICY_RULES,
});
export type GlobalNetworkPolicySpec = Static<typeof GlobalNetworkPolicySpec>;

export const TierSpec = Type.Object({
  order: Type.Optional(Type.Union([Type.Number(), Type.Null()])),
  defaultAction: Type.Optional(Type.Enum(['Deny', 'Pass'], { crd: { default: 'Deny' } })),
});
export type TierSpec = Static<typeof TierSpec>;

export interface NetworkPolicy extends Resource {
  readonly kind: 'NetworkPolicy';
  readonly spec: NetworkPolicySpec;
}

export interface GlobalNetworkPolicy extends Resource {
  readonly kind: 'GlobalNetworkPolicy';
  readonly spec: GlobalNetworkPolicySpec;
}

export interface Tier extends Resource {
  readonly kind: 'Tier';
  readonly spec: TierSpec;
}

/** Tier order of the built-in tiers (spec 01, 1.3). */
export const BUILT_IN_TIERS: readonly Tier[] = [
  tier('kube-admin', 1_000, 'Pass'),
  tier('default', 1_000_000, 'Deny'),
  tier('kube-baseline', 10_000_000, 'Pass'),
];

function tier(name: string, order: number, defaultAction: 'Deny' | 'Pass'): Tier {
  return {
    apiVersion: 'projectcalico.org/v3',
    kind: 'Tier',
    metadata: { name },
    spec: { order, defaultAction },
  };
}

/** Types as upstream defaults them: by the rules present, Ingress where there are none. */
export function defaultTypes(spec: NetworkPolicySpec): PolicyType[] {
  if (spec.types && spec.types.length > 0) return [...spec.types];
  const egress = spec.egress !== undefined && spec.egress.length > 0;
  const ingress = spec.ingress !== undefined && spec.ingress.length > 0;
  if (egress) return ingress ? ['Ingress', 'Egress'] : ['Egress'];
  return ['Ingress'];
}

/** The tier, as field and as label, and the types. */
export function policyDefaults(resource: Resource): Resource {
  const policy = resource as NetworkPolicy;
  const tierName = policy.spec.tier || 'default';
  return {
    ...policy,
    metadata: {
      ...policy.metadata,
      labels: { ...policy.metadata.labels, 'projectcalico.org/tier': tierName },
    },
    spec: { ...policy.spec, tier: tierName, types: defaultTypes(policy.spec) },
  } as Resource;
}

export const policyColumns = [
  { name: 'Tier', type: 'string', path: '.spec.tier', priority: 0 },
  { name: 'Order', type: 'number', path: '.spec.order', priority: 0 },
] as const;

const calico = { group: 'projectcalico.org', version: 'v3', hasStatus: false } as const;

export const networkPolicyKind: KindDefinition = {
  ...calico,
  kind: 'NetworkPolicy',
  plural: 'networkpolicies',
  singular: 'networkpolicy',
  shortNames: ['cnp', 'caliconetworkpolicy', 'caliconetworkpolicies'],
  namespaced: true,
  hasStatus: true,
  schema: Type.Object({
    metadata: ObjectMeta,
    spec: NetworkPolicySpec,
    status: Type.Optional(ConditionsStatus),
  }),
  columns: policyColumns,
  nameProblem: policyNameProblem,
  defaults: policyDefaults,
  check: (resource) => policyProblems(resource as NetworkPolicy, true),
};

export const globalNetworkPolicyKind: KindDefinition = {
  ...calico,
  kind: 'GlobalNetworkPolicy',
  plural: 'globalnetworkpolicies',
  singular: 'globalnetworkpolicy',
  shortNames: ['gnp', 'cgnp', 'calicoglobalnetworkpolicies'],
  namespaced: false,
  hasStatus: true,
  schema: Type.Object({
    metadata: ObjectMeta,
    spec: GlobalNetworkPolicySpec,
    status: Type.Optional(ConditionsStatus),
  }),
  columns: [...policyColumns, ageColumn],
  nameProblem: globalPolicyNameProblem,
  defaults: policyDefaults,
  check: (resource) => {
    const policy = resource as GlobalNetworkPolicy;
    return [...policyProblems(policy, false), ...hostPolicyProblems(policy.spec)];
  },
};

export const tierKind: KindDefinition = {
  ...calico,
  kind: 'Tier',
  plural: 'tiers',
  singular: 'tier',
  shortNames: [],
  namespaced: false,
  hasStatus: true,
  schema: Type.Object(
    {
      metadata: ObjectMeta,
      spec: TierSpec,
      status: Type.Optional(ConditionsStatus),
    },
    { crd: TIER_RULES },
  ),
  columns: [
    {
      name: 'Order',
      type: 'integer',
      path: '.spec.order',
      priority: 0,
      description: 'Order in which the tier is applied',
    },
    {
      name: 'DefaultAction',
      type: 'string',
      path: '.spec.defaultAction',
      priority: 0,
      description: 'Default action for the tier',
    },
    {
      name: 'Status',
      type: 'string',
      path: ".status.conditions[?(@.type=='Ready')].reason",
      priority: 0,
      description: 'Current status of the tier',
    },
  ],
  nameProblem: tierNameProblem,
  defaults: (resource) => {
    const it = resource as Tier;
    const spec = { defaultAction: 'Deny', ...builtInTier(it)?.spec, ...it.spec };
    return { ...it, spec } as Resource;
  },
  check: (resource) => builtInTierProblems(resource as Tier),
};

function builtInTier({ metadata }: Tier): Tier | undefined {
  return BUILT_IN_TIERS.find((builtIn) => builtIn.metadata.name === metadata.name);
}

function builtInTierProblems(it: Tier): Problem[] {
  const builtIn = builtInTier(it);
  if (!builtIn) return [];
  return (['order', 'defaultAction'] as const).flatMap((field) => {
    const own = it.spec[field];
    const fixed = builtIn.spec[field];
    if (own === fixed) return [];
    const message = `is ${String(own)}, but tier "${it.metadata.name}" is built in with ${String(fixed)}`;
    return [fault(`spec.${field}`, message)];
  });
}
