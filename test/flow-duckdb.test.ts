// Tests of the DuckDB storage: its answers are the reference's, also over files, restarts and late records.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import { type FlowRecord, matchesRecord, selectRecords, summarise } from '#flows';
import { DuckdbStorage } from '#flowstore';
import { anyCondition, anyRecord, anySummary, asSet, HOURS } from './flow-records.ts';

const HOUR_MS = 3_600_000;
const SEED = Number(process.env['SEED'] ?? 20_261_125);
const RUNS = Number(process.env['RUNS'] ?? 40);
const FOREVER = { ageMs: Number.MAX_SAFE_INTEGER, bytes: Number.MAX_SAFE_INTEGER };

function temporaryFolder(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'tortie-flows-'));
  context.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

async function open(
  context: TestContext,
  folder: string,
  retention = FOREVER,
): Promise<DuckdbStorage> {
  const storage = await DuckdbStorage.open({ folder, retention });
  context.after(() => storage.close().catch(() => undefined));
  return storage;
}

function sample(count: number): FlowRecord[] {
  return fc.sample(anyRecord, { numRuns: count, seed: SEED });
}

test("random questions have the reference's answers, before and after hours became files", async (context) => {
  context.diagnostic(`SEED=${SEED} RUNS=${RUNS}`);
  const folder = temporaryFolder(context);
  const storage = await open(context, folder);
  const records = sample(400);
  await storage.append(records.slice(0, 200));
  await storage.append(records.slice(200));
  const ask = async (): Promise<void> => {
    await fc.assert(
      fc.asyncProperty(anySummary, async (query) => {
        assert.deepEqual(await storage.summarise(query), summarise(records, query));
      }),
      { seed: SEED, numRuns: RUNS },
    );
    await fc.assert(
      fc.asyncProperty(anyCondition, async (where) => {
        const query = { from: 0, to: HOURS * HOUR_MS, where, limit: 10_000 };
        assert.deepEqual(
          asSet(await storage.records(query)),
          asSet(records.filter((record) => matchesRecord(where, record))),
        );
      }),
      { seed: SEED, numRuns: RUNS },
    );
  };
  await ask();
  await storage.retain(2 * HOUR_MS + HOUR_MS / 2);
  assert.equal(readdirSync(folder).filter((name) => name.endsWith('.parquet')).length, 2);
  await ask();
});

test('newest first, no more than asked for', async (context) => {
  const storage = await open(context, temporaryFolder(context));
  const records = sample(100);
  await storage.append(records);
  const query = { from: 0, to: HOURS * HOUR_MS, limit: 7 };
  const times = (of: readonly FlowRecord[]) => of.map(({ bucketStart }) => bucketStart);
  assert.deepEqual(times(await storage.records(query)), times(selectRecords(records, query)));
});

test("a restart finds everything, drops half-made files, takes late records into an hour's file", async (context) => {
  const folder = temporaryFolder(context);
  const records = sample(300);
  const first = await open(context, folder);
  await first.append(records.slice(0, 250));
  await first.retain(HOURS * HOUR_MS + HOUR_MS);
  await first.close();
  writeFileSync(join(folder, 'flows-0.parquet.part'), 'half');
  writeFileSync(join(folder, `flows-${99 * HOUR_MS}.parquet`), 'never told');
  const second = await open(context, folder);
  assert.deepEqual(
    readdirSync(folder)
      .filter((name) => name.startsWith('flows-'))
      .toSorted(),
    [0, 1, 2].map((hour) => `flows-${hour * HOUR_MS}.parquet`).toSorted(),
  );
  await second.append(records.slice(250));
  await second.retain(HOURS * HOUR_MS + HOUR_MS);
  const all = { from: 0, to: HOURS * HOUR_MS, limit: 10_000 };
  assert.deepEqual(asSet(await second.records(all)), asSet(records));
  assert.equal((await second.state()).records, 300);
});

test('what is too old goes, and the oldest hours go above the disk budget', async (context) => {
  const records = sample(300);
  const byAge = await open(context, temporaryFolder(context), { ...FOREVER, ageMs: HOUR_MS });
  await byAge.append(records);
  await byAge.retain(HOURS * HOUR_MS);
  assert.equal(((await byAge.state()).oldest ?? 0) >= 2 * HOUR_MS, true);
  assert.equal(
    (await byAge.state()).records,
    records.filter(({ bucketStart }) => bucketStart >= 2 * HOUR_MS).length,
  );
  const bySize = await open(context, temporaryFolder(context), { ...FOREVER, bytes: 1 });
  await bySize.append(records);
  await bySize.retain(HOURS * HOUR_MS);
  const { oldest } = await bySize.state();
  assert.equal(oldest === undefined || oldest >= 2 * HOUR_MS, true);
});

test('a folder that cannot be used is named', async (context) => {
  const folder = temporaryFolder(context);
  writeFileSync(join(folder, 'flows.duckdb'), 'this is no database, whatever its name says');
  await assert.rejects(DuckdbStorage.open({ folder, retention: FOREVER }), (error: Error) => {
    assert.match(error.message, /^Cannot open the flow storage in \/.*: /);
    return true;
  });
});
