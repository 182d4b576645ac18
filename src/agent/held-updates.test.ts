// What a server says when it is back counts at once, in one piece; what it never completes counts in the end.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { podKind } from '#api';
import type { SyncerUpdate } from '#datastore/syncer';
import { HeldUpdates } from './held-updates.ts';

function holding(mostMs?: number) {
  const delivered: string[] = [];
  const held = new HeldUpdates({
    deliver: (updates) => delivered.push(updates.map(text).join(' ')),
    log: () => delivered.push('told'),
    ...(mostMs !== undefined && { mostMs }),
  });
  return { held, delivered };
}

const update = (name: string, resourceVersion?: string): SyncerUpdate => ({
  kind: podKind,
  key: name,
  resource: resourceVersion
    ? { apiVersion: 'v1', kind: 'Pod', metadata: { name, resourceVersion } }
    : undefined,
});

const text = ({ key, resource }: SyncerUpdate) =>
  `${key}=${resource?.metadata.resourceVersion ?? 'gone'}`;

test('[AG1] from the loss of a watch until all is in sync updates wait, and then are one', (t) => {
  const { held, delivered } = holding();
  t.after(() => held.stop());
  held.onStatus('waiting');
  held.onUpdates([update('a', '1')]);
  held.onStatus('resync');
  held.onUpdates([update('b', '1')]);
  held.onStatus('in-sync');
  held.onUpdates([update('a', '2')]);
  assert.deepEqual(delivered, ['a=1', 'b=1', 'a=2'], 'nothing waits at first');
  held.onStatus('resync');
  held.onUpdates([update('a', '3'), update('b')]);
  held.onUpdates([update('a', '4')]);
  assert.equal(delivered.length, 3);
  held.onStatus('in-sync');
  assert.deepEqual(delivered.slice(3), ['b=gone a=4']);
  held.onUpdates([update('c', '5')]);
  assert.deepEqual(delivered.slice(4), ['c=5']);
});

test('[AG1] a kind that the server never tells again holds up the others for a time only', async () => {
  const { held, delivered } = holding(10);
  held.onStatus('in-sync');
  held.onStatus('resync');
  held.onUpdates([update('a', '1')]);
  assert.deepEqual(delivered, []);
  while (delivered.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(delivered, ['told', 'a=1']);
  held.onUpdates([update('a', '2')]);
  assert.deepEqual(delivered.slice(2), ['a=2']);
  held.onStatus('in-sync');
  held.onStatus('resync');
  held.onUpdates([update('a', '3')]);
  assert.equal(delivered.length, 3, 'the next loss is held again');
  held.stop();
});
