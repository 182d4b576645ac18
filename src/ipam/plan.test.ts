// Tests of the plan: who gets which address of which block, and what becomes of blocks and affinities.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IPAMBlock, Resource } from '#api';
import { parsePrefix } from '#lib';
import { affinityName, newAffinity, newHandle } from './affinity.ts';
import { allocate, allocationsIn, entriesOf, newBlock } from './block.ts';
import { BlockAllocator, type BlockAllocatorOptions, IpamError } from './block-allocator.ts';
import { Inventory } from './inventory.ts';
import { poolConditions } from './pool-status.ts';
import { configuration, type MemoryStore, pool, storeWith } from './store-fixture.ts';

const START = Date.parse('2026-01-01T00:00:00Z');

function prefix(text: string): NonNullable<ReturnType<typeof parsePrefix>> {
  const parsed = parsePrefix(text);
  assert.ok(parsed);
  return parsed;
}

function owner(handle: string): { handle: string; attributes: Record<string, string> } {
  return { handle, attributes: { namespace: 'shop', pod: handle, node: 'a' } };
}

function allocatorOf(
  store: MemoryStore,
  nodeName: string,
  options: Partial<BlockAllocatorOptions> = {},
): BlockAllocator {
  return new BlockAllocator({ client: store, nodeName, now: () => START, ...options });
}

/** A block of node `other` with so many addresses held, claimed at `claimed`. */
function otherBlock(cidr: string, held: number, claimed = '2026-01-01T00:00:00Z'): IPAMBlock {
  let block = newBlock(prefix(cidr), 'host:other', 7, claimed);
  for (let index = 0; index < held; index++) {
    block = allocate(block, owner(`other-${cidr}-${index}`))?.block ?? block;
  }
  return block;
}

function affinityStates(store: MemoryStore): Record<string, unknown> {
  return Object.fromEntries(
    store.of('BlockAffinity').map((item) => [item.metadata.name, specOf(item)['state']]),
  );
}

function specOf(resource: Resource | undefined): Record<string, unknown> {
  return (resource as unknown as { spec?: Record<string, unknown> })?.spec ?? {};
}

function reservation(...reservedCIDRs: string[]): Resource {
  const metadata = { name: 'reserved' };
  return {
    apiVersion: 'projectcalico.org/v3',
    kind: 'IPReservation',
    metadata,
    spec: { reservedCIDRs },
  } as Resource;
}

void test('[IP13] a claimed block has an affinity: pending before it, confirmed after it', async () => {
  const store = storeWith(pool('p', '10.0.0.0/24'));
  const seen: string[] = [];
  store.onChange = (next) => {
    const { state } = specOf(next);
    if (next) seen.push(typeof state === 'string' ? `${next.kind} ${state}` : next.kind);
  };
  await allocatorOf(store, 'a').assign(owner('h'));
  assert.deepEqual(seen, ['BlockAffinity pending', 'IPAMBlock', 'BlockAffinity confirmed']);
  const [affinity] = store.of('BlockAffinity');
  const [block] = store.blocks();
  const cidr = block?.spec.cidr ?? '';
  assert.equal(affinity?.metadata.name, affinityName({ type: 'host', name: 'a' }, cidr));
  assert.deepEqual(affinity?.metadata.labels, {
    'projectcalico.org/affinity-type': 'host',
    'projectcalico.org/hostname-hash': 'QAEEX4X3UASHK4TP5MWKWLMCCXVLCS6GXXML7MWICUJFOAZOZWFQ',
    'projectcalico.org/ip-version': '4',
  });
  assert.deepEqual(specOf(affinity), {
    state: 'confirmed',
    node: 'a',
    type: 'host',
    cidr,
    deleted: false,
  });
});

void test('[IP13] affinities are brought in line with the blocks, whoever died between', async () => {
  const store = storeWith(pool('p', '10.0.0.0/24', { blockSize: 28 }));
  const allocator = allocatorOf(store, 'a');
  const a = { type: 'host', name: 'a' } as const;
  await allocator.assign(owner('h'));
  const cidr = store.blocks()[0]?.spec.cidr ?? '';
  store.put(newAffinity(a, cidr, 'pending'));
  store.put(newAffinity(a, '10.0.0.240/28', 'pending'));
  await allocator.assign(owner('h2'));
  assert.deepEqual(affinityStates(store), { [affinityName(a, cidr)]: 'confirmed' });
  store.remove('BlockAffinity', { name: affinityName(a, cidr) });
  await allocator.assign(owner('h3'));
  assert.deepEqual(affinityStates(store), { [affinityName(a, cidr)]: 'confirmed' });
});

