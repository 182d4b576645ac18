// What every store must do, as tests to be run against each implementation.
import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import {
  RevisionConflict,
  RevisionTooOld,
  type Store,
  type StoredValue,
  type StoreEvent,
  type StoreKey,
  type StoreListOptions,
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

    test('who loses a race hears of it when what won can be read', async (context) => {
      const store = await open(context);
      const value = (n: number) => ({ key: key('a'), value: { n }, expected: 0 });
      const won = store.write(value(1));
      await assert.rejects(store.write(value(2)), RevisionConflict);
      assert.deepEqual((await store.get(key('a')))?.value, { n: 1 });
      assert.ok(store.revision >= (await won));
      const gone = store.write({ key: key('a'), value: undefined });
      await store.write({ key: key('a'), value: undefined });
      assert.equal(await store.get(key('a')), undefined);
      await gone;
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
    pageTests(open);
    bookmarkTests(open);
    compactionTests(open);
  });
}

const pathOf = ({ key: { namespace, name } }: StoredValue): string => `${namespace}/${name}`;

/** The list in pages of `limit`, all at the revision of the first. */
async function inPages(
  store: Store,
  limit: number,
  options: StoreListOptions,
): Promise<StoredValue[]> {
  const items: StoredValue[] = [];
  let page = await store.list('pods', { ...options, limit });
  const { revision } = page;
  for (let turn = 0; turn < 1000; turn++) {
    items.push(...page.items);
    assert.ok(page.items.length <= limit);
    if (page.remaining === 0) break;
    assert.equal(page.items.length, limit, 'a page that is not the last is full');
    const after = items.at(-1)?.key;
    page = await store.list('pods', { ...options, limit, after, at: revision });
    assert.equal(page.revision, revision);
  }
  return items;
}

function pageTests(open: OpenStore): void {
  test('pages of one revision make its whole list, whatever is written between', async (context) => {
    const store = await open(context);
    for (const namespace of ['shop', 'shop-2', 'sho', 'bank']) {
      for (let n = 0; n < 7; n++) await store.write({ key: key(`p${n}`, namespace), value: { n } });
    }
    const { revision, items: all } = await store.list('pods');
    assert.deepEqual(all.map(pathOf), all.map(pathOf).toSorted());
    assert.equal(all.length, 28);
    for (const limit of [1, 3, 7, 28, 1000]) {
      assert.deepEqual(await inPages(store, limit, {}), all);
    }
    const first = await store.list('pods', { limit: 5 });
    assert.deepEqual(first.items, all.slice(0, 5));
    assert.equal(first.remaining, 23);
    await store.write({ key: key('p9', 'bank'), value: { n: 9 } });
    await store.write({ key: key('p4', 'bank'), value: undefined });
    await store.write({ key: key('p2', 'shop'), value: { n: 22 } });
    await store.write({ key: key('p0', 'shop-2'), value: undefined });
    await store.write({ key: key('p3', 'zoo'), value: { n: 3 } });
    for (const limit of [1, 4, 9]) {
      assert.deepEqual(await inPages(store, limit, { at: revision }), all);
    }
    const after = { namespace: 'bank', name: 'p4' };
    const rest = await store.list('pods', { at: revision, after, limit: 2 });
    assert.deepEqual(rest.items, all.slice(5, 7));
    assert.equal(rest.remaining, 21);
    const now = await store.list('pods', { after });
    assert.deepEqual(now.items.slice(0, 3).map(pathOf), ['bank/p5', 'bank/p6', 'bank/p9']);
  });

  test('pages keep to their namespace, and begin after what is not there', async (context) => {
    const store = await open(context);
    for (const name of ['a', 'c', 'e']) await store.write({ key: key(name), value: {} });
    for (const name of ['b', 'd']) await store.write({ key: key(name, 'bank'), value: {} });
    const shop = await inPages(store, 2, { namespace: 'shop' });
    assert.deepEqual(shop.map(pathOf), ['shop/a', 'shop/c', 'shop/e']);
    const after = { namespace: 'shop', name: 'b' };
    const page = await store.list('pods', { namespace: 'shop', after, limit: 1 });
    assert.deepEqual(page.items.map(pathOf), ['shop/c']);
    assert.equal(page.remaining, 1);
    const none = await store.list('pods', { namespace: 'shop', after: { ...after, name: 'e' } });
    assert.deepEqual([none.items, none.remaining], [[], 0]);
  });
}

