// Logs wait for the meaning of their prefixes, reports for whoever takes them; nothing is lost or out of order.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ConnectionReport, ConnectionTracker, type RuleHit } from '#flows';
import { FlowCollector, type FlowCollectorOptions } from './flow-collector.ts';
import type { FlowReadingState } from './flow-messages.ts';

const HIT: RuleHit = { action: 'Deny', direction: 'egress', tier: 'a', policy: null, rule: -1 };

/** UDP from 10.0.1.1 to 10.0.2.1, port 53. */
function packet(prefix: string, sourcePort: number) {
  const payload = new Uint8Array(28);
  payload.set([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 1, 1, 10, 0, 2, 1]);
  payload.set([sourcePort >> 8, sourcePort & 255, 0, 53], 20);
  return { prefix, payload, length: 28, hook: 2 };
}

function collect(t: TestContext) {
  const queue: ReturnType<typeof packet>[] = [];
  const log = { fd: 1, lost: 0, received: 0, read: () => queue.splice(0) };
  const conntrack = { fd: 2, lost: 0, dumps: 0, events: () => [], dump: () => [] as [] };
  conntrack.dump = () => {
    conntrack.dumps++;
    return [];
  };
  const ready = { now: true };
  const asked: string[] = [];
  const batches: number[][] = [];
  const traces: string[][] = [];
  const states: FlowReadingState[] = [];
  const tracker = new ConnectionTracker({ isLocal: () => true });
  const collector = new FlowCollector({
    logs: new Map([[1, log]]),
    conntrack,
    tracker,
    poller: { onReadable: () => {} },
    isReady: () => ready.now,
    ask: (prefixes: readonly string[]) => void asked.push(...prefixes),
    onReports: (reports: readonly ConnectionReport[]) => {
      traces.push(...reports.map((one) => one.policies.map((hit) => `${hit.action} ${hit.tier}`)));
      batches.push(reports.map(({ tuple }) => tuple.sourcePort ?? 0));
    },
    onState: (state: FlowReadingState) => void states.push(state),
    intervalMs: 5,
  } as unknown as FlowCollectorOptions);
  t.after(() => void collector.stop());
  return { ready, queue, log, conntrack, asked, batches, traces, states, collector };
}

test('packets behind one whose prefix is not explained yet keep their order', async (t) => {
  const { queue, asked, batches, collector } = collect(t);
  collector.onHits([['known', HIT]]);
  queue.push(packet('known', 1), packet('news', 2), packet('known', 3), packet('other', 4));
  await sleep(60);
  assert.deepEqual(asked, ['news', 'other'], 'each is asked for once');
  assert.deepEqual(batches.flat(), [1]);
  collector.onTaken();
  collector.onHits([
    ['news', HIT],
    ['other', null],
  ]);
  await sleep(60);
  assert.deepEqual(batches.flat(), [1, 2, 3], 'what decides nothing is no flow');
});

test('until reports are taken, connections add up, and come in bounded batches', async (t) => {
  const { queue, batches, collector } = collect(t);
  collector.onHits([['known', HIT]]);
  queue.push(packet('known', 1));
  await sleep(60);
  for (let port = 1; port <= 1200; port++) queue.push(packet('known', port));
  await sleep(100);
  assert.deepEqual(batches, [[1]]);
  for (let round = 0; round < 5; round++) {
    collector.onTaken();
    await sleep(30);
  }
  assert.deepEqual(
    batches.map(({ length }) => length),
    [1, 500, 500, 200],
  );
});

test('what was lost is told when there is more of it; after an overrun connections are listed at once', async (t) => {
  const { log, conntrack, states } = collect(t);
  await sleep(60);
  const { length } = states;
  const { dumps } = conntrack;
  log.lost = 3;
  conntrack.lost = 1;
  await sleep(60);
  assert.equal(states.length, length + 1);
  assert.deepEqual([states.at(-1)?.groups[0]?.lost, states.at(-1)?.overruns], [3, 1]);
  assert.equal(conntrack.dumps, dumps + 1);
});

test('what is left when it stops is returned', async (t) => {
  const { queue, collector } = collect(t);
  collector.onHits([['known', HIT]]);
  queue.push(packet('known', 7));
  assert.deepEqual(
    collector.stop().map(({ tuple }) => tuple.sourcePort),
    [7],
  );
});

test('packets that rules decided about and nobody can read are counted', async (t) => {
  const { queue, states, collector } = collect(t);
  collector.onHits([
    ['known', HIT],
    ['log', null],
  ]);
  queue.push(packet('known', 1));
  for (const prefix of ['known', 'known', 'log']) {
    queue.push({ ...packet(prefix, 2), payload: new Uint8Array(3) });
  }
  await sleep(60);
  assert.equal(collector.state().groups[0]?.unreadable, 2, 'what decides nothing is no loss');
  assert.equal(states.at(-1)?.groups[0]?.unreadable, 2);
});

test('before it is known which workloads are here, nothing is read and nothing is taken for new', async (t) => {
  const { ready, queue, conntrack, batches, collector } = collect(t);
  ready.now = false;
  const { dumps } = conntrack;
  collector.onHits([['known', HIT]]);
  queue.push(packet('known', 7));
  await sleep(60);
  assert.deepEqual([batches, queue.length, conntrack.dumps], [[], 1, dumps]);
  ready.now = true;
  await sleep(60);
  assert.deepEqual(batches, [[7]]);
});

test('a host endpoint behind the workload says nothing of the workload, unless it denies', async (t) => {
  const { queue, traces, collector } = collect(t);
  const by = (action: RuleHit['action'], tier: string): RuleHit => ({ ...HIT, action, tier });
  collector.onHits([
    ['workload', by('Allow', 'w')],
    ['host pass', by('Pass', 'h')],
    ['host allow', by('Allow', 'h')],
    ['host deny', by('Deny', 'h')],
  ]);
  queue.push(packet('workload', 1), packet('host pass', 1), packet('host allow', 1));
  queue.push(packet('workload', 2), packet('host deny', 2));
  await sleep(60);
  assert.deepEqual(traces, [['allow w'], ['deny h'], ['allow w']]);
});
