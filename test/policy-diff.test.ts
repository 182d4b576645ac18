// The difference of two worlds against the evaluator: every sampled packet that changes verdict is in it, no other is.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Resource } from '#api';
import { type Address, type Family, familyBits, formatAddress } from '#lib';
import { jsonEqual, maskPrefix, parseAddress, parsePrefix } from '#lib';
import {
  buildWorld,
  diffResources,
  evaluate,
  type FlowGroup,
  type FlowParties,
  type FlowTraffic,
  type Half,
  type Packet,
  type Party,
  type PolicyDiff,
  type World,
} from '#policy';
import { world } from './worlds.ts';
import { extras } from './policy-diff-extras.ts';

const SEED = Number(process.env['SEED'] ?? Math.trunc(Math.random() * 2 ** 31));
const RUNS = Number(process.env['RUNS'] ?? 60);
const PACKETS = 400;
process.stdout.write(`# seed ${SEED}\n`);

type Pair = readonly [before: readonly Resource[], after: readonly Resource[]];

/** Two worlds that share most: of each resource one version, the other, or none. */
const edited: fc.Arbitrary<Pair> = fc
  .tuple(world, world, extras, extras, fc.array(fc.nat(9), { minLength: 60, maxLength: 60 }))
  .map(([one, two, more, others, choices]) => {
    const old = [...one.resources, ...more];
    const byKey = new Map([...two.resources, ...others].map((it) => [keyOf(it), it]));
    let next = 0;
    const choose = () => choices[next++ % choices.length] ?? 0;
    const kept = old.flatMap((it) => {
      const choice = choose();
      if (choice === 0 && it.kind !== 'Node') return [];
      return choice === 1 ? [byKey.get(keyOf(it)) ?? it] : [it];
    });
    const known = new Set(old.map(keyOf));
    const added = [...byKey.values()].filter((it) => !known.has(keyOf(it)) && choose() === 0);
    return [old, [...kept, ...added]];
  });

const unrelated: fc.Arbitrary<Pair> = fc
  .tuple(world, world, extras, extras)
  .map(([one, two, more, others]) => [
    [...one.resources, ...more],
    [...two.resources, ...others],
  ]);

function keyOf({ apiVersion, kind, metadata }: Resource): string {
  return `${apiVersion} ${kind} ${metadata.namespace ?? ''} ${metadata.name}`;
}

const PORTS = [
  0, 1, 22, 53, 79, 80, 81, 179, 4788, 4789, 4790, 5352, 5353, 5354, 7999, 8000, 8079, 8080, 8081,
  9000, 9001, 9089, 9090, 9091, 30000, 65534, 65535,
];
const SOURCE_PORTS = [0, 999, 1000, 1001, 2000, 2001, 49151, 49152, 49153, 65535];
const PROTOCOLS = [0, 1, 4, 6, 6, 6, 6, 17, 17, 17, 47, 58, 132, 136, 253, 255];
const ICMP_TYPES = [0, 3, 7, 8, 9, 128, 129, 130, 133, 135, 136, 255];
const ICMP_CODES = [0, 1, 2, 255];

/** The first and last address of every network that is written anywhere, and their neighbours. */
function edges(resources: readonly Resource[]): Address[] {
  const texts = JSON.stringify(resources).match(/"[0-9a-f:.]+(\/\d+)?"/g) ?? [];
  const prefixes = [...texts.map((it) => it.slice(1, -1)), '0.0.0.0/0', '::/0', 'fe80::/10'];
  return [...new Set(prefixes)].flatMap((text) => {
    const prefix = parsePrefix(text);
    if (!prefix) return [];
    const { family, bits, length } = maskPrefix(prefix);
    const size = 1n << BigInt(familyBits(family) - length);
    const end = 1n << BigInt(familyBits(family));
    return [bits - 1n, bits, bits + size - 1n, bits + size]
      .filter((it) => it >= 0n && it < end)
      .map((it) => ({ family, bits: it }));
  });
}

/** A party as the evaluator takes it and as a group names it. */
interface Known {
  readonly party: Party;
  readonly family: Family;
  readonly isIn: (side: FlowParties) => boolean;
  readonly place: string;
}

