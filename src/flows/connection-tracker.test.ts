// What the kernel tells of one node becomes flow records, and no packet is lost or counted twice.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { describeReport } from './connection-report.ts';
import { ConnectionTracker } from './connection-tracker.ts';
import type { Flow } from './flow.ts';
import {
  conntrack,
  DB,
  directory,
  hit,
  OUTSIDE,
  packet,
  resource,
  update,
  WEB,
} from './flow-fixture.ts';

const SIDE = '10.0.1.2';
const names = directory();
const tracker = (
  options: { maxConnections?: number; maxEvicted?: number; bucketMs?: number } = {},
) => {
  const isLocal = (address: string) => names.podNode(address) === 'one';
  const it = new ConnectionTracker({ isLocal, ...options });
  const drain = (nowMs: number): Flow[] =>
    it.drain(nowMs).map((report) => describeReport(report, { node: 'one', directory: names }));
  return {
    onRuleHit: it.onRuleHit.bind(it),
    onConntrack: it.onConntrack.bind(it),
    onListing: it.onListing.bind(it),
    drain,
    raw: it,
  };
};
const summary = (flows: readonly Flow[]) =>
  flows.map(({ reporter, verdict, packets, policies }) => [
    reporter,
    verdict,
    packets.out,
    packets.in,
    policies.map(({ tier, action, rule }) => `${tier} ${action} ${rule}`).join(', '),
  ]);

test('every denied packet is counted, with the trace that denied it', () => {
  const it = tracker();
  const pass = hit('egress', 'Pass', { tier: 'first', rule: 2 });
  const deny = hit('egress', 'Deny', { policy: null, rule: -1 });
  for (let index = 0; index < 5; index++) {
    it.onRuleHit(pass, packet(WEB, DB), index);
    it.onRuleHit(deny, packet(WEB, DB), index);
  }
  const [flow, ...rest] = it.drain(100);
  assert.deepEqual(rest, []);
  assert.deepEqual(flow, {
    startTime: 0,
    endTime: 4,
    reporter: 'src',
    node: 'one',
    source: directory().resolve(WEB),
    destination: directory().resolve(DB),
    protocol: 'tcp',
    sourcePort: 40_000,
    port: 5432,
    verdict: 'deny',
    packets: { in: 0, out: 5 },
    bytes: { in: 0, out: 300 },
    connections: { started: 0, completed: 0, live: 0 },
    policies: [
      {
        direction: 'egress',
        tier: 'first',
        kind: 'NetworkPolicy',
        namespace: 'data',
        name: 'db',
        rule: 2,
        action: 'pass',
      },
      {
        direction: 'egress',
        tier: 'default',
        kind: null,
        namespace: null,
        name: null,
        rule: -1,
        action: 'deny',
      },
    ],
  });
  assert.deepEqual(it.drain(101), [], 'nothing is reported twice');
});

test('what passed is counted by conntrack, and each report holds the difference', () => {
  const it = tracker();
  it.onRuleHit(hit('egress', 'Allow'), packet(WEB, DB), 0);
  it.onConntrack(conntrack('new', WEB, DB), 1);
  assert.deepEqual(summary(it.drain(10)), [['src', 'allow', 0, 0, 'default allow 0']]);
  it.onConntrack(conntrack('update', WEB, DB, { out: [4, 400], in: [3, 300] }), 20);
  it.onConntrack(conntrack('update', WEB, DB, { out: [4, 400], in: [3, 300] }), 30);
  const [live] = it.drain(40);
  assert.deepEqual(live?.packets, { out: 4, in: 3 });
  assert.deepEqual(live?.bytes, { out: 400, in: 300 });
  assert.deepEqual(live?.connections, { started: 0, completed: 0, live: 1 });
  assert.equal(live?.endTime, 20, 'an update that repeats is no activity');
  assert.deepEqual(it.drain(50), []);
  it.onConntrack(conntrack('destroy', WEB, DB, { out: [9, 900], in: [8, 800] }), 60);
  const [last] = it.drain(70);
  assert.deepEqual(last?.packets, { out: 5, in: 5 });
  assert.deepEqual(last?.connections, { started: 0, completed: 1, live: 0 });
  assert.deepEqual(last?.policies.length, 1, 'the trace stays with the connection');
  assert.equal(it.raw.size, 0);
});

