// Established connections on the kernel's short way, on a kernel that has one: run by guest.test.ts, in a guest.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DataplanePolicy, DataplaneState, LocalEndpoint } from '#calc/dataplane-update';
import { BARE_STATE } from '#calc/dataplane-update';
import {
  attachPod,
  endpoint,
  podAddress,
  podInterface,
  policy,
  rule,
  stateOf,
  tierOf,
} from '../../kernel/dataplane-router.ts';
import { PORT } from './peer.ts';
import { makeNode, type Node } from './pods.ts';

const TIMEOUT_MS = 20_000;
const TABLE = 'inet tortie-offload';

function offloading(
  endpoints: readonly LocalEndpoint[],
  policies: readonly DataplanePolicy[] = [],
): DataplaneState {
  const flowOffload = { hostInterfacePattern: '' };
  const settings = { ...BARE_STATE.settings, flowOffload };
  return stateOf(endpoints, policies, { settings });
}

/** The connections to the pods' port that the router knows, as `conntrack` shows them. */
function connections({ machine }: Node, family: 4 | 6, protocol: 'tcp' | 'udp'): string[] {
  const argv = ['-L', '-f', family === 4 ? 'ipv4' : 'ipv6', '-p', protocol, '-o', 'extended'];
  const text = machine.run('conntrack', ...argv);
  return text.split('\n').filter((line) => line.includes(`dport=${PORT}`));
}

/** Waits for a state that the kernel comes to by itself. */
async function until(what: string, holds: () => boolean): Promise<void> {
  for (const end = Date.now() + TIMEOUT_MS; !holds(); await sleep(100)) {
    assert.ok(Date.now() < end, `${what} within ${TIMEOUT_MS} ms`);
  }
}

/** Packets and bytes of both ways. */
function countsOf(line: string): { packets: number[]; bytes: number[] } {
  const all = (name: string) =>
    [...line.matchAll(new RegExp(`${name}=(\\d+)`, 'g'))].map(([, number]) => Number(number));
  return { packets: all('packets'), bytes: all('bytes') };
}

const HEADERS = { 4: 28, 6: 48 } as const;

