// The cache against one that keeps everything and searches all of it: reads, pages, revisions, watches.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RevisionTooOld, type StoredObject, type StoreEvent, type StoreKey } from './store.ts';
import { WatchCache } from './watch-cache.ts';

interface Write {
  readonly key: StoreKey;
  readonly value: StoredObject | undefined;
}

const PLAIN = { noNullPrototype: true };
const key = fc.record(
  {
    kind: fc.constantFrom('pods', 'services'),
    namespace: fc.constantFrom('', 'shop', 'shop-2', 'bank'),
    name: fc.constantFrom('a', 'b', 'c', 'd', 'ü', 'long-name'),
  },
  PLAIN,
);
const write = fc.record({
  key,
  value: fc.option(fc.record({ text: fc.string({ unit: 'grapheme', maxLength: 12 }) }, PLAIN), {
    nil: undefined,
    freq: 3,
  }),
});
const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ write }) },
  { weight: 1, arbitrary: fc.record({ compact: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ advance: fc.nat(3) }) },
);

/** Everything that was ever written, and what it says of each revision. */
class Everything {
  readonly writes: (Write & { readonly revision: number })[] = [];

  at(revision: number, kind: string): { key: StoreKey; value: StoredObject; revision: number }[] {
    const values = new Map<string, { key: StoreKey; value: StoredObject; revision: number }>();
    for (const { key, value, revision: written } of this.writes) {
      if (written > revision || key.kind !== kind) continue;
      const path = `${key.namespace}/${key.name}`;
      if (value) values.set(path, { key, value, revision: written });
      else values.delete(path);
    }
    return [...values].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, item]) => item);
  }

  eventsAfter(revision: number, kind: string, namespace?: string, name?: string): unknown[] {
    return this.writes
      .filter(({ key, revision: written }) => written > revision && key.kind === kind)
      .filter(({ key }) => namespace === undefined || key.namespace === namespace)
      .filter(({ key }) => name === undefined || key.name === name)
      .map(({ key, value, revision: written }) => ({
        key,
        value,
        revision: written,
        previous: this.at(written - 1, kind).find(
          (item) => item.key.namespace === key.namespace && item.key.name === key.name,
        )?.value,
      }));
  }
}

const ALL = { kind: 'pods' };
const SCOPES = [ALL, { ...ALL, namespace: 'shop' }, { ...ALL, namespace: 'shop', name: 'a' }];

/** Every list and watch that can be asked for, of both. */
function compare(cache: WatchCache, everything: Everything, compacted: number): void {
  const onEvent = (): void => undefined;
  for (let at = compacted - 2; at <= cache.revision + 1; at++) {
    if (at < compacted || at > cache.revision) {
      assert.throws(() => cache.list('pods', { at }), RevisionTooOld);
      assert.throws(() => cache.watch({ ...ALL, from: at, onEvent }), RevisionTooOld);
      continue;
    }
    const all = everything.at(at, 'pods');
    assert.deepEqual(cache.list('pods', { at }), { items: all, revision: at, remaining: 0 });
    for (const after of [
      { namespace: 'shop', name: 'b' },
      { namespace: 'c', name: '' },
    ]) {
      const rest = all.filter(({ key: { namespace, name } }) =>
        namespace === after.namespace ? name > after.name : `${namespace}/` > `${after.namespace}/`,
      );
      const page = cache.list('pods', { at, after, limit: 2 });
      assert.deepEqual(page.items, rest.slice(0, 2));
      assert.equal(page.remaining, Math.max(0, rest.length - 2));
    }
    for (const scope of SCOPES) {
      const seen: StoreEvent[] = [];
      cache.watch({ ...scope, from: at, onEvent: (event) => void seen.push(event) })();
      const { kind, namespace, name } = { namespace: undefined, name: undefined, ...scope };
      assert.deepEqual(seen, everything.eventsAfter(at, kind, namespace, name));
    }
  }
}

