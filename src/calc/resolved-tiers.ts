// The tiers and policies that apply to one endpoint, in order, by stage and direction.
import type { Direction, EndpointTier, HostEndpoint, LocalEndpoint } from './dataplane-update.ts';
import type { PolicyStage } from './policy-compiler.ts';
import type { Ranked, TierOrder } from './policy-order.ts';

/** A policy as far as endpoints are concerned. */
export interface AppliedPolicy extends Ranked {
  readonly key: string;
  readonly directions: readonly Direction[];
  readonly stage: PolicyStage;
  readonly onForward: boolean;
  readonly staged: boolean;
}

type Stage = PolicyStage | 'forward';

/** Of a workload; the early stages are those of host endpoints. */
export function workloadTiers(
  policies: readonly AppliedPolicy[],
  tiers: TierOrder,
): Pick<LocalEndpoint, 'ingress' | 'egress'> {
  return {
    ingress: tiersOf(policies, tiers, 'normal', 'ingress'),
    egress: tiersOf(policies, tiers, 'normal', 'egress'),
  };
}

/** Of a host endpoint. One for all interfaces has no untracked stage. */
export function hostTiers(
  policies: readonly AppliedPolicy[],
  tiers: TierOrder,
  isWildcard: boolean,
): Pick<HostEndpoint, 'untracked' | 'preDnat' | 'forward' | 'normal'> {
  const stage = (name: Stage) => ({
    ingress: tiersOf(policies, tiers, name, 'ingress'),
    egress: tiersOf(policies, tiers, name, 'egress'),
  });
  return {
    untracked: isWildcard ? { ingress: [], egress: [] } : stage('untracked'),
    preDnat: tiersOf(policies, tiers, 'pre-dnat', 'ingress'),
    forward: stage('forward'),
    normal: stage('normal'),
  };
}

/** `policies` in order. A tier takes part only where one of its policies does. */
function tiersOf(
  policies: readonly AppliedPolicy[],
  tiers: TierOrder,
  stage: Stage,
  direction: Direction,
): EndpointTier[] {
  const result: { name: string; enforced: boolean; policies: string[] }[] = [];
  for (const policy of policies) {
    if (!policy.directions.includes(direction) || !isOfStage(policy, stage)) continue;
    let last = result.at(-1);
    if (last?.name !== policy.tier) {
      last = { name: policy.tier, enforced: false, policies: [] };
      result.push(last);
    }
    last.policies.push(policy.key);
    last.enforced ||= !policy.staged;
  }
  const denies = stage === 'normal' || stage === 'forward';
  return result.map(({ name, enforced, policies: keys }) => ({
    name,
    defaultAction: denies && enforced ? tiers.defaultAction(name) : 'Pass',
    policies: keys,
  }));
}

function isOfStage(policy: AppliedPolicy, stage: Stage): boolean {
  if (stage !== 'forward') return policy.stage === stage;
  return policy.stage === 'normal' && policy.onForward;
}
