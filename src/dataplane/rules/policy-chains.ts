// Policies and profiles as chains: each rule becomes one kernel rule for each family and alternative.
import { FAMILIES, type Family, parsePrefix } from '#lib';
import type {
  DataplaneEntity,
  DataplanePolicy,
  DataplaneRule,
  Direction,
  IpSet,
} from '#calc/dataplane-update';
import { policyKey } from '#calc/dataplane-update';
import { ACCEPT, type Action, COUNT, DROP, RETURN } from './action.ts';
import type { Chain, Rule } from './chain.ts';
import { LOG_GROUP, type LogPrefixes } from './log-prefix.ts';
import { PASS_MARK } from './mark.ts';
import type { Match, PacketEnd } from './match.ts';
import { policyChainName } from './names.ts';

const ICMP = 1;
const ICMPV6 = 58;
/** TCP, UDP, SCTP, UDP-Lite: those whose header begins with two ports. */
const PORT_PROTOCOLS: readonly number[] = [6, 17, 132, 136];
const KERNEL_LOG_PREFIX = 'calico-packet: ';

/** What the rules of policies are rendered with. */
export interface PolicyContext {
  readonly ipSets: ReadonlyMap<string, IpSet>;
  readonly prefixes: LogPrefixes;
  /** Told of a rule that refers to a set that is not there. */
  readonly onProblem: (what: string, message: string) => void;
}

export function policyChain(
  policy: DataplanePolicy,
  direction: Direction,
  context: PolicyContext,
): Chain {
  const key = policyKey(policy.id);
  const rules = policy[direction].flatMap((rule) => {
    const actions = actionsOf(rule, policy, direction, context.prefixes);
    const sound = withoutMissingSets(rule, `${key} ${direction} rule ${rule.index}`, context);
    return sound ? matchesOf(sound).map((matches): Rule => ({ matches, actions })) : [];
  });
  return { name: policyChainName(key, direction), comment: `${key} ${direction}`, rules };
}

/** Whether a packet can leave the policy by Pass. */
export function canPass(policy: DataplanePolicy, direction: Direction): boolean {
  return policy[direction].some((rule) => rule.action === 'Pass');
}

function actionsOf(
  rule: DataplaneRule,
  policy: DataplanePolicy,
  direction: Direction,
  prefixes: LogPrefixes,
): Action[] {
  if (rule.action === 'Log') return [{ action: 'log-kernel', prefix: KERNEL_LOG_PREFIX }];
  const isProfile = policy.id.kind === 'Profile';
  const hit = {
    action: rule.action,
    direction,
    tier: isProfile ? null : policy.tier,
    policy: policy.id,
    rule: rule.index,
  };
  const prefix = prefixes.prefixOf(hit, isProfile ? 'R' : 'P');
  const verdict: Record<typeof rule.action, readonly Action[]> = {
    Allow: [ACCEPT],
    Deny: [DROP],
    Pass: [{ action: 'set-mark', bit: PASS_MARK }, RETURN],
  };
  const log: Action = { action: 'log-packet', group: LOG_GROUP[direction], prefix };
  return [log, COUNT, ...verdict[rule.action]];
}

/** Fails closed: with a set missing, Deny matches every packet, any other rule none. */
function withoutMissingSets(
  rule: DataplaneRule,
  what: string,
  context: PolicyContext,
): DataplaneRule | undefined {
  const wanted = [rule.source, rule.destination].flatMap((entity) => [
    ...entity.ipSets.map((id) => ({ id, type: 'net' })),
    ...entity.notIpSets.map((id) => ({ id, type: 'net' })),
    ...(entity.namedPortSets ?? []).map((id) => ({ id, type: 'ip-port' })),
    ...(entity.notNamedPortSets ?? []).map((id) => ({ id, type: 'ip-port' })),
  ]);
  const missing = wanted.filter(({ id, type }) => context.ipSets.get(id)?.type !== type);
  if (missing.length === 0) return rule;
  const names = missing.map(({ id, type }) => `${id} (${type})`).join(', ');
  const effect = rule.action === 'Deny' ? 'the rule denies everything' : 'the rule never matches';
  context.onProblem(what, `cannot find IP set ${names}: ${effect}`);
  const any: DataplaneEntity = { ipSets: [], notIpSets: [] };
  if (rule.action !== 'Deny') return undefined;
  return { action: 'Deny', index: rule.index, source: any, destination: any };
}

/** One list of matches for each family and alternative; a packet that fits any of them fits the rule. */
function matchesOf(rule: DataplaneRule): Match[][] {
  const families = FAMILIES.filter((family) => fitsFamily(rule, family));
  if (families.length === FAMILIES.length && !needsFamily(rule)) {
    return alternatives(rule, 4).map((ports) => [...headerMatches(rule), ...ports]);
  }
  return families.flatMap((family) => {
    const shared: Match[] = [
      { match: 'family', family },
      ...headerMatches(rule),
      ...addressMatches(rule.source, 'source', family),
      ...addressMatches(rule.destination, 'destination', family),
    ];
    return alternatives(rule, family).map((ports) => [...shared, ...ports]);
  });
}

