// The embedded store against the contract, and what only a file can do: survive.
import assert from 'node:assert/strict';
import { copyFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { checkStore } from './sqlite-check.ts';
import { openSqliteStore } from './sqlite-store.ts';
import { storeContract } from './store.contract.ts';
import { RevisionTooOld, type Store, type StoreEvent, StoreUnavailable } from './store.ts';

async function temporaryFile(context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tortie-store-'));
  context.after(() => rm(folder, { recursive: true, force: true }));
  return join(folder, 'store.db');
}

async function open(context: TestContext, options: { logEvents?: number } = {}): Promise<Store> {
  const path = await temporaryFile(context);
  const log = { events: options.logEvents ?? 1000, bytes: 1_000_000 };
  const store = await openSqliteStore({ path, log });
  context.after(() => store.close().catch(() => undefined));
  return store;
}

// The contract holds the tests of [ST1] [ST2] [ST3] [ST5] [ST6] [ST10] [ST11] [ST12].
storeContract('sqlite', open);

const key = (name: string) => ({ kind: 'pods', namespace: 'shop', name });

test('[ST7] a reopened store has its values, its revision and its change log', async (context) => {
  const path = await temporaryFile(context);
  const log = { events: 5, bytes: 1_000_000 };
  const first = await openSqliteStore({ path, log });
  await first.write({ key: key('kept'), value: { n: 0 } });
  await first.write({ key: key('gone'), value: { n: 0 } });
  await first.write({ key: key('gone'), value: undefined });
  for (let n = 0; n < 50; n++) await first.write({ key: key('busy'), value: { n } });
  const { revision } = first;
  await first.close();

  const second = await openSqliteStore({ path, log });
  context.after(() => second.close());
  assert.equal(second.revision, revision);
  const { items } = await second.list('pods');
  assert.deepEqual(
    items.map((item) => [item.key.name, item.value]),
    [
      ['busy', { n: 49 }],
      ['kept', { n: 0 }],
    ],
  );
  const seen: StoreEvent[] = [];
  const onEvent = (event: StoreEvent): void => void seen.push(event);
  await second.watch({ kind: 'pods', from: revision - 2, onEvent });
  assert.deepEqual(
    seen.map((event) => event.previous),
    [{ n: 47 }, { n: 48 }],
  );
});

test('[ST18] after an older copy of the file no revision is repeated, and those since are refused', async (context) => {
  const path = await temporaryFile(context);
  const write = async (value: string): Promise<number> => {
    const store = await openSqliteStore({ path });
    const revision = await store.write({ key: key('a'), value: { value } });
    await store.close();
    return revision;
  };
  const copied = await write('copied');
  copyFileSync(path, `${path}.copy`);
  const lost = [await write('lost'), await write('lost too')];
  copyFileSync(`${path}.copy`, path);

  const store = await openSqliteStore({ path });
  context.after(() => store.close());
  assert.equal(store.revision, copied);
  const from = (revision: number) =>
    store.watch({ kind: 'pods', from: revision, onEvent: () => {} }).then((stop) => stop());
  for (const turn of [0, 1]) {
    for (const revision of lost) {
      await assert.rejects(from(revision), RevisionTooOld, `${revision}, ${turn} writes later`);
      await assert.rejects(store.list('pods', { at: revision }), RevisionTooOld);
    }
    await from(copied);
    const next = await store.write({ key: key('a'), value: { turn } });
    assert.ok(next > Math.max(...lost), 'none is given again');
    await from(next);
  }
});

test('[ST7] [ST12] the revision does not fall where the newest rows are compacted away', async (context) => {
  const path = await temporaryFile(context);
  const first = await openSqliteStore({ path });
  await first.write({ key: key('kept'), value: { n: 0 } });
  for (let n = 0; n < 3; n++) {
    await first.write({ key: { ...key('gone'), namespace: `n${n}` }, value: { n } });
    await first.write({ key: { ...key('gone'), namespace: `n${n}` }, value: undefined });
  }
  const { revision } = first;
  await first.compact(revision);
  await first.close();
  let newest = revision;
  for (let turn = 0; turn < 2; turn++) {
    const again = await openSqliteStore({ path });
    context.after(() => again.close().catch(() => undefined));
    assert.equal(again.revision, newest);
    const list = await again.list('pods');
    assert.deepEqual(
      list.items.map((item) => item.key.name),
      ['kept'],
    );
    assert.equal(list.revision, again.revision);
    // A namespace that was compacted away, and comes back.
    const expected = await again.write({
      key: { ...key('gone'), namespace: 'n1' },
      value: {},
      expected: 0,
    });
    newest = await again.write({
      key: { ...key('gone'), namespace: 'n1' },
      value: undefined,
      expected,
    });
    await again.close();
  }
});

test('[ST12] what is too old goes from the file, also where nothing is written', async (context) => {
  const path = await temporaryFile(context);
  const log = { events: 1000, bytes: 1_000_000, ageMs: 20 };
  const store = await openSqliteStore({ path, log });
  for (let n = 0; n < 10; n++) await store.write({ key: key('busy'), value: { n } });
  const from = store.revision - 1;
  const tooOld = async (): Promise<boolean> => {
    await setTimeout(5);
    const watch = store.watch({ kind: 'pods', from, onEvent: () => undefined });
    return watch.then(
      () => false,
      () => true,
    );
  };
  for (let turn = 0; turn < 2000 && !(await tooOld()); turn++);
  await store.close();
  const { objects, changes } = checkStore(path);
  assert.deepEqual([objects, changes], [1, 0]);
});

test('[ST8] compaction removes the rows that nothing needs', async (context) => {
  const path = await temporaryFile(context);
  const store = await openSqliteStore({ path, log: { events: 5, bytes: 1_000_000 } });
  for (let n = 0; n < 100; n++) {
    await store.write({ key: key('busy'), value: { n } });
    await store.write({ key: key(`brief-${n}`), value: { n } });
    await store.write({ key: key(`brief-${n}`), value: undefined });
  }
  await store.close();
  const database = new DatabaseSync(path);
  const count = database.prepare('SELECT count(*) AS n FROM history').get()?.['n'];
  database.close();
  assert.ok(typeof count === 'number' && count < 30, `rows are left: ${String(count)}`);
});

test('[ST9] a second server on the same file is refused with the reason', async (context) => {
  const path = await temporaryFile(context);
  const store = await openSqliteStore({ path });
  context.after(() => store.close());
  await assert.rejects(openSqliteStore({ path }), /another server is using it/);
});

test('[ST9] a file that is no database, or of a newer format, is refused by name', async (context) => {
  const path = await temporaryFile(context);
  await writeFile(path, 'this is not a database, not at all, whatever its name says'.repeat(20));
  await assert.rejects(openSqliteStore({ path }), (error: Error) => error.message.includes(path));

  const newer = await temporaryFile(context);
  await (await openSqliteStore({ path: newer })).close();
  const database = new DatabaseSync(newer);
  database.exec("UPDATE meta SET value = 99 WHERE name = 'format'");
  database.close();
  await assert.rejects(openSqliteStore({ path: newer }), /format 99/);
});

test('[ST4] a commit that fails leaves nothing behind, and the next one succeeds', async (context) => {
  const path = await temporaryFile(context);
  await (await openSqliteStore({ path })).close();
  const database = new DatabaseSync(path);
  database.exec(`CREATE TRIGGER full BEFORE INSERT ON history WHEN NEW.name = 'poison'
    BEGIN SELECT RAISE(ABORT, 'disk is full'); END`);
  database.close();
  const store = await openSqliteStore({ path });
  context.after(() => store.close().catch(() => undefined));
  const before = await store.write({ key: key('a'), value: { n: 1 } });
  const seen: StoreEvent[] = [];
  await store.watch({ kind: 'pods', from: before, onEvent: (event) => void seen.push(event) });
  const together = await Promise.allSettled([
    store.write({ key: key('a'), value: { n: 2 } }),
    store.write({ key: key('poison'), value: {} }),
    store.write({ key: key('a'), value: { n: 3 } }),
  ]);
  const last = together.at(-1);
  assert.ok(last?.status === 'rejected' && last.reason instanceof StoreUnavailable);
  assert.match(last.reason.message, /cannot write the store ".*": disk is full/);
  const { revision = 0, value } = (await store.get(key('a'))) ?? {};
  assert.ok(seen.length <= 1, 'only what was durable was told');
  assert.deepEqual(value, { n: seen.length === 1 ? 2 : 1 });
  await store.write({ key: key('a'), value: { n: 4 }, expected: revision });
  assert.deepEqual(seen.at(-1)?.value, { n: 4 });
  assert.equal(await store.get(key('poison')), undefined);
  // A namespace that the failed commit would have been the first to use.
  const elsewhere = (name: string) => ({ ...key(name), namespace: 'new' });
  await assert.rejects(store.write({ key: elsewhere('poison'), value: {} }), StoreUnavailable);
  await store.write({ key: elsewhere('b'), value: { n: 5 } });
  await store.close();
  const again = await openSqliteStore({ path });
  context.after(() => again.close());
  assert.deepEqual((await again.get(elsewhere('b')))?.value, { n: 5 });
  assert.deepEqual((await again.get(key('a')))?.value, { n: 4 });
});
