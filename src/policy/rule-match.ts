// Whether one rule matches one packet, and if not, which of its conditions failed (spec 02, 2.2).
import { type Address, type Family, formatAddress, formatPrefix } from '#lib';
import { type Prefix, prefixContains } from '#lib';
import { type End, isIcmp, protocolName, type Traffic } from './packet.ts';

/** A set of addresses that a rule refers to, with words for it. */
export interface AddressSet {
  /** Continues `the source is …`. */
  readonly text: string;
  has(address: Address): boolean;
  /** Why the set does not have the address, as far as one can say: `label app is "a"`. */
  lack?(address: Address): string | undefined;
}

/** A set of (address, protocol, port). */
export interface PortSet {
  readonly text: string;
  has(address: Address, protocol: number, port: number): boolean;
}

export interface PortList {
  readonly ranges: readonly (readonly [first: number, last: number])[];
  /** Alternatives of the ranges. */
  readonly named: readonly PortSet[];
  readonly text: string;
}

/** What one side of the packet must be. Absent lists are no condition; every condition must hold. */
export interface MatchEntity {
  readonly nets?: readonly Prefix[];
  readonly notNets?: readonly Prefix[];
  /** Every one must have the address. */
  readonly sets: readonly AddressSet[];
  /** None may have it. */
  readonly notSets: readonly AddressSet[];
  readonly ports?: PortList;
  readonly notPorts?: PortList;
  /** Every one must have the address with the packet's protocol and port of that side. */
  readonly services: readonly PortSet[];
}

export interface IcmpMatch {
  readonly type: number;
  readonly code?: number;
}

/** A rule with its selectors resolved to sets. */
export interface MatchRule {
  readonly action: 'Allow' | 'Deny' | 'Pass' | 'Log';
  /** As the author counts, from 0. */
  readonly index: number;
  readonly ipVersion?: Family;
  readonly protocol?: number;
  readonly notProtocol?: number;
  readonly icmp?: IcmpMatch;
  readonly notIcmp?: IcmpMatch;
  /** Whether the rule also asks for HTTP, which no packet can show: it never matches. */
  readonly http?: true;
  readonly source: MatchEntity;
  readonly destination: MatchEntity;
}

export const ANYTHING: MatchEntity = { sets: [], notSets: [], services: [] };

export interface Mismatch {
  /** Which condition of the rule failed. */
  readonly field:
    | 'ipVersion'
    | 'protocol'
    | 'icmp'
    | 'nets'
    | 'selector'
    | 'ports'
    | 'services'
    | 'http';
  readonly side?: 'source' | 'destination';
  /** Plain English, such as `destination port 8080 is not in 80,443`. */
  readonly text: string;
}

const HTTP_TEXT = 'HTTP conditions need the application layer, which is not enforced here';

/** Every condition of the rule that the packet does not meet; none means that the rule matches. */
export function mismatches(rule: MatchRule, traffic: Traffic): Mismatch[] {
  const found: Mismatch[] = [];
  if (rule.ipVersion !== undefined && rule.ipVersion !== traffic.family) {
    found.push({
      field: 'ipVersion',
      text: `the packet is IPv${traffic.family}, not IPv${rule.ipVersion}`,
    });
  }
  protocolMismatches(rule, traffic, found);
  entityMismatches('source', rule.source, traffic, found);
  entityMismatches('destination', rule.destination, traffic, found);
  if (rule.http) found.push({ field: 'http', text: HTTP_TEXT });
  return found;
}

function protocolMismatches(rule: MatchRule, traffic: Traffic, found: Mismatch[]): void {
  const name = protocolName(traffic.protocol);
  if (rule.protocol !== undefined && rule.protocol !== traffic.protocol) {
    const text = `the protocol is ${name}, not ${protocolName(rule.protocol)}`;
    found.push({ field: 'protocol', text });
  }
  if (rule.notProtocol !== undefined && rule.notProtocol === traffic.protocol) {
    found.push({ field: 'protocol', text: `the protocol ${name} is excluded` });
  }
  if (rule.icmp && !icmpMatches(rule.icmp, traffic)) {
    found.push({ field: 'icmp', text: `${icmpText(traffic)} is not ${icmpMatchText(rule.icmp)}` });
  }
  if (rule.notIcmp && icmpMatches(rule.notIcmp, traffic)) {
    found.push({ field: 'icmp', text: `${icmpText(traffic)} is excluded` });
  }
}