/** A prefix list without a member of the family, positive or negated, switches the rule off for it. */
function fitsFamily(rule: DataplaneRule, family: Family): boolean {
  if (rule.ipVersion !== undefined && rule.ipVersion !== family) return false;
  return [rule.source, rule.destination].every((entity) => {
    const { nets, notNets = [] } = entity;
    if (nets && ofFamily(nets, family).length === 0) return false;
    return notNets.length === 0 || ofFamily(notNets, family).length > 0;
  });
}

function needsFamily(rule: DataplaneRule): boolean {
  return [rule.source, rule.destination].some(
    (entity) =>
      entity.nets !== undefined ||
      (entity.notNets ?? []).length > 0 ||
      entity.ipSets.length > 0 ||
      entity.notIpSets.length > 0 ||
      entity.namedPortSets !== undefined ||
      (entity.notNamedPortSets ?? []).length > 0,
  );
}

function headerMatches(rule: DataplaneRule): Match[] {
  const matches: Match[] = [];
  if (rule.protocol !== undefined) matches.push({ match: 'protocol', protocols: [rule.protocol] });
  else if (rule.icmp ?? rule.notIcmp) {
    matches.push({ match: 'protocol', protocols: [ICMP, ICMPV6] });
  }
  if (rule.notProtocol !== undefined) {
    matches.push({ match: 'protocol', protocols: [rule.notProtocol], negated: true });
  }
  if (rule.icmp) matches.push(icmpMatch(rule.icmp));
  if (rule.notIcmp) matches.push({ ...icmpMatch(rule.notIcmp), negated: true });
  if (needsPorts(rule) && !PORT_PROTOCOLS.includes(rule.protocol ?? -1)) {
    matches.push({ match: 'protocol', protocols: PORT_PROTOCOLS });
  }
  return matches;
}

function icmpMatch(icmp: { type: number; code?: number }): Match & { match: 'icmp' } {
  return {
    match: 'icmp',
    types: [icmp.type],
    ...(icmp.code !== undefined && { code: icmp.code }),
  };
}

function needsPorts(rule: DataplaneRule): boolean {
  return [rule.source, rule.destination].some(
    (entity) =>
      entity.ports !== undefined ||
      entity.namedPortSets !== undefined ||
      (entity.notPorts ?? []).length > 0,
  );
}

function addressMatches(entity: DataplaneEntity, end: PacketEnd, family: Family): Match[] {
  const nets = ofFamily(entity.nets ?? [], family);
  const notNets = ofFamily(entity.notNets ?? [], family);
  const matches: Match[] = [];
  if (nets.length > 0) {
    matches.push({ match: 'nets', end, family, nets });
  }
  if (notNets.length > 0) {
    matches.push({ match: 'nets', end, family, nets: notNets, negated: true });
  }
  for (const set of entity.ipSets) matches.push({ match: 'ip-set', end, family, set });
  for (const set of entity.notIpSets) {
    matches.push({ match: 'ip-set', end, family, set, negated: true });
  }
  return matches;
}

/** Every pairing of the source's with the destination's alternatives, and what no port may be. */
function alternatives(rule: DataplaneRule, family: Family): Match[][] {
  const disjoint = rule.action === 'Log';
  const excluded = [
    ...negatedPorts(rule.source, 'source', family),
    ...negatedPorts(rule.destination, 'destination', family),
  ];
  const destinations = portAlternatives(rule.destination, 'destination', family, disjoint);
  return portAlternatives(rule.source, 'source', family, disjoint).flatMap((source) =>
    destinations.map((destination) => [...source, ...destination, ...excluded]),
  );
}

type PortMatch = Match & { readonly match: 'ports' | 'ip-port-set' };

/**
 * Numeric ports and each set of named ports are alternatives. `disjoint`: each excludes those before
 * it, so that a rule which does not end the walk sees a packet once.
 */
function portAlternatives(
  entity: DataplaneEntity,
  end: PacketEnd,
  family: Family,
  disjoint: boolean,
): Match[][] {
  if (entity.ports === undefined && entity.namedPortSets === undefined) return [[]];
  const { ports = [], namedPortSets = [] } = entity;
  const found: PortMatch[] = [
    ...(ports.length > 0 ? [{ match: 'ports' as const, end, ports }] : []),
    ...namedPortSets.map((set) => ({ match: 'ip-port-set' as const, end, family, set })),
  ];
  return found.map((match, index) => {
    const earlier = disjoint ? found.slice(0, index) : [];
    return [...earlier.map((before) => ({ ...before, negated: true })), match];
  });
}

function negatedPorts(entity: DataplaneEntity, end: PacketEnd, family: Family): Match[] {
  const { notPorts = [], notNamedPortSets = [] } = entity;
  const matches: Match[] = [];
  if (notPorts.length > 0) matches.push({ match: 'ports', end, ports: notPorts, negated: true });
  for (const set of notNamedPortSets) {
    matches.push({ match: 'ip-port-set', end, family, set, negated: true });
  }
  return matches;
}

function ofFamily(nets: readonly string[], family: Family): string[] {
  return nets.filter((net) => parsePrefix(net)?.family === family);
}