test('a TCP connection has completed when TCP says so, once', () => {
  const it = tracker();
  it.onRuleHit(hit('egress', 'Allow'), packet(WEB, DB), 0);
  it.onConntrack(conntrack('new', WEB, DB), 1);
  const counts = { out: [6, 600], in: [5, 500] } as const;
  it.onConntrack(conntrack('update', WEB, DB, { ...counts, tcpState: 'time_wait' }), 2);
  assert.deepEqual(it.drain(3)[0]?.connections, { started: 1, completed: 1, live: 0 });
  it.onConntrack(conntrack('destroy', WEB, DB, counts), 4);
  assert.deepEqual(it.drain(5), [], 'the kernel forgetting it is no news');
  assert.equal(it.raw.size, 0);
});

test('both ends on one node give a record each', () => {
  const it = tracker();
  it.onRuleHit(hit('egress', 'Allow'), packet(WEB, SIDE), 0);
  it.onRuleHit(hit('ingress', 'Allow', { rule: 3 }), packet(WEB, SIDE), 0);
  it.onConntrack(conntrack('new', WEB, SIDE), 0);
  it.onConntrack(conntrack('update', WEB, SIDE, { out: [2, 2], in: [1, 1] }), 1);
  assert.deepEqual(summary(it.drain(2)), [
    ['src', 'allow', 2, 1, 'default allow 0'],
    ['dst', 'allow', 2, 1, 'default allow 3'],
  ]);
});

test('a packet that leaves one pod and is denied at the next shows both traces', () => {
  const it = tracker();
  for (let round = 0; round < 2; round++) {
    it.onRuleHit(hit('egress', 'Allow'), packet(WEB, SIDE), round * 1000);
    it.onRuleHit(hit('ingress', 'Deny', { rule: 1 }), packet(WEB, SIDE), round * 1000);
    assert.deepEqual(summary(it.drain(round * 1000 + 10)), [
      ['src', 'allow', 0, 0, 'default allow 0'],
      ['dst', 'deny', 1, 0, 'default deny 1'],
    ]);
  }
});

test('a policy change between packets: denied and allowed packets are told apart', () => {
  const it = tracker();
  it.onRuleHit(hit('egress', 'Deny', { rule: 1 }), packet(WEB, DB), 0);
  it.onRuleHit(hit('egress', 'Allow'), packet(WEB, DB), 1);
  it.onConntrack(conntrack('new', WEB, DB), 1);
  it.onConntrack(conntrack('update', WEB, DB, { out: [7, 7], in: [6, 6] }), 2);
  assert.deepEqual(summary(it.drain(3)), [
    ['src', 'deny', 1, 0, 'default deny 1'],
    ['src', 'allow', 7, 6, 'default allow 0'],
  ]);
});

test('a lost end of a trace does not stick to the next packet', () => {
  const it = tracker();
  it.onRuleHit(hit('egress', 'Pass', { tier: 'first' }), packet(WEB, DB), 0);
  it.onRuleHit(hit('egress', 'Pass', { tier: 'first', rule: 5 }), packet(WEB, DB), 1);
  it.onRuleHit(hit('egress', 'Deny'), packet(WEB, DB), 1);
  assert.deepEqual(summary(it.drain(2)), [['src', 'deny', 1, 0, 'first pass 5, default deny 0']]);
});

test('a connection older than the tracker is counted from when it was first heard of', () => {
  const it = tracker();
  it.onConntrack(conntrack('update', WEB, DB, { out: [1000, 1000], in: [900, 900] }), 0);
  it.onConntrack(conntrack('update', WEB, DB, { out: [1004, 1004], in: [903, 903] }), 5000);
  assert.deepEqual(summary(it.drain(5001)), [['src', 'allow', 4, 3, 'null allow -2']]);
});

test('a connection whose beginning is heard of late is counted from its beginning', () => {
  const it = tracker();
  it.onConntrack(conntrack('update', WEB, DB, { out: [4, 4], in: [3, 3] }), 0);
  it.onConntrack(conntrack('new', WEB, DB), 1);
  assert.deepEqual(summary(it.drain(5000)), [['src', 'allow', 4, 3, 'null allow -2']]);
});

