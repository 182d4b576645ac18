// A watch of a real etcd whose answers come in parts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EtcdConnection } from './etcd-connection.ts';
import { EtcdProcess } from './etcd-fixture.ts';
import { put, txn, type WatchEvent } from './etcd-messages.ts';
import { KeyWatch } from './key-watch.ts';

test('[ET6] a response that comes in parts is told in parts, and each revision whole', async (context) => {
  const etcd = await EtcdProcess.start({ args: ['--max-request-bytes=200000'] });
  const connection = new EtcdConnection({ endpoints: [etcd.endpoint] });
  context.after(async () => {
    connection.close();
    await etcd.remove();
  });
  const value = 'x'.repeat(50_000);
  const puts = ['a', 'b', 'c'].map((name) => ({ put: { key: `/calico/${name}`, value } }));
  for (let n = 0; n < 30; n++) await connection.call(txn, { success: puts });
  const { response } = await connection.call(put, { key: '/calico/last', value: '' });
  const { clusterId = '', revision: last = 0 } = response.header ?? {};
  const told: (readonly WatchEvent[])[] = [];
  const done = Promise.withResolvers<void>();
  const watch = new KeyWatch(connection, {
    prefix: '/calico/',
    from: 1,
    clusterId,
    onEvents: (events) => {
      told.push(events);
      if (events.at(-1)?.kv?.modRevision === last) done.resolve();
    },
    onProgress: () => undefined,
    onForgotten: () => done.reject(new Error('forgotten')),
    onStranger: () => done.reject(new Error('a stranger')),
    onTrouble: (error) => done.reject(error),
  });
  context.after(() => watch.end());
  await done.promise;
  assert.ok(told.length > 3, `${told.length} parts`);
  const keysOf = (events: readonly WatchEvent[]) => events.map(({ kv }) => kv?.key);
  const revisions = told.flatMap((events) => [
    ...Map.groupBy(events, ({ kv }) => kv?.modRevision).values(),
  ]);
  assert.equal(revisions.length, 31);
  for (const events of revisions.slice(0, 30)) {
    assert.deepEqual(keysOf(events), ['/calico/a', '/calico/b', '/calico/c']);
  }
});
