// The store on a disk that is full or fails: what it says, what it keeps, and how it goes on.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, statfsSync, writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, truncate, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  backupStore,
  checkStore,
  openSqliteStore,
  type Store,
  type StoreEvent,
  StoreUnavailable,
} from '#datastore';

const KIND = 'pods';
const WRITERS = 8;
const FULL =
  /cannot write the store ".*store\.db": the file system of ".*" is full: free some space/;
const FAILED = /cannot write the store ".*store\.db": the disk failed .*mount it again and start/;

/** What the file system of each turn holds, in KiB: it becomes full at another place each time. */
const SIZES = [1500, 2100, 3000, 4300, 5200];

function run(program: string, ...words: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(program, words, { encoding: 'utf8' });
  assert.equal(status, 0, `${program} ${words.join(' ')}: ${stderr}`);
  return stdout.trim();
}

interface MountPoint {
  readonly scratch: string;
  readonly folder: string;
  /** Closed before the file system is taken away. */
  readonly open: (folder: string) => Promise<Store>;
}

/** A folder whose file system is the test's own; both are gone after it. */
async function mountPoint(context: TestContext): Promise<MountPoint> {
  const scratch = await mkdtemp(join(tmpdir(), 'tortie-faults-'));
  const folder = join(scratch, 'mount');
  await mkdir(folder);
  const stores: Store[] = [];
  context.after(async () => {
    await Promise.all(stores.map((store) => store.close().catch(() => undefined)));
    spawnSync('umount', [folder]);
    await rm(scratch, { recursive: true, force: true });
  });
  const open = async (at: string): Promise<Store> => {
    const log = { events: 60, bytes: 10_000_000 };
    const store = await openSqliteStore({ path: join(at, 'store.db'), log });
    stores.push(store);
    return store;
  };
  return { folder, scratch, open };
}

/** What was acknowledged, and what a watch was told: they must stay the same. */
class Record {
  readonly acknowledged = new Map<string, unknown>();
  readonly revisions: number[] = [];
  readonly told: number[] = [];
  #turn = 0;

  readonly onEvent = ({ revision }: StoreEvent): void => void this.told.push(revision);

  /** Writes as eight, until one after the other has failed (or has written `limit`); the errors. */
  async write(store: Store, limit: number): Promise<Error[]> {
    const errors: Error[] = [];
    const writer = async (number: number): Promise<void> => {
      for (let turn = 0; turn < limit; turn++) {
        const isDeletion = turn % 11 === 10;
        const name = `p${number}-${this.#turn++ - (isDeletion ? 30 : 0)}`;
        const text = 'x'.repeat(1 + ((turn * 37) % 3000));
        const value = isDeletion ? undefined : { turn, text };
        try {
          const before = await store.get({ kind: KIND, namespace: '', name });
          const revision = await store.write({ key: { kind: KIND, namespace: '', name }, value });
          if (value) this.acknowledged.set(name, value);
          else this.acknowledged.delete(name);
          if (value ?? before) this.revisions.push(revision);
        } catch (error) {
          assert.ok(error instanceof StoreUnavailable, String(error));
          errors.push(error);
          return;
        }
      }
    };
    await Promise.all(Array.from({ length: WRITERS }, (_, number) => writer(number)));
    return errors;
  }

  async check(store: Store): Promise<void> {
    const { items } = await store.list(KIND);
    const known = [...this.acknowledged].sort(([a], [b]) => (a < b ? -1 : 1));
    assert.deepEqual(
      items.map(({ key, value }) => [key.name, value]),
      known,
    );
    assert.deepEqual(
      this.told,
      this.revisions.toSorted((a, b) => a - b),
    );
    assert.equal(store.revision, this.told.at(-1));
  }
}

test('[ST16] a disk that is full refuses writes, keeps all, and goes on when there is space', async (context) => {
  const { folder, open } = await mountPoint(context);
  for (const size of SIZES) {
    run('mount', '-t', 'tmpfs', '-o', `size=${size}k`, 'tmpfs', folder);
    const store = await open(folder);
    const record = new Record();
    await store.watch({ kind: KIND, from: store.revision, onEvent: record.onEvent });
    for (const wider of [size + 700, size + 20_000]) {
      const errors = await record.write(store, 100_000);
      assert.equal(errors.length, WRITERS);
      for (const { message } of errors) assert.match(message, FULL);
      await record.check(store);
      run('mount', '-o', `remount,size=${wider}k`, folder);
    }
    assert.deepEqual(await record.write(store, 60), [], 'with space it goes on, without a restart');
    await record.check(store);
    await store.close();
    assert.deepEqual(checkStore(join(folder, 'store.db')).problems, []);
    const again = await open(folder);
    await record.check(again);
    await again.close();
    run('umount', folder);
  }
});

test('[ST16] on a full disk a start and a backup say so and leave nothing', async (context) => {
  const { folder, scratch, open } = await mountPoint(context);
  run('mount', '-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', folder);
  const elsewhere = await open(scratch);
  const record = new Record();
  await record.write(elsewhere, 50);
  assert.ok(checkStore(join(scratch, 'store.db')).bytes > 0);
  const backup = (): unknown => backupStore(join(scratch, 'store.db'), join(folder, 'copy'));
  const ballast = join(folder, 'ballast');
  await writeFile(ballast, Buffer.alloc(statfsSync(folder).bavail * 4096 - 16_384));
  assert.throws(
    backup,
    /cannot write ".*mount\/copy.partial": the file system of ".*mount" is full/,
  );
  assert.deepEqual(readdirSync(folder), ['ballast']);
  await assert.rejects(open(folder), /cannot open the store ".*mount\/store.db": .*full/);
  await truncate(ballast, 0);
  await unlink(ballast);
  backup();
  await (await open(folder)).close();
});

test('[ST16] a file system that becomes read-only loses nothing, and says what to do', async (context) => {
  const { folder, scratch, open } = await mountPoint(context);
  const image = join(scratch, 'image');
  await writeFile(image, '');
  await truncate(image, 24 << 20);
  run('mkfs.ext4', '-q', '-F', image);
  run('mount', '-o', 'loop,errors=remount-ro', image, folder);
  const device = basename(run('findmnt', '--noheadings', '--output', 'SOURCE', folder));
  const store = await open(folder);
  const record = new Record();
  const { revision } = store;
  await store.watch({ kind: KIND, from: revision, onEvent: record.onEvent });
  assert.deepEqual(await record.write(store, 80), []);
  // The kernel's own way to tell what happens where it finds an error: it mounts read-only.
  writeFileSync(`/sys/fs/ext4/${device}/trigger_fs_error`, 'test');
  const errors = await record.write(store, 10);
  assert.equal(errors.length, WRITERS);
  for (const { message } of errors) assert.match(message, FAILED);
  await record.check(store);
  await store.close();
  run('umount', folder);
  const repaired = spawnSync('e2fsck', ['-p', '-f', image], { encoding: 'utf8' });
  assert.ok((repaired.status ?? 8) < 4, repaired.stdout);

  run('mount', '-o', 'loop,ro', image, folder);
  await assert.rejects(open(folder), /cannot open the store .*mounted read-write/);
  run('umount', folder);
  run('mount', '-o', 'loop', image, folder);
  const again = await open(folder);
  await record.check(again);
  assert.deepEqual(await record.write(again, 0), []);
  await again.close();
  assert.deepEqual(checkStore(join(folder, 'store.db')).problems, []);
});
