// Deletion over real HTTPS: finalizers, grace periods, preconditions, owners and dependents, namespaces.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import {
  felixConfigurationKind,
  globalNetworkSetKind,
  type KindDefinition,
  namespaceKind,
  nodeKind,
  podKind,
  type Resource,
  serviceAccountKind,
} from '#api';
import { type ApiClient, ApiError } from '#datastore';
import { startServer } from './server-fixture.ts';

const namespace = (name: string): Resource => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name },
});

interface Owner {
  readonly resource: Resource;
  readonly block?: boolean;
}

const account = (name: string, owners: readonly Owner[] = []): Resource => ({
  apiVersion: 'v1',
  kind: 'ServiceAccount',
  metadata: { name, namespace: 'shop', ownerReferences: owners.map(reference) },
});

function reference({ resource, block }: Owner): Record<string, unknown> {
  const { apiVersion, kind, metadata } = resource;
  const { name, uid } = metadata;
  return { apiVersion, kind, name, uid, ...(block ? { blockOwnerDeletion: true } : {}) };
}

const PATH = '/api/v1/namespaces/shop/serviceaccounts';

async function remove(admin: ApiClient, name: string, options: object): Promise<unknown> {
  return admin.request('DELETE', `${PATH}/${name}`, { body: options });
}

async function names(admin: ApiClient, kind: KindDefinition = serviceAccountKind): Promise<string> {
  return (await admin.list(kind)).items.map(({ metadata }) => metadata.name).join(' ');
}

/** Looks again until the text is this one; at most 10 s. */
async function becomes(read: () => Promise<string>, wanted: string): Promise<void> {
  for (let n = 0; n < 500 && (await read()) !== wanted; n++) await setTimeout(20);
  assert.equal(await read(), wanted);
}

const pod = (name: string, spec: object): Resource =>
  ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'shop' },
    spec: { containers: [{ name: 'main', image: 'x' }], ...spec },
  }) as Resource;

test('[AP1] a bound pod waits for its grace period, and goes with a period of 0', async (context) => {
  const { admin } = await startServer(context);
  await admin.create(namespaceKind, namespace('shop'));
  await admin.create(podKind, pod('bound', { nodeName: 'n1', terminationGracePeriodSeconds: 40 }));
  await admin.create(podKind, pod('free', { terminationGracePeriodSeconds: 40 }));
  await admin.delete(podKind, { namespace: 'shop', name: 'free' });
  const key = { namespace: 'shop', name: 'bound' };
  const before = Date.now();
  await admin.delete(podKind, key);
  assert.equal(await names(admin, podKind), 'bound');
  const marked = (await admin.get(podKind, key))?.metadata;
  assert.equal(marked?.deletionGracePeriodSeconds, 40);
  const wait = Date.parse(marked?.deletionTimestamp ?? '') - before;
  assert.ok(wait > 35_000 && wait < 50_000, `${wait}`);
  assert.equal(marked?.generation, 2);
  const grace = (seconds: number) =>
    admin.request('DELETE', '/api/v1/namespaces/shop/pods/bound', {
      body: { kind: 'DeleteOptions', apiVersion: 'v1', gracePeriodSeconds: seconds },
    });
  await grace(60);
  assert.equal((await admin.get(podKind, key))?.metadata.deletionGracePeriodSeconds, 40);
  await grace(20);
  assert.equal((await admin.get(podKind, key))?.metadata.deletionGracePeriodSeconds, 20);
  await grace(0);
  assert.equal(await names(admin, podKind), '');
});

test('[AP1] a pod that nobody ends goes some seconds after its grace period', async (context) => {
  const { admin } = await startServer(context);
  await admin.create(namespaceKind, namespace('shop'));
  await admin.create(podKind, pod('bound', { nodeName: 'n1', terminationGracePeriodSeconds: 1 }));
  await admin.delete(podKind, { namespace: 'shop', name: 'bound' });
  assert.equal(await names(admin, podKind), 'bound');
  await becomes(() => names(admin, podKind), '');
});

test('[AP2] a deletion with preconditions is of that object, at that revision', async (context) => {
  const { admin } = await startServer(context);
  await admin.create(namespaceKind, namespace('shop'));
  const { metadata } = await admin.create(serviceAccountKind, account('a'));
  const { uid, resourceVersion } = metadata;
  for (const preconditions of [{ uid: 'another' }, { resourceVersion: '1' }]) {
    await assert.rejects(remove(admin, 'a', { preconditions }), { status: 409 });
  }
  await remove(admin, 'a', { preconditions: { uid, resourceVersion }, dryRun: ['All'] });
  assert.equal(await names(admin), 'a');
  await remove(admin, 'a', { preconditions: { uid, resourceVersion } });
  assert.equal(await names(admin), '');
  const wrong = [
    { gracePeriodSeconds: -1 },
    { propagationPolicy: 'Sideways' },
    { propagationPolicy: 'Orphan', orphanDependents: true },
  ];
  for (const options of wrong) {
    await assert.rejects(remove(admin, 'a', options), { status: 422 });
  }
  await assert.rejects(remove(admin, 'a', { dryRun: ['Some'] }), { status: 400 });
  await assert.rejects(remove(admin, 'a', account('a')), { status: 400 });
});

