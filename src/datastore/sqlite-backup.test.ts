// Backup, restore and check of the embedded store's file, and files of the format before.
import assert from 'node:assert/strict';
import { copyFile, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { backupStore, restoreStore } from './sqlite-backup.ts';
import { checkStore } from './sqlite-check.ts';
import { openSqliteStore } from './sqlite-store.ts';
import { RevisionTooOld, type Store, type StoreEvent } from './store.ts';

async function folder(context: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'tortie-backup-'));
  context.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

async function open(context: TestContext, path: string): Promise<Store> {
  const store = await openSqliteStore({ path, log: { events: 100, bytes: 1_000_000 } });
  context.after(() => store.close().catch(() => undefined));
  return store;
}

const key = (name: string, namespace = 'shop') => ({ kind: 'pods', namespace, name });

async function fill(store: Store): Promise<void> {
  for (let n = 0; n < 20; n++) {
    await store.write({
      key: key(`p${n % 6}`, n % 2 ? 'shop' : 'bank'),
      value: { n, text: 'ä€𝄞' },
    });
  }
  await store.write({ key: key('p3'), value: undefined });
}

const contents = async (store: Store): Promise<unknown[]> =>
  (await store.list('pods')).items.map(({ key, value, revision }) => [key, value, revision]);

test('[ST13] a backup of a store in use is all that was acknowledged, for its owner alone', async (context) => {
  const data = await folder(context);
  const store = await open(context, join(data, 'store.db'));
  await fill(store);
  const pending = store.write({ key: key('late'), value: { n: 1 } });
  const report = backupStore(join(data, 'store.db'), join(data, 'copy'));
  const before = await contents(store);
  await pending;
  assert.ok(report.revision === store.revision || report.revision === store.revision - 1);
  assert.equal(report.objects, before.length + (report.revision === store.revision ? 1 : 0));
  assert.equal((await stat(join(data, 'copy'))).mode & 0o777, 0o600);
  assert.deepEqual(checkStore(join(data, 'copy')), report);

  const other = join(await folder(context), 'new', 'store.db');
  const restored = restoreStore(join(data, 'copy'), other, { replace: false, now: 5 });
  assert.deepEqual([restored.objects, restored.changes], [report.objects, 0]);
  const copy = await open(context, other);
  const list = (items: unknown[]): unknown[] =>
    items.filter((item) => JSON.stringify(item).includes('"late"') === false);
  assert.deepEqual(list(await contents(copy)), list(before));
  assert.deepEqual((await readdir(data)).sort(), [
    'copy',
    'store.db',
    'store.db-shm',
    'store.db-wal',
    'store.db.lock',
  ]);
});

test('[ST14] after a restore every revision ever told is too old, and none is given again', async (context) => {
  const data = await folder(context);
  const path = join(data, 'store.db');
  const store = await open(context, path);
  await fill(store);
  const old = await contents(store);
  const { revision: backedUp } = backupStore(path, join(data, 'copy'));
  for (let n = 0; n < 5; n++) await store.write({ key: key('newer'), value: { n } });
  const told = store.revision;
  await assert.rejects(
    async () => restoreStore(join(data, 'copy'), path, { replace: true, now: 7 }),
    {
      message: /cannot restore the store ".*": another server is using it; stop that one first/,
    },
  );
  await store.close();
  const anew = (replace: boolean) => restoreStore(join(data, 'copy'), path, { replace, now: 7 });
  assert.throws(() => anew(false), /there is a store; with --replace it is put aside and kept/);
  const { replaced = '', revision } = anew(true);
  assert.ok(revision > told);
  assert.equal(replaced, `${path}.replaced-${told}`);
  assert.equal(checkStore(replaced).revision, told);

  const restored = await open(context, path);
  assert.deepEqual(await contents(restored), old);
  for (const from of [backedUp, told]) {
    const watch = { kind: 'pods', from, onEvent: (): void => undefined };
    await assert.rejects(restored.watch(watch), RevisionTooOld);
  }
  assert.ok((await restored.write({ key: key('p0'), value: { n: 99 } })) > told);
  await restored.close();
  // The clock counts too: a new store begins at it.
  const later = restoreStore(join(data, 'copy'), path, { replace: true, now: told * 2 });
  assert.ok(later.revision > told * 2);
});

