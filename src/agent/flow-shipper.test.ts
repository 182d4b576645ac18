// Nothing is lost silently: refused batches come again in order, what does not fit is counted.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Flow } from '#flows';
import { FlowShipper } from './flow-shipper.ts';

const flow = (port: number) => ({ port }) as Flow;
const ports = (flows: readonly Flow[]) => flows.map((one) => one.port);

test('a refused batch is kept and comes first next time', async () => {
  let refuse = true;
  const got: (number | undefined)[] = [];
  const said: string[] = [];
  const shipper = new FlowShipper({
    send: async (flows) => {
      if (refuse) throw new Error('server is away');
      got.push(...ports(flows));
    },
    log: (message) => said.push(message),
  });
  shipper.add([flow(1), flow(2)]);
  await shipper.ship();
  shipper.add([flow(3)]);
  await shipper.ship();
  refuse = false;
  await shipper.ship();
  assert.deepEqual(got, [1, 2, 3]);
  assert.equal(shipper.lost, 0);
  assert.equal(said.length, 2, 'one line when it fails, one when it works again');
});

test('what does not fit is counted, the oldest first', async () => {
  const got: (number | undefined)[] = [];
  const shipper = new FlowShipper({
    send: async (flows) => void got.push(...ports(flows)),
    log: () => {},
    bufferMax: 3,
  });
  shipper.add([1, 2, 3, 4, 5].map(flow));
  await shipper.ship();
  assert.equal(shipper.lost, 2);
  assert.deepEqual(got, [3, 4, 5]);
});

test('a large backlog goes in bounded batches', async () => {
  const sizes: number[] = [];
  const shipper = new FlowShipper({
    send: async (flows) => void sizes.push(flows.length),
    log: () => {},
  });
  shipper.add(Array.from({ length: 1201 }, (_, port) => flow(port)));
  await shipper.ship();
  assert.deepEqual(sizes, [500, 500, 201]);
});