test('[ST5] [ST6] [ST10] [ST12] reads, pages and watches of every revision are what was written', () => {
  const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  const cases = fc.property(
    fc.array(step, { maxLength: 30 }),
    fc.integer({ min: 0, max: 300 }),
    (steps, parsedBytes) => {
      const cache = new WatchCache({ events: 1000, bytes: 1e6 }, 10, { parsedBytes });
      const everything = new Everything();
      const live: StoreEvent[] = [];
      cache.watch({ ...ALL, from: 10, onEvent: (event) => void live.push(event) });
      let compacted = 10;
      for (const done of steps) {
        if ('write' in done) {
          const revision = cache.revision + 1;
          everything.writes.push({ ...done.write, revision });
          cache.apply(done.write, revision);
        } else if ('advance' in done) cache.advance(cache.revision + done.advance);
        else {
          compacted = Math.max(compacted, cache.revision - done.compact);
          cache.compact(compacted);
        }
      }
      compare(cache, everything, compacted);
      assert.deepEqual(live, everything.eventsAfter(10, 'pods'));
    },
  );
  fc.assert(cases, { seed, numRuns: 400 });
});

test('[ST17] a write looks at no watch that it does not concern', () => {
  const cache = new WatchCache({ events: 1000, bytes: 1e6 }, 0);
  const looked = new Map<string, number>();
  const scopes = [{}, { namespace: 'shop' }, { namespace: 'shop', name: 'a' }, { namespace: 'a' }];
  for (let n = 0; n < 100; n++) scopes.push({ namespace: 'shop', name: `p${n}` });
  for (const kind of ['pods', 'services', 'a']) {
    for (const scope of scopes) {
      const watch = `${kind} ${Object.values(scope).join('/')}`;
      cache.watch({
        kind,
        ...scope,
        from: 0,
        get onEvent() {
          looked.set(watch, (looked.get(watch) ?? 0) + 1);
          return () => undefined;
        },
      });
    }
  }
  looked.clear();
  cache.apply({ key: { kind: 'pods', namespace: 'shop', name: 'a' }, value: {} }, 1);
  cache.apply({ key: { kind: 'pods', namespace: 'a', name: 'shop' }, value: {} }, 2);
  assert.deepEqual(Object.fromEntries(looked), {
    'pods ': 2,
    'pods shop': 1,
    'pods shop/a': 1,
    'pods a': 1,
  });
});

test('[ST12] the log keeps what its limits say: number, bytes and age', () => {
  let now = 0;
  const limits = { events: 10, bytes: 1000, ageMs: 60_000 };
  const cache = new WatchCache(limits, 0, { now: () => now });
  const oldest = (): number => {
    for (let at = 0; at <= cache.revision; at++) {
      try {
        cache.list('pods', { at });
        return at;
      } catch (error) {
        assert.ok(error instanceof RevisionTooOld);
      }
    }
    return Infinity;
  };
  const write = (value: StoredObject): void => {
    cache.apply({ key: { kind: 'pods', namespace: '', name: 'a' }, value }, cache.revision + 1);
    cache.trim();
  };
  for (let n = 0; n < 100; n++) {
    write({ n });
    assert.ok(cache.revision - oldest() < 20);
    assert.ok(cache.revision - oldest() >= Math.min(n, 10));
  }
  write({ text: 'x'.repeat(900) });
  write({ text: 'x'.repeat(900) });
  write({ text: 'x'.repeat(900) });
  assert.equal(oldest(), cache.revision - 1, 'what is over the bytes goes');
  now = 30_000;
  write({ n: 1 });
  now = 61_000;
  assert.deepEqual(cache.trim()?.revision, cache.revision - 1, 'what is too old goes');
  assert.equal(cache.trim(), undefined);
  now = 91_000;
  assert.deepEqual(cache.trim()?.revision, cache.revision);
  assert.equal(oldest(), cache.revision);
});

test('[ST8] a compaction names each row that nothing needs, once', () => {
  const cache = new WatchCache({ events: 1000, bytes: 1e6 }, 0);
  const rows = new Map<number, Write>();
  const put = (name: string, value: StoredObject | undefined): void => {
    const done = { key: { kind: 'pods', namespace: '', name }, value };
    rows.set(cache.revision + 1, done);
    cache.apply(done, cache.revision + 1);
  };
  for (let n = 0; n < 40; n++) put(`p${n % 3}`, n % 5 === 4 ? undefined : { n });
  const current = cache.list('pods', {}).items.map(({ revision }) => revision);
  for (const revision of [10, 20, 40]) {
    for (const row of cache.compact(revision)?.dropped ?? []) {
      assert.ok(rows.delete(row), `row ${row} is named twice`);
    }
  }
  assert.deepEqual(
    [...rows.keys()],
    current.toSorted((a, b) => a - b),
  );
});
