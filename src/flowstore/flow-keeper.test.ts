// Tests of keeping flows: everything once, through failures of the storage; what is given up is counted and said.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { Flow, FlowRecord } from '#flows';
import { FlowKeeper } from './flow-keeper.ts';
import type { FlowStorage } from './flow-storage.ts';

const END: Flow['source'] = {
  type: 'workload',
  namespace: 'shop',
  name: 'cart',
  address: '10.0.0.1',
  labels: {},
};

function flowAt(time: number, port: number): Flow {
  return {
    startTime: time,
    endTime: time,
    reporter: 'src',
    node: 'one',
    source: END,
    destination: { ...END, name: 'db', address: '10.0.0.2' },
    protocol: 'tcp',
    port,
    verdict: 'allow',
    packets: { in: 1, out: 2 },
    bytes: { in: 10, out: 20 },
    connections: { started: 1, completed: 1, live: 0 },
    policies: [],
  };
}

/** A storage in memory that refuses when told to. */
class MemoryStorage implements FlowStorage {
  readonly kept: FlowRecord[] = [];
  full = false;
  retained = 0;

  append(records: readonly FlowRecord[]): Promise<void> {
    if (this.full) return Promise.reject(new Error('Cannot keep 1 flow records: the disk is full'));
    this.kept.push(...records);
    return Promise.resolve();
  }
  summarise(): Promise<[]> {
    return Promise.resolve([]);
  }
  records(): Promise<FlowRecord[]> {
    return Promise.resolve(this.kept);
  }
  retain(): Promise<void> {
    this.retained++;
    return Promise.resolve();
  }
  state(): Promise<never> {
    return Promise.reject(new Error('not asked for'));
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
}

interface Bench {
  readonly storage: MemoryStorage;
  readonly keeper: FlowKeeper;
  readonly said: string[];
  /** Sets the clock and lets the keeper work. */
  readonly at: (ms: number) => Promise<void>;
}

function start(context: TestContext, waitingMax = 1_000): Bench {
  const storage = new MemoryStorage();
  const said: string[] = [];
  let now = 0;
  const keeper = new FlowKeeper({
    storage,
    log: (message) => void said.push(message),
    now: () => now,
    waitingMax,
    intervalMs: 3_600_000,
  });
  context.after(() => keeper.close());
  const at = async (ms: number): Promise<void> => {
    now = ms;
    keeper.tick();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { storage, keeper, said, at };
}

const flowsIn = (records: readonly FlowRecord[]) => records.reduce((sum, it) => sum + it.flows, 0);

test('buckets are kept once they are closed, and open ones at the end', async (context) => {
  const { storage, keeper, at } = start(context);
  await at(1_000);
  keeper.add([flowAt(1_000, 80), flowAt(1_000, 80), flowAt(1_000, 443)]);
  await at(29_000);
  assert.equal(storage.kept.length, 0);
  assert.equal(keeper.unkept.length, 2);
  await at(31_000);
  assert.deepEqual([storage.kept.length, flowsIn(storage.kept)], [2, 3]);
  keeper.add([flowAt(31_000, 80)]);
  await keeper.close();
  assert.equal(flowsIn(storage.kept), 4);
  assert.ok(storage.retained > 0);
});

test('a storage that refuses is asked again with growing pauses; nothing is lost or doubled', async (context) => {
  const { storage, keeper, said, at } = start(context);
  storage.full = true;
  keeper.add([flowAt(0, 80)]);
  await at(31_000);
  await at(31_500);
  assert.deepEqual(said, ['Cannot keep 1 flow records: the disk is full; trying again']);
  storage.full = false;
  await at(32_000);
  assert.equal(storage.kept.length, 0);
  await at(40_000);
  assert.equal(flowsIn(storage.kept), 1);
  assert.equal(said.at(-1), 'flows are kept again');
  assert.equal(keeper.counts.lostRecords, 0);
});

test('what there is no room for is counted, oldest first, and said', async (context) => {
  const { storage, keeper, said, at } = start(context, 2);
  storage.full = true;
  keeper.add([flowAt(0, 1), flowAt(0, 1), flowAt(0, 2), flowAt(0, 3)]);
  await at(31_000);
  const { lostRecords, lostFlows, received } = keeper.counts;
  assert.deepEqual([lostRecords, lostFlows, received], [1, 2, 4]);
  assert.match(said.join('\n'), /1 records of 2 reports are lost so far/);
  storage.full = false;
  await at(60_000);
  assert.equal(flowsIn(storage.kept), 2);
});