test('connections without a local workload are left alone', () => {
  const it = tracker();
  it.onConntrack(conntrack('new', '172.16.0.1', '172.16.0.2'), 0);
  it.onConntrack(conntrack('new', DB, OUTSIDE), 0);
  assert.equal(it.raw.size, 0);
});

test('a host to its own pod is reported by the destination, though policy is not asked', () => {
  const it = tracker();
  it.onConntrack(conntrack('new', '172.16.0.1', WEB), 0);
  it.onConntrack(conntrack('destroy', '172.16.0.1', WEB, { out: [2, 2], in: [2, 2] }), 1);
  assert.deepEqual(it.drain(2), [], 'a trace may still come');
  assert.deepEqual(summary(it.drain(3000)), [['dst', 'allow', 2, 2, '']]);
  assert.equal(it.raw.size, 0);
});

test('after destination NAT the flow names whom it reached', () => {
  const it = tracker();
  const event = conntrack('new', WEB, DB);
  it.onConntrack(
    { ...event, original: { ...event.original, destination: '10.96.0.1', destinationPort: 80 } },
    0,
  );
  const [flow] = it.drain(5000);
  assert.equal(flow?.destination.name, 'db');
  assert.equal(flow?.port, 5432);
});

test('counts that fall mean that the kernel began anew', () => {
  const it = tracker();
  it.onRuleHit(hit('egress', 'Allow'), packet(WEB, DB), 0);
  it.onConntrack(conntrack('new', WEB, DB), 0);
  it.onConntrack(conntrack('update', WEB, DB, { out: [10, 10], in: [10, 10] }), 1);
  it.onConntrack(conntrack('update', WEB, DB, { out: [2, 2], in: [1, 1] }), 2);
  assert.deepEqual(it.drain(3)[0]?.packets, { out: 12, in: 11 });
});

test('ICMP is told apart by its type', () => {
  const it = tracker();
  const ping = { protocol: 1, sourcePort: undefined, destinationPort: undefined };
  it.onRuleHit(hit('egress', 'Deny'), packet(WEB, DB, { ...ping, icmpType: 8 }), 0);
  it.onRuleHit(hit('egress', 'Deny'), packet(WEB, DB, { ...ping, icmpType: 13 }), 0);
  const flows = it.drain(1);
  assert.deepEqual(
    flows.map(({ protocol, icmpType, port }) => [protocol, icmpType, port]),
    [
      ['icmp', 8, undefined],
      ['icmp', 13, undefined],
    ],
  );
});

test('above the maximum the longest silent connection is reported and goes', () => {
  const it = tracker({ maxConnections: 2 });
  const from = (sourcePort: number) => packet(WEB, DB, { sourcePort });
  it.onRuleHit(hit('egress', 'Deny'), from(1), 0);
  it.onRuleHit(hit('egress', 'Deny'), from(2), 1);
  it.onRuleHit(hit('egress', 'Deny'), from(1), 2);
  it.onRuleHit(hit('egress', 'Deny'), from(3), 3);
  assert.equal(it.raw.size, 2);
  assert.equal(it.raw.dropped, 0);
  assert.deepEqual(
    it.drain(4).map(({ sourcePort, packets }) => [sourcePort, packets.out]),
    [
      [2, 1],
      [1, 2],
      [3, 1],
    ],
  );
});

test('what goes beyond both limits is counted as dropped', () => {
  const it = tracker({ maxConnections: 1, maxEvicted: 1 });
  for (let sourcePort = 1; sourcePort <= 4; sourcePort++) {
    it.onRuleHit(hit('egress', 'Deny'), packet(WEB, DB, { sourcePort }), sourcePort);
  }
  assert.equal(it.raw.dropped, 2);
  assert.deepEqual(
    it.drain(9).map(({ sourcePort }) => sourcePort),
    [1, 4],
  );
});