test('[AP3] what is being deleted gets no new finalizer; names are qualified', async (context) => {
  const { admin } = await startServer(context);
  await admin.create(namespaceKind, namespace('shop'));
  const first = account('a');
  const finalizers = ['example.com/a'];
  await admin.create(serviceAccountKind, { ...first, metadata: { ...first.metadata, finalizers } });
  const key = { namespace: 'shop', name: 'a' };
  const set = (names: string[] | null) =>
    admin.patch(serviceAccountKind, key, { metadata: { finalizers: names } });
  await assert.rejects(set(['not a name']), { status: 422 });
  await set(['example.com/a', 'example.com/b']);
  await admin.delete(serviceAccountKind, key);
  await assert.rejects(set(['example.com/c']), (error: unknown) => {
    assert.ok(error instanceof ApiError && error.status === 422);
    return error.message.includes('no finalizer can be added');
  });
  await set(['example.com/b']);
  assert.equal(await names(admin), 'a');
  await set(null);
  assert.equal(await names(admin), '');
});

test('[AP4] what all owners have left is deleted, at once and after a restart', async (context) => {
  const { admin } = await startServer(context);
  await admin.create(namespaceKind, namespace('shop'));
  const a = await admin.create(serviceAccountKind, account('a'));
  const b = await admin.create(serviceAccountKind, account('b'));
  await admin.create(serviceAccountKind, account('of-a', [{ resource: a }]));
  await admin.create(serviceAccountKind, account('of-both', [{ resource: a }, { resource: b }]));
  await remove(admin, 'a', { propagationPolicy: 'Background' });
  await becomes(() => names(admin), 'b of-both');
  const left = async () =>
    JSON.stringify(
      (await admin.get(serviceAccountKind, { namespace: 'shop', name: 'of-both' }))?.metadata
        .ownerReferences,
    );
  await becomes(left, JSON.stringify([reference({ resource: b })]));
  // The name alone is not the owner.
  await remove(admin, 'b', {});
  await admin.create(serviceAccountKind, account('b'));
  await becomes(() => names(admin), 'b');
  await admin.create(serviceAccountKind, account('late', [{ resource: b }]));
  await becomes(() => names(admin), 'b');
});

test('[AP5] in the foreground the owner goes last, also in a circle', async (context) => {
  const { admin } = await startServer(context);
  await admin.create(namespaceKind, namespace('shop'));
  const a = await admin.create(serviceAccountKind, account('a'));
  const held = account('held', [{ resource: a, block: true }]);
  const finalizers = ['example.com/wait'];
  await admin.create(serviceAccountKind, { ...held, metadata: { ...held.metadata, finalizers } });
  await admin.create(serviceAccountKind, account('other', [{ resource: a, block: true }]));
  await remove(admin, 'a', { propagationPolicy: 'Foreground' });
  await becomes(() => names(admin), 'a held');
  const key = { namespace: 'shop', name: 'held' };
  await admin.patch(serviceAccountKind, key, { metadata: { finalizers: null } });
  await becomes(() => names(admin), '');

  const x = await admin.create(serviceAccountKind, account('x'));
  const y = await admin.create(serviceAccountKind, account('y', [{ resource: x, block: true }]));
  const ownerReferences = [reference({ resource: y, block: true })];
  const place = { namespace: 'shop', name: 'x' };
  await admin.patch(serviceAccountKind, place, { metadata: { ownerReferences } });
  await remove(admin, 'x', { propagationPolicy: 'Foreground' });
  await becomes(() => names(admin), '');
});

test('[AP6] orphans stay, without the owner that is gone', async (context) => {
  const { admin } = await startServer(context);
  await admin.create(namespaceKind, namespace('shop'));
  const a = await admin.create(serviceAccountKind, account('a'));
  await admin.create(serviceAccountKind, account('left', [{ resource: a }]));
  await remove(admin, 'a', { propagationPolicy: 'Orphan' });
  await becomes(() => names(admin), 'left');
  const left = await admin.get(serviceAccountKind, { namespace: 'shop', name: 'left' });
  assert.equal(left?.metadata.ownerReferences, undefined);
});

