// The server is killed while it writes: what it acknowledged is there, and watches go on without a gap.
import assert from 'node:assert/strict';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { networkSetKind, type Resource, tierKind } from '#api';
import { ApiClient, ApiError, loadKubeconfig, Syncer } from '#datastore';
import { startServerProcess, temporaryFolder } from './server-process.ts';

const ROUNDS = 4;
const WRITERS = 8;

const networkSet = (name: string, count: number): Resource =>
  ({
    apiVersion: 'projectcalico.org/v3',
    kind: 'NetworkSet',
    metadata: { name, namespace: 'default', labels: { count: String(count) } },
    spec: { nets: ['192.0.2.0/24'] },
  }) as Resource;

/** Waits until it holds, a minute at most. */
async function until(holds: () => boolean): Promise<void> {
  for (let turn = 0; turn < 20_000 && !holds(); turn++) await setTimeout(3);
  assert.ok(holds(), 'it has not come to hold within a minute');
}

/** Writes until the server is gone; what was acknowledged stands in `acknowledged`. */
async function writeAway(
  client: ApiClient,
  name: string,
  acknowledged: Map<string, number>,
): Promise<void> {
  for (let count = (acknowledged.get(name) ?? -1) + 1; ; count++) {
    try {
      const resource = networkSet(name, count);
      const exists = await client.get(networkSetKind, resource.metadata);
      await (exists
        ? client.replace(networkSetKind, resource)
        : client.create(networkSetKind, resource));
      acknowledged.set(name, count);
    } catch (error) {
      if (error instanceof ApiError) throw error;
      return;
    }
  }
}

test('[ST1] [ST7] no acknowledged write is lost when the server is killed', {
  timeout: 120_000,
}, async (context) => {
  const data = join(await temporaryFolder(context), 'data');
  const acknowledged = new Map<string, number>();
  let revision = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const { client, end } = await startServerProcess(context, data);
    const { items, resourceVersion } = await client.list(networkSetKind);
    assert.ok(Number(resourceVersion) >= revision, 'the revision went back');
    const counts = new Map(
      items.map(({ metadata }) => [metadata.name, Number(metadata.labels?.['count'])]),
    );
    for (const [name, count] of acknowledged) {
      const found = counts.get(name) ?? -1;
      assert.ok(found === count || found === count + 1, `${name}: ${found}, acknowledged ${count}`);
      acknowledged.set(name, found);
    }
    const writers = Array.from({ length: WRITERS }, (_, n) =>
      writeAway(client, `set-${n}`, acknowledged),
    );
    const before = [...acknowledged.values()].reduce((sum, count) => sum + count, 0);
    const written = (): number =>
      [...acknowledged.values()].reduce((sum, n) => sum + n, 0) - before;
    await until(() => written() >= 50 + round * 13);
    await end('SIGKILL');
    await Promise.all(writers);
    revision = Number(resourceVersion);
  }
  assert.equal(acknowledged.size, WRITERS);
});

test('a syncer goes on where it was when the server comes back', {
  timeout: 60_000,
}, async (context) => {
  const data = join(await temporaryFolder(context), 'data');
  const first = await startServerProcess(context, data);
  const port = new URL(first.url).port;
  const log: string[] = [];
  let lists = 0;
  const client = {
    list: (...parameters: Parameters<ApiClient['list']>) => {
      lists++;
      return first.client.list(...parameters);
    },
    watch: (...parameters: Parameters<ApiClient['watch']>) => first.client.watch(...parameters),
  };
  const syncer = new Syncer({
    client,
    kinds: [networkSetKind],
    callbacks: {
      onUpdates: (updates) => {
        for (const { resource } of updates) {
          log.push(resource?.metadata.labels?.['count'] ?? 'gone');
        }
      },
      onStatus: (status) => void log.push(status),
    },
  });
  context.after(() => syncer.stop());
  syncer.start();
  await until(() => log.includes('in-sync'));
  await first.client.create(networkSetKind, networkSet('a', 1));
  await until(() => log.includes('1'));
  await first.end('SIGKILL');
  await until(() => log.includes('resync'));
  // The same port again, beside a free one of its own for the writes that the syncer misses.
  const second = await startServerProcess(context, data, {
    flags: ['--listen', `127.0.0.1:${port}`],
  });
  await second.client.replace(networkSetKind, networkSet('a', 2));
  await until(() => log.includes('2') && syncer.status === 'in-sync');
  assert.deepEqual(
    log.filter((line) => line !== 'resync' && line !== 'in-sync'),
    ['waiting', '1', '2'],
  );
  assert.equal(lists, 1);
});

test('SIGTERM ends the server cleanly, and its socket is refused afterwards', async (context) => {
  const data = join(await temporaryFolder(context), 'data');
  const { client, end } = await startServerProcess(context, data);
  await client.list(networkSetKind);
  assert.equal(await end('SIGTERM'), 0);
  await assert.rejects(client.list(networkSetKind), { name: 'ConnectionError' });
});

test('sockets that are handed down are served, as by systemd', {
  timeout: 30_000,
}, async (context) => {
  const data = join(await temporaryFolder(context), 'data');
  const listener = createServer();
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const { port } = listener.address() as AddressInfo;
  const { _handle: handle } = listener as unknown as { _handle: { fd: number } };
  const server = await startServerProcess(context, data, { descriptor: handle.fd });
  listener.close();
  assert.notEqual(new URL(server.url).port, String(port));
  const config = { ...loadKubeconfig(server.kubeconfig), server: `https://127.0.0.1:${port}` };
  const client = new ApiClient(config);
  context.after(() => client.close());
  assert.equal((await client.list(tierKind)).items.length, 3);
});
