// Whether a rule of the desired state fits a connection, judged in memory from what a report says of it.
import type { DataplaneEntity, DataplaneRule, DataplaneState, IpSet } from '#calc/dataplane-update';
import type { ConnectionReport } from '#flows';
import {
  type Address,
  type Family,
  familyBits,
  formatPrefix,
  maskPrefix,
  parseAddress,
  parsePrefix,
  prefixContains,
} from '#lib';

/** The packet that a report's connection began with, as policy saw it. */
export interface JudgedPacket {
  readonly family: Family;
  readonly source: Address;
  readonly destination: Address;
  readonly protocol: number;
  readonly sourcePort: number | undefined;
  readonly destinationPort: number | undefined;
  readonly icmpType: number | undefined;
  readonly icmpCode: number | undefined;
}

/** Undefined where an address cannot be read, or the two are of different families. */
export function packetOf({ tuple }: ConnectionReport): JudgedPacket | undefined {
  const source = parseAddress(tuple.source);
  const destination = parseAddress(tuple.destination);
  if (!source || source.family !== destination?.family) return undefined;
  const { protocol, sourcePort, destinationPort, icmpType, icmpCode } = tuple;
  const fields = { protocol, sourcePort, destinationPort, icmpType, icmpCode };
  return { family: source.family, source, destination, ...fields };
}

/** `unknown`: it depends on a field that was not reported, or on a set that is not there. */
export type Match = boolean | 'unknown';

type IpSets = DataplaneState['ipSets'];

export function ruleMatches(rule: DataplaneRule, packet: JudgedPacket, ipSets: IpSets): Match {
  if (rule.ipVersion !== undefined && rule.ipVersion !== packet.family) return false;
  if (rule.protocol !== undefined && rule.protocol !== packet.protocol) return false;
  if (rule.notProtocol === packet.protocol) return false;
  return all([
    rule.icmp ? icmpIs(rule.icmp, packet) : true,
    rule.notIcmp ? not(icmpIs(rule.notIcmp, packet)) : true,
    entityMatches(rule.source, packet.source, packet.sourcePort, packet, ipSets),
    entityMatches(rule.destination, packet.destination, packet.destinationPort, packet, ipSets),
  ]);
}

function all(matches: readonly Match[]): Match {
  if (matches.includes(false)) return false;
  return matches.includes('unknown') ? 'unknown' : true;
}

function any(matches: readonly Match[]): Match {
  if (matches.includes(true)) return true;
  return matches.includes('unknown') ? 'unknown' : false;
}

function not(match: Match): Match {
  return match === 'unknown' ? match : !match;
}

function icmpIs(
  { type, code }: { readonly type: number; readonly code?: number },
  { icmpType, icmpCode }: JudgedPacket,
): Match {
  if (icmpType === undefined) return 'unknown';
  if (type !== icmpType) return false;
  if (code === undefined) return true;
  return icmpCode === undefined ? 'unknown' : code === icmpCode;
}

const PORTED: ReadonlyMap<number, string> = new Map([
  [6, 'tcp'],
  [17, 'udp'],
  [132, 'sctp'],
]);

function entityMatches(
  entity: DataplaneEntity,
  address: Address,
  port: number | undefined,
  { protocol }: JudgedPacket,
  ipSets: IpSets,
): Match {
  const within = (nets: readonly string[]): boolean => nets.some((net) => contains(net, address));
  const inSet = (id: string): Match => {
    const set = ipSets.get(id);
    return set ? holds(set, address) : 'unknown';
  };
  const inPortSet = (id: string): Match => {
    const set = ipSets.get(id);
    if (!set) return 'unknown';
    const name = PORTED.get(protocol);
    if (name === undefined) return false;
    if (port === undefined) return 'unknown';
    return set.members.has(`${textOf(address)},${name}:${port}`);
  };
  const inRange = ([first, last]: readonly [number, number]): Match => {
    if (port !== undefined) return first <= port && port <= last;
    return PORTED.has(protocol) ? 'unknown' : false;
  };
  const { nets, notNets = [], ports, namedPortSets, notPorts = [] } = entity;
  const wantsPorts = ports !== undefined || namedPortSets !== undefined;
  return all([
    nets === undefined || within(nets),
    !within(notNets),
    ...entity.ipSets.map(inSet),
    ...entity.notIpSets.map((id) => not(inSet(id))),
    !wantsPorts || any([...(ports ?? []).map(inRange), ...(namedPortSets ?? []).map(inPortSet)]),
    ...notPorts.map((range) => not(inRange(range))),
    ...(entity.notNamedPortSets ?? []).map((id) => not(inPortSet(id))),
  ]);
}

function contains(net: string, address: Address): boolean {
  const prefix = parsePrefix(net);
  return prefix !== undefined && prefixContains(prefix, address);
}

function textOf(address: Address): string {
  const bits = familyBits(address.family);
  return formatPrefix({ ...address, length: bits }).slice(0, -1 - String(bits).length);
}

/** Lengths of a set's prefixes by family; sets are values. */
const lengthsOf = new WeakMap<IpSet, Readonly<Record<Family, readonly number[]>>>();

function holds(set: IpSet, address: Address): boolean {
  let lengths = lengthsOf.get(set);
  if (!lengths) {
    const found = { 4: new Set<number>(), 6: new Set<number>() };
    for (const member of set.members) {
      found[member.includes(':') ? 6 : 4].add(Number(member.split('/')[1]));
    }
    lengths = { 4: [...found[4]], 6: [...found[6]] };
    lengthsOf.set(set, lengths);
  }
  return lengths[address.family].some((length) =>
    set.members.has(formatPrefix(maskPrefix({ ...address, length }))),
  );
}
