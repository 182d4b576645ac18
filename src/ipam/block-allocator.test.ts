// Tests of the allocator over an in-memory store that enforces compare-and-swap.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Resource } from '#api';
import { ApiError, ConnectionError } from '#datastore/client';
import { parsePrefix } from '#lib';
import { BlockAllocator, IpamError } from './block-allocator.ts';
import { allocationsIn, newBlock } from './block.ts';
import { overlaps } from './pools.ts';
import { configuration, type MemoryStore, pool, storeWith } from './store-fixture.ts';

function owner(handle: string): { handle: string; attributes: Record<string, string> } {
  return { handle, attributes: { namespace: 'shop', pod: handle, node: 'a' } };
}

const v4 = pool('v4', '10.65.0.0/24', { blockSize: 26 });
const v6 = pool('v6', 'fd00:65::/112', { blockSize: 122 });

void test('[IP2] [IP3] one address of each family, the same again, and in the store', async () => {
  const store = storeWith(v4, v6);
  const allocator = new BlockAllocator({ client: store, nodeName: 'a' });
  const first = await allocator.assign(owner('k8s-pod-network.c1'));
  assert.deepEqual(
    first.map((address) => address.includes(':')),
    [false, true],
  );
  assert.deepEqual(await allocator.assign(owner('k8s-pod-network.c1')), first);
  const stored = store.blocks().flatMap((block) => allocationsIn(block));
  assert.deepEqual(stored.map(({ address }) => address).toSorted(), first.toSorted());
  assert.deepEqual(stored[0]?.attributes, owner('k8s-pod-network.c1').attributes);
  const again = await new BlockAllocator({ client: store, nodeName: 'a' }).allocationsOf(
    'k8s-pod-network.c1',
  );
  assert.equal(again.length, 2);
  assert.ok(store.blocks().every((block) => block.spec.affinity === 'host:a'));
});

void test('[IP2] requests for one handle at once take their turns', async () => {
  const store = storeWith(v4, v6);
  const allocator = new BlockAllocator({ client: store, nodeName: 'a' });
  const [one, two, released, three] = await Promise.all([
    allocator.assign(owner('h')),
    allocator.assign(owner('h')),
    allocator.release({ handle: 'h' }),
    allocator.assign(owner('h')),
  ]);
  assert.deepEqual(one, two);
  assert.deepEqual(released.toSorted(), one.toSorted());
  const held = (await allocator.allocationsOf('h')).map(({ address }) => address);
  assert.deepEqual(held.toSorted(), three.toSorted());
});

void test('[IP5] [IP6] a whole block is handed out in turn, and freed addresses come last', async () => {
  const store = storeWith(pool('tiny', '10.1.0.0/30', { blockSize: 30 }));
  const allocator = new BlockAllocator({ client: store, nodeName: 'a' });
  const given: string[] = [];
  for (const handle of ['h0', 'h1', 'h2']) given.push(...(await allocator.assign(owner(handle))));
  assert.deepEqual(given, ['10.1.0.0', '10.1.0.1', '10.1.0.2']);
  assert.deepEqual(await allocator.release({ handle: 'h1' }), ['10.1.0.1']);
  assert.deepEqual(await allocator.release({ handle: 'h1' }), []);
  assert.deepEqual(await allocator.assign(owner('h3')), ['10.1.0.3']);
  assert.deepEqual(await allocator.assign(owner('h4')), ['10.1.0.1']);
  await assert.rejects(allocator.assign(owner('h5')), (error: unknown) => {
    return error instanceof IpamError && /"tiny" has no free address or block/.test(error.message);
  });
});

void test('[IP4] when one family has no address the other is given back', async () => {
  const store = storeWith(v4);
  const allocator = new BlockAllocator({ client: store, nodeName: 'a' });
  const both = { ...owner('h'), families: [4, 6] as const };
  await assert.rejects(
    allocator.assign(both),
    /assign an IPv6 address to "h".*create or enable one/,
  );
  assert.deepEqual(await allocator.allocationsOf('h'), []);
});

