// Workload endpoints as chains: their tiers in order, then their profiles, then a drop.
import type {
  DataplanePolicy,
  Direction,
  EndpointTier,
  LocalEndpoint,
} from '#calc/dataplane-update';
import { COUNT, DROP, RETURN } from './action.ts';
import type { Chain, Rule } from './chain.ts';
import { LOG_GROUP, type LogPrefixes, type RuleHit } from './log-prefix.ts';
import { PASS_MARK } from './mark.ts';
import { endpointChainName, policyChainName, tierChainName } from './names.ts';
import { canPass } from './policy-chains.ts';

/** What endpoints are rendered with. */
export interface EndpointContext {
  readonly policies: ReadonlyMap<string, DataplanePolicy>;
  readonly prefixes: LogPrefixes;
  /** Told of a policy that an endpoint names and that is not there. */
  readonly onProblem: (what: string, message: string) => void;
}

/** The chain of one endpoint and direction, with the chains of its tiers, which others may share. */
export function endpointChains(
  endpoint: LocalEndpoint,
  direction: Direction,
  context: EndpointContext,
): { readonly endpoint: Chain; readonly tiers: readonly Chain[] } {
  const tiers = tierJumps(endpoint[direction], direction, context);
  const rules = [...tiers.rules, ...profileRules(endpoint, direction, context)];
  const name = endpointChainName(endpoint.interfaceName, direction);
  return { endpoint: { name, comment: `${endpoint.id} ${direction}`, rules }, tiers: tiers.chains };
}

/** Jumps to tiers in order, with their chains; a packet that none decides goes on after them. */
export function tierJumps(
  tiers: readonly EndpointTier[],
  direction: Direction,
  context: EndpointContext,
): { readonly rules: Rule[]; readonly chains: Chain[] } {
  const chains = tiers.map((tier) => tierChain(tier, direction, context));
  return { rules: chains.map((tier) => jumpTo(tier.name)), chains };
}

/** Jumps to an endpoint's profiles in order, then a drop. */
export function profileRules(
  endpoint: { readonly id: string; readonly profiles: readonly string[] },
  direction: Direction,
  context: EndpointContext,
): Rule[] {
  const { profiles } = endpoint;
  const missing = profiles.filter((key) => !context.policies.has(key));
  for (const key of missing) {
    context.onProblem(endpoint.id, `cannot find profile ${key}: it denies everything`);
  }
  // A missing profile stands for one that denies everything: those after it are out of reach.
  const [first] = missing;
  const reached = first === undefined ? profiles : profiles.slice(0, profiles.indexOf(first));
  return [
    ...reached.map((key) => jumpTo(policyChainName(key, direction))),
    dropRule({ direction, tier: null }, 'N', context.prefixes),
  ];
}

/** A packet leaves the tier by a verdict, or by returning: Pass, or a tier that passes at its end. */
function tierChain(tier: EndpointTier, direction: Direction, context: EndpointContext): Chain {
  const rules: Rule[] = [];
  let passes = false;
  for (const key of tier.policies) {
    const policy = context.policies.get(key);
    if (!policy) {
      context.onProblem(`tier ${tier.name}`, `cannot find policy ${key}: it denies everything`);
      rules.push(dropRule({ direction, tier: tier.name }, 'T', context.prefixes));
      break;
    }
    rules.push(jumpTo(policyChainName(key, direction)));
    if (!canPass(policy, direction)) continue;
    passes = true;
    rules.push({
      matches: [{ match: 'mark', bit: PASS_MARK }],
      actions: [{ action: 'clear-mark', bit: PASS_MARK }, RETURN],
    });
  }
  if (passes) rules.unshift({ matches: [], actions: [{ action: 'clear-mark', bit: PASS_MARK }] });
  rules.push(
    tier.defaultAction === 'Deny'
      ? dropRule({ direction, tier: tier.name }, 'T', context.prefixes)
      : passRule({ direction, tier: tier.name }, context.prefixes),
  );
  const name = tierChainName(direction, JSON.stringify(rules));
  return { name, comment: `tier ${tier.name} ${direction}`, rules };
}

/** Every packet goes to the chain. */
export function jumpTo(chain: string): Rule {
  return { matches: [], actions: [{ action: 'jump', chain }] };
}

type Place = Pick<RuleHit, 'direction' | 'tier'>;

/** Logs that nothing decided, and drops. */
export function dropRule(place: Place, owner: 'T' | 'N' | 'U', prefixes: LogPrefixes): Rule {
  const prefix = prefixes.prefixOf({ ...place, action: 'Deny', policy: null, rule: -1 }, owner);
  const group = LOG_GROUP[place.direction];
  return { matches: [], actions: [{ action: 'log-packet', group, prefix }, COUNT, DROP] };
}

function passRule(place: Place, prefixes: LogPrefixes): Rule {
  const prefix = prefixes.prefixOf({ ...place, action: 'Pass', policy: null, rule: -1 }, 'T');
  const group = LOG_GROUP[place.direction];
  return { matches: [], actions: [{ action: 'log-packet', group, prefix }, COUNT, RETURN] };
}
