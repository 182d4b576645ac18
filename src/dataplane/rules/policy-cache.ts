// Rendered policies kept from one apply to the next: what did not change is the same object again.
import type { DataplanePolicy, Direction, IpSet } from '#calc/dataplane-update';
import {
  type NamedPolicies,
  type PolicySettings,
  type RenderedPolicies,
  renderPolicies,
} from './policy-chains.ts';
import { SetShapes } from './set-shapes.ts';

interface Entry {
  readonly policies: readonly DataplanePolicy[];
  readonly denyAction: string;
  readonly kernelLog: string;
  readonly rendered: RenderedPolicies;
}

/** By direction and name of the group. Policies and IP sets are values. */
export class PolicyCache {
  readonly #shapes = new SetShapes();
  #kept = new Map<string, Entry>();
  #used = new Map<string, Entry>();
  /** What the kept entries looked at of each IP set; undefined where nobody has asked yet. */
  #seen: Map<string, Set<IpSet | string>> | undefined;

  /** What was not asked for since the last call is forgotten. */
  forgetUnused(): void {
    this.#kept = this.#used;
    this.#used = new Map();
    this.#seen = undefined;
    this.#shapes.forgetUnused();
  }

  /** Whether all that is kept would be rendered as it is with another IP set of this ID, or with none. */
  saysTheSame(id: string, set: IpSet | undefined): boolean {
    this.#seen ??= this.#setsSeen();
    return [...(this.#seen.get(id) ?? [])].every((known) => this.#isSeenAs(known, set));
  }

  #setsSeen(): Map<string, Set<IpSet | string>> {
    const seen = new Map<string, Set<IpSet | string>>();
    for (const { rendered } of this.#kept.values()) {
      for (const [id, known] of rendered.sets) {
        const all = seen.get(id) ?? new Set();
        seen.set(id, all.add(known));
      }
    }
    return seen;
  }

  rendered(group: NamedPolicies, direction: Direction, settings: PolicySettings): RenderedPolicies {
    const { policies } = group;
    const key = `${direction} ${group.name}`;
    const before = this.#used.get(key) ?? this.#kept.get(key);
    const { denyAction } = settings;
    const kernelLog = JSON.stringify(settings.kernelLog);
    const entry =
      before && this.#isCurrent(before, policies, settings)
        ? before
        : {
            policies,
            denyAction,
            kernelLog,
            rendered: renderPolicies(group, direction, settings, this.#shapes),
          };
    this.#used.set(key, entry);
    return entry.rendered;
  }

  #isCurrent(
    { policies, denyAction, kernelLog, rendered }: Entry,
    wanted: readonly DataplanePolicy[],
    settings: PolicySettings,
  ): boolean {
    return (
      denyAction === settings.denyAction &&
      kernelLog === JSON.stringify(settings.kernelLog) &&
      policies.length === wanted.length &&
      policies.every((policy, index) => policy === wanted[index]) &&
      [...rendered.sets].every(([id, known]) => this.#isSeenAs(known, settings.ipSets.get(id)))
    );
  }

  #isSeenAs(known: IpSet | string, set: IpSet | undefined): boolean {
    return typeof known === 'string' ? known === this.#shapes.of(set) : known === set;
  }
}
