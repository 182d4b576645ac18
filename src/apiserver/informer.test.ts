// An informer of `@kubernetes/client-node` whose revision is forgotten while it is cut off: it lists again.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { CoreV1Api, KubeConfig, makeInformer } from '@kubernetes/client-node';
import { configMapKind, type Resource } from '#api';
import { type ServerFixture, startServer } from './server-fixture.ts';

/** A relay on the way to the server, which can be cut and mended. */
async function relay(context: TestContext, port: number) {
  const sockets = new Set<Socket>();
  let open = true;
  const server = createServer((near) => {
    if (!open) return near.destroy();
    const far = connect(port, '127.0.0.1');
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
    near.pipe(far);
    far.pipe(near);
    return undefined;
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = (): void => {
    open = false;
    for (const socket of sockets) socket.destroy();
  };
  context.after(() => {
    cut();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, cut, mend: () => (open = true) };
}

function configOf({ ca, adminToken }: ServerFixture, port: number): KubeConfig {
  const config = new KubeConfig();
  const caData = Buffer.from(ca).toString('base64');
  config.loadFromOptions({
    clusters: [{ name: 'c', server: `https://127.0.0.1:${port}`, caData }],
    users: [{ name: 'u', token: adminToken }],
    contexts: [{ name: 'x', cluster: 'c', user: 'u' }],
    currentContext: 'x',
  });
  return config;
}

const map = (name: string): Resource => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: 'default' },
});

test('[AP23] an informer lists again when its revision is forgotten', async (context) => {
  const server = await startServer(context);
  const way = await relay(context, Number(new URL(server.url).port));
  const config = configOf(server, way.port);
  const core = config.makeApiClient(CoreV1Api);
  let lists = 0;
  const list = () => {
    lists++;
    return core.listNamespacedConfigMap({ namespace: 'default' });
  };
  const informer = makeInformer(config, '/api/v1/namespaces/default/configmaps', list);
  const seen = new Set<string>();
  informer.on('add', ({ metadata }) => seen.add(metadata?.name ?? ''));
  informer.on('delete', ({ metadata }) => seen.delete(metadata?.name ?? ''));
  let stopped = false;
  const restart = async (): Promise<void> => {
    for (let n = 0; n < 200 && !stopped; n++) {
      await setTimeout(50);
      const started = await informer.start().then(
        () => true,
        () => false,
      );
      if (started) return;
    }
  };
  informer.on('error', () => void restart());
  context.after(() => {
    stopped = true;
    return informer.stop();
  });
  await server.admin.create(configMapKind, map('old'));
  await informer.start();
  await server.admin.create(configMapKind, map('kept'));
  for (let n = 0; n < 200 && !seen.has('kept'); n++) await setTimeout(20);
  assert.deepEqual([[...seen], lists], [['old', 'kept'], 1]);
  way.cut();
  await server.admin.delete(configMapKind, { namespace: 'default', name: 'old' });
  await server.admin.create(configMapKind, map('new'));
  const { store } = server.resources;
  await store.compact(store.revision);
  way.mend();
  for (let n = 0; n < 500 && !(seen.has('new') && !seen.has('old')); n++) await setTimeout(20);
  assert.deepEqual([...seen].sort(), ['kept', 'new']);
  assert.ok(lists >= 2, 'its revision was refused');
});
