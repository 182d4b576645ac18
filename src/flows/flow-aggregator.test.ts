// Tests of aggregation: sums are exact at every level, live connections are counted once, merging is said.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FlowAggregator } from './flow-aggregator.ts';
import { flow as aFlow } from './flow-fixture.ts';
import type { Flow } from './flow.ts';
import type { FlowRecord } from './flow-record.ts';

const SECOND = 1_000;

function total(records: readonly FlowRecord[], count: (record: FlowRecord) => number): number {
  return records.reduce((sum, record) => sum + count(record), 0);
}

const flows = fc.array(
  fc
    .record({
      pod: fc.integer({ min: 0, max: 3 }),
      sourcePort: fc.integer({ min: 40_000, max: 40_005 }),
      port: fc.constantFrom(80, 443),
      verdict: fc.constantFrom('allow' as const, 'deny' as const),
      at: fc.integer({ min: 0, max: 60 * SECOND }),
      packets: fc.integer({ min: 0, max: 1_000_000 }),
    })
    .map(
      ({ pod, sourcePort, port, verdict, at, packets }): Flow =>
        aFlow({
          source: end(`web-${pod}`),
          sourcePort,
          port,
          verdict,
          startTime: at,
          endTime: at,
          packets: { in: packets, out: packets + 1 },
          bytes: { in: packets * 2, out: packets * 3 },
          connections: { started: 1, completed: 0, live: 1 },
        }),
    ),
  { maxLength: 200 },
);

function end(name: string): Flow['source'] {
  return {
    type: 'workload',
    namespace: 'shop',
    name,
    aggregate: 'web-*',
    address: `10.0.0.${name.at(-1)}`,
    labels: { app: 'web', pod: name },
  };
}

test('sums over records are the sums over reports, at every level and under every limit', () => {
  fc.assert(
    fc.property(
      flows,
      fc.constantFrom(0 as const, 1 as const, 2 as const, 3 as const),
      fc.integer({ min: 1, max: 30 }),
      (reports, level, recordsMax) => {
        const aggregator = new FlowAggregator({ allowedLevel: level, deniedLevel: 0, recordsMax });
        const records: FlowRecord[] = [];
        for (const [index, flow] of reports.entries()) {
          aggregator.add(flow, 60 * SECOND);
          if (index % 50 === 49) records.push(...aggregator.flush(index * 400));
        }
        records.push(...aggregator.flush(0, true));
        assert.equal(aggregator.size, 0);
        const sum = (count: (flow: Flow) => number) => reports.reduce((s, f) => s + count(f), 0);
        assert.equal(
          total(records, (r) => r.packets.in),
          sum((f) => f.packets.in),
        );
        assert.equal(
          total(records, (r) => r.bytes.out),
          sum((f) => f.bytes.out),
        );
        assert.equal(
          total(records, (r) => r.connections.started),
          reports.length,
        );
        assert.equal(
          total(records, (r) => r.flows),
          reports.length,
        );
        for (const verdict of ['allow', 'deny']) {
          const own = records.filter((record) => record.verdict === verdict);
          const reported = reports.filter((flow) => flow.verdict === verdict);
          assert.equal(
            total(own, (r) => r.packets.out),
            reported.reduce((s, f) => s + f.packets.out, 0),
          );
        }
      },
    ),
  );
});

test('a connection that reports often is live once, and not after it ended', () => {
  const aggregator = new FlowAggregator();
  const report = (at: number, connections: Flow['connections'], previousTime?: number): void =>
    aggregator.add(
      aFlow({
        startTime: 0,
        endTime: at,
        connections,
        ...(previousTime !== undefined && { previousTime }),
      }),
      at,
    );
  const live = (): number[] => aggregator.current().map(({ connections }) => connections.live);
  report(1 * SECOND, { started: 1, completed: 0, live: 1 });
  report(3 * SECOND, { started: 0, completed: 0, live: 1 }, 1 * SECOND);
  assert.deepEqual(live(), [1]);
  report(16 * SECOND, { started: 0, completed: 0, live: 1 }, 3 * SECOND);
  report(20 * SECOND, { started: 0, completed: 0, live: 1 }, 16 * SECOND);
  assert.deepEqual(live(), [1, 1]);
  report(22 * SECOND, { started: 0, completed: 1, live: 0 }, 20 * SECOND);
  assert.deepEqual(live(), [1, 0]);
  report(31 * SECOND, { started: 1, completed: 1, live: 0 });
  assert.deepEqual(live(), [1, 0, 0]);
});

test('levels blur what they say, and labels keep what all have', () => {
  const records = ([0, 1, 2, 3] as const).map((level) => {
    const aggregator = new FlowAggregator({ allowedLevel: level });
    for (const [pod, port, sourcePort] of [
      ['web-1', 80, 40_001],
      ['web-1', 80, 40_002],
      ['web-2', 80, 40_001],
      ['web-2', 443, 40_001],
    ] as const) {
      aggregator.add(aFlow({ source: end(pod), port, sourcePort, endTime: 0 }), 0);
    }
    return aggregator.flush(0, true);
  });
  assert.deepEqual(
    records.map((of) => of.length),
    [4, 3, 2, 1],
  );
  const [all] = records[3] ?? [];
  assert.deepEqual(
    [all?.source.name, all?.source.address, all?.source.labels, all?.port, all?.sourcePort],
    ['web-*', null, { app: 'web' }, null, null],
  );
  assert.deepEqual([all?.level, all?.flows], [3, 4]);
});

test('a late report is counted in the oldest open bucket', () => {
  const aggregator = new FlowAggregator();
  aggregator.add(aFlow({ endTime: 1 * SECOND }), 1 * SECOND);
  assert.equal(aggregator.flush(29 * SECOND).length, 0);
  assert.equal(aggregator.flush(30 * SECOND).length, 1);
  aggregator.add(aFlow({ endTime: 2 * SECOND }), 31 * SECOND);
  assert.equal(aggregator.late, 1);
  assert.deepEqual(
    aggregator.current().map(({ bucketStart }) => bucketStart),
    [15 * SECOND],
  );
});
