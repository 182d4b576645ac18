// Nothing is lost silently: refused batches come again as they were, what is too much is merged with exact sums.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Flow } from '#flows';
import { BatchRefused, type FlowBatch, type FlowReceipt, FlowShipper } from './flow-shipper.ts';

const flow = (port: number, more: Partial<Flow> = {}): Flow => ({
  startTime: 1_000,
  endTime: 2_000,
  reporter: 'src',
  node: 'one',
  source: { type: 'workload', namespace: 'shop', name: 'web', address: '10.0.1.1', labels: {} },
  destination: { type: 'workload', namespace: 'data', name: 'db', address: '10.0.2.1', labels: {} },
  protocol: 'tcp',
  sourcePort: port,
  port: 5432,
  verdict: 'allow',
  packets: { in: 1, out: 2 },
  bytes: { in: 10, out: 20 },
  connections: { started: 1, completed: 0, live: 1 },
  policies: [],
  ...more,
});
const ports = (flows: readonly Flow[]) => flows.map((one) => one.sourcePort);

/** A server that can be away, and that may take a batch without saying so. */
function server(bufferMax = 20_000) {
  const state = {
    away: false,
    mute: false,
    life: 'first',
    got: [] as Flow[],
    said: [] as string[],
  };
  const seen = new Set<number>();
  const send = async (flows: readonly Flow[], { number }: FlowBatch): Promise<FlowReceipt> => {
    if (state.away) throw new Error('server is away');
    if (!seen.has(number)) state.got.push(...flows);
    seen.add(number);
    if (state.mute) throw new Error('no answer');
    return { server: state.life };
  };
  const log = (message: string) => void state.said.push(message);
  const shipper = new FlowShipper({ send, log, agent: 'one', bufferMax, now: () => 3_000 });
  return { state, shipper };
}

test('a refused batch is kept and comes first next time', async () => {
  const { state, shipper } = server();
  state.away = true;
  shipper.add([flow(1), flow(2)]);
  await shipper.ship();
  shipper.add([flow(3)]);
  await shipper.ship();
  state.away = false;
  await shipper.ship();
  assert.deepEqual(ports(state.got), [1, 2, 3]);
  assert.equal(shipper.lost + shipper.merged, 0);
  assert.equal(state.said.length, 2, 'one line when it fails, one when it works again');
});

test('a batch whose answer was lost is taken once', async () => {
  const { state, shipper } = server();
  state.mute = true;
  shipper.add([flow(1)]);
  await shipper.ship();
  shipper.add([flow(2)]);
  state.mute = false;
  await shipper.ship();
  assert.deepEqual(ports(state.got), [1, 2]);
});

test('a large backlog goes in bounded batches', async () => {
  const sizes: number[] = [];
  const shipper = new FlowShipper({
    send: async (flows) => {
      sizes.push(flows.length);
      return {};
    },
    log: () => {},
    agent: 'one',
  });
  shipper.add(Array.from({ length: 1201 }, (_, port) => flow(port)));
  await shipper.ship();
  assert.deepEqual(sizes, [500, 500, 201]);
});

test('property: whatever is merged while the server is away, sums are those of what was reported', async () => {
  const step = fc.record({
    away: fc.boolean(),
    flows: fc.array(
      fc.record({
        sourcePort: fc.integer({ min: 1, max: 60 }),
        port: fc.integer({ min: 1, max: 3 }),
        seconds: fc.integer({ min: 0, max: 200 }),
        packets: fc.integer({ min: 0, max: 1000 }),
      }),
      { maxLength: 30 },
    ),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
      const { state, shipper } = server(10);
      let [reports, packets] = [0, 0];
      for (const { away, flows } of steps) {
        state.away = away;
        shipper.add(
          flows.map((one) => {
            const [startTime, endTime] = [one.seconds * 1000, one.seconds * 1000 + 500];
            const counts = { in: one.packets, out: one.packets };
            reports++;
            packets += one.packets;
            return flow(one.sourcePort, { port: one.port, startTime, endTime, packets: counts });
          }),
        );
        await shipper.ship();
      }
      state.away = false;
      await shipper.ship();
      const sum = (of: (one: Flow) => number) => state.got.reduce((a, one) => a + of(one), 0);
      assert.equal(shipper.lost, 0);
      assert.equal(shipper.waiting, 0);
      assert.equal(
        sum((one) => one.merged?.flows ?? 1),
        reports,
      );
      assert.equal(
        sum((one) => one.packets.out),
        packets,
      );
      assert.equal(
        sum((one) => one.connections.started),
        reports,
      );
    }),
  );
});

test('merged reports say what they stand for, and memory stays bounded', async () => {
  const { state, shipper } = server(100);
  state.away = true;
  for (let round = 0; round < 50; round++) {
    shipper.add(Array.from({ length: 100 }, (_, index) => flow(index + 1)));
    await shipper.ship();
    assert.ok(shipper.waiting <= 100 + 500, String(shipper.waiting));
  }
  state.away = false;
  await shipper.ship();
  const merged = state.got.filter((one) => one.merged);
  assert.ok(merged.length > 0);
  assert.ok(
    merged.every(({ merged: said, sourcePort }) => said?.level === 1 && sourcePort === undefined),
  );
  assert.equal(
    state.got.reduce((sum, one) => sum + (one.merged?.flows ?? 1), 0),
    5_000,
  );
});

test('a batch that the server never takes is counted as lost and does not hold up the next', async () => {
  const got: (number | undefined)[] = [];
  const shipper = new FlowShipper({
    send: async (flows, { number }) => {
      if (number === 1) throw new BatchRefused('flow[0] port is no whole number');
      got.push(...ports(flows));
      return {};
    },
    log: () => {},
    agent: 'one',
  });
  shipper.add([flow(1), flow(2)]);
  await shipper.ship();
  shipper.add([flow(3)]);
  await shipper.ship();
  assert.deepEqual([got, shipper.lost], [[3], 2]);
});

test('what a server took shortly before another life of it is said to be uncertain', async () => {
  const { state, shipper } = server();
  shipper.add([flow(1), flow(2)]);
  await shipper.ship();
  state.life = 'second';
  shipper.add([flow(3)]);
  await shipper.ship();
  assert.equal(shipper.uncertain, 2);
  assert.match(state.said.join(), /2 flow reports .* may not be kept/);
  await shipper.ship();
  assert.equal(shipper.uncertain, 2);
});
