// Felix's own packets, byte by byte through the kernel: 99 rule sets, and what becomes of each packet.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { corpusMissing, readCorpus } from '../corpora/corpora.ts';
import type { FelixPacket, PacketCase } from '../corpora/felix-packets.ts';
import { felixState, UPLINK, type Way, WORKLOAD, wayOf } from './felix-states.ts';
import { type Injected, PacketNode } from './packet-node.ts';

type Verdict = 'allowed' | 'dropped' | 'unmatched';

interface Judged {
  readonly wanted: Verdict;
  readonly packet: FelixPacket;
}

void test('felix-policy-packets: the kernel', {
  skip: corpusMissing('felix-policy-packets'),
}, async (t) => {
  const node = new PacketNode(['192.0.2.1/24', '2001:db8::1/64']);
  t.after(() => node.close());
  node.addInterface(WORKLOAD);
  const wrong: string[] = [];
  let right = 0;
  let left = 0;
  for (const one of readCorpus<PacketCase>('felix-policy-packets/cases.json').map(unicast)) {
    for (const group of groupsOf(one)) {
      const wired = group.filter(({ packet }) => isOfFamily(one, packet));
      left += group.length - wired.length;
      for (const line of await run(node, one, wired)) {
        if (line === '') right++;
        else wrong.push(line);
      }
    }
  }
  process.stdout.write(
    `# felix-policy-packets: ${right} of ${right + wrong.length}, ${left} left out\n`,
  );
  assert.deepEqual(wrong.slice(0, 20), []);
  assert.equal(right, 591);
  assert.equal(left, 4, 'packets of IPv6 in cases of IPv4, which no wire has');
});

/** No host takes a packet from a multicast or loopback address: those become others, rules and packets alike. */
function unicast(one: PacketCase): PacketCase {
  const text = JSON.stringify(one)
    .replaceAll(/\bff(?=[0-9a-f]{2}:)/g, 'fd')
    .replaceAll(/"::1(?=["/,])/g, '"::a1');
  return JSON.parse(text) as PacketCase;
}

function isOfFamily({ ipv6 }: PacketCase, { src }: FelixPacket): boolean {
  return src.includes(':') === ipv6;
}

/** Packets for the host apart from those through it: the same address may be the host's in one of them alone. */
function groupsOf(one: PacketCase): Judged[][] {
  const all = (['allowed', 'dropped', 'unmatched'] as const).flatMap((wanted) =>
    (one[wanted] ?? []).map((packet): Judged => ({ wanted, packet })),
  );
  return [...Map.groupBy(all, ({ packet }) => `${isLocal(one, packet)}`).values()];
}

/** A host endpoint judges what is for the host as what is from it. */
function isLocal({ policy }: PacketCase, { fromHost, toHost }: FelixPacket): boolean {
  return policy.ForXDP === true || fromHost === true || toHost === true;
}

/** An empty line for each packet of which the kernel says what Felix does, else the difference. */
async function run(node: PacketNode, one: PacketCase, group: readonly Judged[]): Promise<string[]> {
  const [first] = group;
  if (!first) return [];
  const way = wayOf(one);
  prepare(node, way, group, isLocal(one, first.packet));
  const packets = group.map(({ packet }) => injected(way, packet));
  const states = (['is dropped', 'passes'] as const).map((unmatched) => felixState(one, unmatched));
  const passed: boolean[][] = [];
  for (const state of one.policy.ForXDP ? states : states.slice(0, 1)) {
    assert.deepEqual(node.enforce(state), []);
    passed.push(await node.passing(packets));
  }
  const [closed = [], open = closed] = passed;
  return group.map(({ wanted, packet }, index) => {
    const got = verdict(closed[index] ?? false, open[index] ?? false);
    return got === wanted ? '' : `${one.id}: ${JSON.stringify(packet)}: ${got}, not ${wanted}`;
  });
}

function verdict(closed: boolean, open: boolean): Verdict {
  if (closed) return 'allowed';
  return open ? 'unmatched' : 'dropped';
}

/** The destinations are where the way leads, and what was translated is. */
function prepare(node: PacketNode, way: Way, group: readonly Judged[], local: boolean): void {
  const family = group[0]?.packet.src.includes(':') ? '-6' : '-4';
  const onward = way === 'from workload' ? UPLINK : WORKLOAD;
  const back = way === 'from workload' ? WORKLOAD : UPLINK;
  const script = [
    `route flush table main proto 4`,
    `route replace default dev ${back} proto 4`,
    `address flush dev lo`,
  ];
  const targets = new Set(group.map(({ packet }) => packet.dst));
  const bits = family === '-4' ? 32 : 128;
  for (const target of targets) {
    if (local) script.push(`address add ${target}/${bits} dev lo`);
    else script.push(`route replace ${target} dev ${onward} proto 4`);
  }
  node.run(`ip ${family} -force -batch -`, script.join('\n'));
  const rules = group.flatMap(({ packet }, index) => translation(packet, index));
  const lines = ['type nat hook prerouting priority dstnat', ...rules].join('\n');
  node.run(
    'nft',
    `table inet foreign\ndelete table inet foreign\ntable inet foreign {\nchain c {\n${lines}\n}\n}`,
  );
}

/** Only of this packet, which its number tells: another may be for the same address and mean it. */
function translation(packet: FelixPacket, index: number): string[] {
  const { dst, dstPort, preDNATDst, preDNATDstPort } = packet;
  if (preDNATDst === undefined && preDNATDstPort === undefined) return [];
  return [`ip id ${index + 1} meta l4proto udp dnat ip to ${dst}:${dstPort}`];
}

function injected(way: Way, packet: FelixPacket): Injected {
  const { protocol, src, dst, srcPort, dstPort, preDNATDst, preDNATDstPort } = packet;
  const isIcmp = protocol === 1 || protocol === 58;
  return {
    from: way === 'from workload' ? WORKLOAD : UPLINK,
    source: src,
    destination: preDNATDst ?? dst,
    protocol,
    sourcePort: srcPort,
    destinationPort: preDNATDstPort ?? dstPort,
    ...(isIcmp && { icmp: { type: packet.icmpType ?? 0, code: packet.icmpCode ?? 0 } }),
  };
}
