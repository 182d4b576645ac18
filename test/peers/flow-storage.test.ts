// Flow storage on a real ClickHouse, alone and as a fleet that loses a server: DuckDB's answers, and the reference's.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { type FlowRecord, matchesRecord, summarise } from '#flows';
import { ClickhouseStorage, DuckdbStorage, type FlowStorage } from '#flowstore';
import { anyCondition, anyRecord, anySummary, asSet, HOURS } from '../flow-records.ts';
import {
  clickhouseMissing,
  type ClickhouseServer,
  startClickhouse,
  startClickhouseCluster,
} from './clickhouse-cluster.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const SEED = Number(process.env['SEED'] ?? 20_261_125);
const RUNS = Number(process.env['RUNS'] ?? 40);
const skip = clickhouseMissing();
const retention = { ageMs: Number.MAX_SAFE_INTEGER, bytes: Number.MAX_SAFE_INTEGER };

async function openDuckdb(context: TestContext): Promise<DuckdbStorage> {
  const folder = mkdtempSync(join(tmpdir(), 'tortie-flows-'));
  const storage = await DuckdbStorage.open({ folder, retention });
  context.after(async () => {
    await storage.close();
    rmSync(folder, { recursive: true });
  });
  return storage;
}

/** Every storage gives the reference's answers to random questions. */
async function askAll(
  storages: readonly FlowStorage[],
  records: readonly FlowRecord[],
  numRuns: number,
): Promise<void> {
  await fc.assert(
    fc.asyncProperty(anySummary, async (query) => {
      const wanted = summarise(records, query);
      for (const storage of storages) assert.deepEqual(await storage.summarise(query), wanted);
    }),
    { seed: SEED, numRuns },
  );
  await fc.assert(
    fc.asyncProperty(anyCondition, async (where) => {
      const wanted = asSet(records.filter((record) => matchesRecord(where, record)));
      const query = { from: 0, to: HOURS * HOUR_MS, where, limit: 100_000 };
      for (const storage of storages) assert.deepEqual(asSet(await storage.records(query)), wanted);
    }),
    { seed: SEED, numRuns },
  );
}

function sample(count: number): FlowRecord[] {
  return fc.sample(anyRecord, { numRuns: count, seed: SEED });
}

test('one server and DuckDB give the same answers, and days go by age and size', {
  skip,
}, async (context) => {
  context.diagnostic(`SEED=${SEED} RUNS=${RUNS}`);
  const { url, kill } = await startClickhouse(context);
  const options = { urls: [url], database: 'tortie', retention: { ...retention, ageMs: DAY_MS } };
  const clickhouse = await ClickhouseStorage.open(options);
  context.after(() => clickhouse.close());
  const duckdb = await openDuckdb(context);
  const records = sample(300);
  for (const storage of [clickhouse, duckdb]) await storage.append(records);
  await askAll([clickhouse, duckdb], records, RUNS);
  const again = await ClickhouseStorage.open(options);
  context.after(() => again.close());
  assert.equal((await again.state()).records, records.length);
  await clickhouse.append(records.map((it) => ({ ...it, bucketStart: it.bucketStart + DAY_MS })));
  await clickhouse.retain(DAY_MS * 2);
  assert.equal((await clickhouse.state()).records, records.length);
  assert.equal(
    (await clickhouse.state()).oldest,
    DAY_MS + Math.min(...records.map((r) => r.bucketStart)),
  );
  const tiny = await ClickhouseStorage.open({ ...options, retention: { ...retention, bytes: 1 } });
  context.after(() => tiny.close());
  await tiny.retain(DAY_MS * 2 - 1);
  assert.equal((await tiny.state()).records, records.length);
  await tiny.retain(DAY_MS * 2);
  assert.equal((await tiny.state()).records, 0);
  await kill();
  await assert.rejects(clickhouse.append(records), (error: Error) => {
    assert.match(error.message, /^Cannot keep 300 flow records in ClickHouse: http:\/\/127/);
    return true;
  });
});

/** Waits until replicas have what the other one was given. */
async function settled(
  servers: readonly ClickhouseServer[],
  alive: readonly number[],
): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const counts = await Promise.all(
      alive.map(async (index) => {
        const body = 'SELECT count() FROM tortie.flows_local';
        const answer = await fetch(servers[index]?.url ?? '', { method: 'POST', body });
        return Number(await answer.text());
      }),
    );
    const of = (index: number) => counts[alive.indexOf(index)];
    if ((of(0) ?? of(1)) === of(1) && of(2) === of(3)) return;
    await sleep(50);
  }
  throw new Error('the replicas do not become equal');
}

test('two shards of two replicas lose a server, and no record', { skip }, async (context) => {
  const { servers, cluster } = await startClickhouseCluster(context);
  const storage = await ClickhouseStorage.open({
    urls: servers.map(({ url }) => url),
    database: 'tortie',
    cluster,
    retention,
    timeoutMs: 90_000,
  });
  context.after(() => storage.close());
  const records = sample(400);
  await storage.append(records.slice(0, 300));
  await settled(servers, [0, 1, 2, 3]);
  await askAll([storage], records.slice(0, 300), Math.ceil(RUNS / 4));
  await servers[0]?.kill();
  await storage.append(records.slice(300));
  await settled(servers, [1, 2, 3]);
  assert.equal((await storage.state()).records, records.length);
  await askAll([storage], records, Math.ceil(RUNS / 4));
  // The same block again, as after an answer that was lost.
  await storage.append(records.slice(300));
  assert.equal((await storage.state()).records, records.length);
});

test('a server that is not there is named, and so is a name that cannot be', async () => {
  const options = { urls: ['http://127.0.0.1:1'], database: 'tortie', retention };
  await assert.rejects(ClickhouseStorage.open(options), {
    message: /^Cannot prepare the flow tables in ClickHouse: http:\/\/127\.0\.0\.1:1: /,
  });
  await assert.rejects(ClickhouseStorage.open({ ...options, database: 'a; DROP' }), {
    message: 'Cannot use "a; DROP" as a ClickHouse name: use letters, digits and "_"',
  });
});
