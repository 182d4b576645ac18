// The order of tiers, and of policies within their tier (spec 02, 2.2: policy ordering).
import { BUILT_IN_TIERS, type Tier } from '#api';
import { compareCodePoints } from '#lib';
import type { CompiledPolicy } from './policy-compiler.ts';

export interface SortedTier {
  readonly name: string;
  readonly defaultAction: 'Deny' | 'Pass';
  readonly policies: readonly CompiledPolicy[];
}

/**
 * Tiers by order, those without one last, then by name; a tier that policies name but that does not exist
 * comes after all others and denies. A built-in tier stands in for its resource while that is missing.
 */
export function sortTiers(
  tiers: readonly Tier[],
  policies: readonly CompiledPolicy[],
): SortedTier[] {
  const byName = new Map([...BUILT_IN_TIERS, ...tiers].map((tier) => [tier.metadata.name, tier]));
  const groups = Map.groupBy(policies, (policy) => policy.tier);
  return [...groups.entries()]
    .map(([name, members]) => ({ name, tier: byName.get(name), members }))
    .sort((a, b) => compareTiers(a, b))
    .map(({ name, tier, members }) => ({
      name,
      defaultAction: tier?.spec.defaultAction ?? 'Deny',
      policies: [...members].sort(comparePolicies),
    }));
}

interface NamedTier {
  readonly name: string;
  readonly tier: Tier | undefined;
}

function compareTiers(a: NamedTier, b: NamedTier): number {
  return (
    Number(a.tier === undefined) - Number(b.tier === undefined) ||
    compareOrder(a.tier?.spec.order, b.tier?.spec.order) ||
    compareCodePoints(a.name, b.name)
  );
}

/** By order, then by the text `name/namespace/kind` as a whole: `a-b/...` sorts before `a/...`. */
function comparePolicies(a: CompiledPolicy, b: CompiledPolicy): number {
  return compareOrder(a.order, b.order) || compareCodePoints(tieText(a), tieText(b));
}

function tieText({ id }: CompiledPolicy): string {
  return `${id.name}/${id.namespace ?? ''}/${id.kind}`;
}

/** No order is last. */
function compareOrder(a: number | null | undefined, b: number | null | undefined): number {
  const left = a ?? Number.POSITIVE_INFINITY;
  const right = b ?? Number.POSITIVE_INFINITY;
  if (left === right) return 0;
  return left < right ? -1 : 1;
}
