// Two reports become one line; what is remembered and what is shown stay bounded and exact.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Flow } from './flow.ts';
import { DB, end, flow, OUTSIDE, step } from './flow-fixture.ts';
import { FlowLog } from './flow-log.ts';

const outside = end('pub', OUTSIDE, { type: 'network', namespace: null });

test('both ends of a connection become one line with the trace of both', () => {
  const log = new FlowLog();
  const dst = flow({
    reporter: 'dst',
    startTime: 1_001,
    endTime: 2_500,
    packets: { in: 2, out: 5 },
    policies: [step('ingress', 'pass', { tier: 'first' }), step('ingress', 'allow')],
  });
  log.append([dst], 0);
  log.append([flow()], 1);
  assert.deepEqual(log.query(), [
    flow({
      reporter: 'both',
      destinationNode: 'two',
      endTime: 2_500,
      packets: { in: 3, out: 5 },
      policies: [
        step('egress', 'allow'),
        step('ingress', 'pass', { tier: 'first' }),
        step('ingress', 'allow'),
      ],
    }),
  ]);
});

test('a denial at either end denies, and only what was denied is counted', () => {
  const log = new FlowLog();
  const dst = flow({
    reporter: 'dst',
    verdict: 'deny',
    packets: { in: 0, out: 2 },
    bytes: { in: 0, out: 120 },
  });
  log.append([flow({ packets: { in: 0, out: 3 } }), dst], 0);
  const [merged, ...rest] = log.query();
  assert.deepEqual(rest, []);
  assert.equal(merged?.verdict, 'deny');
  assert.deepEqual(merged?.packets, { in: 0, out: 2 });
  assert.deepEqual(
    merged?.policies.map(({ action }) => action),
    ['allow', 'deny'],
  );
});

test('reports of one end add up; a report without a trace keeps the known one', () => {
  const log = new FlowLog();
  log.append([flow()], 0);
  const more = { started: 0, completed: 1, live: 0 };
  log.append([flow({ endTime: 9_000, policies: [], connections: more })], 1);
  log.publish(100_000);
  assert.deepEqual(log.query(), [
    flow({
      endTime: 9_000,
      packets: { in: 6, out: 8 },
      bytes: { in: 600, out: 800 },
      connections: { started: 1, completed: 1, live: 0 },
    }),
  ]);
});

test('the same ports later, or with another verdict of the same end, are another line', () => {
  const log = new FlowLog();
  log.append([flow({ verdict: 'deny' })], 0);
  log.append([flow()], 1);
  log.append([flow({ startTime: 60_000, endTime: 61_000 })], 2);
  const ended = { started: 1, completed: 1, live: 0 };
  log.append([flow({ startTime: 61_500, endTime: 61_600, connections: ended })], 3);
  log.append([flow({ startTime: 62_000, endTime: 62_600 })], 4);
  log.publish(100_000);
  assert.deepEqual(
    log.query().map(({ verdict, startTime }) => [verdict, startTime]),
    [
      ['deny', 1_000],
      ['allow', 1_000],
      ['allow', 60_000],
      ['allow', 62_000],
    ],
  );
});

test('what waits for the other end is not listed: it may still be denied there', () => {
  const log = new FlowLog();
  log.append([flow()], 0);
  assert.deepEqual(log.query(), []);
  log.publish(5_000);
  assert.equal(log.query().length, 1);
});

function watch(log: FlowLog): Flow[] {
  const seen: Flow[] = [];
  log.subscribe({}, (one) => seen.push(one));
  return seen;
}

test('subscribers see a connection once both ends have reported', () => {
  const log = new FlowLog();
  const seen = watch(log);
  log.append([flow()], 0);
  assert.equal(seen.length, 0);
  log.append([flow({ reporter: 'dst' })], 100);
  assert.deepEqual(
    seen.map(({ reporter }) => reporter),
    ['both'],
  );
  log.append([flow()], 200);
  log.publish(10_000);
  assert.equal(seen.length, 1, 'not again at once');
  log.publish(15_100);
  assert.equal(seen.length, 2, 'again with its totals');
  assert.equal(seen[1]?.packets.out, 8);
  log.publish(60_000);
  assert.equal(seen.length, 2, 'not without news');
});

test('subscribers do not wait for an end that will not report', () => {
  const log = new FlowLog();
  const seen = watch(log);
  log.append([flow({ destination: outside })], 0);
  log.append([flow({ source: outside, reporter: 'dst', sourcePort: 1 })], 0);
  log.append([flow({ verdict: 'deny', sourcePort: 2 })], 0);
  assert.equal(seen.length, 3);
  log.append([flow({ sourcePort: 3 })], 0);
  log.publish(4_999);
  assert.equal(seen.length, 3, 'the other node may be late');
  log.publish(5_000);
  assert.equal(seen.length, 4);
});

