// The thread that makes pods' interfaces: its order, its failures, and its death at any time.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Worker } from 'node:worker_threads';
import type { Pod, Resource } from '#api';
import { PodNetwork, VethDriver, hostInterfaceName } from '#cni';
import { BlockAllocator } from '#ipam';
import { ROUTE_PROTOCOL, ROUTE_TABLE } from '#linux';
import { MemoryApi } from './cni-memory-api.ts';
import { type TestNamespace, makeNamespace } from './linux-namespaces.ts';

/** Deaths in each test, each a little later than the one before. */
const DEATHS = 10;
const NEVER = new AbortController().signal;

/** The threads that were started since, the last at the end. */
function watchThreads(t: TestContext): Worker[] {
  const threads: Worker[] = [];
  const add = (worker: Worker): unknown => threads.push(worker);
  process.on('worker', add);
  t.after(() => process.off('worker', add));
  return threads;
}

function driverOf(t: TestContext, host: TestNamespace, mtu = 1500): VethDriver {
  const driver = new VethDriver({ namespace: host.fd, mtu: () => mtu });
  t.after(() => driver.close());
  return driver;
}

function placeOf(t: TestContext, index: number) {
  const netns = makeNamespace(t).path;
  const hostName = `cali${String(index).padStart(11, '0')}`;
  return { hostName, netns, ifname: 'eth0', addresses: [`10.65.1.${index}/32`] };
}

const present = (host: TestNamespace) =>
  host.route
    .links()
    .map(({ name }) => name)
    .filter((name) => name.startsWith('cali'));

/** 0: at once. */
const sleep = async (ms: number) => {
  if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
};

/** A file, no namespace, whose opening takes until `release`. To be made before the driver, so that it ends before. */
function slowFile(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'cni-thread-'));
  const path = join(folder, 'netns');
  execFileSync('mkfifo', [path]);
  let descriptor: number | undefined;
  const release = () => {
    descriptor ??= openSync(path, constants.O_RDWR);
  };
  t.after(() => {
    release();
    if (descriptor !== undefined) closeSync(descriptor);
    rmSync(folder, { recursive: true });
  });
  return { path, release };
}

void test('[CNI23] the thread waits, the agent does not; what is asked is begun in its order', async (t) => {
  const host = makeNamespace(t);
  const slow = slowFile(t);
  const driver = driverOf(t, host);
  const [first, second, third] = [placeOf(t, 1), placeOf(t, 2), placeOf(t, 3)];
  const done: string[] = [];
  const noted = <T>(name: string, work: Promise<T>) => work.finally(() => done.push(name));
  await driver.ensure(first);
  const blocked = noted('slow', driver.ensure({ ...first, netns: slow.path }));
  const all = Promise.all([
    noted('second', driver.ensure(second)),
    driver.remove(first, true),
    noted('third', driver.ensure(third)),
    noted('differences', driver.differences(first)),
  ]);
  await sleep(5);
  assert.deepEqual(done, [], 'this thread goes on while the other waits');
  assert.deepEqual(present(host), [first.hostName]);
  slow.release();
  await assert.rejects(blocked, {
    name: 'CniError',
    code: 3,
    message: /^cannot open network namespace/,
  });
  const [, removal] = await all;
  assert.equal(removal, 'removed');
  assert.deepEqual(done, ['slow', 'second', 'third', 'differences']);
  assert.deepEqual(present(host), [second.hostName, third.hostName]);
});

void test('[CNI23] a failure has its text and its code on this side of the thread', async (t) => {
  const host = makeNamespace(t);
  const place = placeOf(t, 1);
  const driver = driverOf(t, host, 10);
  await assert.rejects(driver.ensure(place), {
    name: 'CniError',
    code: 101,
    message: new RegExp(`^cannot create veth ${place.hostName} with peer eth0: EINVAL`),
  });
  await assert.rejects(driver.ensure({ ...place, mac: 'none' }), {
    name: 'CniError',
    code: 999,
    message: /^"none" is not a MAC address/,
  });
  await driver.close();
  await assert.rejects(driver.ensure(place), { name: 'CniError', code: 11 });
});

void test('[CNI24] all that is asked of a thread that ends fails, and the next starts it again', async (t) => {
  const host = makeNamespace(t);
  const slow = slowFile(t);
  const threads = watchThreads(t);
  const driver = driverOf(t, host);
  const place = placeOf(t, 1);
  await driver.differences(place);
  const asked = Promise.allSettled([
    driver.ensure({ ...place, netns: slow.path }),
    driver.ensure(place),
    driver.remove(place, true),
    driver.differences(place),
  ]);
  const ended = threads[0]?.terminate();
  slow.release();
  await ended;
  for (const outcome of await asked) {
    assert.equal(outcome.status, 'rejected');
    const { name, code, message } = outcome.reason as Error & { code: number };
    assert.deepEqual([name, code], ['CniError', 11]);
    assert.match(message, /^the thread that makes interfaces ended \(.+\); try again$/);
  }
  assert.equal(threads.length, 1, 'none is started that nobody needs');
  assert.equal((await driver.ensure(place)).stood, false);
  assert.equal(threads.length, 2);
  assert.deepEqual(present(host), [place.hostName]);
});