void test('[IP4] what a lost race had left behind is given back too', async () => {
  const store = storeWith(v4, pool('tiny6', 'fd00::/128', { blockSize: 128 }));
  const rival = new BlockAllocator({ client: store, nodeName: 'b' });
  const allocator = new BlockAllocator({ client: store, nodeName: 'a' });
  loseFirstCreate(store, 'fd00', () => rival.assign({ ...owner('rival'), families: [6] }));
  await assert.rejects(allocator.assign({ ...owner('h'), families: [4, 6] }), IpamError);
  assert.deepEqual(await allocator.allocationsOf('h'), []);
  assert.equal(store.blocks().length, 2);
});

void test('[IP4] an address held before a request that fails is kept', async () => {
  const store = storeWith(v4, pool('tiny6', 'fd00::/128', { blockSize: 128 }));
  const rival = new BlockAllocator({ client: store, nodeName: 'b' });
  const allocator = new BlockAllocator({ client: store, nodeName: 'a' });
  const [held] = await allocator.assign({ ...owner('h'), families: [4] });
  loseFirstCreate(store, 'fd00', () => rival.assign({ ...owner('rival'), families: [6] }));
  await assert.rejects(allocator.assign({ ...owner('h'), families: [4, 6] }), IpamError);
  const kept = await allocator.allocationsOf('h');
  assert.deepEqual(
    kept.map(({ address }) => address),
    [held],
  );
});

/** Lets a rival act just before the first block of that name is made. */
function loseFirstCreate(store: MemoryStore, start: string, rival: () => Promise<unknown>): void {
  const create = store.create.bind(store);
  let isFirst = true;
  store.create = async (kind, resource) => {
    if (isFirst && resource.metadata.name.startsWith(start)) {
      isFirst = false;
      await rival();
    }
    return create(kind, resource);
  };
}

void test('[IP7] nodes own separate blocks, and a full one is followed by another', async () => {
  const store = storeWith(pool('p', '10.2.0.0/28', { blockSize: 30 }));
  const nodes = ['a', 'b'].map((nodeName) => new BlockAllocator({ client: store, nodeName }));
  const handles = Array.from({ length: 8 }, (_, index) => `h${index}`);
  const given = await Promise.all(
    nodes.map((node, at) =>
      Promise.all(handles.map((handle) => node.assign(owner(`${handle}-${at}`)))),
    ),
  );
  assert.equal(new Set(given.flat(2)).size, 16);
  assert.deepEqual(
    store
      .blocks()
      .map((block) => String(block.spec.affinity))
      .toSorted(),
    ['host:a', 'host:a', 'host:b', 'host:b'],
  );
});

void test('[IP7] a block of another size that is in the way is stepped over', async () => {
  const store = storeWith(pool('p', '10.3.0.0/24', { blockSize: 28 }));
  store.put(configuration({ strictAffinity: true }));
  const now = new Date().toISOString();
  store.put(newBlock({ ...prefix('10.3.0.0/25') }, 'host:other', 1, now));
  store.put(newBlock({ ...prefix('10.3.0.192/26') }, 'host:other', 1, now));
  const allocator = new BlockAllocator({ client: store, nodeName: 'a' });
  const handles = Array.from({ length: 64 }, (_, index) => `h${index}`);
  await Promise.all(handles.map((handle) => allocator.assign(owner(handle))));
  await assert.rejects(allocator.assign(owner('more')), IpamError);
  const own = store.blocks().filter((block) => block.spec.affinity === 'host:a');
  assert.deepEqual(own.map((block) => block.spec.cidr).toSorted(), [
    '10.3.0.128/28',
    '10.3.0.144/28',
    '10.3.0.160/28',
    '10.3.0.176/28',
  ]);
});