test('an allowed connection without counts waits for them, its end is shown at once', () => {
  const log = new FlowLog();
  const seen = watch(log);
  const none = { packets: { in: 0, out: 0 }, destination: outside };
  log.append([flow(none)], 0);
  assert.equal(seen.length, 0);
  log.append([flow({ destination: outside })], 100);
  assert.equal(seen.length, 1);
  const ended = { started: 0, completed: 1, live: 0 };
  log.append([flow({ destination: outside, connections: ended })], 200);
  assert.equal(seen.length, 2);
});

test('a subscription has its own filter, and ends', () => {
  const log = new FlowLog();
  const denied: Flow[] = [];
  const end1 = log.subscribe({ verdict: 'deny' }, (one) => denied.push(one));
  log.append([flow({ verdict: 'deny' }), flow({ destination: outside, sourcePort: 1 })], 0);
  assert.equal(denied.length, 1);
  end1();
  log.append([flow({ verdict: 'deny', sourcePort: 2 })], 0);
  assert.equal(denied.length, 1);
});

test('the ring is bounded, and a limit gives the newest', () => {
  const log = new FlowLog({ capacity: 3 });
  for (let sourcePort = 1; sourcePort <= 5; sourcePort++) log.append([flow({ sourcePort })], 0);
  const ports = (flows: readonly Flow[]) => flows.map(({ sourcePort }) => sourcePort);
  assert.equal(log.size, 3);
  assert.equal(log.dropped, 2);
  log.publish(100_000);
  assert.deepEqual(ports(log.query()), [3, 4, 5]);
  assert.deepEqual(ports(log.query({ limit: 2 })), [4, 5]);
  log.append([flow({ sourcePort: 1 })], 100_000);
  log.publish(200_000);
  assert.deepEqual(ports(log.query()), [4, 5, 1], 'a forgotten connection begins anew');
});

test('property: denied packets offered are those in the log, in whatever order reports come', () => {
  const report = fc.record({
    reporter: fc.constantFrom<'src' | 'dst'>('src', 'dst'),
    verdict: fc.constantFrom<'allow' | 'deny'>('allow', 'deny'),
    sourcePort: fc.integer({ min: 1, max: 3 }),
    startTime: fc.integer({ min: 0, max: 60_000 }),
    out: fc.integer({ min: 1, max: 9 }),
  });
  fc.assert(
    fc.property(fc.array(report, { maxLength: 40 }), (reports) => {
      const log = new FlowLog();
      let offered = 0;
      for (const { out, startTime, ...rest } of reports) {
        if (rest.verdict === 'deny') offered += out;
        const packets = { in: 0, out };
        log.append([flow({ ...rest, startTime, endTime: startTime + 500, packets })], startTime);
      }
      log.publish(100_000);
      const denied = log.query({ verdict: 'deny' });
      assert.equal(
        denied.reduce((sum, { packets }) => sum + packets.out, 0),
        offered,
      );
      assert.ok(log.query({}).every(({ destination }) => destination.address === DB));
    }),
  );
});

test('two ends joined: what each of them knows alone, or better', () => {
  const log = new FlowLog();
  const process = (name: string) => ({ name, pid: 1, args: [] });
  const tcp = { rtt: 9, minRtt: 5, mss: 1460, congestionWindow: 10, retransmissions: 2, lost: 0 };
  const service = { namespace: 'data', name: 'sql', portName: '', port: 80 };
  const pending = [step('ingress', 'deny', { kind: 'StagedNetworkPolicy' })];
  log.append([flow({ process: process('curl'), tcp })], 0);
  log.append([flow({ tcp, previousTime: 2_000, startTime: 1_000, endTime: 3_000 })], 1);
  const translation = { calledAddress: '10.96.0.1' };
  log.append([flow({ reporter: 'dst', process: process('db'), service, pending, translation })], 2);
  const [joined] = log.query();
  assert.equal(joined?.process?.name, 'curl', 'a later report does not take it away');
  assert.equal(joined?.destinationProcess?.name, 'db');
  assert.deepEqual(joined?.tcp, { ...tcp, retransmissions: 4 });
  assert.deepEqual([joined?.service, joined?.translation], [service, translation]);
  assert.deepEqual(joined?.pending, [step('egress', 'allow'), ...pending]);
  assert.equal(joined?.previousTime, undefined);
});
