// Random rules and packets, the plain meaning of rules, and a machine that carries rendered chains out: for tests.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { type Family, parseAddress, parsePrefix, prefixContains } from '#lib';
import type {
  DataplaneEntity,
  DataplanePolicy,
  DataplaneRule,
  IpSet,
  PortRange,
} from '#calc/dataplane-update';
import { entity, policy, rule } from '../fixture.ts';
import type { Action } from './action.ts';
import type { ClassMap } from './address-classes.ts';
import type { Chain } from './chain.ts';
import type { Match, PacketEnd } from './match.ts';
import type { PolicyStep } from './policy-chains.ts';
import type { MapKey, VerdictMap } from './verdict-map.ts';

export interface Packet {
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
export const IP_SETS: ReadonlyMap<string, IpSet> = new Map(
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

export const packets: fc.Arbitrary<Packet> = fc.constantFrom<Family>(4, 6).chain((family) => {
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

export const some = <T>(...items: T[]) =>
  fc.uniqueArray(fc.constantFrom(...items), { maxLength: 2 });
/** Leaves all but a few of the conditions out, so that packets often match. */
function sparse<T extends object>(conditions: { [K in keyof T]-?: fc.Arbitrary<T[K]> }) {
  const keys = Object.keys(conditions) as (keyof T)[];
  return fc
    .tuple(fc.subarray(keys, { maxLength: 3 }), fc.record(conditions))
    .map(([kept, all]) => Object.fromEntries(kept.map((key) => [key, all[key]])) as Partial<T>);
}
export const ranges = some<PortRange>([80, 80], [50, 60], [80, 443]);
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
export const rules = fc
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

/** What happened to a packet: what was logged to the kernel's log, and the decision, if there was one. */
export interface Outcome {
  readonly logged: number;
  /** The prefix of the decision's log; undefined when the packet came back undecided. */
  readonly decision: string | undefined;
  readonly verdict: string | undefined;
}

/** What has been rendered. */
export interface Program {
  readonly chains: Iterable<Chain>;
  readonly maps: Iterable<VerdictMap>;
  readonly classMaps: Iterable<ClassMap>;
}

/** Carries rendered chains out as the kernel does: jumps come back, gotos do not. */
export class Machine {
  readonly #chains: ReadonlyMap<string, Chain>;
  readonly #maps: ReadonlyMap<string, VerdictMap>;
  readonly #classMaps: ReadonlyMap<string, ClassMap>;
  readonly #packet: Packet;
  #logged = 0;
  #decision: string | undefined;
  #mark = false;
  /** How many rules the packet has met. */
  rules = 0;

  constructor({ chains, maps, classMaps }: Program, packet: Packet) {
    this.#chains = new Map([...chains].map((chain) => [chain.name, chain]));
    this.#maps = new Map([...maps].map((map) => [map.name, map]));
    this.#classMaps = new Map([...classMaps].map((map) => [map.name, map]));
    this.#packet = packet;
  }

  run(steps: readonly PolicyStep[]): Outcome {
    for (const { chain, passes } of steps) {
      const verdict = this.#walk(chain);
      if (verdict !== 'return') return this.#outcome(verdict);
      if (this.#mark) {
        assert.ok(passes, 'a step that passes says so');
        return this.#outcome('pass');
      }
    }
    return this.#outcome(undefined);
  }

  #outcome(verdict: string | undefined): Outcome {
    return { logged: this.#logged, decision: this.#decision, verdict };
  }

  #walk(name: string): 'accept' | 'drop' | 'return' {
    const chain = this.#chains.get(name);
    assert.ok(chain, `chain ${name} is there`);
    for (const { matches, actions } of chain.rules) {
      this.rules++;
      const holds = (match: Match) =>
        match.match === 'mark' ? this.#mark : matchHolds(match, this.#packet);
      if (!matches.every(holds)) continue;
      for (const action of actions) {
        const end = this.#act(action);
        if (end) return end;
      }
    }
    return 'return';
  }

  #act(action: Action): 'accept' | 'drop' | 'return' | undefined {
    switch (action.action) {
      case 'accept':
      case 'drop':
      case 'return':
        return action.action;
      case 'set-mark':
      case 'clear-mark':
        this.#mark = action.action === 'set-mark';
        return undefined;
      case 'log-kernel':
        this.#logged++;
        return undefined;
      case 'log-packet':
        this.#decision = action.prefix;
        return undefined;
      case 'goto':
        return this.#walk(action.chain);
      case 'jump': {
        const end = this.#walk(action.chain);
        return end === 'return' ? undefined : end;
      }
      case 'look-up': {
        const chain = this.#lookUp(this.#maps.get(action.map), action);
        return chain === undefined ? undefined : this.#walk(chain);
      }
      default:
        return undefined;
    }
  }

  #lookUp(
    map: VerdictMap | undefined,
    { key, classes, atPort }: Action & { readonly action: 'look-up' },
  ): string | undefined {
    assert.ok(map, 'the map is there');
    const classKey: MapKey = { by: atPort ? 'class-port' : 'class' };
    assert.deepEqual(map.key, classes === undefined ? key : classKey);
    if (atPort) assert.ok([6, 17, 132].includes(this.#packet.protocol), 'the protocol has ports');
    if (classes !== undefined) {
      const number = this.#classOf(classes, key);
      const named = map.entries.filter(
        (entry) =>
          'number' in entry &&
          entry.number === number &&
          (!atPort || ('port' in entry && entry.port === this.#packet.port.destination)),
      );
      assert.ok(named.length <= 1, 'a class is named once');
      return named[0]?.chain;
    }
    const { family, protocol, port, address } = this.#packet;
    const found = map.entries.filter((entry) => {
      if ('number' in entry) return false;
      if ('protocol' in entry) return entry.family === family && entry.protocol === protocol;
      if (key.by === 'address') assert.equal(key.family, family, 'the family was asked for before');
      if (key.by === 'port') assert.ok([6, 17, 132].includes(protocol), 'the protocol has ports');
      const value =
        key.by === 'address'
          ? (parseAddress(address[key.end])?.bits ?? 0n)
          : BigInt(port.destination);
      return entry.first <= value && value <= entry.last;
    });
    assert.ok(found.length <= 1, 'entries do not overlap');
    return found[0]?.chain;
  }

  #classOf(name: string, key: MapKey): string | undefined {
    const map = this.#classMaps.get(name);
    assert.ok(map && key.by === 'address', 'the map of classes is there');
    const { family, address } = this.#packet;
    assert.deepEqual([map.family, key.family], [family, family], 'the family was asked for before');
    const value = parseAddress(address[key.end])?.bits ?? 0n;
    const found = [...map.entries.values()].filter(
      ({ first, last }) => first <= value && value <= last,
    );
    assert.ok(found.length <= 1, 'ranges of classes do not overlap');
    return found[0]?.value;
  }
}

/** What the rules say, one after the other. */
export function expectedOf(policies: readonly DataplanePolicy[], packet: Packet): Outcome {
  let logged = 0;
  for (const { id, ingress } of policies) {
    for (const one of ingress) {
      if (!ruleMatches(one, packet)) continue;
      if (one.action === 'Log') {
        logged++;
        continue;
      }
      const decision = `${one.action.charAt(0)}PI${one.index}|NetworkPolicy/shop/${id.name}`;
      const verdict = { Allow: 'accept', Deny: 'drop', Pass: 'pass' }[one.action];
      return { logged, decision, verdict };
    }
  }
  return { logged, decision: undefined, verdict: undefined };
}

export const indexed = (list: readonly DataplaneRule[]) =>
  list.map((one, index) => ({ ...one, index }));
export const policies = (rule: fc.Arbitrary<DataplaneRule>, most: number) =>
  fc
    .array(fc.array(rule, { maxLength: 3 }), { maxLength: most })
    .map((lists) => lists.map((list, index) => policy(`p${index}`, { ingress: indexed(list) })));

/** What most policies are made of: who may come, to which ports. */
export const usual = fc
  .record({
    action: fc.constantFrom<DataplaneRule['action']>(
      'Allow',
      'Allow',
      'Allow',
      'Deny',
      'Pass',
      'Log',
    ),
    protocol: fc.constantFrom(6, 17, undefined),
    source: sparse<Pick<DataplaneEntity, 'ipSets' | 'notIpSets' | 'nets' | 'notNets'>>({
      ipSets: some('net-a', 'net-b'),
      notIpSets: some('net-a', 'net-b'),
      nets: some(...NETS),
      notNets: some(...NETS),
    }),
    ports: fc.option(ranges),
  })
  .map(({ action, protocol, source, ports }): DataplaneRule => {
    const { ipSets = [], notIpSets = [], nets, notNets = [] } = source;
    return rule(action, {
      ...(protocol !== undefined && { protocol }),
      source: { ipSets, notIpSets, notNets, ...(nets?.length && { nets }) },
      ...(protocol !== undefined && ports?.length && { destination: entity({ ports }) }),
    });
  });
