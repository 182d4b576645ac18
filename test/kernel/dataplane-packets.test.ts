// Packets that are no plain first ones: fragments, extension headers, broken ones, errors, broadcasts.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { DataplaneState } from '#calc/dataplane-update';
import type { Family } from '#lib';
import {
  endpoint,
  podAddress,
  podInterface,
  policy,
  rule,
  stateOf,
  tierOf,
} from './dataplane-router.ts';
import { type Injected, PacketNode } from './packet-node.ts';

const FAMILIES = [4, 6] as const;
const HOST: Readonly<Record<Family, string>> = { 4: '172.30.0.11', 6: 'fd00:30::11' };
const OUTSIDE: Readonly<Record<Family, string>> = { 4: '203.0.113.10', 6: '2001:db8:5::10' };
const ROUTER: Readonly<Record<Family, string>> = { 4: '198.51.100.1', 6: '2001:db8:9::1' };
const [TCP, UDP] = [6, 17];
const ICMP: Readonly<Record<Family, number>> = { 4: 1, 6: 58 };
const UNREACHABLE: Readonly<Record<Family, number>> = { 4: 3, 6: 1 };
const ANY = { ipSets: [], notIpSets: [] };
const port = (number: number) => ({ ...ANY, ports: [[number, number]] as const });

function makeNode(t: TestContext, letsGo?: 'letsGo'): PacketNode {
  const node = new PacketNode([`${HOST[4]}/24`, `${HOST[6]}/64`], letsGo);
  t.after(() => node.close());
  for (const pod of [1, 2]) node.addInterface(podInterface(pod));
  return node;
}

function enforce(node: PacketNode, state: DataplaneState): void {
  assert.deepEqual(node.enforce(state), []);
}

/** From pod 1 to pod 2, TCP to port 80, unless said otherwise. */
function packet(family: Family, more: Partial<Injected> = {}): Injected {
  return {
    from: podInterface(1),
    source: podAddress(1, family),
    destination: podAddress(2, family),
    protocol: TCP,
    sourcePort: 40_000,
    destinationPort: 80,
    ...more,
  };
}

async function passes(node: PacketNode, packets: readonly Injected[]): Promise<boolean[]> {
  return node.passing(packets);
}

test('[DP58] fragments are judged as the packet that they are parts of', async (t) => {
  const node = makeNode(t);
  const web = policy('web', {
    ingress: [
      rule('Allow', { protocol: UDP, destination: port(80) }),
      rule('Allow', { protocol: TCP, destination: port(80) }),
    ],
  });
  enforce(node, stateOf([endpoint(1), endpoint(2, { ingress: [tierOf(web)] })], [web]));
  for (const family of FAMILIES) {
    for (const from of [podInterface(1), 'eth0']) {
      const source = from === 'eth0' ? OUTSIDE[family] : podAddress(1, family);
      const one = (protocol: number, destinationPort: number, fragmentBytes: number) =>
        packet(family, { from, source, protocol, destinationPort, fragmentBytes });
      // Of 8 bytes: the first part has the ports and no more. Over IPv6 it must have the whole header (RFC 8200, 4.5).
      const list = [8, 16, 24].flatMap((bytes) => [
        one(UDP, 80, bytes),
        one(UDP, 81, bytes),
        one(TCP, 80, bytes),
        one(TCP, 81, bytes),
      ]);
      const expected = [8, 16, 24].flatMap((bytes) => [
        true,
        false,
        family === 4 || bytes === 24,
        false,
      ]);
      assert.deepEqual(await passes(node, list), expected, `IPv${family} from ${from}`);
    }
  }
});

test('[DP58] a protocol is found behind extension headers', async (t) => {
  const node = makeNode(t);
  const list = policy('list', {
    ingress: [rule('Deny', { protocol: TCP, destination: port(81) }), rule('Allow', { index: 1 })],
  });
  enforce(node, stateOf([endpoint(1), endpoint(2, { ingress: [tierOf(list)] })], [list]));
  const behind = [[], [60], [0], [0, 60]];
  const packets = behind.flatMap((extensions) => [
    packet(6, { extensions, destinationPort: 80 }),
    packet(6, { extensions, destinationPort: 81 }),
    packet(6, { extensions, destinationPort: 81, fragmentBytes: 8 }),
  ]);
  const expected = behind.flatMap(() => [true, false, false]);
  assert.deepEqual(await passes(node, packets), expected);
});

test('[DP59] a packet that belongs to no connection and begins none is dropped, unless told', async (t) => {
  const node = makeNode(t);
  const state = stateOf([endpoint(1), endpoint(2)]);
  for (const family of FAMILIES) {
    const [RST, SYN_FIN] = [4, 3];
    const reply = family === 4 ? 0 : 129;
    const broken = [
      packet(family, { tcpFlags: RST }),
      packet(family, { tcpFlags: SYN_FIN }),
      packet(family, { protocol: ICMP[family], icmp: { type: reply, code: 0 } }),
    ];
    const toHost = broken.map((one) => ({ ...one, destination: HOST[family] }));
    const fromOutside = broken.map((one) => ({ ...one, from: 'eth0', source: OUTSIDE[family] }));
    const all = [...broken, ...toHost, ...fromOutside];
    enforce(node, state);
    assert.deepEqual(
      await passes(node, all),
      all.map(() => false),
      `IPv${family}`,
    );
    assert.deepEqual(await passes(node, [packet(family)]), [true]);
    enforce(node, { ...state, settings: { ...state.settings, dropInvalid: false } });
    assert.deepEqual(
      await passes(node, all),
      all.map(() => true),
      `IPv${family}, let in`,
    );
  }
});

