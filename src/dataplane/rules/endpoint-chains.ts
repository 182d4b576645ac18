// Workload endpoints as chains: their tiers in order, then their profiles, then a drop.
import type { Direction, EndpointTier, LocalEndpoint } from '#calc/dataplane-update';
import { type Action, COUNT } from './action.ts';
import type { Chain, Rule } from './chain.ts';
import { LOG_GROUP, type LogPrefixes, type RuleHit } from './log-prefix.ts';
import { endpointChainName } from './names.ts';
import type { TierPrograms } from './tier-programs.ts';

/** What endpoints are rendered with. */
export interface EndpointContext {
  readonly programs: TierPrograms;
  /** Told of a profile that an endpoint names and that is not there. */
  readonly onProblem: (what: string, message: string) => void;
}

/** The chain of all endpoints of a class in one direction; `endpoint` is one of them. */
export function endpointChain(
  endpointClass: string,
  endpoint: LocalEndpoint,
  direction: Direction,
  context: EndpointContext,
): Chain {
  const tiers = tierJumps(endpoint[direction], direction, context);
  const rules = [...tiers, ...profileRules(endpoint, direction, context)];
  const name = endpointChainName(endpointClass, direction);
  const parts = [...endpoint[direction].map((tier) => tier.name), ...endpoint.profiles];
  return { name, comment: `workloads with ${parts.join(', ') || 'nothing'} ${direction}`, rules };
}

/** Jumps to tiers in order; a packet that none decides goes on after them. */
export function tierJumps(
  tiers: readonly EndpointTier[],
  direction: Direction,
  { programs }: EndpointContext,
): Rule[] {
  return tiers.map((tier) => jumpTo(programs.tier(tier, direction).name));
}

/** Jumps to an endpoint's profiles in order, then a denial. */
export function profileRules(
  endpoint: { readonly id: string; readonly profiles: readonly string[] },
  direction: Direction,
  context: EndpointContext,
): Rule[] {
  const rules: Rule[] = [];
  for (const key of endpoint.profiles) {
    const chain = context.programs.profile(key, direction);
    if (chain === undefined) {
      // It stands for one that denies everything: those after it are out of reach.
      context.onProblem(endpoint.id, `cannot find profile ${key}: it denies everything`);
      break;
    }
    rules.push(jumpTo(chain));
  }
  return [...rules, context.programs.end({ direction, tier: null }, 'Deny')];
}

/** Every packet goes to the chain. */
export function jumpTo(chain: string): Rule {
  return { matches: [], actions: [{ action: 'jump', chain }] };
}

type Place = Pick<RuleHit, 'direction' | 'tier'>;

/** Logs that nobody knows the interface, and drops; `verdict` may say otherwise. */
export function dropRule(
  place: Place,
  owner: 'U',
  prefixes: LogPrefixes,
  verdict: readonly Action[],
): Rule {
  const prefix = prefixes.prefixOf({ ...place, action: 'Deny', policy: null, rule: -1 }, owner);
  const group = LOG_GROUP[place.direction];
  return { matches: [], actions: [{ action: 'log-packet', group, prefix }, COUNT, ...verdict] };
}