void test('[IP7] [IP8] disabled, manual, tunnel-only and unselecting pools are for those that name them', async () => {
  const store = storeWith(
    pool('disabled', '10.10.0.0/24', { disabled: true }),
    pool('manual', '10.11.0.0/24', { assignmentMode: 'Manual' }),
    pool('tunnel', '10.12.0.0/24', { allowedUses: ['Tunnel'] }),
    pool('rack', '10.13.0.0/24', { nodeSelector: 'rack == "r1"' }),
    pool('team', '10.14.0.0/24', { namespaceSelector: 'team == "x"' }),
  );
  const allocator = new BlockAllocator({ client: store, nodeName: 'a' });
  await assert.rejects(allocator.assign(owner('h')), /no enabled IPPool selects node "a"/);
  await assert.rejects(allocator.assign({ ...owner('h'), pools: { 4: ['disabled'] } }), IpamError);
  assert.match(
    (await allocator.assign({ ...owner('m'), pools: { 4: ['manual'] } }))[0] ?? '',
    /^10\.11\./,
  );
  assert.match(
    (await allocator.assign({ ...owner('r'), pools: { 4: ['10.13.0.0/24'] } }))[0] ?? '',
    /^10\.13\./,
  );
  const selecting = new BlockAllocator({
    client: store,
    nodeName: 'a',
    poolSelects: {
      node: ({ spec }) => spec.nodeSelector?.includes('r1') === true,
      namespace: ({ spec }) => spec.namespaceSelector === undefined,
    },
  });
  assert.match((await selecting.assign(owner('s')))[0] ?? '', /^10\.13\./);
});

void test('[IP9] a hundred requests at once are a handful of writes', async () => {
  const store = storeWith(v4, v6);
  const allocator = new BlockAllocator({ client: store, nodeName: 'a' });
  const handles = Array.from({ length: 100 }, (_, index) => `h${index}`);
  const given = await Promise.all(handles.map((handle) => allocator.assign(owner(handle))));
  assert.equal(new Set(given.flat()).size, 200);
  assert.equal(store.writesOf('IPAMBlock'), 4);
  assert.equal(store.writes, 12, 'each new block has an affinity: pending, then confirmed');
  await Promise.all(handles.map((handle) => allocator.release({ handle })));
  assert.equal(store.writes, 16);
  assert.deepEqual(await allocator.allocations(), []);
});

void test('[IP10] an allocator that always loses gives up and says so', async () => {
  const store = storeWith(v4);
  store.turns = () => 0;
  store.create = () => Promise.reject(new ApiError(409, 'AlreadyExists', 'taken'));
  const allocator = new BlockAllocator({ client: store, nodeName: 'a' });
  await assert.rejects(
    allocator.assign(owner('h')),
    /"h": lost 100 races for its block; try again/,
  );
});

void test('[IP3] a store that cannot be reached fails the request with its own error', async () => {
  const store = storeWith(v4);
  store.fault = () => 'before';
  const allocator = new BlockAllocator({ client: store, nodeName: 'a' });
  await assert.rejects(allocator.assign(owner('h')), ConnectionError);
  store.fault = () => 'none';
  assert.equal((await allocator.assign(owner('h'))).length, 1);
});

void test('[IP11] sequence numbers rise and are remembered by allocation', async () => {
  const store = storeWith(v4);
  const allocator = new BlockAllocator({ client: store, nodeName: 'a', now: () => 1000 });
  await allocator.assign(owner('h0'));
  await allocator.assign(owner('h1'));
  const spec = store.blocks()[0]?.spec;
  assert.equal(spec?.sequenceNumber, 1_000_002);
  assert.deepEqual(Object.values(spec?.sequenceNumberForAllocation ?? {}), [1_000_001, 1_000_002]);
  await allocator.release({ handle: 'h0' });
  assert.equal(store.blocks()[0]?.spec.sequenceNumber, 1_000_003);
  assert.equal(Object.keys(store.blocks()[0]?.spec.sequenceNumberForAllocation ?? {}).length, 1);
});

