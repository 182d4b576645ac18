// Packet by packet: one node's kernel against the reference, with host endpoints of every stage, untracked too.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { kindOf, type Pod, podToWorkloadEndpoint, type Resource } from '#api';
import { CalcGraph } from '#calc';
import { policyKey } from '#calc/dataplane-update';
import type { RuleHit } from '#dataplane';
import type { SyncerUpdate } from '#datastore/syncer';
import type { Family } from '#lib';
import { buildWorld, evaluate, type Explanation, type Outcome, type Party } from '#policy';
import { hostWorld, UNPLACED } from '../world-hosts.ts';
import {
  BEYOND,
  crowdedWorld,
  NODE_ADDRESS,
  NODES,
  OUTSIDE,
  podAddress,
  POD_COUNT,
} from '../worlds.ts';
import { podsOf, SECOND_ADDRESS } from '../worlds.ts';
import { type Fate, type Injected, PacketNode } from './packet-node.ts';

const SEED = Number(process.env['SEED'] ?? Math.trunc(Math.random() * 2 ** 31));
const WORLDS = Number(process.env['PACKET_WORLDS'] ?? 30);
const CROWDED = Number(process.env['CROWDED_WORLDS'] ?? 4);
const NODE = 'node-1';
const FAMILIES = [4, 6] as const;

interface Kind {
  readonly protocol: Readonly<Record<Family, number>>;
  readonly port?: number;
  /** Absent is `SOURCE_PORT`. */
  readonly sourcePort?: number;
  readonly icmpType?: Readonly<Record<Family, number>>;
}

const same = (protocol: number) => ({ 4: protocol, 6: protocol });
const KINDS: readonly Kind[] = [
  { protocol: same(6), port: 8080 },
  { protocol: same(6), port: 9090 },
  { protocol: same(17), port: 5353 },
  { protocol: same(17), port: 8080 },
  { protocol: same(17), port: 4789 },
  { protocol: same(17), port: 8472 },
  { protocol: same(6), port: 41_000, sourcePort: 8080 },
  { protocol: same(17), port: 41_000, sourcePort: 5353 },
  { protocol: same(132), port: 9090 },
  { protocol: same(136), port: 9090 },
  { protocol: same(4) },
  { protocol: same(50) },
  { protocol: { 4: 1, 6: 58 }, icmpType: { 4: 8, 6: 128 } },
  { protocol: { 4: 1, 6: 58 }, icmpType: { 4: 13, 6: 135 } },
];
const SOURCE_PORT = 40_000;
const SOURCE_PORTS = [[SOURCE_PORT], [8080], undefined, undefined];

interface End {
  readonly name: string;
  readonly party: (family: Family) => Party;
  readonly address: Readonly<Record<Family, string>>;
  /** Where what it sends enters the node: `eth0` or `eth1` for those elsewhere, null for the node itself. */
  readonly from: string | null;
  readonly isHere: boolean;
}

let node: PacketNode;
/** Packets that the reference allows: neither none nor all of them. */
let passing = 0;
/** Rules and defaults that the kernel said had decided. */
let decisions = 0;
before(() => {
  node = new PacketNode([`${NODE_ADDRESS[NODE][4]}/24`, `${NODE_ADDRESS[NODE][6]}/64`]);
  node.addWay(
    'eth1',
    [`${SECOND_ADDRESS[4]}/24`, `${SECOND_ADDRESS[6]}/64`],
    [`${BEYOND[4]}/32`, `${BEYOND[6]}/128`],
  );
  for (let index = 0; index < POD_COUNT; index += 2) {
    for (const namespace of ['red', 'blue']) node.addInterface(interfaceOf(namespace, index));
  }
});
after(() => node.close());

test('[DP12] [DP20] in random worlds packets pass where the reference lets them, by the same rules', async () => {
  process.stdout.write(`# seed ${SEED}, worlds ${WORLDS}\n`);
  let packets = 0;
  passing = 0;
  decisions = 0;
  const stages = ['normal', 'forward', 'preDNAT', 'doNotTrack', 'doNotTrack'] as const;
  await fc.assert(
    fc.asyncProperty(hostWorld(stages, SOURCE_PORTS), async ({ resources }) => {
      packets += await compare(resources);
    }),
    {
      seed: SEED,
      numRuns: WORLDS,
      endOnFailure: process.env['SHRINK'] === undefined,
      interruptAfterTimeLimit: 10 * 60_000,
      markInterruptAsFailure: false,
    },
  );
  process.stdout.write(
    `# ${packets} of ${packets} packets agree, ${passing} pass, ${decisions} decisions, seed ${SEED}\n`,
  );
  assert.ok(passing > packets / 10 && passing < (packets * 9) / 10);
});

