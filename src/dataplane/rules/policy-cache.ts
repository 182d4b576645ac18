// Rendered policies kept from one apply to the next: what did not change is the same object again.
import type { DataplanePolicy, Direction, IpSet } from '#calc/dataplane-update';
import type { ClassMap } from './address-classes.ts';
import { askedAgain, classMapsOf, FarAnswers } from './far-questions.ts';
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

type SetOf = (id: string) => IpSet | undefined;

/** By direction and name of the group. Policies and IP sets are values. */
export class PolicyCache {
  readonly #shapes = new SetShapes();
  readonly #answers = new FarAnswers();
  #kept = new Map<string, Entry>();
  #used = new Map<string, Entry>();
  /** Which kept entries looked at which IP set; undefined where nobody has asked yet. */
  #users: ReadonlyMap<string, ReadonlySet<string>> | undefined;

  /** What was not asked for since the last call is forgotten. */
  forgetUnused(): void {
    this.#kept = this.#used;
    this.#used = new Map();
    this.#users = undefined;
    this.#shapes.forgetUnused();
    this.#answers.forgetUnused();
  }

  /**
   * The maps from address to class that are others when these IP sets (by ID) are others; undefined where more would be
   * rendered in another way. `setOf` gives the sets as they are now.
   */
  afterSets(changed: readonly string[], setOf: SetOf): ClassMap[] | undefined {
    this.#users ??= this.#usersOfSets();
    const users = new Set<string>();
    for (const id of changed) for (const key of this.#users.get(id) ?? []) users.add(key);
    const maps: ClassMap[] = [];
    for (const key of users) {
      const entry = this.#kept.get(key);
      const now = entry && this.#withSets(entry, setOf, changed);
      if (!entry || !now) return undefined;
      this.#kept.set(key, now);
      const former = new Set(classMapsOf(entry.rendered.asked));
      maps.push(...classMapsOf(now.rendered.asked).filter((map) => !former.has(map)));
    }
    return maps;
  }

  #usersOfSets(): Map<string, Set<string>> {
    const users = new Map<string, Set<string>>();
    for (const [key, { rendered }] of this.#kept) {
      for (const id of rendered.sets.keys()) {
        const all = users.get(id) ?? new Set();
        users.set(id, all.add(key));
      }
    }
    return users;
  }

  rendered(group: NamedPolicies, direction: Direction, settings: PolicySettings): RenderedPolicies {
    const { policies } = group;
    const key = `${direction} ${group.name}`;
    const before = this.#used.get(key) ?? this.#kept.get(key);
    const { denyAction } = settings;
    const kernelLog = JSON.stringify(settings.kernelLog);
    const setOf: SetOf = (id) => settings.ipSets.get(id);
    const isSame =
      before?.denyAction === denyAction &&
      before.kernelLog === kernelLog &&
      before.policies.length === policies.length &&
      before.policies.every((policy, index) => policy === policies[index]);
    const entry = (isSame ? this.#withSets(before, setOf) : undefined) ?? {
      policies,
      denyAction,
      kernelLog,
      rendered: renderPolicies(group, direction, settings, {
        shapes: this.#shapes,
        answers: this.#answers,
      }),
    };
    this.#used.set(key, entry);
    return entry.rendered;
  }

  /**
   * The entry with the sets as they are now; undefined where it must be rendered anew. `changed`: the IDs of all sets
   * that are others, where that is known.
   */
  #withSets(entry: Entry, setOf: SetOf, changed?: readonly string[]): Entry | undefined {
    const { rendered } = entry;
    for (const id of changed ?? rendered.sets.keys()) {
      const shape = rendered.sets.get(id);
      if (shape !== undefined && shape !== this.#shapes.of(setOf(id))) return undefined;
    }
    const asked = rendered.asked.map((one) => askedAgain(one, { setOf, changed }, this.#answers));
    if (asked.every((one, index) => one === rendered.asked[index])) return entry;
    const all = asked.filter((one) => one !== undefined);
    return all.length === asked.length
      ? { ...entry, rendered: { ...rendered, asked: all } }
      : undefined;
  }
}