void test('[IP14] no free block: an empty one of another node, a minute after its claim', async () => {
  const store = storeWith(pool('p', '10.0.0.0/30', { blockSize: 30 }));
  const other = { type: 'host', name: 'other' } as const;
  store.put(configuration({ strictAffinity: true }));
  store.put(otherBlock('10.0.0.0/30', 0));
  store.put(newAffinity(other, '10.0.0.0/30', 'confirmed'));
  const late = allocatorOf(store, 'a', { now: () => START + 59_000 });
  await assert.rejects(late.assign(owner('h')), /strictAffinity forbids borrowing/);
  const later = allocatorOf(store, 'a', { now: () => START + 60_000 });
  await later.assign(owner('h'));
  assert.deepEqual(affinityStates(store), { 'a-10-0-0-0-30': 'confirmed' });
  assert.equal(store.blocks()[0]?.spec.affinity, 'host:a');
  assert.ok((store.blocks()[0]?.spec.sequenceNumber ?? 0) > 7, 'stale releases are recognised');
});

void test('[IP14] a block marked as deleted gives its place away', async () => {
  const store = storeWith(pool('p', '10.0.0.0/30', { blockSize: 30 }));
  const marked = otherBlock('10.0.0.0/30', 0);
  store.put({ ...marked, spec: { ...marked.spec, deleted: true } } as Resource);
  assert.deepEqual(await allocatorOf(store, 'a').assign(owner('h')), ['10.0.0.0']);
  assert.equal(store.blocks()[0]?.spec.deleted, false);
});

void test('[IP15] no block to be had: single addresses of others, unless affinity is strict', async () => {
  const store = storeWith(pool('p', '10.0.0.0/30', { blockSize: 30 }));
  store.put(otherBlock('10.0.0.0/30', 2));
  store.put(configuration({ strictAffinity: true }));
  const allocator = allocatorOf(store, 'a');
  await assert.rejects(allocator.assign(owner('h')), IpamError);
  store.put(configuration({ strictAffinity: false }));
  assert.deepEqual(await allocator.assign(owner('h')), ['10.0.0.2']);
  assert.equal(store.blocks()[0]?.spec.affinity, 'host:other');
  assert.deepEqual(await allocator.release({ handle: 'h' }), ['10.0.0.2']);
});

void test('[IP16] limits: blocks a node, of each family; no claims where they are off', async () => {
  const pools = [
    pool('p4', '10.0.0.0/29', { blockSize: 31 }),
    pool('p6', 'fd00::/125', { blockSize: 127 }),
  ];
  const strict = { strictAffinity: true, maxBlocksPerHost: 2 };
  const store = storeWith(...pools, configuration(strict));
  const allocator = allocatorOf(store, 'a');
  for (const handle of ['h0', 'h1', 'h2', 'h3']) await allocator.assign(owner(handle));
  assert.equal(store.blocks().length, 4);
  await assert.rejects(allocator.assign(owner('h4')), IpamError);
  const off = storeWith(
    ...pools,
    configuration({ strictAffinity: true, autoAllocateBlocks: false }),
  );
  await assert.rejects(allocatorOf(off, 'a').assign(owner('h')), /autoAllocateBlocks is false/);
});

void test('[IP16] 20 blocks where nothing says otherwise; then borrowing; a request may say less', async () => {
  const store = storeWith(pool('p', '10.0.0.0/26', { blockSize: 32 }));
  const allocator = allocatorOf(store, 'a');
  await assert.rejects(
    allocator
      .assign({ ...owner('h'), maxBlocks: 1 })
      .then(() => allocator.assign({ ...owner('h2'), maxBlocks: 1 })),
    IpamError,
  );
  for (let index = 0; index < 19; index++) await allocator.assign(owner(`more${index}`));
  assert.equal(store.blocks().length, 20);
  await assert.rejects(allocator.assign(owner('last')), IpamError);
});

void test('[IP17] reserved addresses and blocks are passed over, not taken away, and may be asked for', async () => {
  const store = storeWith(pool('p', '10.0.0.0/29', { blockSize: 30 }));
  const allocator = allocatorOf(store, 'a');
  const [first] = await allocator.assign(owner('before'));
  store.put(reservation('10.0.0.0/30', '10.0.0.4/31', '10.0.0.6/32'));
  const rest = first?.startsWith('10.0.0.7') ? [] : ['10.0.0.7'];
  assert.deepEqual(await allocator.assign(owner('h1')), rest);
  await assert.rejects(allocator.assign(owner('h2')), IpamError);
  assert.equal((await allocator.allocationsOf('before')).length, 1);
  const asked = first === '10.0.0.5' ? '10.0.0.4' : '10.0.0.5';
  assert.deepEqual(await allocator.assign({ ...owner('h3'), addresses: [asked] }), [asked]);
});