test('[ST14] what was there is kept until the backup is in place, also where it is damaged', async (context) => {
  const data = await folder(context);
  const path = join(data, 'store.db');
  const store = await open(context, path);
  await fill(store);
  const old = await contents(store);
  backupStore(path, join(data, 'copy'));
  await store.close();
  const damaged = join(data, 'damaged');
  await copyFile(join(data, 'copy'), damaged);
  const bytes = await readFile(damaged);
  await writeFile(damaged, bytes.subarray(0, bytes.length - 4096));
  const before = await readFile(path);
  const restore = (from: string) => restoreStore(from, path, { replace: true, now: 7 });
  assert.throws(() => restore(damaged), /cannot (use|check) .*damaged"/);
  assert.throws(
    () => restore(join(data, 'absent')),
    /cannot check the store ".*absent".*no such file/,
  );
  assert.deepEqual(await readFile(path), before);
  assert.equal(
    (await readdir(data)).some((name) => /restoring/.test(name)),
    false,
  );

  await writeFile(path, 'scribbled over '.repeat(1000));
  const { replaced = '' } = restore(join(data, 'copy'));
  assert.match(await readFile(replaced, 'utf8'), /^scribbled/);
  assert.deepEqual(await contents(await open(context, path)), old);
});

test('[ST13] a backup never overwrites, and leaves nothing where it fails', async (context) => {
  const data = await folder(context);
  const path = join(data, 'store.db');
  await (await open(context, path)).close();
  backupStore(path, join(data, 'copy'));
  assert.throws(() => backupStore(path, join(data, 'copy')), /it exists; choose another name/);
  assert.throws(
    () => backupStore(join(data, 'nothing'), join(data, 'copy-2')),
    /cannot copy .*nothing/,
  );
  assert.throws(() => backupStore(path, join(data, 'no', 'folder')), /cannot write .*ENOENT/);
  assert.deepEqual(
    (await readdir(data)).filter((name) => /copy-2|partial/.test(name)),
    [],
  );
});

test('[ST15] a check finds what is damaged and says where', async (context) => {
  const path = join(await folder(context), 'store.db');
  const store = await open(context, path);
  await fill(store);
  assert.deepEqual(checkStore(path).problems, []);
  assert.deepEqual([checkStore(path).objects, checkStore(path).changes], [5, 16]);
  const { revision } = store;
  await store.close();
  const database = new DatabaseSync(path);
  const damage = (revision: number, column: string, value: string | number): void => {
    database.prepare(`UPDATE history SET ${column} = ? WHERE revision = ?`).run(value, revision);
  };
  damage(revision - 1, 'value', '{"n":');
  damage(revision - 2, 'value', '[]');
  damage(revision - 3, 'place', 99);
  database.close();
  const { problems } = checkStore(path);
  assert.equal(problems.length, 3);
  assert.match(
    problems.join('\n'),
    new RegExp(`revision ${revision - 1}, "p1": its value is no JSON`),
  );
  assert.match(problems.join('\n'), new RegExp(`revision ${revision - 2}, .*no JSON object`));
  assert.match(
    problems.join('\n'),
    new RegExp(`revision ${revision - 3}, .*namespace are missing`),
  );
  await assert.rejects(openSqliteStore({ path }), /its place 99 is missing; it is damaged/);
  await writeFile(path, 'no database at all '.repeat(1000));
  assert.throws(() => checkStore(path), /cannot check the store .*it is damaged or no store/);
});

test('[ST15] a damaged value is said when it is read; the others can be read', async (context) => {
  const path = join(await folder(context), 'store.db');
  const store = await open(context, path);
  await store.write({ key: key('a'), value: { n: 1 } });
  await store.write({ key: key('b'), value: { n: 2 } });
  await Promise.all([store.close(), store.close()]);
  const database = new DatabaseSync(path);
  database.exec("UPDATE history SET value = substr(value, 1, 3) WHERE name = 'b'");
  database.close();
  const damaged = await open(context, path);
  assert.deepEqual((await damaged.get(key('a')))?.value, { n: 1 });
  const b = await damaged.get(key('b'));
  assert.throws(() => b?.value, /pods shop\/b is damaged at revision \d+: see `tortie datastore/);
});

/** As the first format laid it out, written with its own statements. */
function writeFormat1(path: string): void {
  const database = new DatabaseSync(path);
  database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL');
  database.exec(`
    CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
    CREATE TABLE history (
      revision INTEGER PRIMARY KEY,
      kind TEXT NOT NULL,
      namespace TEXT NOT NULL,
      name TEXT NOT NULL,
      value TEXT
    ) STRICT;
    INSERT INTO meta VALUES ('format', 1), ('compacted', 100);
    INSERT INTO history VALUES
      (90, 'pods', 'shop', 'a', '{"n":1}'),
      (101, 'pods', 'shop', 'b', '{"n":2}'),
      (102, 'services', '', 'a', '{"n":3}'),
      (103, 'pods', 'shop', 'a', '{"n":4}'),
      (104, 'pods', 'shop', 'b', NULL);`);
  database.close();
}

test('[ST9] a store of the format before is upgraded: values, revisions, change log', async (context) => {
  const data = await folder(context);
  const path = join(data, 'store.db');
  writeFormat1(path);
  assert.deepEqual(checkStore(path).problems, []);
  assert.deepEqual([checkStore(path).format, checkStore(path).objects], [1, 2]);
  backupStore(path, join(data, 'copy'));
  for (let turn = 0; turn < 2; turn++) {
    const store = await open(context, path);
    assert.equal(store.revision, 104);
    assert.deepEqual(await contents(store), [[key('a'), { n: 4 }, 103]]);
    const { items } = await store.list('pods', { at: 102 });
    assert.deepEqual(
      items.map(({ key, value }) => [key.name, value]),
      [
        ['a', { n: 1 }],
        ['b', { n: 2 }],
      ],
    );
    const seen: StoreEvent[] = [];
    await store.watch({ kind: 'pods', from: 100, onEvent: (event) => void seen.push(event) });
    assert.deepEqual(
      seen.map(({ revision, value }) => [revision, value]),
      [
        [101, { n: 2 }],
        [103, { n: 4 }],
        [104, undefined],
      ],
    );
    await assert.rejects(store.list('pods', { at: 99 }), RevisionTooOld);
    await store.close();
    assert.equal(checkStore(path).format, 2);
  }
  const { objects, format } = restoreStore(join(data, 'copy'), path, { replace: true, now: 1 });
  assert.deepEqual([objects, format], [2, 2]);
});

test('[ST9] an upgrade that is interrupted leaves the old format', async (context) => {
  const path = join(await folder(context), 'store.db');
  writeFormat1(path);
  const database = new DatabaseSync(path);
  // Fails in the last step but one, as a full disk might.
  database.exec('CREATE TABLE place (id TEXT)');
  database.close();
  await assert.rejects(openSqliteStore({ path }), /cannot open the store ".*": .*place/);
  assert.deepEqual([checkStore(path).format, checkStore(path).revision], [1, 104]);
});

test('[ST9] a database of another program is refused and not touched', async (context) => {
  const path = join(await folder(context), 'store.db');
  const database = new DatabaseSync(path);
  database.exec('CREATE TABLE songs (title TEXT)');
  database.close();
  const before = await readFile(path);
  await assert.rejects(
    openSqliteStore({ path }),
    /cannot open the store ".*": it is of another program/,
  );
  assert.throws(() => checkStore(path), /it is of another program/);
  assert.deepEqual(await readFile(path), before);

  const similar = join(await folder(context), 'store.db');
  await (await openSqliteStore({ path: similar })).close();
  const changed = new DatabaseSync(similar);
  changed.exec('PRAGMA application_id = 1');
  changed.close();
  await assert.rejects(openSqliteStore({ path: similar }), /it is of another program/);
});