test('a connection that was evicted and speaks again is counted on from where it was', () => {
  const it = tracker({ maxConnections: 1 });
  const open = (id: number) => ({ id, sourcePort: id });
  it.onConntrack(conntrack('new', WEB, DB, open(1)), 0);
  it.onConntrack(conntrack('update', WEB, DB, { ...open(1), out: [10, 10], in: [8, 8] }), 1);
  it.onConntrack(conntrack('new', WEB, DB, open(2)), 2);
  it.onConntrack(conntrack('update', WEB, DB, { ...open(1), out: [15, 15], in: [9, 9] }), 3);
  const first = it.drain(10_000).filter((flow) => flow.sourcePort === 1);
  assert.equal(sumOut(first), 15);
  assert.equal(sum(first.map(({ connections }) => connections.started)), 1);
  assert.equal(it.raw.dropped, 0);
});

const sum = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0);
const sumOut = (flows: readonly Flow[]) => sum(flows.map(({ packets }) => packets.out));

test('a live connection reports in each bucket, also when it is idle, and ends once', () => {
  const it = tracker({ bucketMs: 15_000 });
  it.onRuleHit(hit('egress', 'Allow'), packet(WEB, DB), 1_000);
  it.onConntrack(conntrack('new', WEB, DB), 1_000);
  const seen: [number, number, number][] = [];
  for (let nowMs = 1_000; nowMs <= 75_000; nowMs += 1_000) {
    for (const { endTime, packets, connections } of it.drain(nowMs)) {
      seen.push([Math.floor(endTime / 15_000), packets.out, connections.live]);
    }
  }
  assert.deepEqual(
    seen.map(([bucket]) => bucket),
    [0, 1, 2, 3, 4, 5],
  );
  assert.ok(seen.every(([, out, live]) => out === 0 && live === 1));
  it.onConntrack(conntrack('destroy', WEB, DB, { out: [9, 9], in: [9, 9] }), 76_000);
  const [last, ...more] = it.drain(77_000);
  assert.deepEqual(last?.connections, { started: 0, completed: 1, live: 0 });
  assert.deepEqual(last?.packets.out, 9);
  assert.deepEqual([...more, ...it.drain(120_000)], []);
});

test('interim reports are not all due in the same second', () => {
  const it = tracker({ bucketMs: 15_000 });
  for (let id = 1; id <= 1000; id++) {
    it.onRuleHit(hit('egress', 'Allow'), packet(WEB, DB, { sourcePort: id }), 0);
    it.onConntrack(conntrack('new', WEB, DB, { id, sourcePort: id }), 0);
  }
  assert.equal(it.drain(1).length, 1000);
  const sizes = Array.from({ length: 15 }, (_, second) => it.drain(15_000 + second * 1000).length);
  assert.equal(sum(sizes), 1000);
  assert.ok(Math.max(...sizes) < 250, String(sizes));
});

test('beginnings and ends that the kernel could not tell are found in listings', () => {
  const it = tracker();
  it.onListing(
    [conntrack('update', WEB, DB, { id: 1, sourcePort: 1, out: [5, 5], in: [5, 5] })],
    0,
  );
  it.drain(5_000);
  const later = conntrack('update', WEB, DB, { id: 2, sourcePort: 2, out: [7, 7], in: [6, 6] });
  it.onListing([later], 6_000);
  const [begun] = it.drain(10_000);
  assert.deepEqual([begun?.sourcePort, begun?.packets.out], [2, 7], 'whole: it began since');
  assert.deepEqual(begun?.connections, { started: 1, completed: 0, live: 1 });
  it.onListing([later], 12_000);
  const ended = it.drain(12_001).filter(({ connections }) => connections.completed > 0);
  assert.deepEqual(
    ended.map(({ sourcePort }) => sourcePort),
    [1],
  );
  assert.deepEqual([it.raw.lateStarts, it.raw.unsaidEnds], [1, 1]);
  it.onConntrack(
    conntrack('destroy', WEB, DB, { id: 3, sourcePort: 3, out: [4, 4], in: [2, 2] }),
    13_000,
  );
  const [short] = it.drain(17_000).filter(({ sourcePort }) => sourcePort === 3);
  assert.deepEqual(short?.connections, { started: 1, completed: 1, live: 0 });
  assert.equal(short?.packets.out, 4);
});

