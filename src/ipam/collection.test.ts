// Tests of the collection: what it finds, when it may act, and that it acts on nothing else.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { calicoNodeKind, type IPAMBlock, type Pod, type Resource } from '#api';
import { newAffinity, newHandle } from './affinity.ts';
import { BlockAllocator } from './block-allocator.ts';
import { allocationsIn, WINDOWS_HANDLE } from './block.ts';
import { Collector } from './collector.ts';
import { configuration, type MemoryStore, pool, storeWith } from './store-fixture.ts';

const START = Date.parse('2026-01-01T00:00:00Z');
const GRACE = 15 * 60_000;

function node(name: string, annotations: Record<string, string> = {}): Resource {
  return { apiVersion: 'v1', kind: 'Node', metadata: { name, annotations } };
}

function pod(name: string, nodeName: string, addresses: readonly string[], more = {}): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace: 'shop', name },
    spec: { nodeName, containers: [] },
    status: { phase: 'Running', podIPs: addresses.map((ip) => ({ ip })), ...more },
  } as Pod;
}

/** A store, nodes a and b, and a clock that the test moves. */
class World {
  now = START;
  readonly store: MemoryStore;
  readonly collector: Collector;

  constructor(...resources: Resource[]) {
    const big = pool('p', '10.0.0.0/24', { blockSize: 28 });
    this.store = storeWith(big, node('a'), node('b'), ...resources);
    this.collector = new Collector({ client: this.store, now: () => this.now });
  }

  allocator(nodeName = 'a'): BlockAllocator {
    return new BlockAllocator({ client: this.store, nodeName, now: () => this.now });
  }

  async assign(name: string, nodeName = 'a', more: Record<string, string> = {}): Promise<string> {
    const attributes = { namespace: 'shop', pod: name, node: nodeName, ...more };
    const handle = `net.${name}`;
    const [address = ''] = await this.allocator(nodeName).assign({ handle, attributes });
    return address;
  }

  /** `kind subject: waits`. */
  async seen(): Promise<string[]> {
    const checked = await this.collector.check();
    return checked.map(
      ({ finding, waitsFor }) => `${finding.kind} ${finding.subject}: ${waitsFor}`,
    );
  }

  async reasons(): Promise<string[]> {
    const checked = await this.collector.check();
    return checked.map(({ finding }) => `${finding.kind}: ${finding.reason}`);
  }

  /** Looks and mends as often as it takes two looks a grace period apart to act. */
  async settle(turns = 3): Promise<void> {
    for (let turn = 0; turn < turns; turn++) {
      await this.collector.check();
      for (const { failure } of await this.collector.mend()) assert.equal(failure, undefined);
      this.now += GRACE;
    }
  }

  held(): string[] {
    return this.store
      .blocks()
      .flatMap(allocationsIn)
      .map(({ address }) => address);
  }
}

void test('[IP26] each allocation is judged by its pod, and the reason is told', async () => {
  const world = new World();
  const { store } = world;
  const address = {
    gone: await world.assign('gone'),
    moved: await world.assign('moved'),
    done: await world.assign('done'),
    other: await world.assign('other'),
    lost: await world.assign('lost'),
    fine: await world.assign('fine'),
    young: await world.assign('young'),
  };
  store.put(pod('moved', 'b', [address.moved]));
  store.put(pod('done', 'a', [], { phase: 'Succeeded' }));
  store.put(pod('other', 'a', ['10.0.0.250']));
  const lost = pod('lost', 'a', []);
  const annotations = { 'cni.projectcalico.org/podIP': '' };
  store.put({ ...lost, metadata: { ...lost.metadata, annotations } });
  store.put(pod('fine', 'a', [address.fine]));
  store.put(pod('young', 'a', []));
  assert.deepEqual(await world.reasons(), [
    'leaked: pod shop/gone does not exist',
    'leaked: pod shop/moved is on node "b", not on "a"',
    'leaked: pod shop/done has finished',
    `leaked: pod shop/other has 10.0.0.250, not ${address.other}`,
    `leaked: pod shop/lost has no address, not ${address.lost}`,
    'unallocated: used by Workload(shop/other), and not allocated',
  ]);
  await world.settle();
  assert.deepEqual(world.held(), [address.fine, address.young]);
});

void test('[IP26] what is not a pod of a node is left alone, a tunnel goes with its node', async () => {
  const world = new World();
  const allocator = world.allocator();
  await allocator.assign({ handle: WINDOWS_HANDLE, attributes: {} });
  await allocator.assign({ handle: 'somebody', attributes: { node: 'a' } });
  const tunnel = { node: 'b', type: 'vxlanTunnelAddress' };
  const [address] = await allocator.assign({ handle: 'vxlan-tunnel-addr-b', attributes: tunnel });
  assert.deepEqual(await world.reasons(), []);
  world.store.remove('Node', { name: 'b' });
  assert.deepEqual(await world.reasons(), [
    'leaked: vxlanTunnelAddress of node "b", which is gone',
  ]);
  await world.settle(1);
  assert.equal(world.held().includes(address ?? ''), false);
  assert.equal(world.held().length, 2);
});