void test('[IP12] a block whose size contradicts its prefix is left alone', async () => {
  const store = storeWith(pool('p', '10.4.0.0/29', { blockSize: 30 }));
  const broken = newBlock(prefix('10.4.0.0/30'), 'host:a', 1);
  store.put({ ...broken, spec: { ...broken.spec, allocations: [null] } } as Resource);
  const allocator = new BlockAllocator({ client: store, nodeName: 'a' });
  for (const handle of ['h0', 'h1', 'h2', 'h3']) {
    assert.match((await allocator.assign(owner(handle)))[0] ?? '', /^10\.4\.0\.[4-7]$/);
  }
  await assert.rejects(allocator.assign(owner('h4')), IpamError);
});

function prefix(text: string): NonNullable<ReturnType<typeof parsePrefix>> {
  const parsed = parsePrefix(text);
  assert.ok(parsed);
  return parsed;
}

interface Step {
  readonly node: number;
  readonly handle: number;
  readonly action: 'assign' | 'release' | 'crash';
}

const step: fc.Arbitrary<Step> = fc.record({
  node: fc.nat(1),
  handle: fc.nat(5),
  action: fc.constantFrom('assign', 'assign', 'assign', 'release', 'release', 'crash'),
});

/** Numbers in [0, bound) from a seed, so that an interleaving can be run again. */
function draws(seed: number): (bound: number) => number {
  let state = seed >>> 0;
  return (bound) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * bound);
  };
}

void test('[IP1] [IP2] no address has two owners, whatever two nodes, crashes and lost answers do', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), fc.nat(), async (steps, seed) => {
      await interleave(steps, seed);
    }),
    { numRuns: 150 },
  );
});

/** Runs the steps without waiting for each other, and checks every answer against a plain map. */
async function interleave(steps: readonly Step[], seed: number): Promise<void> {
  const draw = draws(seed);
  const store = storeWith(
    pool('p4', '10.9.0.0/29', { blockSize: 31 }),
    pool('p6', 'fd00:9::/125', { blockSize: 127 }),
  );
  store.turns = () => draw(4);
  store.fault = () => (['before', 'after'] as const)[draw(12)] ?? 'none';
  const make = (node: number) => new BlockAllocator({ client: store, nodeName: `n${node}` });
  const nodes = [make(0), make(1)];
  /** Addresses answered, by the handle that uses them until it asks for their release. */
  const inUse = new Map<string, string>();
  const running: Promise<void>[] = [];
  const busy = new Set<string>();
  for (const { node, handle: number, action } of steps) {
    const handle = `n${node}-h${number}`;
    const allocator = nodes[node];
    assert.ok(allocator);
    // A crash: another allocator takes over while the writes of the first are still under way.
    if (action === 'crash') nodes[node] = make(node);
    else if (!busy.has(handle)) {
      busy.add(handle);
      const work = action === 'assign' ? assign(allocator, handle) : release(allocator, handle);
      running.push(work.finally(() => busy.delete(handle)));
    }
    if (draw(3) === 0) await new Promise((done) => setImmediate(done));
  }
  await Promise.all(running);
  const blocks = store.blocks().map((block) => prefix(block.spec.cidr));
  assert.ok(blocks.every((a, i) => blocks.every((b, j) => i === j || !overlaps(a, b))));

  async function assign(allocator: BlockAllocator, handle: string): Promise<void> {
    const addresses = await allocator.assign(owner(handle)).catch(ignoreRefusal);
    for (const address of addresses) {
      assert.equal(inUse.get(address) ?? handle, handle, `${address} has two owners`);
      inUse.set(address, handle);
      const held = store.blocks().flatMap((block) => allocationsIn(block));
      assert.equal(held.find((each) => each.address === address)?.handle, handle);
    }
    const all = [...inUse].filter(([, user]) => user === handle).map(([address]) => address);
    if (addresses.length > 0) assert.deepEqual(all.toSorted(), addresses.toSorted());
  }

  async function release(allocator: BlockAllocator, handle: string): Promise<void> {
    for (const [address, user] of inUse) if (user === handle) inUse.delete(address);
    await allocator.release({ handle }).catch(ignoreRefusal);
  }
}

function ignoreRefusal(error: unknown): string[] {
  if (error instanceof IpamError || error instanceof ConnectionError) return [];
  throw error;
}
