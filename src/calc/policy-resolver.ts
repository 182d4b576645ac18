// Which tiers and policies apply to one endpoint, in order, for each direction.
import type { Labels } from '#selector';
import type { CompiledPolicy } from './policy-compiler.ts';
import { type EndpointTier, policyKey } from './dataplane-update.ts';
import type { SortedTier } from './policy-sorter.ts';

export interface ResolvedPolicies {
  readonly ingress: readonly EndpointTier[];
  readonly egress: readonly EndpointTier[];
  /** Every policy that takes part in either direction. */
  readonly policies: ReadonlySet<CompiledPolicy>;
}

/** A tier takes part in a direction only where one of its policies does. */
export function resolvePolicies(tiers: readonly SortedTier[], labels: Labels): ResolvedPolicies {
  const ingress: EndpointTier[] = [];
  const egress: EndpointTier[] = [];
  const used = new Set<CompiledPolicy>();
  for (const tier of tiers) {
    const matching = tier.policies.filter((policy) => policy.selector.evaluate(labels));
    for (const [direction, list] of [
      ['ingress', ingress],
      ['egress', egress],
    ] as const) {
      const policies = matching.filter((policy) => policy.directions.includes(direction));
      if (policies.length === 0) continue;
      for (const policy of policies) used.add(policy);
      const keys = policies.map((policy) => policyKey(policy.id));
      list.push({ name: tier.name, defaultAction: tier.defaultAction, policies: keys });
    }
  }
  return { ingress, egress, policies: used };
}