void test('[IP17] a block that is reserved whole is passed over when a node looks for its next', async () => {
  const make = () => storeWith(pool('p', '10.0.0.0/28', { blockSize: 30 }));
  const store = make();
  await allocatorOf(store, 'a').assign(owner('h'));
  const first = store.blocks()[0]?.spec.cidr ?? '';
  const reserved = make();
  reserved.put(reservation(first));
  await allocatorOf(reserved, 'a').assign(owner('h'));
  assert.notEqual(reserved.blocks()[0]?.spec.cidr, first);
});

void test('[IP18] a released address rests: it has no owner, and is not given before its time', async () => {
  let now = START;
  const store = storeWith(pool('p', '10.0.0.0/31', { blockSize: 31 }));
  store.put(configuration({ ipCooldownSeconds: 30 }));
  const allocator = allocatorOf(store, 'a', { now: () => now });
  assert.deepEqual(await allocator.assign(owner('h0')), ['10.0.0.0']);
  assert.deepEqual(await allocator.release({ handle: 'h0' }), ['10.0.0.0']);
  assert.deepEqual(await allocator.allocationsOf('h0'), []);
  const [entry] = store.blocks().flatMap(entriesOf);
  assert.equal(entry?.releasedAt, '2026-01-01T00:00:00.000Z');
  assert.deepEqual(await allocator.releaseAddresses([{ address: '10.0.0.0' }]), ['10.0.0.0']);
  assert.deepEqual(await allocator.assign(owner('h0')), ['10.0.0.1'], 'its old one rests');
  await assert.rejects(allocator.assign(owner('h1')), IpamError);
  await assert.rejects(
    allocator.assign({ ...owner('h1'), addresses: ['10.0.0.0'] }),
    /10\.0\.0\.0 rests since its release/,
  );
  now += 30_000;
  assert.deepEqual(await allocator.assign(owner('h1')), ['10.0.0.0']);
});

void test('[IP11] a release for another allocation of the address is refused; old blocks have no number', async () => {
  const store = storeWith(pool('p', '10.0.0.0/31', { blockSize: 31 }));
  const allocator = allocatorOf(store, 'a');
  await allocator.assign(owner('h0'));
  const [held] = await allocator.allocationsOf('h0');
  const address = held?.address ?? '';
  const sequence = (held?.sequence ?? 0) - 1;
  await assert.rejects(
    allocator.releaseAddresses([{ address, sequence }]),
    /allocated again since/,
  );
  await assert.rejects(allocator.releaseAddresses([{ address, handle: 'x' }]), /held by "h0"/);
  const [block] = store.blocks();
  assert.ok(block);
  const { sequenceNumberForAllocation: _, ...old } = block.spec;
  store.put({ ...block, spec: old } as Resource);
  assert.deepEqual(await allocator.releaseAddresses([{ address, sequence }]), [address]);
  assert.deepEqual(await allocator.releaseAddresses([{ address }, { address: '9.9.9.9' }]), []);
});

void test('[IP19] chosen addresses: from pools for the use, one a family, wherever the block is', async () => {
  const store = storeWith(
    pool('p', '10.0.0.0/24', { blockSize: 30, nodeSelector: '!all()' }),
    pool('t', '10.1.0.0/24', { blockSize: 30, allowedUses: ['Tunnel'] }),
    pool('p6', 'fd00::/120', { blockSize: 126 }),
  );
  store.put(otherBlock('10.0.0.8/30', 1));
  const allocator = allocatorOf(store, 'a');
  const both = ['10.0.0.10', 'fd00::7'];
  assert.deepEqual(await allocator.assign({ ...owner('h'), addresses: both.toReversed() }), both);
  assert.deepEqual(await allocator.assign({ ...owner('h'), addresses: both }), both);
  const refused: [string[], RegExp][] = [
    [['10.0.0.10'], /held by "h"/],
    [['10.1.0.1'], /"t", which contains 10\.1\.0\.1, is not for Workload/],
    [['10.2.0.1'], /no enabled IPPool contains 10\.2\.0\.1/],
    [['10.0.0.20', '10.0.0.21'], /more than one IPv4/],
    [['10.0.0'], /"10\.0\.0" is no address/],
  ];
  for (const [addresses, message] of refused) {
    await assert.rejects(allocator.assign({ ...owner('h2'), addresses }), message);
  }
  store.put(configuration({ strictAffinity: true }));
  await assert.rejects(
    allocator.assign({ ...owner('h3'), addresses: ['10.0.0.11'] }),
    /in a block of "host:other".*strictAffinity/,
  );
});

