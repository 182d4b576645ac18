// All tiers of a host as chains: what endpoints share is rendered once, and groups of policies are one step.
import type { Family } from '#lib';
import type { DataplanePolicy, Direction, EndpointTier } from '#calc/dataplane-update';
import { type Action, RETURN } from './action.ts';
import type { ClassMap } from './address-classes.ts';
import { classMapsOf } from './far-questions.ts';
import type { Chain, Rule } from './chain.ts';
import { defaultDecision } from './decision.ts';
import type { LogPrefixes } from './log-prefix.ts';
import { PASS_MARK } from './mark.ts';
import { shortHash, tierChainName } from './names.ts';
import type { PolicyCache } from './policy-cache.ts';
import type { NamedPolicies, PolicySettings, PolicyStep } from './policy-chains.ts';
import { groupPolicies } from './policy-groups.ts';
import type { ServiceEntry, VerdictMap } from './verdict-map.ts';

export interface TierProgramsOptions {
  readonly policies: ReadonlyMap<string, DataplanePolicy>;
  readonly settings: PolicySettings;
  readonly cache: PolicyCache;
  readonly prefixes: LogPrefixes;
  /** Told of a policy that a tier names and that is not there, and of rules that cannot be kept. */
  readonly onProblem: (what: string, message: string) => void;
}

/** A tier with what is known of its policies. */
interface Program {
  readonly tier: EndpointTier;
  /** The first of its policies that is not there; it stands for one that denies everything. */
  readonly missing: string | undefined;
  readonly groups: readonly NamedPolicies[];
  chain?: Chain;
}

/** So many steps one after the other cost little more than a look-up. */
const WALKED_MAX = 2;

/** Tiers are values; the text of long ones takes time to read. */
const known = new WeakMap<EndpointTier, string>();

/** Equal for tiers that are alike. */
export function tierContent(tier: EndpointTier): string {
  const before = known.get(tier);
  if (before !== undefined) return before;
  const content = shortHash(JSON.stringify([tier.name, tier.defaultAction, tier.policies]));
  known.set(tier, content);
  return content;
}

/** Renders what is asked for, and keeps all chains and maps that this takes. */
export class TierPrograms {
  readonly chains = new Map<string, Chain>();
  readonly maps = new Map<string, VerdictMap>();
  readonly classMaps = new Map<string, ClassMap>();
  readonly #options: TierProgramsOptions;
  readonly #programs: Readonly<Record<Direction, Map<string, Program>>>;