test('NAT: whom the source called, what the destination sees, and the service of both', () => {
  const called = { destination: '10.96.0.1', destinationPort: 80 };
  const service = resource('v1', 'Service', 'data/sql', {
    spec: { clusterIP: '10.96.0.1', ports: [{ name: 'main', port: 80, targetPort: 5432 }] },
  });
  names.onUpdates([update(service)]);
  const it = tracker();
  const event = conntrack('new', WEB, DB);
  const seen = { ...event.reply, destination: '172.16.0.1', destinationPort: 50_001 };
  it.onConntrack({ ...event, original: { ...event.original, ...called }, reply: seen }, 0);
  const [flow] = it.drain(5_000);
  assert.deepEqual(flow?.translation, {
    calledAddress: '10.96.0.1',
    calledPort: 80,
    seenAddress: '172.16.0.1',
    seenPort: 50_001,
  });
  assert.deepEqual(flow?.service, { namespace: 'data', name: 'sql', portName: 'main', port: 80 });
  names.onUpdates([update(service, true)]);
});

interface Event {
  readonly port: number;
  readonly kind: 'deny' | 'allow' | 'traffic' | 'end' | 'drain';
  readonly packets: number;
}

const event: fc.Arbitrary<Event> = fc.record({
  port: fc.integer({ min: 1, max: 6 }),
  kind: fc.constantFrom('deny', 'deny', 'allow', 'traffic', 'traffic', 'end', 'drain'),
  packets: fc.integer({ min: 1, max: 50 }),
});

test('property: denied packets offered are those recorded and those dropped', () => {
  fc.assert(
    fc.property(
      fc.array(event, { maxLength: 80 }),
      fc.integer({ min: 1, max: 6 }),
      (events, max) => {
        const it = tracker({ maxConnections: max });
        const flows: Flow[] = [];
        let offered = 0;
        for (const [nowMs, { port, kind }] of events.entries()) {
          const one = packet(WEB, DB, { sourcePort: port });
          if (kind === 'deny') offered++;
          if (kind === 'deny') it.onRuleHit(hit('egress', 'Deny'), one, nowMs);
          if (kind === 'drain') flows.push(...it.drain(nowMs));
          assert.ok(it.raw.size <= max);
        }
        flows.push(...it.drain(1e6));
        const recorded = flows.reduce((sum, { packets }) => sum + packets.out, 0);
        assert.equal(recorded + it.raw.dropped, offered);
      },
    ),
  );
});

test('property: what conntrack counted is what the flows of each end add up to', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 80 }), (events) => {
      const it = tracker();
      const flows: Flow[] = [];
      const open = new Map<number, { readonly id: number; packets: number }>();
      let offered = 0;
      let id = 0;
      for (const [index, { port, kind, packets }] of events.entries()) {
        const nowMs = index * 700;
        const one = packet(WEB, SIDE, { sourcePort: port });
        let connection = open.get(port);
        const tell = (type: 'update' | 'destroy') => {
          const { id: number = 0, packets: total = 0 } = connection ?? {};
          const counts = {
            id: number,
            sourcePort: port,
            out: [total, total],
            in: [total, total],
          } as const;
          it.onConntrack(conntrack(type, WEB, SIDE, counts), nowMs);
        };
        if (kind === 'allow') it.onRuleHit(hit('egress', 'Allow'), one, nowMs);
        if (kind === 'drain') flows.push(...it.drain(nowMs));
        if (kind === 'traffic') {
          if (!connection) {
            connection = { id: ++id, packets: 0 };
            open.set(port, connection);
            it.onConntrack(conntrack('new', WEB, SIDE, { id, sourcePort: port }), nowMs);
          }
          connection.packets += packets;
          offered += packets;
          tell('update');
        }
        if (kind === 'end' && connection) {
          tell('destroy');
          open.delete(port);
        }
      }
      flows.push(...it.drain(1e9));
      for (const reporter of ['src', 'dst'] as const) {
        const own = flows.filter((flow) => flow.reporter === reporter);
        assert.equal(
          own.reduce((sum, { packets }) => sum + packets.out, 0),
          offered,
          reporter,
        );
        const { started, completed } = own.reduce(
          (sum, { connections }) => ({
            started: sum.started + connections.started,
            completed: sum.completed + connections.completed,
          }),
          { started: 0, completed: 0 },
        );
        assert.equal(completed, started - open.size);
      }
      assert.equal(it.raw.dropped, 0);
    }),
  );
});