void test('[IP27] it acts on what it saw twice, the grace period apart, and is still so', async () => {
  const world = new World();
  const address = await world.assign('gone');
  assert.deepEqual(await world.seen(), [`leaked ${address}: it was seen once only`]);
  world.now += GRACE - 1000;
  assert.deepEqual(await world.seen(), [`leaked ${address}: its grace period ends in 1 s`]);
  assert.deepEqual(await world.collector.mend(), []);
  world.now += 1000;
  assert.deepEqual(await world.seen(), [`leaked ${address}: undefined`]);
  // It comes to life after the last look at everything: it is asked for once more.
  const get = world.store.get.bind(world.store);
  world.store.get = async (kind, key) => {
    if (kind.kind === 'Pod') world.store.put(pod('gone', 'a', [address]));
    return get(kind, key);
  };
  const [mended] = await world.collector.mend();
  assert.equal(mended?.failure, 'its handle is in use');
  assert.deepEqual(world.held(), [address]);
});

void test('[IP27] another allocation of the address begins its own time; grace 0 is off', async () => {
  const world = new World();
  const address = await world.assign('gone');
  await world.seen();
  await world.allocator().release({ handle: 'net.gone' });
  const attributes = { namespace: 'shop', pod: 'gone', node: 'a' };
  await world.allocator().assign({ handle: 'net.gone', attributes, addresses: [address] });
  world.now += GRACE;
  assert.deepEqual(await world.seen(), [`leaked ${address}: it was seen once only`]);
  const off = { controllers: { node: { leakGracePeriod: '0s' } } };
  world.store.put({
    apiVersion: 'projectcalico.org/v3',
    kind: 'KubeControllersConfiguration',
    metadata: { name: 'default' },
    spec: off,
  } as Resource);
  assert.match((await world.seen())[0] ?? '', /collection is off \(leakGracePeriod is 0\)/);
});

void test('[IP28] all addresses of a handle or none', async () => {
  const world = new World(pool('p6', 'fd00::/120', { blockSize: 124 }));
  const attributes = { namespace: 'shop', pod: 'both', node: 'a' };
  const [v4 = '', v6 = ''] = await world.allocator().assign({ handle: 'net.both', attributes });
  world.store.put(pod('both', 'a', [v6]));
  await world.settle();
  assert.deepEqual(world.held().toSorted(), [v4, v6].toSorted());
  world.store.remove('Pod', { namespace: 'shop', name: 'both' });
  await world.settle();
  assert.deepEqual(world.held(), []);
});

void test('[IP29] a node that is gone: at once, but for pods that are alive', async () => {
  const world = new World();
  const alive = await world.assign('alive', 'b');
  world.store.put(pod('alive', 'b', [alive]));
  for (const name of ['x', 'y', 'z']) await world.assign(name, 'b');
  world.store.put(pod('own', 'a', [await world.assign('own', 'a')]));
  world.store.remove('Node', { name: 'b' });
  await world.collector.check();
  await world.collector.mend();
  assert.ok(world.held().includes(alive));
  assert.equal(world.held().filter((address) => address !== alive).length, 1);
  world.store.remove('Pod', { namespace: 'shop', name: 'alive' });
  await world.collector.check();
  await world.collector.mend();
  const owners = world.store.blocks().map(({ spec }) => spec.affinity);
  assert.deepEqual(owners, ['host:a']);
  assert.equal(world.store.of('BlockAffinity').length, 1);
});

void test('[IP29] without any node nothing is concluded, and a node that is back keeps its own', async () => {
  const world = new World();
  await world.assign('gone', 'b');
  for (const name of ['a', 'b']) world.store.remove('Node', { name });
  assert.deepEqual(
    (await world.seen()).map((it) => it.split(':')[1]),
    [' it was seen once only'],
  );
  world.store.put(node('a'));
  assert.match((await world.seen())[0] ?? '', /undefined$/);
  const get = world.store.get.bind(world.store);
  world.store.get = async (kind, key) => {
    if (kind.kind === 'Node') world.store.put(node('b'));
    return get(kind, key);
  };
  const results = await world.collector.mend();
  assert.deepEqual(
    results.map(({ failure }) => failure),
    ['node "b" is there', 'node "b" is there'],
  );
  assert.equal(world.held().length, 1);
});