function icmpMatches(match: IcmpMatch, traffic: Traffic): boolean {
  if (!isIcmp(traffic.protocol) || !traffic.icmp) return false;
  if (match.type !== traffic.icmp.type) return false;
  return match.code === undefined || match.code === traffic.icmp.code;
}

function icmpText(traffic: Traffic): string {
  if (!traffic.icmp) return protocolName(traffic.protocol);
  return `ICMP type ${traffic.icmp.type} code ${traffic.icmp.code}`;
}

function icmpMatchText(match: IcmpMatch): string {
  return `ICMP type ${match.type}${match.code === undefined ? '' : ` code ${match.code}`}`;
}

function entityMismatches(
  side: 'source' | 'destination',
  entity: MatchEntity,
  traffic: Traffic,
  found: Mismatch[],
): void {
  const end = traffic[side];
  netMismatches(side, entity, end, found);
  for (const set of entity.sets) {
    if (!set.has(end.address)) {
      const lack = set.lack?.(end.address);
      const text = `${side} ${end.name} is not ${set.text}${lack === undefined ? '' : ` (${lack})`}`;
      found.push({ field: 'selector', side, text });
    }
  }
  for (const set of entity.notSets) {
    if (set.has(end.address)) {
      const text = `${side} ${end.name} is ${set.text}, which is excluded`;
      found.push({ field: 'selector', side, text });
    }
  }
  const port = `${side} port ${end.port ?? '(none)'}`;
  if (entity.ports && !portListHas(entity.ports, end, traffic.protocol)) {
    found.push({ field: 'ports', side, text: `${port} is not in ${entity.ports.text}` });
  }
  if (entity.notPorts && portListHas(entity.notPorts, end, traffic.protocol)) {
    found.push({ field: 'ports', side, text: `${port} is excluded by ${entity.notPorts.text}` });
  }
  for (const set of entity.services) {
    if (end.port !== undefined && set.has(end.address, traffic.protocol, end.port)) continue;
    const text = `${side} ${end.name} ${port.slice(side.length + 1)} is not ${set.text}`;
    found.push({ field: 'services', side, text });
  }
}

/**
 * Nets of the other family are as if not written. A list that this leaves empty switches the rule off
 * for the packet's family, the positive list as well as the negated one (spec 02, 2.2 and 2.5).
 */
function netMismatches(
  side: 'source' | 'destination',
  entity: MatchEntity,
  end: End,
  found: Mismatch[],
): void {
  const { family } = end.address;
  const contains = (prefix: Prefix) => prefixContains(prefix, end.address);
  if (entity.nets && !entity.nets.some(contains)) {
    const text = `${side} address ${formatAddress(end.address)} is not in ${netsText(entity.nets)}`;
    found.push({ field: 'nets', side, text });
  }
  if (!entity.notNets) return;
  const excluding = entity.notNets.find(contains);
  if (excluding) {
    const text = `${side} address ${formatAddress(end.address)} is in ${formatPrefix(excluding)}, which is excluded`;
    found.push({ field: 'nets', side, text });
  } else if (!entity.notNets.some((prefix) => prefix.family === family)) {
    const excluded = `the ${side} networks it excludes, ${netsText(entity.notNets)}, are not IPv${family}`;
    const text = `${excluded}, so it is no rule for IPv${family}`;
    found.push({ field: 'nets', side, text });
  }
}

function netsText(nets: readonly Prefix[]): string {
  const shown = nets.slice(0, 8).map(formatPrefix).join(',');
  return nets.length > 8 ? `${shown} and ${nets.length - 8} more` : shown;
}

function portListHas(list: PortList, end: End, protocol: number): boolean {
  const { port } = end;
  if (port === undefined) return false;
  if (list.ranges.some(([first, last]) => first <= port && port <= last)) return true;
  return list.named.some((set) => set.has(end.address, protocol, port));
}
