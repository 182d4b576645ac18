// Kept flows in DuckDB: writing, and questions over many (FLOWS=100000000 by name), against summing all of them.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import type { FlowRecord, FlowSummaryQuery } from '#flows';
import { DuckdbStorage } from '#flowstore';
import { printFigure, printMachine } from './measurement.ts';

const FLOWS = Number(process.env['FLOWS'] ?? 2_000_000);
const HOURS = 24;
const HOUR_MS = 3_600_000;
const WRITTEN = 100_000;
const retention = { ageMs: Number.MAX_SAFE_INTEGER, bytes: Number.MAX_SAFE_INTEGER };

/** One record of ordinary shape; the others are made from it by the database itself. */
function record(index: number): FlowRecord {
  const end = (number: number): FlowRecord['source'] => ({
    type: 'workload',
    namespace: `ns-${number % 50}`,
    name: `web-${number}`,
    aggregate: `web-${number % 200}-*`,
    address: `10.0.${number >> 8}.${number & 255}`,
    labels: { app: `app-${number % 200}`, team: `team-${number % 7}` },
  });
  return {
    bucketStart: 0,
    startTime: 0,
    endTime: 1,
    reporter: index % 2 === 0 ? 'src' : 'dst',
    node: `node-${index % 20}`,
    source: end((index * 7919) % 4_000),
    destination: end((index * 104_729) % 4_000),
    service: null,
    protocol: 'tcp',
    sourcePort: null,
    port: [53, 80, 443, 5432][index % 4] ?? 80,
    icmpType: null,
    verdict: index % 20 === 0 ? 'deny' : 'allow',
    policies: [
      {
        direction: 'ingress',
        tier: 'default',
        kind: 'NetworkPolicy',
        namespace: `ns-${index % 50}`,
        name: `default.policy-${index % 300}`,
        rule: 0,
        action: index % 20 === 0 ? 'deny' : 'allow',
      },
    ],
    pending: [],
    packets: { in: 3, out: 4 },
    bytes: { in: index % 5_000, out: 400 },
    connections: { started: 1, completed: 1, live: 0 },
    flows: 1,
    level: 1,
    calledAddress: null,
    calledPort: null,
    processes: [],
    processCount: 0,
    tcp: null,
  };
}

async function milliseconds(act: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await act();
  return performance.now() - started;
}

async function middle(act: () => Promise<unknown>): Promise<number> {
  const turns = [await milliseconds(act), await milliseconds(act), await milliseconds(act)];
  return turns.toSorted((a, b) => a - b)[1] ?? 0;
}

/** Fills the folder's hours with copies of the records that the storage wrote, each in its own bucket. */
async function multiply(folder: string): Promise<void> {
  const instance = await DuckDBInstance.create(join(folder, 'flows.duckdb'), { threads: '2' });
  const connection = await instance.connect();
  const perHour = Math.ceil(FLOWS / HOURS);
  const copies = Math.ceil(perHour / WRITTEN);
  for (let hour = 0; hour < HOURS; hour++) {
    const path = join(folder, `flows-${hour * HOUR_MS}.parquet`);
    await connection.run(
      `COPY (SELECT flows.* REPLACE (${hour * HOUR_MS} + ((n * 7 + start_time) % 240) * 15000 AS bucket_start) ` +
        `FROM flows, range(${copies}) AS copies(n) LIMIT ${perHour}) TO '${path}' (FORMAT parquet, COMPRESSION zstd)`,
    );
    await connection.run(`INSERT INTO exported VALUES (${hour * HOUR_MS})`);
    process.stdout.write(`\rhour ${hour + 1} of ${HOURS} written`);
  }
  process.stdout.write('\n');
  await connection.run('DELETE FROM flows');
  connection.closeSync();
  instance.closeSync();
}

const folder = mkdtempSync(join(tmpdir(), 'tortie-bench-flows-'));
try {
  printMachine();
  const first = await DuckdbStorage.open({ folder, retention });
  const records = Array.from({ length: WRITTEN }, (_, index) => record(index));
  const writing = await milliseconds(() => first.append(records));
  printFigure('records written', WRITTEN / (writing / 1_000), '/s');
  await first.close();
  await multiply(folder);
  const storage = await DuckdbStorage.open({ folder, retention });
  const { records: count, bytes } = await storage.state();
  printFigure('records kept', count, 'records');
  printFigure('size of one', bytes / count, 'bytes');
  const day = { from: 0, to: HOURS * HOUR_MS };
  const hour = { from: 5 * HOUR_MS, to: 6 * HOUR_MS };
  const summary = (more: Partial<FlowSummaryQuery>): FlowSummaryQuery => ({
    ...day,
    groupBy: ['sourceNamespace', 'destinationNamespace'],
    orderBy: 'bytesOut',
    limit: 100,
    ...more,
  });
  const all = await middle(() => storage.summarise(summary({ groupBy: [] })));
  const questions: readonly [string, () => Promise<unknown>][] = [
    ['top namespaces of a day', () => storage.summarise(summary({}))],
    [
      'top pods of an hour',
      () =>
        storage.summarise(summary({ ...hour, groupBy: ['sourceName', 'destinationName', 'port'] })),
    ],
    [
      'denied by policy, day in hours',
      () =>
        storage.summarise(
          summary({
            groupBy: [],
            each: 'policy',
            step: HOUR_MS,
            where: { field: 'verdict', in: ['deny'] },
            limit: 10_000,
          }),
        ),
    ],
    [
      'one pod, day',
      () => storage.records({ ...day, where: { field: 'sourceName', in: ['web-17'] }, limit: 100 }),
    ],
    ['newest of an hour', () => storage.records({ ...hour, limit: 100 })],
  ];
  printFigure('all sums of a day', all, 'ms');
  for (const [name, ask] of questions) {
    const taken = await middle(ask);
    printFigure(name, taken, 'ms', { name: 'all sums', figure: all });
  }
  printFigure('resident memory', process.memoryUsage().rss / 1024 / 1024, 'MiB');
  await storage.close();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
