// Changes that nobody confirms are undone, also by a server that starts later; a confirmed one stays.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { kindOf, pendingChangeKind, type Resource } from '#api';
import { type ApiClient, ApiError } from '#datastore';
import { startServer } from './server-fixture.ts';

const POLICY = kindOf('projectcalico.org/v3', 'GlobalNetworkPolicy');
assert.ok(POLICY);
const policyKind = POLICY;

type WithSpec = Resource & { readonly spec: object };

function policy(name: string, order: number): WithSpec {
  const metadata = { name };
  const resource = { apiVersion: 'projectcalico.org/v3', kind: 'GlobalNetworkPolicy', metadata };
  return { ...resource, spec: { order, selector: 'all()' } };
}

function change(names: readonly string[], seconds: number, more: object = {}): WithSpec {
  const objects = names.map((name) => ({
    apiVersion: 'projectcalico.org/v3',
    kind: 'GlobalNetworkPolicy',
    name,
    ...more,
  }));
  const metadata = { name: 'try' };
  const resource = { apiVersion: 'tortie.dev/v1', kind: 'PendingChange', metadata };
  return { ...resource, spec: { confirmWithinSeconds: seconds, objects } };
}

async function orders(client: ApiClient): Promise<string[]> {
  const { items } = await client.list(policyKind);
  return items.map((item) => {
    const { spec } = item as Resource & { spec: { order: number } };
    return `${item.metadata.name}=${spec.order}`;
  });
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    if (await holds()) return;
    await sleep(50);
  }
  assert.fail('it has not come true');
}

const isSettled = async (client: ApiClient) =>
  (await client.list(pendingChangeKind)).items.length === 0;

test('what nobody confirms in time is as before: changed, made and deleted resources', async (t) => {
  const { admin } = await startServer(t);
  await admin.create(policyKind, policy('changed', 1));
  await admin.create(policyKind, policy('deleted', 2));
  const lie = { before: policy('lie', 9) };
  await admin.create(pendingChangeKind, change(['changed', 'deleted', 'made'], 4, lie));
  const stored = await admin.get(pendingChangeKind, { name: 'try' });
  assert.doesNotMatch(JSON.stringify(stored), /lie/, 'the server looks for itself');
  await admin.replace(policyKind, policy('changed', 10));
  await admin.delete(policyKind, { name: 'deleted' });
  await admin.create(policyKind, policy('made', 30));
  assert.deepEqual(await orders(admin), ['changed=10', 'made=30']);
  await until(() => isSettled(admin));
  assert.deepEqual(await orders(admin), ['changed=1', 'deleted=2']);
});

test('what is confirmed stays, and what is announced cannot be changed', async (t) => {
  const { admin } = await startServer(t);
  await admin.create(pendingChangeKind, change(['made'], 3));
  await admin.create(policyKind, policy('made', 30));
  const stored = await admin.get(pendingChangeKind, { name: 'try' });
  await assert.rejects(admin.replace(pendingChangeKind, change(['made'], 500)), ApiError);
  const resourceVersion = stored?.metadata.resourceVersion ?? '';
  await admin.delete(pendingChangeKind, { name: 'try' }, { resourceVersion });
  await sleep(4500);
  assert.deepEqual(await orders(admin), ['made=30']);
});

test('a server that was away when the time ended undoes it when it is back', async (t) => {
  const { admin, resources } = await startServer(t);
  await admin.create(pendingChangeKind, change(['made'], 3));
  await admin.create(policyKind, policy('made', 30));
  await resources.close();
  await sleep(4500);
  assert.deepEqual(await orders(admin), ['made=30'], 'nobody is there to undo it');
  await resources.resume();
  await until(() => isSettled(admin));
  assert.deepEqual(await orders(admin), []);
});

test('secrets and pods are no part of such a change', async (t) => {
  const { admin } = await startServer(t);
  const body = change(['made'], 1, { apiVersion: 'v1', kind: 'Secret' });
  await assert.rejects(admin.create(pendingChangeKind, body), /spec\.objects\[0\]\.apiVersion/);
});
