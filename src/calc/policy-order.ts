// The order of tiers, and of policies within their tier (spec 02, 2.2: policy ordering).
import { BUILT_IN_TIERS } from '#api';
import { compareCodePoints } from '#lib';
import type { PolicyId } from './dataplane-update.ts';
import type { TierSource } from './model.ts';

/** What a policy's place depends on. */
export interface Ranked {
  readonly id: PolicyId;
  readonly tier: string;
  readonly order: number | null;
}

const BUILT_IN: ReadonlyMap<string, TierSource> = new Map(
  BUILT_IN_TIERS.map(({ metadata, spec }) => [
    metadata.name,
    { order: spec.order ?? null, defaultAction: spec.defaultAction ?? 'Deny' },
  ]),
);

/** A built-in tier stands in for its resource while that is missing. */
export class TierOrder {
  readonly #tiers = new Map<string, TierSource>(BUILT_IN);

  /** Returns whether anything is different now. */
  setTier(name: string, tier: TierSource | undefined): boolean {
    const before = this.#tiers.get(name);
    const after = tier ?? BUILT_IN.get(name);
    if (after) this.#tiers.set(name, after);
    else this.#tiers.delete(name);
    return before?.order !== after?.order || before?.defaultAction !== after?.defaultAction;
  }

  defaultAction(name: string): 'Deny' | 'Pass' {
    return this.#tiers.get(name)?.defaultAction ?? 'Deny';
  }

  /**
   * Tiers by order, those without one last, then by name; one that policies name but that does not exist comes after
   * all others. Within a tier by order, then by the text `name/namespace/kind` as a whole.
   */
  compare(a: Ranked, b: Ranked): number {
    if (a === b) return 0;
    return (
      this.#compareTiers(a.tier, b.tier) ||
      compareOrder(a.order, b.order) ||
      compareCodePoints(tieText(a.id), tieText(b.id))
    );
  }

  #compareTiers(a: string, b: string): number {
    if (a === b) return 0;
    const left = this.#tiers.get(a);
    const right = this.#tiers.get(b);
    return (
      Number(left === undefined) - Number(right === undefined) ||
      compareOrder(left?.order, right?.order) ||
      compareCodePoints(a, b)
    );
  }
}

function tieText({ name, namespace, kind }: PolicyId): string {
  return `${name}/${namespace ?? ''}/${kind}`;
}

/** No order is last. */
function compareOrder(a: number | null | undefined, b: number | null | undefined): number {
  const left = a ?? Number.POSITIVE_INFINITY;
  const right = b ?? Number.POSITIVE_INFINITY;
  if (left === right) return 0;
  return left < right ? -1 : 1;
}
