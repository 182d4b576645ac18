// Tests of the counts of addresses and blocks by pool and node.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LeakCounts, readAddressCounts } from './address-counts.ts';
import { BlockAllocator } from './block-allocator.ts';
import { WINDOWS_HANDLE } from './block.ts';
import { configuration, pool, storeWith } from './store-fixture.ts';

function allocatorOf(store: ReturnType<typeof storeWith>, nodeName: string): BlockAllocator {
  return new BlockAllocator({ client: store, nodeName, now: () => 0 });
}

test('[IP35] addresses count for their node, blocks for who holds them, of each family', async () => {
  const store = storeWith(
    pool('four', '10.0.0.0/29', { blockSize: 29 }),
    pool('six', 'fd00::/120', { blockSize: 124 }),
    configuration({ ipCooldownSeconds: 60 }),
  );
  const attributes = (node: string) => ({ namespace: 'shop', pod: node, node });
  const [a, b] = [allocatorOf(store, 'a'), allocatorOf(store, 'b')];
  for (const handle of ['x', 'y', 'gone']) await a.assign({ handle, attributes: attributes('a') });
  await a.assign({ handle: WINDOWS_HANDLE, attributes: {} });
  await b.assign({ handle: 'z', attributes: attributes('b') });
  await a.release({ handle: 'gone' });
  assert.deepEqual(await readAddressCounts(store), {
    inUse: [
      { ippool: 'four', node: 'a', value: 2 },
      { ippool: 'four', node: 'b', value: 1 },
      { ippool: 'six', node: 'a', value: 2 },
      { ippool: 'six', node: 'b', value: 1 },
    ],
    borrowed: [{ ippool: 'four', node: 'b', value: 1 }],
    blocks: [
      { ippool: 'four', node: 'a', value: 1 },
      { ippool: 'six', node: 'a', value: 1 },
      { ippool: 'six', node: 'b', value: 1 },
    ],
    pools: [
      { ippool: 'four', size: 8, reserved: 0 },
      { ippool: 'six', size: 256, reserved: 0 },
    ],
  });
});

test('[IP35] leaks count for their node and the pool of their address', () => {
  const leaks = new LeakCounts();
  const pools = [pool('four', '10.0.0.0/29'), pool('six', 'fd00::/120')];
  const finding = { id: '', reason: '', isFinal: false } as const;
  for (const found of [
    { ...finding, kind: 'leaked', subject: '10.0.0.3', node: 'a' },
    { ...finding, kind: 'leaked', subject: 'fd00::7', node: 'a' },
    { ...finding, kind: 'leaked', subject: '192.0.2.1' },
    { ...finding, kind: 'shared', subject: '10.0.0.3', node: 'a' },
  ] as const) {
    leaks.add(pools, found);
  }
  assert.deepEqual(leaks.list(), [
    { ippool: 'four', node: 'a', value: 1 },
    { ippool: 'six', node: 'a', value: 1 },
    { ippool: 'no_ippool', node: 'unknown_node', value: 1 },
  ]);
});
