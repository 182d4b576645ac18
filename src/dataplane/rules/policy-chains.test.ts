// Rules as chains, evaluated in memory on random packets, against the plain meaning of a rule.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Family, parseAddress, parsePrefix, prefixContains } from '#lib';
import type { DataplaneEntity, DataplaneRule, IpSet, PortRange } from '#calc/dataplane-update';
import { policy, rule } from '../fixture.ts';
import type { Rule } from './chain.ts';
import { LogPrefixes } from './log-prefix.ts';
import type { Match, PacketEnd } from './match.ts';
import { policyChain } from './policy-chains.ts';

interface Packet {
  readonly family: Family;
  readonly protocol: number;
  readonly address: Readonly<Record<PacketEnd, string>>;
  readonly port: Readonly<Record<PacketEnd, number>>;
  readonly type: number;
  readonly code: number;
}

const NETS = ['10.0.0.0/8', '10.1.0.0/16', '0.0.0.0/0', 'fd00::/8', 'fd00::1/128', '::/0'] as const;
const ADDRESSES = {
  4: ['10.1.0.1', '10.2.0.1', '192.0.2.1'],
  6: ['fd00::1', 'fd00::2', '2001:db8::1'],
};
const IP_SETS: ReadonlyMap<string, IpSet> = new Map(
  [
    { id: 'net-a', type: 'net', members: new Set(['10.1.0.0/16', 'fd00::1/128']) } as const,
    { id: 'net-b', type: 'net', members: new Set(['10.0.0.0/8']) } as const,
    {
      id: 'port-a',
      type: 'ip-port',
      members: new Set(['10.1.0.1,tcp:80', 'fd00::1,udp:53']),
    } as const,
    {
      id: 'port-b',
      type: 'ip-port',
      members: new Set(['10.2.0.1,tcp:80', '10.1.0.1,tcp:443']),
    } as const,
  ].map((set) => [set.id, set]),
);
const PORTS = [53, 80, 443];
const NAMES: Readonly<Record<number, string>> = { 6: 'tcp', 17: 'udp', 132: 'sctp' };

const packets: fc.Arbitrary<Packet> = fc.constantFrom<Family>(4, 6).chain((family) => {
  const address = fc.constantFrom(...ADDRESSES[family]);
  const port = fc.constantFrom(...PORTS);
  return fc.record({
    family: fc.constant(family),
    protocol: fc.constantFrom(1, 6, 17, 58, 132),
    address: fc.record({ source: address, destination: address }),
    port: fc.record({ source: port, destination: port }),
    type: fc.constantFrom(0, 8),
    code: fc.constantFrom(0, 1),
  });
});

const some = <T>(...items: T[]) => fc.uniqueArray(fc.constantFrom(...items), { maxLength: 2 });
/** Leaves all but a few of the conditions out, so that packets often match. */
function sparse<T extends object>(conditions: { [K in keyof T]-?: fc.Arbitrary<T[K]> }) {
  const keys = Object.keys(conditions) as (keyof T)[];
  return fc
    .tuple(fc.subarray(keys, { maxLength: 3 }), fc.record(conditions))
    .map(([kept, all]) => Object.fromEntries(kept.map((key) => [key, all[key]])) as Partial<T>);
}
const ranges = some<PortRange>([80, 80], [50, 60], [80, 443]);
const entities = sparse<DataplaneEntity>({
  ipSets: some('net-a', 'net-b'),
  notIpSets: some('net-a', 'net-b'),
  nets: some(...NETS),
  notNets: some(...NETS),
  ports: ranges,
  namedPortSets: some('port-a', 'port-b'),
  notPorts: ranges,
  notNamedPortSets: some('port-a', 'port-b'),
}).map((kept): DataplaneEntity => ({ ipSets: [], notIpSets: [], ...kept }));
const icmp = fc.record(
  { type: fc.constantFrom(0, 8), code: fc.constantFrom(0, 1) },
  { requiredKeys: ['type'] },
);
/** As calc makes them: ICMP matches and ports come with a protocol that has them. */
const rules = fc
  .record({
    action: fc.constantFrom<DataplaneRule['action']>('Allow', 'Deny', 'Pass', 'Log'),
    source: entities,
    destination: entities,
    header: sparse<
      Pick<DataplaneRule, 'ipVersion' | 'protocol' | 'notProtocol' | 'icmp' | 'notIcmp'>
    >({
      ipVersion: fc.constantFrom<Family>(4, 6),
      protocol: fc.constantFrom(1, 6, 17, 58),
      notProtocol: fc.constantFrom(6, 17),
      icmp,
      notIcmp: icmp,
    }),
  })
  .map(({ header: { icmp: positive, notIcmp, ...header }, ...rest }): DataplaneRule => {
    const isIcmp = header.protocol === 1 || header.protocol === 58;
    return {
      index: 0,
      ...rest,
      ...header,
      ...(isIcmp && positive && { icmp: positive }),
      ...(isIcmp && notIcmp && { notIcmp }),
    };
  });