void test('[CNI24] a thread that ends at any time leaves no link that the next removal does not find', async (t) => {
  const host = makeNamespace(t);
  const threads = watchThreads(t);
  const driver = driverOf(t, host);
  const places = [placeOf(t, 1), placeOf(t, 2), placeOf(t, 3)];
  const outcomes = { made: 0, lost: 0, removed: 0, kept: 0 };
  for (let turn = 0; turn < DEATHS; turn++) {
    const dieAfter = async (ms: number) => {
      await sleep(ms);
      await threads.at(-1)?.terminate();
    };
    const making = Promise.allSettled(places.map((place) => driver.ensure(place)));
    await Promise.all([making, dieAfter(2 * turn)]);
    for (const { status } of await making) outcomes[status === 'fulfilled' ? 'made' : 'lost']++;
    await Promise.all(places.map((place) => driver.ensure(place)));
    const removing = Promise.allSettled(places.map((place) => driver.remove(place, false)));
    await Promise.all([removing, dieAfter(6 * turn)]);
    for (const { status } of await removing)
      outcomes[status === 'fulfilled' ? 'removed' : 'kept']++;
    await Promise.all(places.map((place) => driver.remove(place, true)));
    assert.deepEqual(present(host), []);
  }
  t.diagnostic(JSON.stringify(outcomes));
  assert.ok(outcomes.lost > 0 && outcomes.kept > 0);
});

void test('[CNI11] [CNI24] an ADD whose thread ends leaves nothing, and keeps what was in use', async (t) => {
  const host = makeNamespace(t);
  const threads = watchThreads(t);
  const driver = driverOf(t, host);
  const api = new MemoryApi();
  const spec = { cidr: '10.65.0.0/24' };
  const metadata = { name: 'v4' };
  api.put({ apiVersion: 'projectcalico.org/v3', kind: 'IPPool', metadata, spec } as Resource);
  api.put({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace: 'shop', name: 'web', uid: 'uid-web' },
    spec: { nodeName: 'node-1', containers: [] },
  } as Pod);
  const allocator = new BlockAllocator({ client: api, nodeName: 'node-1' });
  let asked = Promise.withResolvers<void>();
  const network = new PodNetwork({
    nodeName: 'node-1',
    client: api,
    allocator,
    interfaces: {
      ensure: (desired) => {
        const making = driver.ensure(desired);
        asked.resolve();
        return making;
      },
      differences: (desired) => driver.differences(desired),
      remove: (place, isOwn) => driver.remove(place, isOwn),
    },
    isReady: () => true,
    waitEnforced: async ({ addresses, interfaceName }) => {
      for (const destination of addresses) {
        host.route.replaceRoute({
          family: 4,
          destination,
          interface: interfaceName,
          table: ROUTE_TABLE.MAIN,
          protocol: ROUTE_PROTOCOL.TORTIE,
          type: 'unicast',
        });
      }
    },
  });
  const request = {
    network: 'k8s-pod-network',
    containerId: 'c1',
    netns: makeNamespace(t).path,
    ifname: 'eth0',
    args: { K8S_POD_NAMESPACE: 'shop', K8S_POD_NAME: 'web' },
    validAttachments: [],
  };
  const add = () => network.add({ command: 'ADD', ...request }, NEVER);
  const remove = () => network.delete({ command: 'DEL', ...request });
  const addAndDie = async (ms: number): Promise<string | undefined> => {
    asked = Promise.withResolvers();
    const [adding] = await Promise.allSettled([
      add(),
      asked.promise.then(() => sleep(ms)).then(() => threads.at(-1)?.terminate()),
    ]);
    return adding.status === 'fulfilled' ? undefined : String(adding.reason);
  };
  let failures = 0;
  for (let turn = 0; turn < DEATHS; turn++) {
    const error = await addAndDie(turn);
    if (error !== undefined) {
      failures++;
      assert.match(error, /the thread that makes interfaces ended .*; try again$/);
      assert.deepEqual(present(host), []);
      assert.deepEqual(await allocator.allocations(), []);
    }
    await add();
    const index = host.route.link(hostInterfaceName({ namespace: 'shop', name: 'web' }))?.index;
    assert.ok(index !== undefined);
    await addAndDie(turn);
    assert.equal(host.route.links().find((link) => link.index === index)?.up, true);
    await remove();
    assert.deepEqual(present(host), []);
  }
  t.diagnostic(`${failures} of ${DEATHS} were lost`);
  assert.ok(failures > 0);
});