test('[DP12] [DP40] [DP42] in crowded worlds too', async () => {
  process.stdout.write(`# seed ${SEED}, crowded worlds ${CROWDED}\n`);
  let packets = 0;
  passing = 0;
  decisions = 0;
  const stages = ['normal', 'forward', 'preDNAT', 'doNotTrack'] as const;
  await fc.assert(
    fc.asyncProperty(hostWorld(stages, SOURCE_PORTS, crowdedWorld), async ({ resources }) => {
      packets += await compare(resources);
    }),
    { seed: SEED, numRuns: CROWDED, endOnFailure: process.env['SHRINK'] === undefined },
  );
  process.stdout.write(
    `# crowded: ${packets} of ${packets} agree, ${passing} pass, ${decisions} decisions, seed ${SEED}\n`,
  );
  assert.ok(passing > 0);
});

async function compare(resources: readonly Resource[]): Promise<number> {
  const calc = new CalcGraph(NODE);
  calc.onUpdates(resources.map(updateOf));
  const errors = node.enforce(calc.state());
  assert.deepEqual(
    errors.filter((text) => !UNPLACED.test(text)),
    [],
  );
  const reference = buildWorld(resources);
  const cases = casesOf(resources);
  const before = tallies();
  const fates = await node.fates(cases.map(({ packet }) => packet));
  assertCounted(before);
  for (const [index, { from, to, kind, family, packet }] of cases.entries()) {
    const icmpType = kind.icmpType?.[family];
    const explanation = evaluate(reference, {
      from: from.party(family),
      to: to.party(family),
      protocol: packet.protocol,
      family,
      ...(kind.port !== undefined && {
        port: kind.port,
        sourcePort: kind.sourcePort ?? SOURCE_PORT,
      }),
      ...(icmpType !== undefined && { icmpType, icmpCode: 0 }),
      ...(isTransit(from, to) && {
        through: { node: NODE, in: from.from ?? '', out: to.from ?? '' },
      }),
    });
    const expected = passesHere(explanation, from, to);
    if (expected) passing++;
    const decided = decidedBy(explanation, from, to);
    decisions += decided.filter((text) => !text.endsWith('profile')).length;
    const isSame = ({ passed, prefixes }: Fate) =>
      passed === expected && isDeepStrictEqual(loggedBy(prefixes), decided);
    if (fates[index] && isSame(fates[index])) continue;
    // Alone, in case that it was late on a busy machine.
    const [fate = { passed: false, prefixes: [] }] = await node.fates([packet]);
    if (isSame(fate)) continue;
    const { passed } = fate;
    const logged = loggedBy(fate.prefixes);
    const related = resources.filter((one) =>
      /Policy|Tier|Set$|^Pod$|HostEndpoint|FelixConfiguration/.test(one.kind),
    );
    const text = [...related, packet, explanation].map((one) => JSON.stringify(one)).join('\n');
    const ruleset = process.env['RULESET'] ? node.run('nft list ruleset', '') : '';
    const what = `${logged.join(', ') || 'nobody'} decided, expected ${decided.join(', ')}`;
    assert.fail(`it ${passed ? 'passes' : 'does not pass'}:\n${text}\n${what}\n${ruleset}`);
  }
  return cases.length;
}

/** Which interface is asked of what enters or leaves by `eth1` for the node's own depends on more than the ends. */
function isJudgedHere(from: End, to: End): boolean {
  return (from.isHere || to.isHere) && from.from !== 'eth1' && to.from !== 'eth1';
}

/** What this node has a say in: what its own ends send and receive. */
function passesHere({ egress, ingress }: Explanation, from: End, to: End): boolean {
  const isThrough = isTransit(from, to);
  return (
    (!(from.isHere || isThrough) || egress.verdict === 'allow') &&
    (!(to.isHere || isThrough) || ingress.verdict === 'allow')
  );
}

/** Packets by decision: counted, and told of. */
function tallies() {
  const counted = new Map<string, number>();
  for (const one of node.dataplane.readRuleCounters()) counted.set(hitText(one), one.packets);
  const heard = new Map<string, number>();
  for (const [prefix, count] of node.heard()) {
    const hit = node.dataplane.hitOf(prefix) ?? node.dataplane.stagedHitOf(prefix);
    if (hit) heard.set(hitText(hit), count);
  }
  return { counted, heard };
}

/** What was logged since was counted, each decision as often. A packet may come between two looks. */
function assertCounted(before: ReturnType<typeof tallies>): void {
  const since = (now: ReadonlyMap<string, number>, then: ReadonlyMap<string, number>) =>
    [...now].flatMap(([text, count]) => {
      const more = count - (then.get(text) ?? 0);
      return more > 0 ? [`${text}: ${more}`] : [];
    });
  for (let look = 0; ; look++) {
    const { counted, heard } = tallies();
    const lists = [since(counted, before.counted), since(heard, before.heard)].map((list) =>
      list.toSorted(),
    );
    if (isDeepStrictEqual(lists[0], lists[1])) return;
    if (look === 3) assert.deepEqual(lists[0], lists[1]);
  }
}

function hitText({ direction, action, tier, policy, rule, staged }: RuleHit): string {
  const who = policy ? policyKey(policy) : 'end';
  return `${direction} ${action} ${tier} ${who} ${rule}${staged ? ' staged' : ''}`;
}