void test('[IP20] an empty block goes when its pool is gone, disabled, or not for this node any more', async () => {
  let selects: boolean | undefined = true;
  const poolSelects = { node: () => selects, namespace: () => true };
  const store = storeWith(pool('p', '10.0.0.0/24', { blockSize: 30 }));
  const allocator = allocatorOf(store, 'a', { poolSelects });
  await allocator.assign(owner('h'));
  selects = undefined;
  await allocator.release({ handle: 'h' });
  assert.equal(store.blocks().length, 1, 'not while the node is not known');
  selects = true;
  await allocator.assign(owner('h'));
  selects = false;
  await assert.rejects(allocator.assign(owner('h2')), IpamError);
  assert.equal(store.blocks().length, 1, 'not while an address is held');
  await allocator.release({ handle: 'h' });
  assert.deepEqual([store.blocks(), store.of('BlockAffinity')], [[], []]);
  selects = true;
  await allocator.assign(owner('h'));
  store.remove('IPPool', { name: 'p' });
  await allocator.release({ handle: 'h' });
  assert.deepEqual([store.blocks(), store.of('BlockAffinity')], [[], []]);
});

void test('[IP20] a block that nobody owns goes with its last address', async () => {
  const store = storeWith(pool('p', '10.0.0.0/30', { blockSize: 30 }));
  const { affinity: _, ...spec } = otherBlock('10.0.0.0/30', 2).spec;
  store.put({ ...otherBlock('10.0.0.0/30', 2), spec } as Resource);
  const allocator = allocatorOf(store, 'a');
  await allocator.release({ handle: 'other-10.0.0.0/30-0' });
  assert.equal(store.blocks().length, 1);
  await allocator.releaseAddresses([{ address: '10.0.0.1' }]);
  assert.deepEqual(store.blocks(), []);
});

void test('[IP21] of two pools that overlap the older is used; named ones in the order of the names', async () => {
  const at = (creationTimestamp: string, each: ReturnType<typeof pool>) => ({
    ...each,
    metadata: { ...each.metadata, creationTimestamp },
  });
  const store = storeWith(
    at('2026-01-02T00:00:00Z', pool('a-young', '10.0.0.0/24', { blockSize: 30 })),
    at('2026-01-01T00:00:00Z', pool('old', '10.0.0.0/16', { blockSize: 30 })),
    at(
      '2026-01-01T00:00:00Z',
      pool('b', '10.5.0.0/30', { blockSize: 30, allowedUses: ['Tunnel'] }),
    ),
    at('2026-01-01T00:00:00Z', pool('z', '10.4.0.0/32', { blockSize: 32 })),
    at('2026-01-01T00:00:00Z', pool('y', '10.6.0.0/30', { blockSize: 30 })),
  );
  const allocator = allocatorOf(store, 'a');
  await assert.rejects(
    allocator.assign({ ...owner('h'), pools: { 4: ['a-young'] } }),
    /no enabled IPPool "a-young" has IPv4 addresses for Workload/,
  );
  await assert.rejects(
    allocator.assign({ ...owner('h'), pools: { 4: ['old', 'gone', 'b'] } }),
    /no enabled IPPool "gone, b"/,
  );
  const named = { pools: { 4: ['z', 'y'] } };
  assert.deepEqual(await allocator.assign({ ...owner('h1'), ...named }), ['10.4.0.0']);
  assert.deepEqual(await allocator.assign({ ...owner('h2'), ...named }), ['10.6.0.0']);
  const tunnel = { ...owner('t'), use: 'Tunnel' as const, pools: { 4: ['b'] } };
  assert.deepEqual(await allocator.assign(tunnel), ['10.5.0.0']);
});

void test('[IP34] a pool says whether it is used, and why not', async () => {
  const at = (creationTimestamp: string, name: string, cidr: string, disabled = false) => {
    const made = pool(name, cidr, { disabled });
    return { ...made, metadata: { ...made.metadata, creationTimestamp } };
  };
  const gone = at('2026-01-01T00:00:00Z', 'gone', '10.3.0.0/24');
  const conditions = poolConditions([
    at('2026-01-02T00:00:00Z', 'young', '10.0.0.0/24'),
    at('2026-01-01T00:00:00Z', 'old', '10.0.0.0/16'),
    at('2026-01-01T00:00:00Z', 'off', '10.2.0.0/24', true),
    { ...gone, metadata: { ...gone.metadata, deletionTimestamp: '2026-01-03T00:00:00Z' } },
  ]);
  assert.deepEqual(
    [...conditions].map(([name, { status, reason }]) => `${name} ${status} ${reason}`),
    ['young False CIDROverlap', 'old True OK', 'off False PoolDisabled', 'gone False Terminating'],
  );
});

