// Tests of the counts of requests and watches, by a server that answers them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiError } from '#datastore/client';
import { type Tier, tierKind } from '#api';
import { startServer } from './server-fixture.ts';

test('requests count by verb and code, watches while they run, and their events', async (context) => {
  const { admin, clientOf, resources } = await startServer(context);
  const { counts } = resources;
  const of = (verb: string, code: number): number =>
    counts.requests.find((one) => one.verb === verb && one.code === code)?.count ?? 0;
  const until = async (holds: () => boolean): Promise<void> => {
    for (let turn = 0; !holds() && turn < 500; turn++) await new Promise((r) => setTimeout(r, 10));
    assert.ok(holds(), JSON.stringify([counts.requests, counts.watches]));
  };
  const { resourceVersion } = await admin.list(tierKind);
  await assert.rejects(clientOf({ token: 'wrong' }).list(tierKind), ApiError);
  await until(() => of('list', 200) === 1 && of('list', 401) === 1);
  assert.deepEqual(counts.watches, { open: 0, events: 0, dropped: 0 });
  const ending = new AbortController();
  const seen = (async () => {
    const { signal } = ending;
    for await (const event of admin.watch(tierKind, { resourceVersion, signal })) return event;
    return undefined;
  })();
  await until(() => counts.watches.open === 1);
  const tier: Tier = {
    apiVersion: 'projectcalico.org/v3',
    kind: 'Tier',
    metadata: { name: 'new' },
    spec: { order: 5 },
  };
  await admin.create(tierKind, tier);
  assert.ok(await seen);
  ending.abort();
  await until(() => counts.watches.open === 0 && of('watch', 200) === 1);
  assert.equal(counts.watches.events, 1);
  assert.equal(of('create', 201), 1);
});
