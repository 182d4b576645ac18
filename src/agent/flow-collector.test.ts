// What the kernel or the tracker gave up is told, once for each time that it grew.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type FlowCollectorOptions, FlowCollector } from './flow-collector.ts';

test('lost events are told when there are more of them, and not again', async (t) => {
  const told: number[] = [];
  const log = { fd: 1, lost: 0, read: () => [] };
  const conntrack = { fd: 2, lost: 0, events: () => [], dump: () => [] };
  const tracker = { dropped: 0, drain: () => [], onListing: () => {} };
  const collector = new FlowCollector({
    logs: [log],
    conntrack,
    tracker,
    poller: { onReadable: () => {} },
    hitOf: () => undefined,
    onReports: () => {},
    onLost: (lost: number) => told.push(lost),
    intervalMs: 5,
  } as unknown as FlowCollectorOptions);
  t.after(() => collector.stop());
  await sleep(40);
  assert.deepEqual(told, []);
  log.lost = 3;
  await sleep(40);
  conntrack.lost = 1;
  tracker.dropped = 2;
  await sleep(40);
  assert.deepEqual(told, [3, 6]);
});