test('[DP59] an ICMP error about a connection that was allowed comes back, about others not', async (t) => {
  const node = makeNode(t, 'letsGo');
  const out = policy('out', { egress: [rule('Allow')] });
  const guarded = endpoint(1, { ingress: [tierOf(out)], egress: [tierOf(out)] });
  enforce(node, stateOf([guarded, endpoint(2)], [out]));
  for (const family of FAMILIES) {
    const sent = packet(family, {
      protocol: UDP,
      destinationPort: 53,
      destination: OUTSIDE[family],
    });
    assert.deepEqual(await passes(node, [sent]), [true]);
    const error = (about: Injected): Injected => ({
      from: 'eth0',
      source: ROUTER[family],
      destination: podAddress(1, family),
      protocol: ICMP[family],
      icmp: { type: UNREACHABLE[family], code: 0, about },
    });
    const errors = [error(sent), error({ ...sent, destinationPort: 54 })];
    assert.deepEqual(await passes(node, errors), [true, false], `IPv${family}`);
    const answer = packet(family, {
      from: 'eth0',
      source: OUTSIDE[family],
      destination: podAddress(1, family),
      protocol: UDP,
      sourcePort: 53,
      destinationPort: 40_000,
    });
    assert.deepEqual(
      await passes(node, [answer, { ...answer, sourcePort: 54 }]),
      [true, false],
      `IPv${family}: ingress has no rule`,
    );
  }
});

test('[DP60] what a pod sends to all on its link, to find an address too, meets its egress policy', async (t) => {
  const node = makeNode(t);
  const dhcp: Injected = {
    from: podInterface(1),
    source: '0.0.0.0',
    destination: '255.255.255.255',
    protocol: UDP,
    sourcePort: 68,
    destinationPort: 67,
  };
  const toAll = (family: Family) =>
    packet(family, { protocol: UDP, destination: family === 4 ? '224.0.0.1' : 'ff02::1' });
  const list = [dhcp, toAll(4), toAll(6)];
  enforce(node, stateOf([endpoint(1), endpoint(2)]));
  assert.deepEqual(await passes(node, list), [true, true, true]);
  const none = policy('none', { egress: [] });
  enforce(node, stateOf([endpoint(1, { egress: [tierOf(none)] }), endpoint(2)], [none]));
  assert.deepEqual(await passes(node, list), [false, false, false]);
  const some = policy('some', {
    egress: [rule('Allow', { protocol: UDP, destination: port(67) })],
  });
  enforce(node, stateOf([endpoint(1, { egress: [tierOf(some)] }), endpoint(2)], [some]));
  assert.deepEqual(await passes(node, list), [true, false, false]);
  enforce(node, { ...stateOf([endpoint(1), endpoint(2)]), endpointToHostAction: 'Drop' });
  assert.deepEqual(await passes(node, list), [false, false, false]);
});

test('[DP60] neighbour and listener messages reach the host whatever policy says, and no other pod', async (t) => {
  const node = makeNode(t);
  const none = policy('none', { egress: [] });
  const closed = endpoint(1, { egress: [tierOf(none)] });
  const state = {
    ...stateOf([closed, endpoint(2)], [none]),
    endpointToHostAction: 'Drop',
  } as const;
  enforce(node, state);
  const types = [128, 130, 131, 132, 133, 134, 135, 136];
  const ofTypes = (destination: string) =>
    types.map((type) => packet(6, { protocol: 58, destination, icmp: { type, code: 0 } }));
  const toHost = await passes(node, ofTypes(HOST[6]));
  assert.deepEqual(
    types.filter((_, index) => toHost[index]),
    [130, 131, 132, 133, 135, 136],
  );
  assert.deepEqual(
    await passes(node, ofTypes(podAddress(2, 6))),
    types.map(() => false),
  );
});

test('[DP4] a pod that reaches itself by a service meets its own policy, both ways', async (t) => {
  const node = makeNode(t);
  const service: Readonly<Record<Family, string>> = { 4: '10.96.0.1', 6: 'fd96::1' };
  const rules = FAMILIES.map((family) => {
    const [name, way] = family === 4 ? ['ipv4', 'ip'] : ['ipv6', 'ip6'];
    const match = `${way} daddr ${service[family]} tcp dport 80`;
    return `meta nfproto ${name} ${match} dnat ${way} to ${podAddress(1, family)}`;
  });
  const lines = ['type nat hook prerouting priority dstnat', ...rules].join('\n');
  node.run('nft', `table inet services {\nchain c {\n${lines}\n}\n}`);
  const list = FAMILIES.map((family) => packet(family, { destination: service[family] }));
  const judge = async (way: 'ingress' | 'egress', action: 'Allow' | 'Deny') => {
    const one = policy('own', { [way]: [rule(action, { protocol: TCP, destination: port(80) })] });
    enforce(node, stateOf([endpoint(1, { [way]: [tierOf(one)] }), endpoint(2)], [one]));
    return passes(node, list);
  };
  enforce(node, stateOf([endpoint(1), endpoint(2)]));
  assert.deepEqual(await passes(node, list), [true, true]);
  assert.deepEqual(await judge('ingress', 'Deny'), [false, false]);
  assert.deepEqual(await judge('egress', 'Deny'), [false, false]);
  assert.deepEqual(await judge('ingress', 'Allow'), [true, true]);
  assert.deepEqual(await judge('egress', 'Allow'), [true, true], 'of the port behind the service');
});
