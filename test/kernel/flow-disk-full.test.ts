// Flows kept on a disk that fills up: said, counted, and kept again when there is space, without a restart.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import type { FlowRecord } from '#flows';
import { DuckdbStorage } from '#flowstore';
import { anyRecord, asSet, HOURS } from '../flow-records.ts';

const HOUR_MS = 3_600_000;
const SEED = Number(process.env['SEED'] ?? 20_261_126);
const BATCH = 1_000;
const BATCHES_MAX = 40;

interface SmallDisk {
  readonly folder: string;
  /** Closed before the disk goes. */
  readonly storages: DuckdbStorage[];
  readonly grow: (megabytes: number) => void;
}

/** A file system of its own of so many megabytes; `grow` gives it more. */
function smallDisk(context: TestContext, megabytes: number): SmallDisk {
  const folder = mkdtempSync(join(tmpdir(), 'tortie-small-disk-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tortie-test', folder]);
  const storages: DuckdbStorage[] = [];
  context.after(async () => {
    for (const storage of storages) await storage.close().catch(() => undefined);
    execFileSync('umount', [folder]);
    rmdirSync(folder);
  });
  return {
    folder,
    storages,
    grow: (to) => void execFileSync('mount', ['-o', `remount,size=${to}m`, folder]),
  };
}

test('a full disk loses no batch that was taken, and takes the next when there is space', async (context) => {
  const disk = smallDisk(context, 4);
  const retention = { ageMs: Number.MAX_SAFE_INTEGER, bytes: Number.MAX_SAFE_INTEGER };
  const storage = await DuckdbStorage.open({ folder: join(disk.folder, 'flows'), retention });
  disk.storages.push(storage);
  const taken: FlowRecord[] = [];
  let refused: FlowRecord[] | undefined;
  for (let batch = 0; batch < BATCHES_MAX && !refused; batch++) {
    const records = fc.sample(anyRecord, { numRuns: BATCH, seed: SEED + batch });
    try {
      await storage.append(records);
      taken.push(...records);
    } catch (error) {
      assert.match(String(error), /Cannot keep 1000 flow records: .*[Ss]pace/);
      refused = records;
    }
  }
  assert.ok(refused, 'the disk never filled up');
  const all = { from: 0, to: HOURS * HOUR_MS, limit: 1_000_000 };
  assert.equal((await storage.state()).records, taken.length);
  disk.grow(64);
  await storage.append(refused);
  taken.push(...refused);
  assert.deepEqual(asSet(await storage.records(all)), asSet(taken));
});