/** By whose rules and defaults the kernel says that it decided, sorted. Staged rules decide nothing. */
function loggedBy(prefixes: readonly string[]): string[] {
  return prefixes
    .flatMap((prefix) => {
      const hit = node.dataplane.hitOf(prefix);
      if (!hit || isPassingEnd(hit)) return [];
      const { action, tier, policy, rule } = hit;
      if (tier === null) return [`${action} by profile`];
      return [`${action} ${tier} ${policy ? policyKey(policy) : 'end'} ${rule}`];
    })
    .toSorted();
}

/** The end of a tier that passes is logged; so is that of one in which only staged policies apply. */
function isPassingEnd({ action, policy }: RuleHit): boolean {
  return action === 'Pass' && policy === null;
}

const ACTION: Partial<Record<Outcome, RuleHit['action']>> = {
  allow: 'Allow',
  deny: 'Deny',
  pass: 'Pass',
  'default-deny': 'Deny',
};

/** What the reference says of the same: its steps here, up to the first that denies. */
function decidedBy({ steps }: Explanation, from: End, to: End): string[] {
  const halves = isTransit(from, to)
    ? (['ingress', 'egress'] as const)
    : [from.isHere && ('egress' as const), to.isHere && ('ingress' as const)];
  const list = halves.flatMap((half) => steps.filter(({ direction }) => direction === half));
  const end = list.findIndex(({ outcome }) => outcome.endsWith('deny'));
  return list
    .slice(0, end < 0 ? list.length : end + 1)
    .flatMap(({ outcome, tier, policy, rule, reason }) => {
      const action = ACTION[outcome];
      if (!action) return [];
      if (tier === null) return reason.includes('profile') ? [`${action} by profile`] : [];
      return [`${action} ${tier} ${policy ? policyKey(policy) : 'end'} ${rule}`];
    })
    .toSorted();
}

/** Between the machine behind `eth1` and what is elsewhere behind `eth0`. */
function isTransit(from: End, to: End): boolean {
  return !from.isHere && !to.isHere && from.from !== to.from;
}

interface Case {
  readonly from: End;
  readonly to: End;
  readonly family: Family;
  readonly kind: Kind;
  readonly packet: Injected;
}

function casesOf(resources: readonly Resource[]): Case[] {
  const ends = endsOf(resources);
  return ends.flatMap((from) =>
    ends
      .filter((to) => from !== to && (isTransit(from, to) || isJudgedHere(from, to)))
      .flatMap((to) =>
        FAMILIES.flatMap((family) =>
          KINDS.map((kind): Case => {
            const icmpType = kind.icmpType?.[family];
            const packet: Injected = {
              from: from.from,
              source: from.address[family],
              destination: to.address[family],
              protocol: kind.protocol[family],
              sourcePort: kind.sourcePort ?? SOURCE_PORT,
              destinationPort: kind.port,
              ...(icmpType !== undefined && { icmp: { type: icmpType, code: 0 } }),
            };
            return { from, to, family, kind, packet };
          }),
        ),
      ),
  );
}

function endsOf(resources: readonly Resource[]): End[] {
  const pods = podsOf(resources);
  const workloads = pods.map(({ metadata: { name, namespace = '' } }, index): End => {
    const isHere = NODES[index % 2] === NODE;
    return {
      name,
      party: () => ({ type: 'workload', namespace, name }),
      address: { 4: podAddress(index, 4), 6: podAddress(index, 6) },
      from: isHere ? interfaceOf(namespace, index) : 'eth0',
      isHere,
    };
  });
  const hosts = NODES.map(
    (name): End => ({
      name,
      party: () => ({ type: 'node', name }),
      address: NODE_ADDRESS[name],
      from: name === NODE ? null : 'eth0',
      isHere: name === NODE,
    }),
  );
  const outside: End = {
    name: 'outside',
    party: (family) => ({ type: 'address', address: OUTSIDE[family] }),
    address: OUTSIDE,
    from: 'eth0',
    isHere: false,
  };
  const beyond: End = {
    name: 'beyond',
    party: (family) => ({ type: 'address', address: BEYOND[family] }),
    address: BEYOND,
    from: 'eth1',
    isHere: false,
  };
  return [...workloads, ...hosts, outside, beyond];
}

function interfaceOf(namespace: string, index: number): string {
  const pod: Pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: `p${index}`, namespace },
    spec: { nodeName: NODE, containers: [{ name: 'main' }] },
    status: { podIPs: [{ ip: podAddress(index, 4) }] },
  };
  const name = podToWorkloadEndpoint(pod)?.spec.interfaceName;
  assert.ok(name);
  return name;
}

function updateOf(resource: Resource): SyncerUpdate {
  const kind = kindOf(resource.apiVersion, resource.kind);
  assert.ok(kind, `${resource.apiVersion} ${resource.kind}`);
  const { namespace = '', name } = resource.metadata;
  return { kind, key: `${kind.group}/${kind.kind} ${namespace}/${name}`, resource };
}
