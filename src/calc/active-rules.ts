// The rules of the policies and profiles that endpoints use, and of no others, with the IP sets that those need.
import { jsonEqual } from '#lib';
import type { DataplanePolicy } from './dataplane-update.ts';
import type { IpSetDefinition } from './ip-set-definition.ts';
import type { IpSetIndex } from './ip-set-index.ts';
import type { CompiledSource } from './kubernetes-policies.ts';
import type { ProfileSource } from './model.ts';
import type { CompiledPolicy } from './policy-compiler.ts';
import type { CalcProblem } from './problem-log.ts';
import { compileProfile, missingProfile } from './profile-compiler.ts';
import { SnapshotMap } from './snapshot-map.ts';

/** Reads a policy; called when it comes, and again when it comes into use later. */
export type CompilePolicy = () => CompiledSource;

interface Rules {
  readonly policy: DataplanePolicy;
  readonly ipSets: ReadonlyMap<string, IpSetDefinition>;
}

interface PolicyEntry {
  readonly compile: CompilePolicy;
  /** Let go when nobody uses it. */
  compiled: CompiledPolicy | undefined;
  readonly always: boolean;
}

export class ActiveRules {
  readonly #ipSets: IpSetIndex;
  readonly #policies = new Map<string, PolicyEntry>();
  readonly #profiles = new Map<string, { readonly name: string; readonly source: ProfileSource }>();
  readonly #users = new Map<string, number>();
  readonly #unsettled = new Set<string>();
  readonly #active = new SnapshotMap<DataplanePolicy>(jsonEqual);
  /** The sets that each active policy has acquired. */
  readonly #acquired = new Map<string, readonly string[]>();
  readonly #problems = new Map<string, readonly CalcProblem[]>();
  readonly #ofApplicationLayer = new Set<string>();

  constructor(ipSets: IpSetIndex) {
    this.#ipSets = ipSets;
  }

  /** Takes a policy in or away. Returns it compiled; undefined too where it makes no sense. */
  setPolicy(key: string, compile: CompilePolicy | undefined): CompiledPolicy | undefined {
    this.#unsettled.add(key);
    this.#policies.delete(key);
    this.#ofApplicationLayer.delete(key);
    if (!compile) {
      this.#noteProblems(key, []);
      return undefined;
    }
    const { policy, problems } = compile();
    this.#noteProblems(key, problems);
    if (policy?.applicationLayer) this.#ofApplicationLayer.add(key);
    if (policy) this.#policies.set(key, { compile, compiled: policy, always: policy.always });
    return policy;
  }

  get applicationLayerPolicies(): number {
    return this.#ofApplicationLayer.size;
  }

  setProfile(name: string, source: ProfileSource | undefined): void {
    const key = PROFILE_PREFIX + name;
    this.#unsettled.add(key);
    if (source) this.#profiles.set(key, { name, source });
    else this.#profiles.delete(key);
  }

  onUse(key: string): void {
    const users = this.#users.get(key) ?? 0;
    this.#users.set(key, users + 1);
    if (users === 0) this.#unsettled.add(key);
  }

  onUnuse(key: string): void {
    const users = (this.#users.get(key) ?? 0) - 1;
    if (users > 0) this.#users.set(key, users);
    else {
      this.#users.delete(key);
      this.#unsettled.add(key);
    }
  }

  /** Works out anew what has changed. */
  settle(): void {
    for (const key of this.#unsettled) this.#settle(key);
    this.#unsettled.clear();
  }

  policies(): ReadonlyMap<string, DataplanePolicy> {
    return this.#active.snapshot();
  }

  /** In no particular order. */
  problems(): CalcProblem[] {
    return [...this.#problems.values()].flat();
  }

  #settle(key: string): void {
    const rules = this.#rulesOf(key);
    const acquired = this.#acquired.get(key) ?? [];
    if (rules) {
      for (const definition of rules.ipSets.values()) this.#ipSets.acquire(definition);
      this.#acquired.set(key, [...rules.ipSets.keys()]);
      this.#active.set(key, rules.policy);
    } else {
      this.#acquired.delete(key);
      this.#active.delete(key);
    }
    for (const id of acquired) this.#ipSets.release(id);
  }

  #rulesOf(key: string): Rules | undefined {
    const isUsed = this.#users.has(key);
    if (key.startsWith(PROFILE_PREFIX))
      return isUsed ? this.#profileRules(key) : this.#noProfile(key);
    const entry = this.#policies.get(key);
    if (!entry) return undefined;
    if (!isUsed && !entry.always) {
      entry.compiled = undefined;
      return undefined;
    }
    entry.compiled ??= entry.compile().policy;
    return entry.compiled && { policy: entry.compiled.rules, ipSets: entry.compiled.ipSets };
  }

  #profileRules(key: string): Rules {
    const known = this.#profiles.get(key);
    if (!known) {
      this.#noteProblems(key, []);
      return { policy: missingProfile(key.slice(PROFILE_PREFIX.length)), ipSets: new Map() };
    }
    const compiled = compileProfile(known.name, known.source);
    this.#noteProblems(key, compiled.problems);
    return compiled;
  }

  #noProfile(key: string): undefined {
    this.#noteProblems(key, []);
  }

  #noteProblems(key: string, problems: readonly CalcProblem[]): void {
    if (problems.length > 0) this.#problems.set(key, problems);
    else this.#problems.delete(key);
  }
}

const PROFILE_PREFIX = 'Profile//';
