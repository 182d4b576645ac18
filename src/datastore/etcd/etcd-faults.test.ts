// What only etcd can do to a store: other writers, death and return, forgotten changes, a place set back.
import assert from 'node:assert/strict';
import { type TestContext, suite, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import type { Store, StoreEvent, StoreKey } from '../store.ts';
import { EtcdProcess, type EtcdProcessOptions, EtcdProxy } from './etcd-fixture.ts';
import { type EtcdStoreOptions, openEtcdStore } from './etcd-store.ts';

const TIERS = 'tiers.projectcalico.org';
const TIERS_PATH = '/calico/resources/v3/projectcalico.org/tiers';
const tier = (name: string): StoreKey => ({ kind: TIERS, namespace: '', name });
const valueOf = (name: string, order: number) => ({
  apiVersion: 'projectcalico.org/v3',
  kind: 'Tier',
  metadata: { name, uid: `uid-${name}` },
  spec: { order },
});

async function startEtcd(context: TestContext, options?: EtcdProcessOptions): Promise<EtcdProcess> {
  const etcd = await EtcdProcess.start(options);
  context.after(() => etcd.remove());
  return etcd;
}

async function openStore(
  context: TestContext,
  etcd: EtcdProcess,
  options: Partial<EtcdStoreOptions> = {},
): Promise<Store> {
  const store = await openEtcdStore({ endpoints: [etcd.endpoint], ...options });
  context.after(() => store.close());
  return store;
}

async function startProxy(context: TestContext, etcd: EtcdProcess): Promise<EtcdProxy> {
  const proxy = await EtcdProxy.start(etcd);
  context.after(() => proxy.close());
  return proxy;
}

async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (let turn = 0; turn < 400; turn++) {
    if (await condition()) return;
    await setTimeout(25);
  }
  assert.fail(`it never came to this: ${what}`);
}

