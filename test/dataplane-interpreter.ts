// What a dataplane does with one packet, said in the fewest words: the stupid twin of every real one.
import type {
  DataplaneEntity,
  DataplanePolicy,
  DataplaneRule,
  DataplaneState,
  Direction,
  EndpointTier,
  LocalEndpoint,
} from '#calc';
import { parseAddress, parsePrefix, prefixContains } from '#lib';

export interface WirePacket {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly sourcePort: number | undefined;
  readonly destinationPort: number | undefined;
  readonly icmp: { readonly type: number; readonly code: number } | undefined;
}

export interface Decision {
  readonly verdict: 'allow' | 'deny';
  readonly tier: string | null;
  /** Null for a default action. */
  readonly policy: DataplanePolicy['id'] | null;
  readonly rule: number;
}

/** What one endpoint's policy says; `tier` null where its profiles decided. */
export function decide(
  state: DataplaneState,
  endpoint: Pick<LocalEndpoint, 'ingress' | 'egress' | 'profiles'>,
  direction: Direction,
  packet: WirePacket,
): Decision {
  const byTiers = decideTiers(state, endpoint[direction], direction, packet);
  if (byTiers !== 'next tier') return byTiers;
  for (const key of endpoint.profiles) {
    const hit = firstHit(state, policyOf(state, key), direction, packet);
    if (hit && hit.action !== 'Pass') return { ...verdictOf(hit), tier: null, policy: null };
  }
  return { verdict: 'deny', tier: null, policy: null, rule: -1 };
}

/** What the first tier that decides says. */
export function decideTiers(
  state: DataplaneState,
  tiers: readonly EndpointTier[],
  direction: Direction,
  packet: WirePacket,
): Decision | 'next tier' {
  for (const tier of tiers) {
    const decision = walkTier(state, tier, direction, packet);
    if (decision !== 'next tier') return decision;
  }
  return 'next tier';
}

function walkTier(
  state: DataplaneState,
  tier: EndpointTier,
  direction: Direction,
  packet: WirePacket,
): Decision | 'next tier' {
  for (const key of tier.policies) {
    const policy = policyOf(state, key);
    if (policy.staged) continue;
    const hit = firstHit(state, policy, direction, packet);
    if (hit?.action === 'Pass') return 'next tier';
    if (hit) return { ...verdictOf(hit), tier: tier.name, policy: policy.id };
  }
  if (tier.defaultAction === 'Pass') return 'next tier';
  return { verdict: 'deny', tier: tier.name, policy: null, rule: -1 };
}

function verdictOf({ action, index }: DataplaneRule): Pick<Decision, 'verdict' | 'rule'> {
  return { verdict: action === 'Allow' ? 'allow' : 'deny', rule: index };
}

function policyOf(state: DataplaneState, key: string): DataplanePolicy {
  const policy = state.policies.get(key);
  if (!policy) throw new Error(`state names policy ${key} without having it`);
  return policy;
}

function firstHit(
  state: DataplaneState,
  policy: DataplanePolicy,
  direction: Direction,
  packet: WirePacket,
): DataplaneRule | undefined {
  return policy[direction].find((rule) => rule.action !== 'Log' && matches(state, rule, packet));
}

function matches(state: DataplaneState, rule: DataplaneRule, packet: WirePacket): boolean {
  const family = packet.source.includes(':') ? 6 : 4;
  const icmpIs = (match: { type: number; code?: number }) =>
    packet.icmp?.type === match.type && (match.code ?? packet.icmp.code) === packet.icmp.code;
  if (rule.ipVersion !== undefined && rule.ipVersion !== family) return false;
  if (rule.protocol !== undefined && rule.protocol !== packet.protocol) return false;
  if (rule.notProtocol === packet.protocol) return false;
  if (rule.icmp && !icmpIs(rule.icmp)) return false;
  if (rule.notIcmp && icmpIs(rule.notIcmp)) return false;
  const { protocol, sourcePort, destinationPort } = packet;
  return (
    entityMatches(state, rule.source, { address: packet.source, protocol, port: sourcePort }) &&
    entityMatches(state, rule.destination, {
      address: packet.destination,
      protocol,
      port: destinationPort,
    })
  );
}

interface WireEnd {
  readonly address: string;
  readonly protocol: number;
  readonly port: number | undefined;
}

function entityMatches(state: DataplaneState, entity: DataplaneEntity, end: WireEnd): boolean {
  const name = { 6: 'tcp', 17: 'udp', 132: 'sctp' }[end.protocol];
  const member = `${end.address},${name}:${end.port}`;
  const membersOf = (id: string) => [...(state.ipSets.get(id)?.members ?? [])];
  const inSet = (id: string) => within(membersOf(id), end.address);
  const inPortSet = (id: string) => membersOf(id).includes(member);
  const inRange = ([first, last]: readonly [number, number]) =>
    end.port !== undefined && first <= end.port && end.port <= last;
  const wantsPorts = entity.ports !== undefined || entity.namedPortSets !== undefined;
  return (
    (entity.nets === undefined || within(entity.nets, end.address)) &&
    !within(entity.notNets ?? [], end.address) &&
    entity.ipSets.every(inSet) &&
    !entity.notIpSets.some(inSet) &&
    (!wantsPorts ||
      (entity.ports ?? []).some(inRange) ||
      (entity.namedPortSets ?? []).some(inPortSet)) &&
    !(entity.notPorts ?? []).some(inRange) &&
    !(entity.notNamedPortSets ?? []).some(inPortSet)
  );
}

function within(prefixes: readonly string[], text: string): boolean {
  const address = parseAddress(text);
  return prefixes.some((one) => {
    const prefix = parsePrefix(one);
    return prefix !== undefined && address !== undefined && prefixContains(prefix, address);
  });
}
