// A backup of a real etcd, under writers: what etcdctl makes of it, and that nothing is overwritten or left behind.
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import type { StoreKey } from '../store.ts';
import { backupEtcd } from './etcd-backup.ts';
import { EtcdProcess, EtcdProxy } from './etcd-fixture.ts';
import { openEtcdStore } from './etcd-store.ts';

const keyOf = (name: string): StoreKey => ({ kind: 'pods', namespace: 'shop', name });

suite('etcd backup', () => {
  test('[ET11] a backup under writers, restored by etcdctl, has all that was acknowledged', async (context) => {
    const folder = await mkdtemp(join(tmpdir(), 'tortie-etcd-backup-'));
    const file = join(folder, 'backup.db');
    const etcd = await EtcdProcess.start();
    context.after(async () => {
      await etcd.remove();
      await rm(folder, { recursive: true });
    });
    const endpoints = [etcd.endpoint];
    const store = await openEtcdStore({ endpoints });
    const text = 'x'.repeat(50_000);
    for (let n = 0; n < 40; n++) await store.write({ key: keyOf(`before-${n}`), value: { text } });
    let running = true;
    const writer = (async () => {
      for (let n = 0; running; n++) {
        await store.write({ key: keyOf(`during-${n % 5}`), value: { n } });
      }
    })();
    const backup = await backupEtcd({ endpoints }, file);
    running = false;
    await writer;
    await store.close();
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    assert.equal((await stat(file)).size, backup.bytes);
    assert.match(backup.version, /^3\.\d+\.\d+/);
    assert.ok(backup.bytes > 40 * text.length);
    assert.deepEqual(await readdir(folder), ['backup.db']);
    await assert.rejects(backupEtcd({ endpoints }, file), /is there already; give another name/);
    assert.equal((await readFile(file)).length, backup.bytes);
    await etcd.restore(file);
    const restored = await openEtcdStore({ endpoints });
    context.after(() => restored.close());
    const { items } = await restored.list('pods');
    const before = items.filter(({ key }) => key.name.startsWith('before-'));
    assert.equal(before.length, 40);
    assert.ok(before.every(({ value }) => value['text'] === text));
    await restored.write({ key: keyOf('after'), value: {} });
  });

  test('[ET11] a copy that breaks off, or is damaged on its way, leaves nothing behind', async (context) => {
    const folder = await mkdtemp(join(tmpdir(), 'tortie-etcd-backup-'));
    const etcd = await EtcdProcess.start();
    const proxy = await EtcdProxy.start(etcd);
    context.after(async () => {
      proxy.close();
      await etcd.remove();
      await rm(folder, { recursive: true });
    });
    const file = join(folder, 'backup.db');
    for (let n = 0; n < 20; n++) await etcd.control('put', `/big/${n}`, 'x'.repeat(100_000));
    proxy.cutAfter(500_000);
    await assert.rejects(backupEtcd({ endpoints: [proxy.endpoint], timeoutMs: 1000 }, file));
    assert.deepEqual(await readdir(folder), []);
    proxy.mend(etcd);
    proxy.cutAfter(Infinity);
    proxy.corrupt('xxxxxxxxxxxx');
    await assert.rejects(
      backupEtcd({ endpoints: [proxy.endpoint] }, file),
      /is damaged; try again/,
    );
    assert.deepEqual(await readdir(folder), []);
  });
});