suite('etcd store', () => {
  test("[ET2] what etcdctl writes in Calico's form is read and told; what is no value is absent", async (context) => {
    const etcd = await startEtcd(context);
    const troubles: string[] = [];
    const onTrouble = ({ message }: Error): void => void troubles.push(message);
    const store = await openStore(context, etcd, { onTrouble });
    const seen: unknown[] = [];
    const onEvent = ({ key: { name }, value }: StoreEvent): void =>
      void seen.push([name, value?.['spec']]);
    await store.watch({ kind: TIERS, from: store.revision, onEvent });
    const text = JSON.stringify(valueOf('ops', 5));
    await etcd.control('put', `${TIERS_PATH}/ops`, text);
    assert.deepEqual((await store.get(tier('ops')))?.value, valueOf('ops', 5));
    await etcd.control('put', `${TIERS_PATH}/ops`, text.replace('5', '6'));
    await etcd.control('put', `${TIERS_PATH}/broken`, '{"kind":');
    await etcd.control('put', `${TIERS_PATH}/ops`, 'nonsense');
    assert.equal(await store.get(tier('ops')), undefined);
    await etcd.control('put', '/calico/felix/v1/host/n1/config/x', 'of no concern');
    await etcd.control('put', `${TIERS_PATH}/ops`, text);
    await etcd.control('del', '--prefix', TIERS_PATH);
    assert.deepEqual((await store.list(TIERS)).items, []);
    const [five, six] = [{ order: 5 }, { order: 6 }];
    assert.deepEqual(seen, [
      ['ops', five],
      ['ops', six],
      ['ops', undefined],
      ['ops', five],
      ['ops', undefined],
    ]);
    assert.equal(troubles.length, 2);
    assert.match(troubles[0] ?? '', /tiers\/broken" is left out/);
  });

  test('[ET1] objects whose key follows from their value: changed, deleted, and not moved', async (context) => {
    const etcd = await startEtcd(context);
    const troubles: string[] = [];
    const onTrouble = ({ message }: Error): void => void troubles.push(message);
    const store = await openStore(context, etcd, { onTrouble });
    const kind = 'blockaffinities.projectcalico.org';
    const key = { kind, namespace: '', name: 'n1-10-0-0-0-26' };
    const affinity = (node: string, state: string) => ({
      metadata: { name: key.name, uid: 'u' },
      spec: { state, node, type: 'host', cidr: '10.0.0.0/26' },
    });
    const path = '/calico/ipam/v2/host/n1/ipv4/block/10.0.0.0-26';
    await assert.rejects(store.write({ key, value: undefined, expected: 7 }), { actual: 0 });
    await store.write({ key, value: undefined });
    const made = await store.write({ key, value: affinity('n1', 'pending'), expected: 0 });
    await assert.rejects(store.write({ key, value: affinity('n2', 'pending') }), /cannot change/);
    const changed = await store.write({ key, value: affinity('n1', 'confirmed'), expected: made });
    assert.match(await etcd.control('get', path), /"state":"confirmed"/);
    await etcd.control('put', path, '{"state":"pendingDeletion","deleted":false}');
    await assert.rejects(store.write({ key, value: undefined, expected: changed }), {
      name: 'RevisionConflict',
    });
    const { revision = 0, value } = (await store.get(key)) ?? {};
    assert.equal(Object(value?.['spec']).state, 'pendingDeletion');
    await store.write({ key, value: undefined, expected: revision });
    assert.equal(await etcd.control('get', path), '');
    // Of these two only the first can have the name.
    const name = 'virtual-lb-10-0-0-0-26';
    await etcd.control('put', '/calico/ipam/v2/host/virtual-lb/ipv4/block/10.0.0.0-26', '{}');
    await etcd.control('put', '/calico/ipam/v2/virtual/lb/ipv4/block/10.0.0.0-26', '{}');
    const found = await store.get({ ...key, name });
    assert.equal(Object(found?.value['spec']).node, 'virtual-lb');
    const rival = { ...affinity('lb', 'pending'), metadata: { name, uid: 'v' } };
    const spec = { ...rival.spec, type: 'virtual' };
    const write = { key: { ...key, name }, value: { ...rival, spec }, expected: 0 };
    await assert.rejects(store.write(write), { name: 'RevisionConflict' });
    assert.match(troubles.join(), /virtual\/lb\/.*has the name of another object/);
    await etcd.control('del', '/calico/ipam/v2/virtual/lb/ipv4/block/10.0.0.0-26');
    assert.ok(await store.get({ ...key, name }));
    assert.equal((await store.list(kind)).items.length, 1);
  });

  test('[ET2] a transaction of many keys is one revision, told as a whole', async (context) => {
    const etcd = await startEtcd(context);
    const store = await openStore(context, etcd);
    const from = store.revision;
    for (let n = 0; n < 20; n++) await store.write({ key: tier(`t${n}`), value: valueOf('t', n) });
    await etcd.control('del', '--prefix', TIERS_PATH);
    const revision = await store.sync();
    const seen: StoreEvent[] = [];
    const onEvent = (event: StoreEvent): void => void seen.push(event);
    await store.watch({ kind: TIERS, from, onEvent });
    assert.equal(seen.length, 40);
    assert.ok(seen.slice(20).every((event) => event.revision === revision && event.previous));
    assert.equal((await store.list(TIERS, { at: revision - 1 })).items.length, 20);
    assert.equal((await store.list(TIERS, { at: revision })).items.length, 0);
  });

  test("[ET3] two stores see each other's writes at once, also while others move the revision", async (context) => {
    const etcd = await startEtcd(context);
    const [one, other] = [await openStore(context, etcd), await openStore(context, etcd)];
    for (let n = 0; n < 20; n++) {
      const key = tier(`t${n % 3}`);
      const current = (await other.get(key))?.revision ?? 0;
      const revision = await one.write({ key, value: valueOf('t', n), expected: current });
      assert.equal((await other.get(key))?.revision, revision);
      if (n % 5 === 0) await etcd.control('put', '/elsewhere', String(n));
      assert.equal((await other.list(TIERS)).items.length, Math.min(n + 1, 3));
      await assert.rejects(other.write({ key, value: valueOf('t', 0), expected: current }), {
        name: 'RevisionConflict',
        actual: revision,
      });
    }
    const known = one.revision;
    const stop = await other.watch({ kind: TIERS, from: known, onEvent: () => undefined });
    stop();
  });

  test('[ET4] etcd killed under 16 writers: nothing acknowledged is lost, no gap, no repeat', async (context) => {
    const etcd = await startEtcd(context);
    const store = await openStore(context, etcd, { timeoutMs: 60_000 });
    const acknowledged = new Map<string, number>();
    const told: string[] = [];
    let revision = 0;
    const onEvent = (event: StoreEvent): void => {
      assert.ok(event.revision > revision, 'in order, and none twice');
      revision = event.revision;
      const { order } = Object(event.value?.['spec']);
      const before = Object(event.previous?.['spec']);
      told.push(`${event.key.name} ${order}`);
      assert.equal(before.order ?? 0, order - 1, 'with what was there before');
    };
    await store.watch({ kind: TIERS, from: store.revision, onEvent });
    let running = true;
    const writers = Array.from({ length: 16 }, async (_, writer) => {
      const name = `w${writer}`;
      let expected = 0;
      for (let order = 1; running; order++) {
        expected = await store.write({ key: tier(name), value: valueOf(name, order), expected });
        acknowledged.set(name, order);
      }
    });
    for (let kill = 0; kill < 3; kill++) {
      const before = told.length;
      await until(() => told.length > before + 100, 'writes go on');
      await etcd.kill();
      await etcd.run();
    }
    running = false;
    await Promise.all(writers);
    const { items } = await store.list(TIERS);
    assert.deepEqual(
      new Map(items.map(({ key, value }) => [key.name, Object(value['spec']).order])),
      acknowledged,
    );
    for (const [name, order] of acknowledged) assert.ok(told.includes(`${name} ${order}`));
    assert.equal(new Set(told).size, told.length);
  });

  test('[ET8] etcd away: reads and writes fail with what to do, and work again when it is back', async (context) => {
    const etcd = await startEtcd(context);
    const store = await openStore(context, etcd, { timeoutMs: 400 });
    await store.write({ key: tier('a'), value: valueOf('a', 1) });
    await etcd.kill();
    const refusal = {
      name: 'StoreUnavailable',
      message: /cannot reach etcd at .*check that it runs/,
    };
    await assert.rejects(store.get(tier('a')), refusal);
    await assert.rejects(
      store.write({ key: tier('b'), value: valueOf('b', 1) }),
      /check that it runs.*the write may have taken effect/,
    );
    await etcd.run();
    await until(async () => {
      try {
        return (await store.get(tier('a'))) !== undefined;
      } catch {
        return false;
      }
    }, 'it is read again');
    await store.write({ key: tier('b'), value: valueOf('b', 2) });
  });

  test('[ET5] changes that etcd forgot meanwhile: watches end, and all is read again', async (context) => {
    const etcd = await startEtcd(context);
    const proxy = await startProxy(context, etcd);
    const store = await openStore(context, etcd, {
      endpoints: [proxy.endpoint],
      timeoutMs: 20_000,
    });
    for (const name of ['a', 'b']) await store.write({ key: tier(name), value: valueOf(name, 1) });
    const ended: Error[] = [];
    const from = store.revision;
    await store.watch({
      kind: TIERS,
      from,
      onEvent: () => undefined,
      onEnd: (error) => void ended.push(error),
    });
    proxy.cut();
    await etcd.control('del', `${TIERS_PATH}/a`);
    await etcd.control('put', `${TIERS_PATH}/c`, JSON.stringify(valueOf('c', 1)));
    const head = Number(
      /"revision":(?<n>\d+)/.exec(await etcd.control('get', 'x', '-w', 'json'))?.groups?.['n'],
    );
    await etcd.control('compact', String(head));
    proxy.mend(etcd);
    const { items } = await store.list(TIERS);
    assert.deepEqual(
      items.map(({ key }) => key.name),
      ['b', 'c'],
    );
    assert.deepEqual(
      ended.map(({ name }) => name),
      ['RevisionTooOld'],
    );
    await assert.rejects(store.watch({ kind: TIERS, from, onEvent: () => undefined }), {
      name: 'RevisionTooOld',
    });
    const seen: string[] = [];
    const onEvent = ({ key }: StoreEvent): void => void seen.push(key.name);
    await store.watch({ kind: TIERS, from: store.revision, onEvent });
    await store.write({ key: tier('d'), value: valueOf('d', 1) });
    assert.deepEqual(seen, ['d']);
  });

  test('[ET5] keys of others move a quiet store on: what it has heard of may be forgotten', async (context) => {
    const args = ['--experimental-watch-progress-notify-interval=50ms'];
    const etcd = await startEtcd(context, { args });
    const proxy = await startProxy(context, etcd);
    const store = await openStore(context, etcd, { endpoints: [proxy.endpoint] });
    const ended: Error[] = [];
    const seen: string[] = [];
    await store.watch({
      kind: TIERS,
      from: await store.write({ key: tier('a'), value: valueOf('a', 1) }),
      onEvent: ({ key }) => void seen.push(key.name),
      onEnd: (error) => void ended.push(error),
    });
    const from = store.revision;
    for (let n = 0; n < 5; n++) await etcd.control('put', '/elsewhere', String(n));
    await until(() => store.revision === from + 5, 'it moves on without a read');
    proxy.cut();
    await etcd.control('compact', String(from + 5));
    await etcd.control('put', `${TIERS_PATH}/b`, JSON.stringify(valueOf('b', 1)));
    proxy.mend(etcd);
    await store.sync();
    assert.deepEqual([seen, ended], [['b'], []]);
  });

  test('a compaction by others under a watch takes nothing from it', async (context) => {
    const etcd = await startEtcd(context);
    const store = await openStore(context, etcd);
    const seen: number[] = [];
    const onEvent = ({ revision }: StoreEvent): void => void seen.push(revision);
    await store.watch({ kind: TIERS, from: store.revision, onEvent });
    const written: number[] = [];
    for (let n = 0; n < 10; n++) {
      const revision = await store.write({ key: tier('a'), value: valueOf('a', n) });
      written.push(revision);
      await etcd.control('compact', String(revision));
    }
    assert.deepEqual(seen, written);
  });

  test('[ET6] a store that opens resumes watches from what etcd keeps, and no others', async (context) => {
    const etcd = await startEtcd(context);
    const first = await openStore(context, etcd);
    const revisions: number[] = [];
    for (let n = 0; n < 12; n++) {
      revisions.push(await first.write({ key: tier(`t${n % 2}`), value: valueOf('t', n) }));
    }
    const [compacted = 0, ...kept] = revisions.slice(4);
    await first.compact(compacted);
    await first.close();
    const second = await openStore(context, etcd);
    const seen: number[] = [];
    const onEvent = ({ revision, previous }: StoreEvent): void => {
      assert.ok(previous);
      seen.push(revision);
    };
    await second.watch({ kind: TIERS, from: compacted, onEvent });
    assert.deepEqual(seen, kept);
    const [forgotten = 0] = revisions;
    await assert.rejects(second.watch({ kind: TIERS, from: forgotten, onEvent }), {
      name: 'RevisionTooOld',
    });
    const short = await openStore(context, etcd, { log: { events: 3, bytes: 1000 } });
    await assert.rejects(short.watch({ kind: TIERS, from: compacted, onEvent }), {
      name: 'RevisionTooOld',
    });
  });

  test('[ET6] changes that come in parts are put together, each revision whole', async (context) => {
    const etcd = await startEtcd(context, { args: ['--max-request-bytes=200000'] });
    const first = await openStore(context, etcd);
    const from = first.revision;
    const padding = 'x'.repeat(90_000);
    for (let n = 0; n < 40; n++) {
      await first.write({ key: tier(`t${n}`), value: { ...valueOf('t', n), padding } });
    }
    await etcd.control('del', '--prefix', TIERS_PATH);
    const second = await openStore(context, etcd);
    const seen: StoreEvent[] = [];
    const onEvent = (event: StoreEvent): void => void seen.push(event);
    await second.watch({ kind: TIERS, from, onEvent });
    assert.equal(seen.length, 80);
    assert.ok(seen.every(({ previous }, index) => (index < 40 ? !previous : previous)));
    assert.equal(second.revision, await first.sync());
  });

  test('[ET9] an etcd without what was there is not used: watches end', async (context) => {
    const etcd = await startEtcd(context);
    const proxy = await startProxy(context, etcd);
    const fatal: Error[] = [];
    const store = await openStore(context, etcd, {
      endpoints: [proxy.endpoint],
      onFatal: (error) => void fatal.push(error),
    });
    await store.write({ key: tier('a'), value: valueOf('a', 1) });
    const ended: Error[] = [];
    const seen: unknown[] = [];
    await store.watch({
      kind: TIERS,
      from: store.revision,
      onEvent: ({ value }) => void seen.push(value),
      onEnd: (error) => void ended.push(error),
    });
    const other = await startEtcd(context, { args: ['--initial-cluster-token=other'] });
    for (let n = 0; n < 10; n++) {
      await other.control('put', `${TIERS_PATH}/a`, JSON.stringify(valueOf('a', 100 + n)));
    }
    proxy.cut();
    proxy.mend(other);
    await until(() => fatal.length > 0, 'the watch notices');
    assert.equal(ended.length, 1);
    assert.deepEqual(seen, []);
    const refusal = /is not what it was: it is cluster .*start the server again/;
    await assert.rejects(store.get(tier('a')), refusal);
    await assert.rejects(store.write({ key: tier('b'), value: valueOf('b', 1) }), refusal);
    assert.equal(fatal.length, 1);
  });

  test('[ET9] an etcd that was set back is not used', async (context) => {
    const etcd = await startEtcd(context);
    const proxy = await startProxy(context, etcd);
    const store = await openStore(context, etcd, { endpoints: [proxy.endpoint] });
    for (let n = 0; n < 5; n++) await store.write({ key: tier('a'), value: valueOf('a', n) });
    proxy.cut();
    // As it was when it began: the same cluster, fewer revisions.
    await etcd.forget();
    proxy.mend(etcd);
    await assert.rejects(
      store.get(tier('a')),
      /at revision 1, and was at 6; start the server again/,
    );
  });

  test('[ET10] changes are compacted after the period that KubeControllersConfiguration says', async (context) => {
    const etcd = await startEtcd(context);
    const first = await openStore(context, etcd);
    const kind = 'kubecontrollersconfigurations.projectcalico.org';
    await first.write({
      key: { kind, namespace: '', name: 'default' },
      value: { metadata: { name: 'default' }, spec: { etcdV3CompactionPeriod: '100ms' } },
    });
    const old = await first.write({ key: tier('a'), value: valueOf('a', 1) });
    await first.write({ key: tier('a'), value: valueOf('a', 2) });
    await first.close();
    const store = await openStore(context, etcd);
    const isForgotten = async (): Promise<boolean> => {
      const failed = etcd.control('get', 'x', `--rev=${old}`);
      return failed.then(
        () => false,
        (error: unknown) => /has been compacted/.test(String(error)),
      );
    };
    await until(isForgotten, 'the revision is compacted');
    assert.equal((await store.list(TIERS)).items.length, 1);
    await assert.rejects(store.list(TIERS, { at: old }), { name: 'RevisionTooOld' });
  });
});
