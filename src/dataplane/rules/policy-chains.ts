// Consecutive policies, or a profile, as chains and maps that find the first rule a packet fits.
import type {
  DataplaneEntity,
  DataplanePolicy,
  DataplaneRule,
  DenyAction,
  Direction,
  IpSet,
} from '#calc/dataplane-update';
import { policyKey } from '#calc/dataplane-update';
import type { Family } from '#lib';
import type { Action } from './action.ts';
import { type Asked, FarAnswers, FarQuestions } from './far-questions.ts';
import type { PlacedRule } from './candidates.ts';
import type { Chain } from './chain.ts';
import { type ClassifierEntry, classify, walk } from './classifier.ts';
import { decisionChain } from './decision.ts';
import { type KernelLog, kernelLogChain } from './kernel-log.ts';
import { LogPrefixes, type PrefixOwner, type RuleHit } from './log-prefix.ts';
import type { Match } from './match.ts';
import { policyChainName } from './names.ts';
import { SetShapes } from './set-shapes.ts';
import type { VerdictMap } from './verdict-map.ts';

/** What the rules of policies are rendered with. */
export interface PolicySettings {
  readonly ipSets: ReadonlyMap<string, IpSet>;
  readonly denyAction: DenyAction;
  readonly kernelLog: KernelLog;
}

/** A chain to jump to. */
export interface PolicyStep {
  readonly chain: string;
  /** Whether a packet can come back from it with the pass mark. */
  readonly passes: boolean;
  /** What the chain does with which packets, where that is a look-up. */
  readonly entry?: ClassifierEntry;
}

/** Something that is wrong with a rule. */
export interface PolicyProblem {
  readonly what: string;
  readonly message: string;
}

export interface RenderedPolicies {
  /** To be jumped to in this order. */
  readonly steps: readonly PolicyStep[];
  readonly chains: readonly Chain[];
  readonly maps: readonly VerdictMap[];
  readonly hits: ReadonlyMap<string, RuleHit>;
  readonly problems: readonly PolicyProblem[];
  /** What was looked at of each IP set, but for what `asked` says. */
  readonly sets: ReadonlyMap<string, string>;
  /** What was asked of members of small sets. */
  readonly asked: readonly Asked[];
}

/** Policies that stand side by side; the name is that of no other group of the direction. */
export interface NamedPolicies {
  readonly name: string;
  readonly policies: readonly DataplanePolicy[];
}

/** What was found out about IP sets, for all groups of a host. */
export interface SetKnowledge {
  readonly shapes: SetShapes;
  readonly answers: FarAnswers;
}

/** Renders a group of policies. Rules that refer to missing sets fail closed. */
export function renderPolicies(
  group: NamedPolicies,
  direction: Direction,
  settings: PolicySettings,
  { shapes, answers }: SetKnowledge = { shapes: new SetShapes(), answers: new FarAnswers() },
): RenderedPolicies {
  const renderer = new PolicyRenderer(direction, settings, { shapes, answers });
  return renderer.render(group);
}

interface Decision {
  readonly chain: Chain;
  readonly hits: ReadonlyMap<string, RuleHit>;
}

/** Rules are values: one whose policy was rendered before decides as it did. */
const decisions = new WeakMap<DataplaneRule, Map<string, Decision>>();

function knownDecision(
  rule: DataplaneRule,
  hit: RuleHit,
  owner: PrefixOwner,
  denyAction: DenyAction,
): Decision {
  const ofRule = decisions.get(rule) ?? new Map<string, Decision>();
  decisions.set(rule, ofRule);
  const key = `${owner} ${denyAction} ${hit.direction} ${hit.tier} ${hit.policy ? policyKey(hit.policy) : ''}`;
  const known = ofRule.get(key);
  if (known) return known;
  const prefixes = new LogPrefixes();
  const decision = {
    chain: decisionChain(hit, owner, { prefixes, denyAction }),
    hits: prefixes.hits,
  };
  ofRule.set(key, decision);
  return decision;
}

class PolicyRenderer {
  readonly #direction: Direction;
  readonly #settings: PolicySettings;
  readonly #shapes: SetShapes;
  readonly #answers: FarAnswers;
  readonly #prefixes = new LogPrefixes();
  readonly #problems: PolicyProblem[] = [];
  readonly #sets = new Map<string, string>();
  readonly #steps: PolicyStep[] = [];
  readonly #chains: Chain[] = [];
  readonly #maps: VerdictMap[] = [];
  readonly #asked: Asked[] = [];
  /** What rules lead to, by name: written only where something does. */
  readonly #ends = new Map<string, Decision>();

  constructor(direction: Direction, settings: PolicySettings, { shapes, answers }: SetKnowledge) {
    this.#direction = direction;
    this.#settings = settings;
    this.#shapes = shapes;
    this.#answers = answers;
  }

