// Rendered policies kept from one apply to the next: what did not change is the same object again.
import type { DataplanePolicy, Direction } from '#calc/dataplane-update';
import {
  type NamedPolicies,
  type PolicySettings,
  type RenderedPolicies,
  renderPolicies,
  shapeOf,
} from './policy-chains.ts';

interface Entry {
  readonly policies: readonly DataplanePolicy[];
  readonly denyAction: string;
  readonly logPrefix: string;
  readonly rendered: RenderedPolicies;
}

/** By direction and name of the group. Policies and IP sets are values. */
export class PolicyCache {
  #kept = new Map<string, Entry>();
  #used = new Map<string, Entry>();

  /** What was not asked for since the last call is forgotten. */
  forgetUnused(): void {
    this.#kept = this.#used;
    this.#used = new Map();
  }

  rendered(group: NamedPolicies, direction: Direction, settings: PolicySettings): RenderedPolicies {
    const { policies } = group;
    const key = `${direction} ${group.name}`;
    const before = this.#used.get(key) ?? this.#kept.get(key);
    const { denyAction, logPrefix } = settings;
    const entry =
      before && isCurrent(before, policies, settings)
        ? before
        : {
            policies,
            denyAction,
            logPrefix,
            rendered: renderPolicies(group, direction, settings),
          };
    this.#used.set(key, entry);
    return entry.rendered;
  }
}

function isCurrent(
  { policies, denyAction, logPrefix, rendered }: Entry,
  wanted: readonly DataplanePolicy[],
  settings: PolicySettings,
): boolean {
  return (
    denyAction === settings.denyAction &&
    logPrefix === settings.logPrefix &&
    policies.length === wanted.length &&
    policies.every((policy, index) => policy === wanted[index]) &&
    [...rendered.sets].every(([id, known]) => {
      const set = settings.ipSets.get(id);
      return typeof known === 'string' ? known === shapeOf(set) : known === set;
    })
  );
}