void test('[IP30] empty blocks go, but not the last of a node; affinities and handles follow the blocks', async () => {
  const world = new World();
  const names = Array.from({ length: 33 }, (_, index) => `p${index}`);
  for (const name of names) await world.assign(name);
  assert.equal(world.store.blocks().length, 3);
  const stray = { type: 'host', name: 'a' } as const;
  world.store.put(newAffinity(stray, '10.9.9.0/28', 'pending'));
  world.store.put(newHandle('net.nobody', { '10.0.0.0/28': 1 }));
  const [first] = world.store.of('BlockAffinity');
  world.store.remove('BlockAffinity', { name: first?.metadata.name ?? '' });
  await world.settle(6);
  assert.equal(world.store.blocks().length, 1);
  assert.deepEqual(world.held(), []);
  const cidr = world.store.blocks()[0]?.spec.cidr ?? '';
  const left = world.store.of('BlockAffinity').map(({ metadata }) => metadata.name);
  assert.deepEqual(left, [newAffinity(stray, cidr, 'confirmed').metadata.name]);
  assert.deepEqual(world.store.of('IPAMHandle'), []);
  assert.deepEqual(await world.reasons(), []);
});

void test('[IP30] what has rested for long enough is free again, also where nobody allocates', async () => {
  const world = new World(configuration({ ipCooldownSeconds: 30 }));
  await world.assign('p');
  await world.allocator().release({ handle: 'net.p' });
  assert.deepEqual(await world.reasons(), []);
  world.now += 30_000;
  assert.match(
    (await world.reasons())[0] ?? '',
    /^rested: released at .* its rest of 30 s is over/,
  );
  await world.collector.mend();
  const [block] = world.store.blocks();
  assert.ok(block && (block as IPAMBlock).spec.allocations.every((index) => index === null));
});

void test('[IP31] uses that were not allocated, lie in no pool or are shared are told, never mended', async () => {
  const tunnels = { 'projectcalico.org/IPv4VXLANTunnelAddr': '10.0.0.77' };
  const world = new World(node('c', tunnels), pod('x', 'a', ['10.0.0.77']));
  world.store.put(pod('y', 'a', ['192.168.0.1']));
  const lines = await world.reasons();
  assert.deepEqual(lines, [
    'shared: used by Node(c) and Workload(shop/x)',
    'unallocated: used by Node(c) and Workload(shop/x), and not allocated',
    'outsidePools: used by Workload(shop/y), and in no enabled IPPool',
  ]);
  world.now += GRACE;
  assert.ok((await world.seen()).every((line) => line.endsWith('somebody must look at it')));
  assert.deepEqual(await world.collector.mend(), []);
});

void test('[IP32] the loop mends by itself, waits while the datastore is locked, and ends', async () => {
  const world = new World();
  await world.assign('gone', 'b');
  world.store.remove('Node', { name: 'b' });
  const information = (datastoreReady: boolean) =>
    ({
      apiVersion: 'projectcalico.org/v3',
      kind: 'ClusterInformation',
      metadata: { name: 'default' },
      spec: { datastoreReady },
    }) as Resource;
  world.store.put(information(false));
  const mended: string[] = [];
  let failures = 0;
  const list = world.store.list.bind(world.store);
  let lists = 0;
  world.store.list = (kind) => {
    if (++lists === 1) return Promise.reject(new Error('away'));
    return list(kind);
  };
  world.collector.start({
    intervalMs: 2,
    onMended: ({ finding }) => mended.push(finding.kind),
    onError: () => failures++,
  });
  while (lists < 40) await new Promise((done) => setImmediate(done));
  assert.deepEqual(mended, []);
  world.store.put(information(true));
  while (mended.length === 0) await new Promise((done) => setImmediate(done));
  await world.collector.stop();
  assert.equal(failures, 1);
  assert.deepEqual(world.held(), []);
});

test("[IP36] nodes and pods that Calico's tools keep in the datastore are there", async () => {
  const apiVersion = 'projectcalico.org/v3';
  const host = { apiVersion, kind: 'Node', metadata: { name: 'c' }, spec: {} };
  const endpoint = (name: string, address: string): Resource => {
    const metadata = { namespace: 'shop', name: `c-k8s-${name}-eth0` };
    const spec = { pod: name, node: 'c', ipNetworks: [`${address}/32`] };
    return { apiVersion, kind: 'WorkloadEndpoint', metadata, spec } as Resource;
  };
  const world = new World(host);
  const kept = await world.assign('elsewhere', 'c');
  world.store.put(endpoint('elsewhere', kept));
  const leaked = await world.assign('gone', 'c');
  const tunnel = { handle: 'vxlan-tunnel-addr-c', attributes: { node: 'c', type: 'vxlan' } };
  await world.allocator('c').assign(tunnel);
  assert.deepEqual(await world.seen(), [`leaked ${leaked}: it was seen once only`]);
  await world.store.delete(calicoNodeKind, { name: 'c' });
  const seen = await world.reasons();
  assert.ok(seen.some((reason) => reason.includes('node "c", which is gone')));
});