/** The plain meaning of a rule (dataplane-update.ts, spec 02 2.2). */
function ruleMatches(one: DataplaneRule, packet: Packet): boolean {
  const icmpFits = (wanted: { type: number; code?: number }) =>
    wanted.type === packet.type && (wanted.code ?? packet.code) === packet.code;
  return (
    (one.ipVersion ?? packet.family) === packet.family &&
    (one.protocol ?? packet.protocol) === packet.protocol &&
    one.notProtocol !== packet.protocol &&
    (!one.icmp || icmpFits(one.icmp)) &&
    (!one.notIcmp || !icmpFits(one.notIcmp)) &&
    entityMatches(one.source, 'source', packet) &&
    entityMatches(one.destination, 'destination', packet)
  );
}

function entityMatches(entity: DataplaneEntity, end: PacketEnd, packet: Packet): boolean {
  const address = packet.address[end];
  const hasPorts = [6, 17, 132].includes(packet.protocol);
  const { ports, namedPortSets, notPorts = [], notNets = [] } = entity;
  const named = (sets: readonly string[]) => sets.some((id) => inPortSet(id, end, packet));
  const numeric = (list: readonly PortRange[]) => inRanges(list, packet.port[end]);
  const portWanted = ports !== undefined || namedPortSets !== undefined;
  return (
    (!entity.nets || inNets(entity.nets, address)) &&
    (notNets.length === 0 || notNets.some((net) => sameFamily(net, address))) &&
    !inNets(notNets, address) &&
    entity.ipSets.every((id) => inSet(id, address)) &&
    !entity.notIpSets.some((id) => inSet(id, address)) &&
    (!portWanted || (hasPorts && (numeric(ports ?? []) || named(namedPortSets ?? [])))) &&
    (notPorts.length === 0 || (hasPorts && !numeric(notPorts))) &&
    !named(entity.notNamedPortSets ?? [])
  );
}

function inNets(nets: Iterable<string>, text: string): boolean {
  const address = parseAddress(text);
  return [...nets].some((net) => {
    const prefix = parsePrefix(net);
    return prefix !== undefined && address !== undefined && prefixContains(prefix, address);
  });
}

function sameFamily(net: string, address: string): boolean {
  return net.includes(':') === address.includes(':');
}

function inSet(id: string, address: string): boolean {
  return inNets(IP_SETS.get(id)?.members ?? [], address);
}

function inPortSet(id: string, end: PacketEnd, packet: Packet): boolean {
  const member = `${packet.address[end]},${NAMES[packet.protocol] ?? '?'}:${packet.port[end]}`;
  return IP_SETS.get(id)?.members.has(member) ?? false;
}

function inRanges(list: readonly PortRange[], port: number): boolean {
  return list.some(([first, last]) => first <= port && port <= last);
}

