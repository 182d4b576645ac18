// Copies of logged packets go out while they are asked for, as many as were asked for; the others are counted.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import test from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { BroadcastChannel } from 'node:worker_threads';
import { LOG_COPY_CHANNEL, LogCopies, type LogCopyDelivery } from './log-copies.ts';

void test('as many as were asked for, then counts, and nothing once it is over', async (t) => {
  const asked: (boolean | undefined)[] = [];
  const copies = new LogCopies({
    verdictOf: ({ prefix }) => (({ D: 'denied', A: 'allowed' }) as const)[prefix],
    onAsked: (now) => asked.push(now?.whole),
  });
  const channel = new BroadcastChannel(LOG_COPY_CHANNEL);
  t.after(() => {
    copies.close();
    channel.close();
    witness.close();
  });
  // What has come here has come to the copies too, a turn of the loop later at most.
  const witness = new BroadcastChannel(LOG_COPY_CHANNEL);
  const received: string[] = [];
  channel.onmessage = (event: { readonly data: unknown }) => {
    const { type, packets, skipped, unseen } = event.data as LogCopyDelivery;
    if (type === 'copies')
      received.push(
        `${packets.map(({ payload }) => payload.join('')).join()} ${skipped} ${unseen}`,
      );
  };
  const all = new Uint8Array([1, 2, 3, 4, 5]);
  const offer = (...places: number[]): void =>
    copies.offer(
      places.map((at) => ({
        prefix: at === 4 ? 'A' : 'D',
        payload: all.subarray(at, at + 1),
        length: 1,
        hook: 2,
      })),
    );
  const take = async (packets: number, allowed = false): Promise<void> => {
    const heard = once(witness, 'message');
    channel.postMessage({ type: 'take', packets, allowed, whole: !allowed });
    await heard;
    await turn();
  };
  offer(0);
  await take(2);
  offer(0, 4, 1, 2, 3);
  offer(3);
  await take(5);
  offer(4);
  offer(2);
  await take(2, true);
  offer(4, 0, 4, 1);
  await take(0);
  offer(1);
  for (let looks = 0; looks < 100; looks++) await turn();
  assert.deepEqual(received, [' 0 0', '1,2 2 0', ' 1 0', '3 0 0', '5,1 1 1']);
  assert.deepEqual(asked, [true, false, undefined]);
});
