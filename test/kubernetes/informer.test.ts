// `@kubernetes/client-node` against `tortie server`: typed calls, and informers that live through the server's end.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import {
  CoreV1Api,
  CustomObjectsApi,
  KubeConfig,
  makeInformer,
  type V1ConfigMap,
} from '@kubernetes/client-node';
import { join } from 'node:path';
import { startServerProcess, temporaryFolder } from './server-process.ts';

const PATH = '/api/v1/namespaces/default/configmaps';

function configOf(kubeconfig: string): KubeConfig {
  const config = new KubeConfig();
  config.loadFromFile(kubeconfig);
  return config;
}

const map = (name: string, value: string): V1ConfigMap => ({
  metadata: { name },
  data: { value },
});

/** Looks again until it holds; at most 20 s. */
async function until(holds: () => boolean, what: string): Promise<void> {
  for (let n = 0; n < 1000 && !holds(); n++) await setTimeout(20);
  assert.ok(holds(), what);
}

test('typed calls and custom objects', { timeout: 60_000 }, async (context) => {
  const data = join(await temporaryFolder(context), 'data');
  const { kubeconfig } = await startServerProcess(context, data);
  const config = configOf(kubeconfig);
  const core = config.makeApiClient(CoreV1Api);
  const namespace = 'default';
  await core.createNamespacedConfigMap({ namespace, body: map('a', '1') });
  const read = await core.readNamespacedConfigMap({ namespace, name: 'a' });
  assert.deepEqual(read.data, { value: '1' });
  assert.ok(read.metadata?.creationTimestamp instanceof Date);
  await core.replaceNamespacedConfigMap({
    namespace,
    name: 'a',
    body: { metadata: read.metadata ?? {}, data: { b: '2' } },
  });
  await assert.rejects(
    core.replaceNamespacedConfigMap({ namespace, name: 'a', body: read }),
    (error: unknown) => error instanceof Error && 'code' in error && error.code === 409,
  );
  await core.deleteNamespacedConfigMap({ namespace, name: 'a' });
  assert.equal((await core.listNamespacedConfigMap({ namespace })).items.length, 0);
  const custom = config.makeApiClient(CustomObjectsApi);
  const tiers = await custom.listClusterCustomObject({
    group: 'projectcalico.org',
    version: 'v3',
    plural: 'tiers',
  });
  assert.match(JSON.stringify(tiers), /"kind":"TierList".*kube-admin/);
});

test('an informer follows a server that is killed and started again', {
  timeout: 90_000,
}, async (context) => {
  const data = join(await temporaryFolder(context), 'data');
  const first = await startServerProcess(context, data);
  const config = configOf(first.kubeconfig);
  const core = config.makeApiClient(CoreV1Api);
  const namespace = 'default';
  const list = () => core.listNamespacedConfigMap({ namespace });
  const informer = makeInformer(config, PATH, list);
  const told: string[] = [];
  const seen = new Map<string, string>();
  informer.on('add', ({ metadata, data: values }) => {
    told.push(`add ${metadata?.name}`);
    seen.set(metadata?.name ?? '', values?.['value'] ?? '');
  });
  informer.on('update', ({ metadata, data: values }) => {
    told.push(`update ${metadata?.name}`);
    seen.set(metadata?.name ?? '', values?.['value'] ?? '');
  });
  informer.on('delete', ({ metadata }) => {
    told.push(`delete ${metadata?.name}`);
    seen.delete(metadata?.name ?? '');
  });
  let stopped = false;
  // As the client's documentation says: whoever uses it starts it again after an error.
  informer.on('error', () => {
    if (!stopped) void setTimeout(100).then(() => informer.start().catch(() => informer.start()));
  });
  context.after(() => {
    stopped = true;
    return informer.stop();
  });
  await core.createNamespacedConfigMap({ namespace, body: map('before', '1') });
  await informer.start();
  await core.createNamespacedConfigMap({ namespace, body: map('a', '1') });
  await until(() => seen.get('a') === '1', 'it sees what is created');
  const current = await core.readNamespacedConfigMap({ namespace, name: 'a' });
  const body = { metadata: current.metadata ?? {}, data: { value: '2' } };
  await core.replaceNamespacedConfigMap({ namespace, name: 'a', body });
  await until(() => seen.get('a') === '2', 'and changed');
  await first.end('SIGKILL');
  const port = Number(new URL(first.url).port);
  await startServerProcess(context, data, { port });
  await core.createNamespacedConfigMap({ namespace, body: map('after', '3') });
  await core.deleteNamespacedConfigMap({ namespace, name: 'before' });
  await until(() => seen.get('after') === '3' && !seen.has('before'), 'also afterwards');
  assert.deepEqual(Object.fromEntries(seen), { a: '2', after: '3' });
  assert.equal(told.filter((line) => line === 'add after').length, 1);
});
