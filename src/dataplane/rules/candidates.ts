// Rules as ordered candidates: what each asks of a packet, with its ports and addresses told apart.
import { FAMILIES, type Family, parsePrefix } from '#lib';
import type { DataplaneEntity, DataplaneRule, IpSet } from '#calc/dataplane-update';
import type { Action } from './action.ts';
import { type Interval, complementOf, intersectIntervals, portIntervals } from './intervals.ts';
import type { Match, PacketEnd } from './match.ts';

const ICMP = 1;
const ICMPV6 = 58;
/** TCP, UDP, SCTP, UDP-Lite: those whose header begins with two ports. */
const PORT_PROTOCOLS: readonly number[] = [6, 17, 132, 136];
const PORT_BITS = 16;
/** Members of the sets that are written out into one map; bigger sets are asked as sets. */
const EXPANDED_MEMBERS_MAX = 256;

/** A rule with what happens when it matches. */
export interface PlacedRule {
  /** Unique among the rules it stands with. */
  readonly id: string;
  readonly rule: DataplaneRule;
  readonly action: Action;
}

/** One way in which packets of a family and protocol fit a rule. */
export interface Candidate {
  /** Equal for equal conditions and actions, among candidates of one family and protocol. */
  readonly id: string;
  readonly action: Action;
  /** What it asks of the destination port; absent is nothing. */
  readonly ports?: readonly Interval[];
  /** What it asks besides. */
  readonly rest: readonly Match[];
}

/** Protocol of a scope; `other`: any that no rule of the list names. */
export type ScopeProtocol = number | 'other';

/** Whether a packet that fits a candidate goes no further. */
export function isFinal({ action }: Candidate): boolean {
  return action.action !== 'jump';
}

/** The protocols that make a difference to these rules. */
export function protocolsOf(rules: readonly DataplaneRule[]): number[] {
  const found = new Set<number>();
  for (const rule of rules) {
    const { protocol, notProtocol } = rule;
    if (protocol !== undefined) found.add(protocol);
    if (notProtocol !== undefined) found.add(notProtocol);
    if (protocol === undefined && needsPorts(rule))
      for (const one of PORT_PROTOCOLS) found.add(one);
    if (protocol === undefined && (rule.icmp ?? rule.notIcmp)) found.add(ICMP).add(ICMPV6);
  }
  return [...found].toSorted((a, b) => a - b);
}

/** How packets of one family and protocol can fit the rules, in order. */
export function candidatesOf(
  rules: readonly PlacedRule[],
  family: Family,
  protocol: ScopeProtocol,
): Candidate[] {
  return rules.flatMap(({ id, rule, action }) => {
    if (!fitsFamily(rule, family) || !fitsProtocol(rule, protocol)) return [];
    const shared = [
      ...icmpMatches(rule),
      ...addressMatches(rule.source, 'source', family),
      ...addressMatches(rule.destination, 'destination', family),
    ];
    const ways = alternatives(rule, family);
    return ways.flatMap((matches, way): Candidate[] => {
      const { ports, others } = destinationPorts(matches);
      if (ports?.length === 0) return [];
      const rest = [...shared, ...others];
      const name = ways.length > 1 ? `${id}+${way}` : id;
      return [{ id: name, action, rest, ...(ports && { ports }) }];
    });
  });
}

/** One list of matches for each family and alternative; a packet that fits any of them fits the rule. */
export function matchesOf(rule: DataplaneRule): Match[][] {
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

/** What a rule asks of the address of one end; nothing where it is not for the family. */
export function farMatches(
  rule: DataplaneRule,
  end: PacketEnd,
  family: Family,
): (Match & { readonly match: 'nets' | 'ip-set' })[] {
  return fitsFamily(rule, family) ? addressMatches(rule[end], end, family) : [];
}

/** Whether a set's members are written out into maps. */
export function isExpanded(set: IpSet): boolean {
  return set.type === 'net' && set.members.size <= EXPANDED_MEMBERS_MAX;
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

function fitsProtocol(rule: DataplaneRule, protocol: ScopeProtocol): boolean {
  if (protocol === 'other') {
    const asksOfHeader = rule.icmp ?? rule.notIcmp;
    return rule.protocol === undefined && !needsPorts(rule) && !asksOfHeader;
  }
  if (rule.protocol !== undefined && rule.protocol !== protocol) return false;
  if (rule.notProtocol === protocol) return false;
  if (needsPorts(rule) && !PORT_PROTOCOLS.includes(protocol)) return false;
  const isIcmp = protocol === ICMP || protocol === ICMPV6;
  return isIcmp || rule.protocol !== undefined || !(rule.icmp ?? rule.notIcmp);
}

/** Whether a rule means different things for the two families. */
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
  matches.push(...icmpMatches(rule));
  if (needsPorts(rule) && !PORT_PROTOCOLS.includes(rule.protocol ?? -1)) {
    matches.push({ match: 'protocol', protocols: PORT_PROTOCOLS });
  }
  return matches;
}

function icmpMatches({ icmp, notIcmp }: DataplaneRule): Match[] {
  return [
    ...(icmp ? [icmpMatch(icmp)] : []),
    ...(notIcmp ? [{ ...icmpMatch(notIcmp), negated: true }] : []),
  ];
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

function addressMatches(
  entity: DataplaneEntity,
  end: PacketEnd,
  family: Family,
): (Match & { readonly match: 'nets' | 'ip-set' })[] {
  const nets = ofFamily(entity.nets ?? [], family);
  const notNets = ofFamily(entity.notNets ?? [], family);
  const matches: (Match & { readonly match: 'nets' | 'ip-set' })[] = [];
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

/** All that is asked of the destination port as one list, apart from what else is asked. */
function destinationPorts(matches: readonly Match[]): { ports?: Interval[]; others: Match[] } {
  let ports: Interval[] | undefined;
  const others: Match[] = [];
  for (const match of matches) {
    if (match.match !== 'ports' || match.end !== 'destination') {
      others.push(match);
      continue;
    }
    const one = portIntervals(match.ports);
    const wanted = match.negated ? complementOf(one, PORT_BITS) : one;
    ports = ports ? intersectIntervals(ports, wanted) : wanted;
  }
  return { ...(ports && { ports }), others };
}

function ofFamily(nets: readonly string[], family: Family): string[] {
  return nets.filter((net) => parsePrefix(net)?.family === family);
}
