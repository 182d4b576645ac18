// A node cut off from the server goes back to what was before, and to what the server says when that speaks again.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { kindOf, pendingChangeKind, type Resource } from '#api';
import { resourceKey, type SyncerUpdate } from '#datastore/syncer';
import { PendingChanges } from './pending-changes.ts';

const POLICY = kindOf('projectcalico.org/v3', 'GlobalNetworkPolicy');
assert.ok(POLICY);
const policyKind = POLICY;

function policy(name: string, order: number | undefined): SyncerUpdate {
  const key = resourceKey(policyKind, { name });
  if (order === undefined) return { kind: policyKind, key, resource: undefined };
  const apiVersion = 'projectcalico.org/v3';
  const resource = { apiVersion, kind: 'GlobalNetworkPolicy', metadata: { name }, spec: { order } };
  return { kind: policyKind, key, resource };
}

function change(before: Readonly<Record<string, Resource | undefined>> | undefined): SyncerUpdate {
  const key = resourceKey(pendingChangeKind, { name: 'change-1' });
  if (!before) return { kind: pendingChangeKind, key, resource: undefined };
  const objects = Object.entries(before).map(([name, resource]) => ({
    apiVersion: 'projectcalico.org/v3',
    kind: 'GlobalNetworkPolicy',
    name,
    ...(resource && { before: resource }),
  }));
  const resource = {
    apiVersion: 'tortie.dev/v1',
    kind: 'PendingChange',
    metadata: { name: 'change-1' },
    spec: { confirmWithinSeconds: 0.02, objects },
  };
  return { kind: pendingChangeKind, key, resource };
}

const orders = (updates: readonly SyncerUpdate[]) =>
  updates
    .filter(({ kind }) => kind === policyKind)
    .map(({ key, resource }) => {
      const { spec } = (resource ?? {}) as { spec?: { order: number } };
      return `${key.split(' ').at(-1)}=${spec?.order ?? 'gone'}`;
    });

function watching() {
  const delivered: string[] = [];
  const pending = new PendingChanges({
    deliver: (updates) => delivered.push(...orders(updates)),
    log: () => {},
    graceMs: 10,
  });
  return { pending, delivered };
}

test('a change that is still there when its time is over is undone here, until the server settles it', async (t) => {
  const { pending, delivered } = watching();
  t.after(() => pending.stop());
  const before = { a: policy('a', 1).resource, b: undefined };
  const news = [change(before), policy('a', 2), policy('b', 3), policy('c', 4)];
  assert.equal(orders(pending.onUpdates(news)).length, 3, 'it holds at first');
  await sleep(100);
  assert.equal(delivered.length, 2);
  assert.match(delivered.join(), /a=1.*b=gone/);
  assert.deepEqual(orders(pending.onUpdates([policy('a', 5)])), [], 'the change itself waits');
  assert.equal(orders(pending.onUpdates([policy('c', 6)])).length, 1, 'others do not');
  delivered.length = 0;
  pending.onUpdates([change(undefined)]);
  assert.match(delivered.join(), /a=5.*b=3/, 'what the server last said');
  assert.equal(orders(pending.onUpdates([policy('a', 7)])).length, 1);
});

test('a change that is settled in time is left alone', async (t) => {
  const { pending, delivered } = watching();
  t.after(() => pending.stop());
  pending.onUpdates([change({ a: undefined }), policy('a', 2)]);
  pending.onUpdates([change(undefined)]);
  await sleep(100);
  assert.deepEqual(delivered, []);
});
