// What every store must do, as tests to be run against each implementation.
import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import {
  RevisionConflict,
  RevisionTooOld,
  type Store,
  type StoreEvent,
  type StoreKey,
} from './store.ts';

/** Opens a store whose change log keeps about `logEvents` changes; closed by the test's end. */
export type OpenStore = (context: TestContext, options?: { logEvents?: number }) => Promise<Store>;

const key = (name: string, namespace = 'shop', kind = 'pods'): StoreKey => ({
  kind,
  namespace,
  name,
});

/** Runs the suite; `open` makes an empty store each time. */
export function storeContract(implementation: string, open: OpenStore): void {
  suite(`store contract: ${implementation}`, () => {
    test('a write is read back with its revision', async (context) => {
      const store = await open(context);
      const before = store.revision;
      const revision = await store.write({ key: key('a'), value: { spec: { n: 1 } }, expected: 0 });
      assert.ok(revision > before);
      assert.equal(store.revision, revision);
      assert.deepEqual(await store.get(key('a')), {
        key: key('a'),
        value: { spec: { n: 1 } },
        revision,
      });
      assert.equal(await store.get(key('a', 'other')), undefined);
    });

    test('compare-and-swap: the expected revision decides', async (context) => {
      const store = await open(context);
      const first = await store.write({ key: key('a'), value: { n: 1 }, expected: 0 });
      await assert.rejects(store.write({ key: key('a'), value: { n: 2 }, expected: 0 }), {
        name: 'RevisionConflict',
        expected: 0,
        actual: first,
      });
      const second = await store.write({ key: key('a'), value: { n: 2 }, expected: first });
      await assert.rejects(
        store.write({ key: key('a'), value: undefined, expected: first }),
        RevisionConflict,
      );
      await store.write({ key: key('a'), value: undefined, expected: second });
      assert.equal(await store.get(key('a')), undefined);
      await store.write({ key: key('a'), value: { n: 3 }, expected: 0 });
    });

    test('of many writers with the same expectation exactly one wins', async (context) => {
      const store = await open(context);
      for (let round = 0; round < 5; round++) {
        const current = (await store.get(key('a')))?.revision ?? 0;
        const results = await Promise.allSettled(
          Array.from({ length: 20 }, (_, n) =>
            store.write({ key: key('a'), value: { n }, expected: current }),
          ),
        );
        assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1);
      }
    });

    test('writes of one key queued together count in order', async (context) => {
      const store = await open(context);
      const writes = [{ n: 1 }, undefined, { n: 2 }, undefined, { n: 3 }];
      await Promise.all(writes.map((value) => store.write({ key: key('a'), value })));
      assert.deepEqual((await store.get(key('a')))?.value, { n: 3 });
    });

    test('a list is ordered, by kind and namespace, at the current revision', async (context) => {
      const store = await open(context);
      for (const [name, namespace, kind] of [
        ['b', 'shop', 'pods'],
        ['a', 'shop', 'pods'],
        ['z', 'bank', 'pods'],
        ['a', 'shop', 'services'],
      ] as const) {
        await store.write({ key: key(name, namespace, kind), value: { name } });
      }
      const all = await store.list('pods');
      assert.equal(all.revision, store.revision);
      assert.deepEqual(
        all.items.map((item) => `${item.key.namespace}/${item.key.name}`),
        ['bank/z', 'shop/a', 'shop/b'],
      );
      assert.equal((await store.list('pods', { namespace: 'shop' })).items.length, 2);
      assert.equal((await store.list('nodes')).items.length, 0);
    });

    test('a list at a kept revision is as it was; what is forgotten or to come is refused', async (context) => {
      const store = await open(context, { logEvents: 20 });
      const seen = new Map<number, string[]>();
      const texts = async (at?: number): Promise<string[]> =>
        (await store.list('pods', { namespace: 'shop', at })).items.map(
          (item) => `${item.key.name} ${item.revision} ${JSON.stringify(item.value)}`,
        );
      const remember = async (): Promise<void> => void seen.set(store.revision, await texts());
      for (let n = 0; n < 15; n++) {
        await store.write({ key: key(`p${n % 4}`), value: n % 5 === 4 ? undefined : { n } });
        await remember();
        await store.write({ key: key('elsewhere', 'bank'), value: { n } });
        await remember();
      }
      const kept = [...seen].slice(-20);
      for (const [revision, items] of kept) assert.deepEqual(await texts(revision), items);
      const [at = 0] = kept[0] ?? [];
      assert.equal((await store.list('pods', { at })).revision, at);
      for (let n = 0; n < 50; n++) await store.write({ key: key('p0'), value: { n } });
      await assert.rejects(store.list('pods', { at }), RevisionTooOld);
      await assert.rejects(store.list('pods', { at: store.revision + 1 }), RevisionTooOld);
    });

    watchTests(open);
  });
}

function watchTests(open: OpenStore): void {
  test('a watch gets what is past, then what comes, each once and in order', async (context) => {
    const store = await open(context);
    const from = await store.write({ key: key('a'), value: { n: 1 } });
    await store.write({ key: key('a'), value: { n: 2 } });
    await store.write({ key: key('x', 'bank'), value: { n: 0 } });
    const seen: StoreEvent[] = [];
    const onEvent = (event: StoreEvent): void => void seen.push(event);
    const stop = await store.watch({ kind: 'pods', namespace: 'shop', from, onEvent });
    await store.write({ key: key('a', 'shop', 'services'), value: { n: 9 } });
    const last = await store.write({ key: key('a'), value: undefined });
    assert.deepEqual(
      seen.map(({ value, previous }) => ({ value, previous })),
      [
        { value: { n: 2 }, previous: { n: 1 } },
        { value: undefined, previous: { n: 2 } },
      ],
    );
    assert.equal(seen.at(-1)?.revision, last);
    stop();
    await store.write({ key: key('b'), value: { n: 4 } });
    assert.equal(seen.length, 2);
  });

  test('a write is visible to get and list by the time a watcher hears of it', async (context) => {
    const store = await open(context);
    const heard: boolean[] = [];
    const onEvent = (event: StoreEvent): void => void heard.push(store.revision >= event.revision);
    await store.watch({ kind: 'pods', from: store.revision, onEvent });
    await Promise.all(
      Array.from({ length: 10 }, (_, n) => store.write({ key: key(`p${n}`), value: { n } })),
    );
    assert.deepEqual(
      heard,
      Array.from({ length: 10 }, () => true),
    );
  });

  test('a revision that the log has forgotten, or never had, is refused', async (context) => {
    const store = await open(context, { logEvents: 4 });
    const onEvent = (): void => undefined;
    const old = store.revision;
    for (let n = 0; n < 30; n++) await store.write({ key: key('a'), value: { n } });
    await assert.rejects(store.watch({ kind: 'pods', from: old, onEvent }), RevisionTooOld);
    const future = store.revision + 1;
    await assert.rejects(store.watch({ kind: 'pods', from: future, onEvent }), RevisionTooOld);
    await store.watch({ kind: 'pods', from: store.revision - 2, onEvent });
  });

  test('after the close nothing is accepted', async (context) => {
    const store = await open(context);
    const pending = store.write({ key: key('a'), value: { n: 1 } });
    await store.close();
    await pending;
    await assert.rejects(store.write({ key: key('a'), value: { n: 2 } }), /closed/);
  });
}