/** Every party that is the same one in both worlds. */
function parties([before, after]: readonly [World, World], addresses: readonly Address[]): Known[] {
  const pods = [...before.workloads.keys()].filter((name) => after.workloads.has(name));
  const nodes = [...before.hosts.keys()].filter((name) => after.hosts.has(name));
  const families = [4, 6] as const;
  const first = (list: readonly Address[] | undefined, family: Family) =>
    list?.find((it) => it.family === family);
  const byName = families.flatMap((family) => [
    ...pods.map((place): Known => {
      const [namespace = '', name = ''] = place.split('/');
      const party: Party = { type: 'workload', namespace, name };
      return { party, family, place, isIn: (side) => side.pods.includes(place) };
    }),
    ...nodes.map((name): Known => {
      const party: Party = { type: 'node', name };
      return { party, family, place: `node:${name}`, isIn: (side) => side.nodes.includes(name) };
    }),
  ]);
  const byAddress = addresses.flatMap((address): Known[] => {
    const text = formatAddress(address);
    const { family } = address;
    const party: Party = { type: 'address', address: text };
    const [old, now] = [before.ownerOf(address), after.ownerOf(address)];
    if (!old && !now) {
      return [{ party, family, place: text, isIn: (side) => side.outside.some(has(address)) }];
    }
    if (!old || !now || old.name !== now.name || 'pod' in old !== 'pod' in now) return [];
    const place = 'pod' in old ? old.name : `node:${old.name}`;
    const primary = [old, now].every((it) => first(it.addresses, family)?.bits === address.bits);
    const isIn = (side: FlowParties) =>
      primary
        ? side.nodes.includes(old.name) || side.pods.includes(old.name)
        : side.byAddress.includes(`${place} (${text})`);
    return [{ party, family, place, isIn }];
  });
  return [...byName, ...byAddress];
}

function has(address: Address): (text: string) => boolean {
  return (text) => {
    const [from = '', to] = text.split('-');
    if (to === undefined) {
      const prefix = parsePrefix(from);
      if (!prefix || prefix.family !== address.family) return false;
      const width = BigInt(familyBits(prefix.family) - prefix.length);
      return prefix.bits >> width === address.bits >> width;
    }
    const [first, last] = [parseAddress(from), parseAddress(to)];
    if (!first || !last || first.family !== address.family) return false;
    return first.bits <= address.bits && address.bits <= last.bits;
  };
}