test('[AP7] owners of unknown kinds, and namespaced owners of cluster-wide objects, keep them', async (context) => {
  const { admin } = await startServer(context);
  await admin.create(namespaceKind, namespace('shop'));
  const owner = (apiVersion: string, kind: string) => ({ apiVersion, kind, name: 'o', uid: 'u' });
  const kept = account('kept');
  const ownerReferences = [owner('example.com/v1', 'Thing')];
  await admin.create(serviceAccountKind, {
    ...kept,
    metadata: { ...kept.metadata, ownerReferences },
  });
  await admin.create(globalNetworkSetKind, {
    apiVersion: 'projectcalico.org/v3',
    kind: 'GlobalNetworkSet',
    metadata: { name: 'kept', ownerReferences: [owner('v1', 'ServiceAccount')] },
    spec: { nets: [] },
  } as Resource);
  await admin.create(globalNetworkSetKind, {
    apiVersion: 'projectcalico.org/v3',
    kind: 'GlobalNetworkSet',
    metadata: { name: 'gone', ownerReferences: [owner('v1', 'Node')] },
    spec: { nets: [] },
  } as Resource);
  await becomes(() => names(admin, globalNetworkSetKind), 'kept');
  assert.equal(await names(admin), 'kept');
  const broken = { ...kept.metadata, name: 'x', ownerReferences: [{ kind: 'Pod' }] };
  await assert.rejects(admin.create(serviceAccountKind, { ...kept, metadata: broken }), {
    status: 422,
  });
});

test('[AP8] a namespace tells what holds it, takes nothing new, and goes with its finalizer', async (context) => {
  const { admin } = await startServer(context);
  const created = await admin.create(namespaceKind, namespace('shop'));
  assert.deepEqual('spec' in created && created.spec, { finalizers: ['kubernetes'] });
  const held = account('held');
  const finalizers = ['example.com/wait'];
  await admin.create(serviceAccountKind, { ...held, metadata: { ...held.metadata, finalizers } });
  await admin.delete(namespaceKind, { name: 'shop' });
  await assert.rejects(admin.create(serviceAccountKind, account('new')), (error: unknown) => {
    assert.ok(error instanceof ApiError && error.status === 403);
    return JSON.stringify(error.details).includes('NamespaceTerminating');
  });
  const told = async () =>
    JSON.stringify(await admin.get(namespaceKind, { name: 'shop' })).includes(
      'serviceaccounts has 1 resource instances',
    )
      ? 'told'
      : '';
  await becomes(told, 'told');
  await admin.request('PUT', '/api/v1/namespaces/shop/finalize', {
    body: { ...namespace('shop'), spec: { finalizers: [] } },
  });
  assert.equal(await admin.get(namespaceKind, { name: 'shop' }), undefined);
});

test('[AP9] a collection is deleted by selector, in pages and on trial', async (context) => {
  const { admin } = await startServer(context);
  await admin.create(namespaceKind, namespace('shop'));
  for (const name of ['a', 'b', 'c', 'd']) {
    const labels = { half: name < 'c' ? '1' : '2' };
    const made = account(name);
    await admin.create(serviceAccountKind, { ...made, metadata: { ...made.metadata, labels } });
  }
  const clear = (query: Record<string, string>) => admin.request('DELETE', PATH, { query });
  const trial = await clear({ labelSelector: 'half=1', dryRun: 'All' });
  assert.match(JSON.stringify(trial), /"kind":"ServiceAccountList".*"name":"b"/);
  assert.equal(await names(admin), 'a b c d');
  await clear({ labelSelector: 'half=1' });
  assert.equal(await names(admin), 'c d');
  await clear({ limit: '1' });
  assert.equal(await names(admin), 'd');
  await clear({});
  assert.equal(await names(admin), '');
});

test('[AP10] a generated name that is taken is drawn again, eight times at most', async (context) => {
  const suffixes = ['aaaaa', 'aaaaa', 'aaaaa', 'bbbbb'];
  const { admin } = await startServer(context, { suffix: () => suffixes.shift() ?? 'aaaaa' });
  const generateName = 'x'.repeat(70);
  const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { generateName } };
  const make = async (): Promise<Resource> =>
    (await admin.request('POST', '/api/v1/namespaces', { body })) as Resource;
  assert.equal((await make()).metadata.name, `${'x'.repeat(58)}aaaaa`);
  assert.equal((await make()).metadata.name, `${'x'.repeat(58)}bbbbb`);
  await assert.rejects(make(), { status: 409 });
});

test('[AP60] the configuration of all nodes stays, that of a node goes with it', async (t) => {
  const { admin: client } = await startServer(t);
  const felix = (name: string): Resource => ({
    apiVersion: 'projectcalico.org/v3',
    kind: 'FelixConfiguration',
    metadata: { name },
  });
  const node: Resource = { apiVersion: 'v1', kind: 'Node', metadata: { name: 'gone' } };
  await client.create(nodeKind, node);
  for (const name of ['node.gone', 'node.other']) {
    await client.create(felixConfigurationKind, { ...felix(name), spec: {} } as Resource);
  }
  await assert.rejects(client.delete(felixConfigurationKind, { name: 'default' }), {
    message: /built in and cannot be deleted/,
  });
  await client.delete(nodeKind, { name: 'gone' });
  const names = async () => {
    const { items } = await client.list(felixConfigurationKind);
    return items.map(({ metadata }) => metadata.name).toSorted();
  };
  for (let attempt = 0; attempt < 50 && (await names()).length > 2; attempt++) {
    await setTimeout(20);
  }
  assert.deepEqual(await names(), ['default', 'node.other']);
});
