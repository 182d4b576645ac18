// Which policies apply to each endpoint, by direction and stage, found from the policies' side.
import type { Direction } from '../explanation.ts';
import type { Stage, WorldTier } from '../world-policies.ts';
import type { ObjectIndex } from './object-index.ts';
import type { PolicyProgram, ProgramTable, TierProgram } from './programs.ts';
import type { RuleTable } from './symbolic-rule.ts';

interface Applied {
  readonly tier: WorldTier;
  readonly policy: PolicyProgram;
}

/** Staged policies never apply. */
export class AppliedPolicies {
  /** By place of the endpoint in the index, then `direction stage`. */
  readonly #byEndpoint: Map<string, Applied[]>[] = [];

  constructor(
    tiers: readonly WorldTier[],
    endpoints: ObjectIndex,
    tables: { readonly rules: RuleTable; readonly programs: ProgramTable },
  ) {
    for (const tier of tiers) {
      for (const policy of tier.policies) {
        if (policy.staged) continue;
        const selected = endpoints.selected({ positive: policy.selection });
        if (selected.length === 0) continue;
        for (const direction of policy.directions) {
          const rules = policy[direction].map((rule) => tables.rules.add(rule));
          const program = tables.programs.policy(policy.ref, rules);
          const keys = policy.stages.map((stage) => stageKey(direction, stage));
          for (const index of selected) this.#add(index, keys, { tier, policy: program });
        }
      }
    }
  }

  #add(index: number, keys: readonly string[], applied: Applied): void {
    const stages = (this.#byEndpoint[index] ??= new Map());
    for (const key of keys) {
      const list = stages.get(key);
      if (list) list.push(applied);
      else stages.set(key, [applied]);
    }
  }

  /** In order; tiers without a policy that applies are left out. */
  tiersOf(index: number, direction: Direction, stage: Stage): TierProgram[] {
    const tiers: { name: string; defaultAction: 'Deny' | 'Pass'; policies: PolicyProgram[] }[] = [];
    for (const { tier, policy } of this.#byEndpoint[index]?.get(stageKey(direction, stage)) ?? []) {
      const last = tiers.at(-1);
      if (last?.name === tier.name) last.policies.push(policy);
      else {
        const { name, defaultAction } = tier;
        tiers.push({ name, defaultAction, policies: [policy] });
      }
    }
    return tiers;
  }
}

function stageKey(direction: Direction, stage: Stage): string {
  return `${direction} ${stage}`;
}