  render({ name, policies }: NamedPolicies): RenderedPolicies {
    const placed = policies.map((policy) => ({ policy, rules: this.#place(policy) }));
    this.#group(name, placed);
    const ends = this.#reachedEnds();
    return {
      steps: this.#steps,
      chains: [...this.#chains, ...ends],
      maps: this.#maps,
      hits: this.#prefixes.hits,
      problems: this.#problems,
      sets: this.#sets,
      asked: this.#asked,
    };
  }

  /** Too many for look-ups: two halves, down to single policies, which are then walked. */
  #group(
    name: string,
    placed: readonly { policy: DataplanePolicy; rules: readonly PlacedRule[] }[],
  ): void {
    const [first] = placed;
    if (!first) return;
    const direction = this.#direction;
    const key = policyKey(first.policy.id);
    const more = placed.length > 1 ? ` and ${placed.length - 1} more` : '';
    const options = {
      name: policyChainName(name, direction),
      comment: `${key}${more} ${direction}`,
      direction,
      classesOf: (family: Family) => far.of(family),
    };
    const rules = placed.flatMap((one) => one.rules);
    const end = direction === 'ingress' ? ('source' as const) : ('destination' as const);
    const far = new FarQuestions({ rules, end }, (id) => this.#look(id), this.#answers);
    const found = classify(rules, options);
    if (!found && placed.length > 1) {
      const middle = placed.length >> 1;
      const second = placed[middle];
      this.#group(name, placed.slice(0, middle));
      this.#group(`${name} ${second ? policyKey(second.policy.id) : ''}`, placed.slice(middle));
      return;
    }
    const { chains, maps, entry } = found ?? walk(rules, options);
    if (found) this.#asked.push(...far.askedFor(chains));
    this.#chains.push(...chains.map((chain) => this.#withExactSets(chain)));
    this.#maps.push(...maps);
    const passes = placed.some(({ policy }) => canPass(policy, direction));
    this.#steps.push({ chain: options.name, passes, ...(entry && { entry }) });
  }

  #place(policy: DataplanePolicy): PlacedRule[] {
    const key = policyKey(policy.id);
    return policy[this.#direction].flatMap((rule, place): PlacedRule[] => {
      // The kernel's log is of what happens, not of what might.
      if (policy.staged && rule.action === 'Log') return [];
      const sound = this.#withoutMissingSets(rule, `${key} ${this.#direction} rule ${rule.index}`);
      if (!sound) return [];
      return [{ id: `${key}#${place}`, rule: sound, action: this.#actionOf(rule, policy) }];
    });
  }

  #actionOf(rule: DataplaneRule, policy: DataplanePolicy): Action {
    if (rule.action === 'Log') {
      const { id, tier } = policy;
      const whose = { policy: id, tier, direction: this.#direction, index: rule.index };
      const chain = kernelLogChain(whose, this.#settings.kernelLog);
      this.#ends.set(chain.name, { chain, hits: new Map() });
      return { action: 'jump', chain: chain.name };
    }
    const isProfile = policy.id.kind === 'Profile';
    const hit: RuleHit = {
      action: rule.action,
      direction: this.#direction,
      tier: isProfile ? null : policy.tier,
      policy: policy.id,
      rule: rule.index,
      ...(policy.staged && { staged: true }),
    };
    const owner: PrefixOwner = policy.staged ? 'S' : isProfile ? 'R' : 'P';
    const { denyAction } = this.#settings;
    const decision = knownDecision(rule, hit, owner, denyAction);
    this.#ends.set(decision.chain.name, decision);
    return { action: 'goto', chain: decision.chain.name };
  }

  /** Of rules that stand behind one that every such packet fits there would be thousands, which the kernel walks. */
  #reachedEnds(): Chain[] {
    const reached = new Set<string>();
    for (const { rules } of this.#chains) {
      for (const { actions } of rules) {
        for (const one of actions) {
          if (one.action === 'goto' || one.action === 'jump') reached.add(one.chain);
        }
      }
    }
    for (const { entries } of this.#maps) for (const { chain } of entries) reached.add(chain);
    const ends: Chain[] = [];
    for (const [name, { chain, hits }] of this.#ends) {
      if (!reached.has(name)) continue;
      ends.push(chain);
      this.#prefixes.absorb(hits);
    }
    return ends;
  }

  /** Says of each set that is looked up of what kind it is in the kernel. */
  #withExactSets(chain: Chain): Chain {
    const isExact = (match: Match): boolean => {
      const set = match.match === 'ip-set' ? this.#settings.ipSets.get(match.set) : undefined;
      return (
        match.match === 'ip-set' && set !== undefined && this.#shapes.isExact(set, match.family)
      );
    };
    if (!chain.rules.some(({ matches }) => matches.some(isExact))) return chain;
    const rules = chain.rules.map(({ matches, actions }) => ({
      matches: matches.map((match) => (isExact(match) ? { ...match, exact: true } : match)),
      actions,
    }));
    return { ...chain, rules };
  }

  #look(id: string): IpSet | undefined {
    const set = this.#settings.ipSets.get(id);
    if (!this.#sets.has(id)) this.#sets.set(id, this.#shapes.of(set));
    return set;
  }

  /** Fails closed: with a set missing, Deny matches every packet, any other rule none. */
  #withoutMissingSets(rule: DataplaneRule, what: string): DataplaneRule | undefined {
    const wanted = [rule.source, rule.destination].flatMap((entity) => [
      ...entity.ipSets.map((id) => ({ id, type: 'net' })),
      ...entity.notIpSets.map((id) => ({ id, type: 'net' })),
      ...(entity.namedPortSets ?? []).map((id) => ({ id, type: 'ip-port' })),
      ...(entity.notNamedPortSets ?? []).map((id) => ({ id, type: 'ip-port' })),
    ]);
    const missing = wanted.filter(({ id, type }) => this.#look(id)?.type !== type);
    if (missing.length === 0) return rule;
    const names = missing.map(({ id, type }) => `${id} (${type})`).join(', ');
    const effect = rule.action === 'Deny' ? 'the rule denies everything' : 'the rule never matches';
    this.#problems.push({ what, message: `cannot find IP set ${names}: ${effect}` });
    const any: DataplaneEntity = { ipSets: [], notIpSets: [] };
    if (rule.action !== 'Deny') return undefined;
    return { action: 'Deny', index: rule.index, source: any, destination: any };
  }
}

/** Whether a packet can leave the policy by Pass. */
function canPass(policy: DataplanePolicy, direction: Direction): boolean {
  return !policy.staged && policy[direction].some((rule) => rule.action === 'Pass');
}