const CASES: readonly (readonly [name: string, run: (node: Node) => Promise<void>])[] = [
  [
    '[DP83] [DP61] established connections take the short way, and every packet is counted',
    async (node) => {
      const [one] = node.pods;
      assert.ok(one);
      const dataplane = node.start();
      const { errors, warnings, pending } = dataplane.apply(offloading([endpoint(1), endpoint(2)]));
      assert.deepEqual({ errors, warnings, pending }, { errors: [], warnings: [], pending: [] });
      const shown = node.machine.run('nft', 'list', 'flowtables');
      assert.match(shown, new RegExp(`${podInterface(1)}, ${podInterface(2)}`));
      assert.match(shown, /counter/);
      node.machine.run('sysctl', '-qw', 'net.netfilter.nf_conntrack_acct=1');
      for (const family of [4, 6] as const) {
        const request = { type: 'udp', address: podAddress(2, family), bytes: 100 } as const;
        assert.equal(await one.ask({ ...request, count: 20, localPort: 4000 }), 20);
        const [line = ''] = connections(node, family, 'udp');
        assert.match(line, /\[OFFLOAD\]/);
        const bytes = 20 * (100 + HEADERS[family]);
        assert.deepEqual(countsOf(line), { packets: [20, 20], bytes: [bytes, bytes] });
        await one.ask({ type: 'open', address: podAddress(2, family) });
        assert.equal(await one.ask({ type: 'say', bytes: 50_000, waitMs: 20_000 }), 50_000);
        assert.match(connections(node, family, 'tcp')[0] ?? '', /\[OFFLOAD\]/);
      }
    },
  ],
  [
    '[DP83] what was offloaded does not meet the rules, and nobody else can use it',
    async (node) => {
      const [one, , three] = node.pods;
      assert.ok(one && three);
      assert.deepEqual(
        node.start().apply(offloading([endpoint(1), endpoint(2), endpoint(3)])).errors,
        [],
      );
      node.machine.run('nft', 'add', 'table', 'inet', 'spy');
      const chain = '{ type filter hook prerouting priority 0; }';
      node.machine.run('nft', 'add', 'chain', 'inet', 'spy', 'seen', chain);
      const count = ['udp', 'sport', '4004', 'counter'];
      node.machine.run('nft', 'add', 'rule', 'inet', 'spy', 'seen', ...count);
      const seen = (): number =>
        Number(/packets (\d+)/.exec(node.machine.run('nft', 'list', 'table', 'inet', 'spy'))?.[1]);
      const request = {
        type: 'udp',
        address: podAddress(2, 4),
        bytes: 10,
        localPort: 4004,
      } as const;
      assert.equal(await one.ask({ ...request, count: 20 }), 20);
      // The first packet, and the one after the first answer, which makes it an established connection.
      assert.ok(seen() <= 3, `${seen()} packets met the rules`);
      // Another pod that says the same of itself comes by another interface.
      const ip = (text: string) => three.machine.run('ip', ...text.split(' '));
      const route = 'route replace default via 169.254.1.1 dev eth0 onlink';
      ip(`addr add ${podAddress(1, 4)}/32 dev eth0`);
      ip(`${route} src ${podAddress(1, 4)}`);
      assert.equal(await three.ask({ ...request, count: 3 }), 0, 'nothing comes back');
      ip(`addr del ${podAddress(1, 4)}/32 dev eth0`);
      ip(route);
      const line = connections(node, 4, 'udp').find((one) => one.includes('sport=4004'));
      assert.deepEqual(countsOf(line ?? '').packets, [20, 20], 'and nothing got through');
    },
  ],
  [
    '[DP83] policy decides as without it: who may connect, and what goes on',
    async (node) => {
      const [one] = node.pods;
      assert.ok(one);
      const open = policy('web', { ingress: [rule('Allow', { protocol: 6 })] });
      const closed = policy('web', { ingress: [] });
      const dataplane = node.start();
      const apply = (web: DataplanePolicy) =>
        assert.deepEqual(
          dataplane.apply(offloading([endpoint(1), endpoint(2, { ingress: [tierOf(web)] })], [web]))
            .errors,
          [],
        );
      apply(open);
      const udp = { type: 'udp', count: 1, bytes: 10, localPort: 4001 } as const;
      for (const family of [4, 6] as const) {
        assert.equal(await one.ask({ ...udp, address: podAddress(2, family) }), 0);
      }
      await one.ask({ type: 'open', address: podAddress(2, 4) });
      assert.equal(await one.ask({ type: 'say', bytes: 1000, waitMs: TIMEOUT_MS }), 1000);
      assert.match(connections(node, 4, 'tcp')[0] ?? '', /\[OFFLOAD\]/);
      apply(closed);
      assert.equal(
        await one.ask({ type: 'say', bytes: 1000, waitMs: TIMEOUT_MS }),
        1000,
        'it goes on',
      );
      await assert.rejects(one.ask({ type: 'open', address: podAddress(2, 6) }), 'no new one');
    },
  ],
  [
    '[DP62] with a workload its connections leave the short way, and the others stay',
    async (node) => {
      const [one, two, three] = node.pods;
      assert.ok(one && two && three);
      const dataplane = node.start();
      const all = [endpoint(1), endpoint(2), endpoint(3)];
      assert.deepEqual(dataplane.apply(offloading(all)).errors, []);
      const udp = { type: 'udp', count: 3, bytes: 10, localPort: 4002 } as const;
      assert.equal(await one.ask({ ...udp, address: podAddress(2, 4) }), 3);
      assert.equal(await three.ask({ ...udp, address: podAddress(1, 4) }), 3);
      node.routes.deleteLink(podInterface(2));
      const [first, , third] = all;
      assert.ok(first && third);
      const report = dataplane.apply(offloading([first, third]));
      assert.deepEqual([report.errors, report.warnings], [[], []]);
      assert.doesNotMatch(
        node.machine.run('nft', 'list', 'table', ...TABLE.split(' ')),
        new RegExp(podInterface(2)),
      );
      await until('the entry of the gone workload leaves', () =>
        connections(node, 4, 'udp').every(
          (line) => !line.includes(`dst=${podAddress(2, 4)} `) || !line.includes('OFFLOAD'),
        ),
      );
      assert.equal(await three.ask({ ...udp, address: podAddress(1, 4) }), 3);
      assert.ok(connections(node, 4, 'udp').some((line) => line.includes('[OFFLOAD]')));
      // It comes back under the same name.
      attachPod(node.machine, node.routes, two.machine, 2);
      assert.deepEqual(dataplane.apply(offloading(all)).errors, []);
      assert.match(node.machine.run('nft', 'list', 'flowtables'), new RegExp(podInterface(2)));
    },
  ],
  [
    '[DP62] a connection that is forgotten is judged anew',
    async (node) => {
      const [one] = node.pods;
      assert.ok(one);
      const dataplane = node.start();
      const web = policy('web', { ingress: [] });
      const udp = { type: 'udp', bytes: 10, localPort: 4003, address: podAddress(2, 4) } as const;
      dataplane.apply(offloading([endpoint(1), endpoint(2)]));
      assert.equal(await one.ask({ ...udp, count: 3 }), 3);
      const line = connections(node, 4, 'udp').find((text) => text.includes('sport=4003'));
      assert.match(line ?? '', /OFFLOAD/);
      dataplane.apply(offloading([endpoint(1), endpoint(2, { ingress: [tierOf(web)] })], [web]));
      node.machine.run('conntrack', '-D', '-p', 'udp', '--orig-port-dst', String(PORT));
      await sleep(2_000);
      assert.equal(await one.ask({ ...udp, count: 1 }), 0);
    },
  ],
  [
    '[DP63] a restart writes nothing, drift is undone, and what is wanted no more goes',
    async (node) => {
      const state = offloading([endpoint(1), endpoint(2)]);
      const dataplane = node.start();
      dataplane.apply(state);
      assert.equal(dataplane.apply(state).writes, 0);
      assert.equal(node.start().apply(state).writes, 0);
      const changes: readonly (readonly string[])[] = [
        ['delete', 'table', ...TABLE.split(' ')],
        ['flush', 'chain', ...TABLE.split(' '), 'forward'],
        ['flush', 'set', ...TABLE.split(' '), 'members'],
      ];
      const list = () => node.machine.run('nft', '-s', 'list', 'table', ...TABLE.split(' '));
      const before = list();
      for (const change of changes) {
        node.machine.run('nft', ...change);
        dataplane.resync();
        const { errors, warnings } = dataplane.apply(state);
        assert.deepEqual([errors, warnings], [[], []], change.join(' '));
        assert.equal(list(), before, change.join(' '));
      }
      const off = stateOf([endpoint(1), endpoint(2)]);
      assert.deepEqual(dataplane.apply(off).errors, []);
      assert.doesNotMatch(node.machine.run('nft', 'list', 'flowtables'), /flowtable/);
      assert.doesNotMatch(node.machine.run('nft', 'list', 'tables'), /offload/);
      assert.equal(node.start().apply(off).writes, 0);
    },
  ],
  [
    '[DP83] interfaces of the host take part where the pattern names them',
    async (node) => {
      node.machine.run('ip', 'link', 'add', 'data0', 'type', 'dummy');
      node.machine.run('ip', 'link', 'add', 'other0', 'type', 'dummy');
      const settings = { ...BARE_STATE.settings, flowOffload: { hostInterfacePattern: '^data' } };
      const dataplane = node.start();
      assert.deepEqual(dataplane.apply(stateOf([endpoint(1)], [], { settings })).errors, []);
      const shown = node.machine.run('nft', 'list', 'flowtables');
      assert.match(shown, /data0/);
      assert.doesNotMatch(shown, /other0|\blo\b/);
    },
  ],
];

void test('established connections on the short way', async (t) => {
  const node = await makeNode(t, 3);
  for (const [name, run] of CASES) await t.test(name, () => run(node));
});