/** What the kernel does with a rendered rule's match. */
function matchHolds(match: Match, packet: Packet): boolean {
  switch (match.match) {
    case 'family':
      return match.family === packet.family;
    case 'protocol':
      return match.protocols.includes(packet.protocol) !== (match.negated ?? false);
    case 'nets':
      assert.equal(match.family, packet.family, 'a family match comes first');
      return inNets(match.nets, packet.address[match.end]) !== (match.negated ?? false);
    case 'ip-set':
      assert.equal(match.family, packet.family, 'a family match comes first');
      return inSet(match.set, packet.address[match.end]) !== (match.negated ?? false);
    case 'ports':
      return inRanges(match.ports, packet.port[match.end]) !== (match.negated ?? false);
    case 'ip-port-set':
      return inPortSet(match.set, match.end, packet) !== (match.negated ?? false);
    case 'icmp': {
      const fits = match.types.includes(packet.type) && (match.code ?? packet.code) === packet.code;
      return fits !== (match.negated ?? false);
    }
    default:
      throw new Error(`no policy asks for ${match.match}`);
  }
}

function rendered(one: DataplaneRule, ipSets = IP_SETS, problems: string[] = []): readonly Rule[] {
  return policyChain(policy('p', { ingress: [one] }), 'ingress', {
    ipSets,
    prefixes: new LogPrefixes(),
    onProblem: (what, message) => problems.push(`${what}: ${message}`),
  }).rules;
}

function hitsOf(kernelRules: readonly Rule[], packet: Packet): number {
  return kernelRules.filter(({ matches }) => matches.every((match) => matchHolds(match, packet)))
    .length;
}

void test('[DP11] the kernel rules of a rule match the packets that the rule matches', () => {
  fc.assert(
    fc.property(rules, packets, (one, packet) => {
      assert.equal(hitsOf(rendered(one), packet) > 0, ruleMatches(one, packet));
    }),
    { numRuns: 5000 },
  );
});

void test('[DP11] a packet that fits several alternatives of a Log rule is logged once', () => {
  const both = fc.record({ ports: ranges, namedPortSets: some('port-a', 'port-b') });
  const tcp = packets.map((packet) => ({ ...packet, protocol: 6 }));
  fc.assert(
    fc.property(both, both, tcp, (source, destination, packet) => {
      const one = rule('Log', {
        source: { ipSets: [], notIpSets: [], ...source },
        destination: { ipSets: [], notIpSets: [], ...destination },
      });
      assert.equal(hitsOf(rendered(one), packet), ruleMatches(one, packet) ? 1 : 0);
    }),
    { numRuns: 2000 },
  );
});

void test('rules carry their log, their count and their verdict', () => {
  const actions = (action: DataplaneRule['action']) =>
    rendered(rule(action, { index: 3 }))[0]?.actions.map((one) =>
      'prefix' in one ? `${one.action} ${one.prefix}` : one.action,
    );
  assert.deepEqual(actions('Allow'), ['log-packet API3|NetworkPolicy/shop/p', 'count', 'accept']);
  assert.deepEqual(actions('Deny'), ['log-packet DPI3|NetworkPolicy/shop/p', 'count', 'drop']);
  assert.deepEqual(actions('Pass'), [
    'log-packet PPI3|NetworkPolicy/shop/p',
    'count',
    'set-mark',
    'return',
  ]);
  assert.deepEqual(actions('Log'), ['log-kernel calico-packet: ']);
});

void test('[DP13] with an IP set missing Deny matches everything and other rules nothing', () => {
  const source = { ipSets: ['none'], notIpSets: [] };
  const problems: string[] = [];
  const none = new Map<string, IpSet>();
  assert.deepEqual(rendered(rule('Allow', { source }), none, problems), []);
  assert.deepEqual(
    rendered(rule('Pass', { source: { ipSets: [], notIpSets: ['none'] } }), none),
    [],
  );
  const [denial] = rendered(rule('Deny', { source, protocol: 6 }), none);
  assert.deepEqual(denial?.matches, []);
  assert.deepEqual(problems, [
    'NetworkPolicy/shop/p ingress rule 0: cannot find IP set none (net): the rule never matches',
  ]);
});