  /** `tiers` are all that will be asked for: they say which policies always stand together. */
  constructor(
    tiers: Readonly<Record<Direction, Iterable<EndpointTier>>>,
    options: TierProgramsOptions,
  ) {
    this.#options = options;
    this.#programs = {
      ingress: this.#programsOf(tiers.ingress),
      egress: this.#programsOf(tiers.egress),
    };
  }

  /** A packet leaves the tier by a verdict, or by returning: Pass, or a tier that passes at its end. */
  tier(tier: EndpointTier, direction: Direction): Chain {
    const program = this.#programs[direction].get(tierContent(tier));
    if (!program) throw new Error(`tier ${tier.name} was not given to be rendered`);
    program.chain ??= this.#tierChain(program, direction);
    return program.chain;
  }

  /** The chain of a profile; undefined when it is not there. */
  profile(key: string, direction: Direction): string | undefined {
    const profile = this.#options.policies.get(key);
    if (!profile) return undefined;
    return this.#stepsOf({ name: key, policies: [profile] }, direction)[0]?.chain;
  }

  /** The rule at the end of what decided nothing. */
  end(
    where: { readonly direction: Direction; readonly tier: string | null },
    action: 'Deny' | 'Pass',
  ): Rule {
    const { prefixes, settings } = this.#options;
    const context = { prefixes, denyAction: settings.denyAction };
    const chain = defaultDecision(where, action, where.tier === null ? 'N' : 'T', context);
    this.chains.set(chain.name, chain);
    return { matches: [], actions: [{ action: 'goto', chain: chain.name }] };
  }

  #programsOf(tiers: Iterable<EndpointTier>): Map<string, Program> {
    const { policies } = this.#options;
    const distinct = new Map<string, EndpointTier>();
    for (const tier of tiers) distinct.set(tierContent(tier), tier);
    const missing = [...distinct.values()].map((tier) =>
      tier.policies.find((key) => !policies.has(key)),
    );
    const lists = [...distinct.values()].map(({ policies: keys }, index) => {
      const first = missing[index];
      return first === undefined ? keys : keys.slice(0, keys.indexOf(first));
    });
    const grouped = groupPolicies(lists, (key) => policies.get(key)?.staged ?? false);
    const programs = [...distinct].map(([content, tier], index): [string, Program] => {
      const groups = (grouped[index] ?? []).map(({ name, keys }) => ({
        name,
        policies: keys.flatMap((key) => policies.get(key) ?? []),
      }));
      return [content, { tier, missing: missing[index], groups }];
    });
    return new Map(programs);
  }

  #tierChain({ tier, missing, groups }: Program, direction: Direction): Chain {
    const steps = groups.flatMap((group) => this.#stepsOf(group, direction));
    if (missing !== undefined) {
      const message = `cannot find policy ${missing}: it denies everything`;
      this.#options.onProblem(`tier ${tier.name}`, message);
    }
    const action = missing === undefined ? tier.defaultAction : 'Deny';
    const end = this.end({ direction, tier: tier.name }, action);
    const clear: Rule[] = steps.some(({ passes }) => passes)
      ? [{ matches: [], actions: [CLEAR_PASS] }]
      : [];
    const all = [...clear, ...jumpsTo(steps), end];
    const name = tierChainName(direction, JSON.stringify(all));
    const comment = `tier ${tier.name} ${direction}`;
    const isLong = steps.length > WALKED_MAX && steps.some(({ entry }) => entry?.services.length);
    const rules = isLong ? [...clear, ...this.#byService(name, comment, steps, end)] : all;
    const chain = { name, comment, rules };
    this.chains.set(name, chain);
    return chain;
  }

  /** Packets go by family and protocol to what concerns them of many steps. */
  #byService(name: string, comment: string, steps: readonly PolicyStep[], end: Rule): Rule[] {
    const services = new Map<string, readonly PolicyStep[]>();
    const entries: ServiceEntry[] = [];
    for (const { family, protocol } of distinctServices(steps)) {
      const own = steps.flatMap((step) => stepFor(step, family, protocol));
      const text = JSON.stringify(own.map(({ chain, passes }) => [chain, passes]));
      const chain = `${name}/${shortHash(text)}`;
      services.set(chain, own);
      entries.push({ family, protocol, chain });
    }
    for (const [chain, own] of services) {
      this.chains.set(chain, { name: chain, comment, rules: [...jumpsTo(own), end] });
    }
    const map = { name: `m-${name}/services`, key: { by: 'service' }, entries } as const;
    this.maps.set(map.name, map);
    const lookUp: Action = { action: 'look-up', map: map.name, key: map.key };
    const others = steps.filter(({ entry }) => entry?.takesOthers ?? true);
    return [{ matches: [], actions: [lookUp] }, ...jumpsTo(others), end];
  }

  #stepsOf(group: NamedPolicies, direction: Direction): readonly PolicyStep[] {
    const { cache, settings, prefixes, onProblem } = this.#options;
    const rendered = cache.rendered(group, direction, settings);
    for (const chain of rendered.chains) this.chains.set(chain.name, chain);
    for (const map of rendered.maps) this.maps.set(map.name, map);
    for (const map of classMapsOf(rendered.asked)) this.classMaps.set(map.name, map);
    prefixes.absorb(rendered.hits);
    for (const { what, message } of rendered.problems) onProblem(what, message);
    return rendered.steps;
  }
}

const CLEAR_PASS: Action = { action: 'clear-mark', bit: PASS_MARK };
const LEAVE_PASSED: Rule = {
  matches: [{ match: 'mark', bit: PASS_MARK }],
  actions: [CLEAR_PASS, RETURN],
};

function jumpsTo(steps: readonly PolicyStep[]): Rule[] {
  return steps.flatMap(({ chain, passes }): Rule[] => [
    { matches: [], actions: [{ action: 'jump', chain }] },
    ...(passes ? [LEAVE_PASSED] : []),
  ]);
}

function distinctServices(steps: readonly PolicyStep[]): ServiceEntry[] {
  const services = new Map<string, ServiceEntry>();
  for (const { entry } of steps) {
    for (const service of entry?.services ?? []) {
      services.set(`${service.family} ${service.protocol}`, service);
    }
  }
  return [...services.values()];
}

/** What packets of the service meet of a step: past its look-up where it has one, nothing where nothing is for them. */
function stepFor(step: PolicyStep, family: Family, protocol: number): PolicyStep[] {
  const { entry, passes } = step;
  if (!entry) return [step];
  const own = entry.services.find((one) => one.family === family && one.protocol === protocol);
  if (own) return [{ chain: own.chain, passes }];
  return entry.takesOthers ? [step] : [];
}
