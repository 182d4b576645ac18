// The twin's policies: all of them compiled, sorted, and filtered for one endpoint at a time.
import {
  BUILT_IN_TIERS,
  type ClusterNetworkPolicy,
  type GlobalNetworkPolicy,
  type KubernetesNetworkPolicy,
  type KubernetesNode,
  type NetworkPolicy,
  type Resource,
  type Tier,
} from '#api';
import { compareCodePoints } from '#lib';
import type { Labels } from '#selector';
import {
  type Direction,
  type EndpointTier,
  policyKey,
  type PolicyId,
} from '../dataplane-update.ts';
import {
  type CompiledSource,
  compileClusterPolicy,
  compileKubernetesPolicy,
} from '../kubernetes-policies.ts';
import { type CompiledPolicy, compilePolicy } from '../policy-compiler.ts';
import type { CalcProblem } from '../problem-log.ts';
import type { Cluster } from './cluster.ts';

export interface Policies {
  readonly tiers: readonly SortedTier[];
  readonly all: readonly CompiledPolicy[];
  readonly problems: readonly CalcProblem[];
}

interface SortedTier {
  readonly name: string;
  readonly defaultAction: 'Deny' | 'Pass';
  readonly policies: readonly CompiledPolicy[];
}

export function policiesOf(cluster: Cluster): Policies {
  const compiled = compileAll(cluster);
  const all = compiled.flatMap(({ policy }) => policy ?? []);
  return {
    tiers: sortTiers(cluster.list<Tier>('projectcalico.org/Tier'), all),
    all,
    problems: compiled.flatMap(({ problems }) => problems),
  };
}

const CALICO_KINDS = [
  'NetworkPolicy',
  'GlobalNetworkPolicy',
  'StagedNetworkPolicy',
  'StagedGlobalNetworkPolicy',
] as const;

function compileAll(cluster: Cluster): CompiledSource[] {
  const nodes = cluster.list<KubernetesNode>('/Node');
  const calico = CALICO_KINDS.flatMap((kind) =>
    cluster
      .list<NetworkPolicy | GlobalNetworkPolicy>(`projectcalico.org/${kind}`)
      .filter(isSet)
      .map((source): CompiledSource => {
        const policy = compilePolicy(source, idOf(kind, source, kind.includes('Global')));
        return { policy, problems: policy.problems };
      }),
  );
  const kubernetes = [
    ['networking.k8s.io/NetworkPolicy', 'KubernetesNetworkPolicy'],
    ['projectcalico.org/StagedKubernetesNetworkPolicy', 'StagedKubernetesNetworkPolicy'],
  ] as const;
  return [
    ...calico,
    ...kubernetes.flatMap(([resource, kind]) =>
      cluster
        .list<KubernetesNetworkPolicy>(resource)
        .filter(isSet)
        .map((source) => compileKubernetesPolicy(source, idOf(kind, source, false))),
    ),
    ...cluster
      .list<ClusterNetworkPolicy>('policy.networking.k8s.io/ClusterNetworkPolicy')
      .map((source) => compileClusterPolicy(source, nodes)),
  ];
}

function isSet({ spec }: { readonly spec: object }): boolean {
  return !('stagedAction' in spec) || (spec.stagedAction ?? 'Set') === 'Set';
}

function idOf(kind: PolicyId['kind'], { metadata }: Resource, isGlobal: boolean): PolicyId {
  return { kind, namespace: isGlobal ? null : (metadata.namespace ?? ''), name: metadata.name };
}

function sortTiers(tiers: readonly Tier[], policies: readonly CompiledPolicy[]): SortedTier[] {
  const byName = new Map([...BUILT_IN_TIERS, ...tiers].map((tier) => [tier.metadata.name, tier]));
  const groups = Map.groupBy(policies, (policy) => policy.tier);
  return [...groups]
    .map(([name, members]) => ({ name, tier: byName.get(name), members }))
    .sort(
      (a, b) =>
        Number(!a.tier) - Number(!b.tier) ||
        byOrder(a.tier?.spec.order, b.tier?.spec.order) ||
        compareCodePoints(a.name, b.name),
    )
    .map(({ name, tier, members }) => ({
      name,
      defaultAction: tier?.spec.defaultAction ?? 'Deny',
      policies: [...members].sort(
        (a, b) => byOrder(a.order, b.order) || compareCodePoints(tieText(a), tieText(b)),
      ),
    }));
}

function tieText({ id }: CompiledPolicy): string {
  return `${id.name}/${id.namespace ?? ''}/${id.kind}`;
}

function byOrder(a: number | null | undefined, b: number | null | undefined): number {
  if (a === b || (a ?? null) === (b ?? null)) return 0;
  return (a ?? Infinity) < (b ?? Infinity) ? -1 : 1;
}

export type Stage = 'untracked' | 'pre-dnat' | 'forward' | 'normal';

/** The tiers of one stage and direction for an object with these labels. */
export function tiersFor(
  { tiers }: Policies,
  labels: Labels,
  stage: Stage,
  direction: Direction,
): EndpointTier[] {
  return tiers.flatMap(({ name, defaultAction, policies }) => {
    const applied = policies.filter(
      (policy) =>
        policy.directions.includes(direction) &&
        (stage === 'forward'
          ? policy.stage === 'normal' && policy.onForward
          : policy.stage === stage) &&
        policy.selector.evaluate(labels),
    );
    if (applied.length === 0) return [];
    const passes =
      stage === 'untracked' ||
      stage === 'pre-dnat' ||
      applied.every(({ id }) => id.kind.startsWith('Staged'));
    const keys = applied.map(({ id }) => policyKey(id));
    return [{ name, defaultAction: passes ? ('Pass' as const) : defaultAction, policies: keys }];
  });
}