function bookmarkTests(open: OpenStore): void {
  test('a bookmark is told in order, also where no event is, and a watch goes on from it', async (context) => {
    const store = await open(context);
    const from = await store.write({ key: key('a'), value: { n: 1 } });
    const told: string[] = [];
    const watched = {
      onEvent: ({ value }: StoreEvent): void => void told.push(`event ${JSON.stringify(value)}`),
      onBookmark: (revision: number): void => void told.push(`bookmark ${revision}`),
    };
    const end = await store.watch({ kind: 'pods', from, ...watched });
    const elsewhere = await store.write({ key: key('a', 'shop', 'services'), value: { n: 2 } });
    assert.ok((await store.sync()) >= elsewhere);
    const bookmark = Number(
      /^bookmark (?<revision>\d+)$/.exec(told.at(-1) ?? '')?.groups?.['revision'],
    );
    assert.ok(bookmark >= elsewhere && bookmark <= store.revision);
    const last = await store.write({ key: key('a'), value: { n: 3 } });
    const revision = await store.sync();
    assert.ok(revision >= last);
    assert.deepEqual(told.slice(-2), ['event {"n":3}', `bookmark ${revision}`]);
    await store.sync();
    end();
    const bookmarks = told.filter((line) => line.startsWith('bookmark'));
    assert.equal(new Set(bookmarks).size, bookmarks.length, 'none is told twice');
    told.length = 0;
    const endAgain = await store.watch({ kind: 'pods', from: bookmark, ...watched });
    assert.deepEqual(
      told.filter((line) => line.startsWith('event')),
      ['event {"n":3}'],
    );
    endAgain();
    const before = told.length;
    await store.write({ key: key('a'), value: { n: 4 } });
    await store.sync();
    assert.equal(told.length, before, 'nothing is told once it is ended');
  });

  test('a watch of one name hears of nothing else, past or to come', async (context) => {
    const store = await open(context);
    const from = await store.write({ key: key('a'), value: { n: 1 } });
    await store.write({ key: key('a'), value: { n: 2 } });
    await store.write({ key: key('b'), value: { n: 2 } });
    const seen: unknown[] = [];
    const onEvent = ({ value }: StoreEvent): void => void seen.push(value);
    await store.watch({ kind: 'pods', namespace: 'shop', name: 'a', from, onEvent });
    await store.write({ key: key('a', 'bank'), value: { n: 3 } });
    await store.write({ key: key('ab'), value: { n: 3 } });
    await store.write({ key: key('a'), value: undefined });
    await store.sync();
    assert.deepEqual(seen, [{ n: 2 }, undefined]);
  });

  test('a watch that the store ends is told so, once', async (context) => {
    const store = await open(context);
    const ended: Error[] = [];
    const watch = {
      kind: 'pods',
      from: store.revision,
      onEvent: (): void => undefined,
      onEnd: (error: Error): void => void ended.push(error),
    };
    await store.watch(watch);
    const stop = await store.watch({ ...watch });
    stop();
    await store.close();
    assert.deepEqual(
      ended.map(({ name }) => name),
      ['StoreUnavailable'],
    );
    await assert.rejects(store.watch({ ...watch }), /closed/);
  });
}

function compactionTests(open: OpenStore): void {
  test('what is compacted is too old, what is left is as before', async (context) => {
    const store = await open(context);
    const onEvent = (): void => undefined;
    const revisions: number[] = [];
    for (let n = 0; n < 10; n++) {
      const value = n % 3 === 2 ? undefined : { n };
      revisions.push(await store.write({ key: key(`p${n % 2}`), value }));
      revisions.push(await store.write({ key: key(`q${n}`), value: { n } }));
    }
    const lists = await Promise.all(revisions.map((at) => store.list('pods', { at })));
    const middle = revisions[9] ?? 0;
    const heard: number[] = [];
    const hear = ({ revision }: StoreEvent): void => void heard.push(revision);
    await store.watch({ kind: 'pods', from: store.revision, onEvent: hear });
    await store.compact(middle);
    await store.compact(middle - 1);
    for (const [index, at] of revisions.entries()) {
      const list = store.list('pods', { at });
      if (at < middle) await assert.rejects(list, RevisionTooOld);
      else assert.deepEqual(await list, lists[index]);
      const watch = store.watch({ kind: 'pods', from: at, onEvent });
      if (at < middle) await assert.rejects(watch, RevisionTooOld);
      else (await watch)();
    }
    const seen: number[] = [];
    const see = ({ revision }: StoreEvent): void => void seen.push(revision);
    await store.watch({ kind: 'pods', from: middle, onEvent: see });
    assert.deepEqual(seen, revisions.slice(10));
    const next = await store.write({ key: key('z'), value: {} });
    assert.deepEqual([heard, seen.at(-1)], [[next], next]);
    await assert.rejects(store.compact(store.revision + 1), RevisionTooOld);
  });

  test('everything can be compacted: values stay', async (context) => {
    const store = await open(context);
    for (let n = 0; n < 5; n++) await store.write({ key: key('a'), value: { n } });
    await store.write({ key: key('b'), value: {} });
    await store.write({ key: key('b'), value: undefined });
    const before = await store.list('pods');
    await store.compact(store.revision);
    assert.deepEqual(await store.list('pods'), before);
    assert.deepEqual((await store.get(key('a')))?.value, { n: 4 });
    await store.write({ key: key('b'), value: { n: 1 }, expected: 0 });
    await assert.rejects(
      store.watch({ kind: 'pods', from: before.revision - 1, onEvent: () => undefined }),
      RevisionTooOld,
    );
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
