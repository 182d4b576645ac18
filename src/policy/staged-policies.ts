// What the policies would be if every staged one were enforced.
import type { Resource } from '#api';
import { formatPolicyRef, type PolicyRef } from './explanation.ts';
import type { WalkTier } from './tier-walk.ts';
import { namespaceOf, type ResourcesByKind, type Staged } from './world-resources.ts';

/** The resources with staged policies enforced. */
export interface EnforcedStaged {
  /** Without staged policies, which have taken their places. */
  readonly resources: ResourcesByKind;
  /** Whether a policy applies that a staged one would add, replace or remove. */
  readonly concerns: (tiers: readonly WalkTier[]) => boolean;
}

/** One kind of policy, and what is staged for it. */
interface Staging<P> {
  readonly kind: PolicyRef['kind'];
  readonly policies: readonly P[];
  readonly staged: readonly Staged<P>[];
}

/**
 * Staged policies as documented (spec 02, 2.3): `Set`, which is also what no action means, takes the place of the
 * policy of the same kind, namespace and name or is added; `Delete` removes that one; `Learn` and `Ignore` do
 * nothing. Upstream differs (spec 02, 2.5): there both stand beside each other and `Delete` removes nothing.
 * undefined where nothing would change.
 */
export function enforceStaged(resources: ResourcesByKind): EnforcedStaged | undefined {
  const changed = new Set<string>();
  const enforced: ResourcesByKind = {
    ...resources,
    'projectcalico.org NetworkPolicy': enforceKind(
      {
        kind: 'NetworkPolicy',
        policies: resources['projectcalico.org NetworkPolicy'],
        staged: resources['projectcalico.org StagedNetworkPolicy'],
      },
      changed,
    ),
    'projectcalico.org GlobalNetworkPolicy': enforceKind(
      {
        kind: 'GlobalNetworkPolicy',
        policies: resources['projectcalico.org GlobalNetworkPolicy'],
        staged: resources['projectcalico.org StagedGlobalNetworkPolicy'],
      },
      changed,
    ),
    'networking.k8s.io NetworkPolicy': enforceKind(
      {
        kind: 'KubernetesNetworkPolicy',
        policies: resources['networking.k8s.io NetworkPolicy'],
        staged: resources['projectcalico.org StagedKubernetesNetworkPolicy'],
      },
      changed,
    ),
    'projectcalico.org StagedNetworkPolicy': [],
    'projectcalico.org StagedGlobalNetworkPolicy': [],
    'projectcalico.org StagedKubernetesNetworkPolicy': [],
  };
  if (changed.size === 0) return undefined;
  const isChanged = (tier: WalkTier) =>
    tier.policies.some(({ ref, excluded }) => !excluded && changed.has(formatPolicyRef(ref)));
  const known = new WeakMap<readonly WalkTier[], boolean>();
  const concerns = (tiers: readonly WalkTier[]): boolean => {
    const concerned = known.get(tiers) ?? tiers.some(isChanged);
    known.set(tiers, concerned);
    return concerned;
  };
  return { resources: enforced, concerns };
}

/** The policies of one kind afterwards; adds to `changed` what `formatPolicyRef` says of each that differs. */
function enforceKind<P extends Resource>(staging: Staging<P>, changed: Set<string>): P[] {
  const { kind, policies, staged } = staging;
  const refOf = (policy: Resource) => {
    const namespace = kind === 'GlobalNetworkPolicy' ? null : namespaceOf(policy);
    return formatPolicyRef({ kind, namespace, name: policy.metadata.name });
  };
  const result = new Map(policies.map((policy) => [refOf(policy), policy]));
  for (const policy of staged) {
    const ref = refOf(policy);
    const action = policy.spec?.stagedAction ?? 'Set';
    if (action === 'Set') result.set(ref, policy);
    else if (action !== 'Delete' || !result.delete(ref)) continue;
    changed.add(ref);
  }
  return [...result.values()];
}