/** Deterministic choices, so that a failing world can be shrunk. */
class Chooser {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  from<T>(list: readonly T[]): T {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    const item = list[Math.floor((this.#state / 2 ** 32) * list.length)];
    if (item === undefined) throw new Error('nothing to choose from');
    return item;
  }
}

const WITH_PORTS = [6, 17, 132, 136];

function choosePacket(chooser: Chooser, from: Known, to: Known): Packet {
  const protocol = chooser.from(PROTOCOLS);
  const packet = { from: from.party, to: to.party, family: from.family, protocol };
  if (protocol === 1 || protocol === 58) {
    const [icmpType, icmpCode] = [chooser.from(ICMP_TYPES), chooser.from(ICMP_CODES)];
    return { ...packet, icmpType, icmpCode };
  }
  if (!WITH_PORTS.includes(protocol)) return packet;
  return { ...packet, sourcePort: chooser.from(SOURCE_PORTS), port: chooser.from(PORTS) };
}

function inTraffic(traffic: FlowTraffic, packet: Packet): boolean {
  const { protocols, ports, sourcePorts, icmp } = traffic;
  const within = (ranges: readonly (readonly [number, number])[], value: number | undefined) =>
    value !== undefined && ranges.some(([first, last]) => first <= value && value <= last);
  if (!within(protocols, packet.protocol)) return false;
  if (ports && !within(ports, packet.port)) return false;
  if (sourcePorts && !within(sourcePorts, packet.sourcePort)) return false;
  return (
    !icmp ||
    icmp.some(
      ({ types, codes }) => within([types], packet.icmpType) && within([codes], packet.icmpCode),
    )
  );
}

function nodeOf(world: World, place: string): string | undefined {
  if (place.startsWith('node:')) return place.slice('node:'.length);
  return world.workloads.get(place)?.node;
}

function isOnOneNode(built: World, from: string, to: string): boolean {
  const node = nodeOf(built, from);
  return node !== undefined && node === nodeOf(built, to);
}

interface Question {
  readonly from: Known;
  readonly to: Known;
  readonly packet: Packet;
}

function groupsWith(
  groups: readonly FlowGroup[],
  { from, to, packet }: Question,
  [before, after]: readonly [World, World],
): FlowGroup[] {
  if (from.place === to.place) return [];
  return groups.filter(({ from: who, to: whom, families, traffic, sameNode }) => {
    if (!families.includes(from.family) || !from.isIn(who) || !to.isIn(whom)) return false;
    if (sameNode && sameNode.before !== isOnOneNode(before, from.place, to.place)) return false;
    if (sameNode && sameNode.after !== isOnOneNode(after, from.place, to.place)) return false;
    const count = traffic.filter((it) => inTraffic(it, packet)).length;
    assert.ok(count <= 1, 'parts of a group overlap');
    return count === 1;
  });
}

const seen = { packets: 0, changed: 0, groups: 0, empty: 0 };

function checkPacket(diff: PolicyDiff, question: Question, worlds: readonly [World, World]): void {
  const before = evaluate(worlds[0], question.packet);
  const after = evaluate(worlds[1], question.packet);
  const shown = () => JSON.stringify({ packet: question.packet, before, after }, null, 1);
  const opened = groupsWith(diff.opened, question, worlds);
  const closed = groupsWith(diff.closed, question, worlds);
  const opens = before.verdict === 'deny' && after.verdict === 'allow';
  const closes = before.verdict === 'allow' && after.verdict === 'deny';
  assert.equal(opened.length, opens ? 1 : 0, `opened ${shown()}`);
  assert.equal(closed.length, closes ? 1 : 0, `closed ${shown()}`);
  seen.packets++;
  const [group] = [...opened, ...closed];
  if (!group) return;
  seen.changed++;
  for (const direction of ['egress', 'ingress'] as const) {
    checkDecider(before[direction], group.before[direction], shown);
    checkDecider(after[direction], group.after[direction], shown);
  }
}

function checkDecider(
  { doubt: _, ...half }: Half,
  told: readonly Half[],
  shown: () => string,
): void {
  assert.ok(
    told.some((it) => jsonEqual(it, half)),
    `decider ${shown()}`,
  );
  if (told.length > 1) assert.equal(half.verdict, 'allow');
}

/** The places of one side; an outside range counts where it has an address that nobody has. */
function placesOf(side: FlowParties, worlds: readonly [World, World]): string[] {
  const free = side.outside.filter((text) => {
    const prefix = parsePrefix(text);
    if (!prefix || familyBits(prefix.family) > prefix.length) return true;
    return worlds.every((it) => it.ownerOf(prefix) === undefined);
  });
  return [
    ...side.pods,
    ...side.nodes.map((name) => `node:${name}`),
    ...side.byAddress.map((text) => text.replace(/ \(.*\)$/, '')),
    ...free,
  ];
}

/** No group is without flows. */
function checkGroup(group: FlowGroup, worlds: readonly [World, World]): void {
  const { sameNode, traffic } = group;
  const [before, after] = worlds;
  const sources = placesOf(group.from, worlds);
  const destinations = placesOf(group.to, worlds);
  const isMeant = (from: string, to: string) =>
    from !== to &&
    (!sameNode ||
      (isOnOneNode(before, from, to) === sameNode.before &&
        isOnOneNode(after, from, to) === sameNode.after));
  const meant = sources.some((from) => destinations.some((to) => isMeant(from, to)));
  assert.ok(meant && traffic.length > 0, `no flow is in ${JSON.stringify(group)}`);
}

function checkPair([before, after]: Pair, seed: number): void {
  const diff = diffResources(before, after);
  const worlds = [buildWorld(before), buildWorld(after)] as const;
  for (const group of [...diff.opened, ...diff.closed]) checkGroup(group, worlds);
  seen.groups += diff.opened.length + diff.closed.length;
  if (diff.opened.length + diff.closed.length === 0) seen.empty++;
  const known = parties(worlds, edges([...before, ...after])).filter(({ party, family }) =>
    worlds.every((it) => hasFamily(it, party, family)),
  );
  const chooser = new Chooser(seed);
  const inside = known.filter(({ party }) => party.type !== 'address');
  for (let count = 0; count < PACKETS; count++) {
    const from = chooser.from(chooser.from([true, false, false]) ? known : inside);
    const to = chooser.from(chooser.from([true, false, false]) ? known : inside);
    if (from.family !== to.family) continue;
    checkPacket(diff, { from, to, packet: choosePacket(chooser, from, to) }, worlds);
  }
}

function hasFamily(built: World, party: Party, family: Family): boolean {
  if (party.type === 'address') return true;
  const owner =
    party.type === 'node'
      ? built.hosts.get(party.name)
      : built.workloads.get(`${party.namespace}/${party.name}`);
  return owner?.addresses.some((it) => it.family === family) ?? false;
}

for (const [name, pairs] of [
  ['an edit of a world', edited],
  ['any two worlds', unrelated],
] as const) {
  test(`exactly the sampled packets that change verdict are in the difference: ${name}`, () => {
    fc.assert(
      fc.property(pairs, fc.nat(), (pair, seed) => checkPair(pair, seed)),
      { seed: SEED, numRuns: RUNS },
    );
    process.stdout.write(`# ${JSON.stringify(seen)}\n`);
    assert.ok(seen.changed > 0);
  });
}

test('a world is not different from itself, nor from its resources in another order', () => {
  fc.assert(
    fc.property(world, extras, ({ resources }, more) => {
      const all = [...resources, ...more];
      const { opened, closed } = diffResources(all, structuredClone(all).reverse());
      assert.deepEqual([...opened, ...closed], []);
    }),
    { seed: SEED, numRuns: RUNS },
  );
});

test('the way back closes what the way there opens', () => {
  fc.assert(
    fc.property(edited, ([before, after]) => {
      const there = diffResources(before, after);
      const back = diffResources(after, before);
      const text = ({ from, to, families, traffic, sameNode }: FlowGroup, back: boolean) => {
        const { before = null, after = null } = sameNode ?? {};
        const nodes = back ? [after, before] : [before, after];
        return JSON.stringify([from, to, families, traffic, nodes]);
      };
      const texts = (groups: readonly FlowGroup[], back: boolean) =>
        groups.map((group) => text(group, back)).sort();
      assert.deepEqual(texts(there.opened, false), texts(back.closed, true));
      assert.deepEqual(texts(there.closed, false), texts(back.opened, true));
    }),
    { seed: SEED, numRuns: RUNS },
  );
});