void test('[IP22] handle objects, where they are wanted, count what the blocks say', async () => {
  const store = storeWith(
    pool('p', '10.0.0.0/24', { blockSize: 30 }),
    pool('p6', 'fd00::/120', { blockSize: 126 }),
  );
  const allocator = allocatorOf(store, 'a', { writesHandles: true });
  const handle = 'k8s-pod-network.ABC';
  await allocator.assign(owner(handle));
  const [object] = store.of('IPAMHandle');
  const counts = Object.fromEntries(store.blocks().map(({ spec }) => [spec.cidr, 1]));
  assert.ok(object);
  const { resourceVersion: _, ...metadata } = object.metadata;
  assert.deepEqual({ ...object, metadata }, newHandle(handle, counts));
  assert.equal(metadata.name, 'k8s-pod-network.abc');
  await allocator.release({ handle });
  assert.deepEqual(store.of('IPAMHandle'), []);
});

void test('[IP23] blocks are written as upstream writes them, field by field', async () => {
  const store = storeWith(pool('p', '10.0.0.0/30', { blockSize: 30 }));
  await allocatorOf(store, 'a').assign(owner('h'));
  const text = JSON.stringify(store.blocks()[0]?.spec);
  const sequence = START * 1000 + 1;
  assert.equal(
    text,
    '{"cidr":"10.0.0.0/30","affinity":"host:a","affinityClaimTime":"2026-01-01T00:00:00Z",' +
      '"allocations":[0,null,null,null],"unallocated":[1,2,3],' +
      '"attributes":[{"handle_id":"h","secondary":{"namespace":"shop","pod":"h","node":"a"}}],' +
      `"sequenceNumber":${sequence},"sequenceNumberForAllocation":{"0":${sequence}},` +
      '"deleted":false,"strictAffinity":false}',
  );
});

void test('[IP24] a fed inventory needs no lists, and lists before anybody is sent away', async () => {
  const store = storeWith(pool('p', '10.0.0.0/30', { blockSize: 30 }));
  const inventory = new Inventory(store);
  let lists = 0;
  const client = {
    list: (kind: Parameters<typeof store.list>[0]) => (lists++, store.list(kind)),
    create: store.create.bind(store),
    replace: store.replace.bind(store),
    delete: store.delete.bind(store),
  };
  const fed = new Inventory(client);
  const allocator = allocatorOf(store, 'a', { inventory: fed });
  fed.setFed(true);
  await allocator.assign(owner('h0'));
  const first = lists;
  for (const handle of ['h1', 'h2', 'h3']) await allocator.assign(owner(handle));
  await allocator.release({ handle: 'h1' });
  assert.equal(lists, first, 'nothing was listed again');
  // What another allocator of the node did is not known here yet.
  await allocatorOf(store, 'a', { inventory }).assign(owner('h4'));
  assert.deepEqual(await allocator.release({ handle: 'h4' }), ['10.0.0.1']);
  assert.ok(lists > first);
  const stale = store.blocks()[0];
  assert.ok(stale);
  await allocator.assign(owner('h5'));
  const listed = lists;
  const affinity = { group: 'projectcalico.org', kind: 'BlockAffinity' };
  fed.onUpdates([{ kind: affinity, key: 'projectcalico.org/v3/BlockAffinity other' }]);
  await allocator.release({ handle: 'h3' });
  assert.equal(lists, listed, 'what others delete is no reason to list');
  const kind = { group: 'projectcalico.org', kind: 'IPAMBlock' };
  fed.onUpdates([
    { kind, key: `projectcalico.org/v3/IPAMBlock ${stale.metadata.name}`, resource: stale },
  ]);
  assert.ok((fed.blocks[0]?.spec.sequenceNumber ?? 0) > (stale.spec.sequenceNumber ?? 0));
  assert.equal(store.blocks().flatMap(allocationsIn).length, 3);
  // A deletion that may have come before our own last write.
  fed.onUpdates([{ kind, key: `projectcalico.org/v3/IPAMBlock ${stale.metadata.name}` }]);
  assert.deepEqual(
    await allocator.allocationsOf('h5'),
    await allocatorOf(store, 'a').allocationsOf('h5'),
  );
  assert.ok(lists > listed);
});
