// Events in two versions and their end, leases, configuration and secrets, over real HTTPS.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  configMapKind,
  eventKind,
  eventsEventKind,
  leaseKind,
  namespaceKind,
  type Resource,
  secretKind,
} from '#api';
import { EventExpiry } from './event-expiry.ts';
import { startServer } from './server-fixture.ts';

const metadata = { name: 'x', namespace: 'default' };

test('[AP17] an event is one object in both of its versions', async (context) => {
  const { admin } = await startServer(context);
  const event = {
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    metadata,
    eventTime: '2026-01-01T00:00:00.000000Z',
    regarding: { kind: 'Pod', name: 'p' },
    note: 'it began',
    reason: 'Began',
    reportingController: 'c',
    type: 'Normal',
  };
  const { resourceVersion } = await admin.list(eventsEventKind);
  const created: Record<string, unknown> = {
    ...(await admin.create(eventsEventKind, event as Resource)),
  };
  assert.deepEqual(created['regarding'], event.regarding);
  const core: Record<string, unknown> = { ...(await admin.get(eventKind, metadata)) };
  assert.deepEqual([core['apiVersion'], core['message']], ['v1', 'it began']);
  assert.deepEqual(core['involvedObject'], event.regarding);
  await admin.patch(eventsEventKind, metadata, { note: 'again', deprecatedCount: 2 });
  const [listed] = (await admin.list(eventKind)).items;
  assert.deepEqual(
    { ...listed, metadata: 0 },
    { ...core, metadata: 0, message: 'again', count: 2 },
  );
  const seen: unknown[] = [];
  for await (const { object } of admin.watch(eventsEventKind, { resourceVersion })) {
    const { note }: Resource & { note?: unknown } = object;
    if (seen.push(note) === 2) break;
  }
  assert.deepEqual(seen, ['it began', 'again']);
  await assert.rejects(
    admin.request('POST', '/apis/events.k8s.io/v1/namespaces/default/events', {
      body: { ...event, apiVersion: 'v1' },
    }),
    { status: 400 },
  );
});

test('[AP18] events go an hour after they last happened', async (context) => {
  const { admin, resources } = await startServer(context);
  const event = (name: string, lastTimestamp: string) => ({
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name, namespace: 'default' },
    involvedObject: { kind: 'Pod', name: 'p' },
    lastTimestamp,
  });
  const now = Date.now();
  const at = (ms: number) => new Date(now + ms).toISOString();
  await admin.create(eventKind, event('old', at(0)) as Resource);
  await admin.create(eventKind, event('new', at(600_000)) as Resource);
  const expiry = new EventExpiry(resources, (error) => assert.fail(String(error)));
  await expiry.sweep(now + 3_599_000);
  assert.equal((await admin.list(eventKind)).items.length, 2);
  await expiry.sweep(now + 3_605_000);
  assert.deepEqual(
    (await admin.list(eventKind)).items.map((item) => item.metadata.name),
    ['new'],
  );
});

test('[AP19] leases, configuration, secrets: kept, checked, immutable when they say so', async (context) => {
  const { admin, clientOf } = await startServer(context);
  const lease = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata };
  const spec = { holderIdentity: 'n1', leaseDurationSeconds: 40 };
  await admin.create(leaseKind, { ...lease, spec } as Resource);
  await assert.rejects(admin.patch(leaseKind, metadata, { spec: { leaseDurationSeconds: 0 } }), {
    status: 422,
  });
  const map = { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { a: '1' }, immutable: true };
  await admin.create(configMapKind, map as Resource);
  await admin.patch(configMapKind, metadata, { metadata: { labels: { a: 'b' } } });
  for (const change of [{ data: { a: '2' } }, { immutable: false }]) {
    await assert.rejects(admin.patch(configMapKind, metadata, change), { status: 422 });
  }
  const secret = { apiVersion: 'v1', kind: 'Secret', metadata, stringData: { p: 'pässword' } };
  const made: Record<string, unknown> = { ...(await admin.create(secretKind, secret as Resource)) };
  assert.deepEqual([made['data'], made['type']], [{ p: 'cMOkc3N3b3Jk' }, 'Opaque']);
  assert.equal(made['stringData'], undefined);
  await assert.rejects(
    admin.patch(secretKind, metadata, { data: { p: 'not base64!' } }),
    (error) => {
      assert.ok(error instanceof Error);
      return !error.message.includes('not base64!') && error.message.includes('data.p');
    },
  );
  await assert.rejects(clientOf({ kind: 'node', name: 'n1' }).list(secretKind), { status: 403 });
  await assert.rejects(admin.delete(namespaceKind, { name: 'default' }), { status: 403 });
});
