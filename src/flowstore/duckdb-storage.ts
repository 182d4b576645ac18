// Flow records in DuckDB: the newest hours in a table, older hours as Parquet files that any tool can open.
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import {
  BIGINT,
  type DuckDBAppender,
  type DuckDBConnection,
  DuckDBDataChunk,
  DuckDBInstance,
  type DuckDBType,
  type DuckDBValue,
  LIST,
  listValue,
  VARCHAR,
} from '@duckdb/node-api';
import type { FlowRecord, FlowRecordsQuery, FlowSummaryQuery, FlowSummaryRow } from '#flows';
import { type ColumnType, type ColumnValue, FLOW_COLUMNS, recordOf } from './flow-columns.ts';
import { recordsSql, summarySql } from './flow-sql.ts';
import type { FlowStorage, Retention, StorageState } from './flow-storage.ts';
import { SharedLock } from './shared-lock.ts';
import { DUCKDB } from './sql-dialect.ts';
import { summaryRow } from './summary-row.ts';

export interface DuckdbOptions {
  /** A folder of its own. */
  readonly folder: string;
  readonly retention: Retention;
  /** What DuckDB may hold in memory, in bytes. */
  readonly memory?: number;
  readonly threads?: number;
}

const HOUR_MS = 3_600_000;
/** An hour becomes a file so long after its end. */
const SETTLE_MS = 10 * 60_000;
const MEMORY = 512 * 1024 * 1024;
const FILE = /^flows-(\d+)\.parquet$/;
const TYPES: Readonly<Record<ColumnType, string>> = {
  integer: 'BIGINT',
  text: 'VARCHAR',
  texts: 'VARCHAR[]',
};

interface HourFile {
  /** Beginning of the hour. */
  readonly hour: number;
  readonly path: string;
  readonly bytes: number;
}

/**
 * A file of an hour counts once the table says that its rows moved there: file and table change in one
 * step for whoever asks, and a death in between leaves the rows in the table and a file that is made anew.
 */
export class DuckdbStorage implements FlowStorage {
  readonly #options: DuckdbOptions;
  readonly #instance: DuckDBInstance;
  readonly #writer: DuckDBConnection;
  readonly #reader: DuckDBConnection;
  readonly #lock = new SharedLock();
  #files: readonly HourFile[] = [];

  private constructor(
    options: DuckdbOptions,
    instance: DuckDBInstance,
    connections: { writer: DuckDBConnection; reader: DuckDBConnection },
  ) {
    this.#options = options;
    this.#instance = instance;
    this.#writer = connections.writer;
    this.#reader = connections.reader;
  }

  /** Throws an Error that names the folder where it cannot be used. */
  static async open(options: DuckdbOptions): Promise<DuckdbStorage> {
    const { folder, memory = MEMORY, threads = 2 } = options;
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      const instance = await DuckDBInstance.create(join(folder, 'flows.duckdb'), {
        memory_limit: `${Math.floor(memory / 1_000_000)}MB`,
        threads: String(threads),
        temp_directory: join(folder, 'spill'),
        autoinstall_known_extensions: 'false',
        autoload_known_extensions: 'false',
      });
      const writer = await instance.connect();
      const reader = await instance.connect();
      const storage = new DuckdbStorage(options, instance, { writer, reader });
      await storage.#prepare();
      return storage;
    } catch (error) {
      throw new Error(`Cannot open the flow storage in ${folder}: ${reasonOf(error)}`, {
        cause: error,
      });
    }
  }

  async append(records: readonly FlowRecord[]): Promise<void> {
    if (records.length === 0) return;
    await this.#lock.exclusive(async () => {
      await this.#writer.run('BEGIN');
      try {
        const appender = await this.#writer.createAppender('flows');
        await appendRecords(appender, records);
        appender.closeSync();
        await this.#writer.run('COMMIT');
      } catch (error) {
        await this.#writer.run('ROLLBACK').catch(() => undefined);
        throw new Error(`Cannot keep ${records.length} flow records: ${reasonOf(error)}`, {
          cause: error,
        });
      }
    });
  }

  async summarise(query: FlowSummaryQuery): Promise<FlowSummaryRow[]> {
    const rows = await this.#read((from) => summarySql(query, from, DUCKDB), query);
    return rows.map((row) => summaryRow(row, query));
  }

  async records(query: FlowRecordsQuery): Promise<FlowRecord[]> {
    return (await this.#read((from) => recordsSql(query, from, DUCKDB), query)).map(recordOf);
  }

  async retain(nowMs: number): Promise<void> {
    await this.#export(nowMs);
    const { ageMs, bytes } = this.#options.retention;
    const oldest = nowMs - ageMs;
    await this.#lock.exclusive(async () => {
      await this.#writer.run(`DELETE FROM flows WHERE bucket_start < ${oldest}`);
      const kept = [...this.#files];
      const total = (): number => kept.reduce((sum, file) => sum + file.bytes, this.#tableBytes());
      for (let first = kept[0]; first; first = kept[0]) {
        if (first.hour + HOUR_MS > oldest && total() <= bytes) break;
        await this.#writer.run(`DELETE FROM exported WHERE hour = ${first.hour}`);
        rmSync(first.path, { force: true });
        kept.shift();
      }
      this.#files = kept;
    });
  }

  async state(): Promise<StorageState> {
    const sql = (from: string): string =>
      `SELECT count(*) AS n, min(bucket_start) AS a, max(bucket_start) AS b FROM ${from}`;
    const everything = { from: 0, to: Number.MAX_SAFE_INTEGER };
    const [row] = await this.#read(sql, everything);
    const time = (value: unknown) => (typeof value === 'bigint' ? Number(value) : undefined);
    return {
      records: Number(row?.['n'] ?? 0),
      bytes: this.#files.reduce((sum, { bytes }) => sum + bytes, this.#tableBytes()),
      oldest: time(row?.['a']),
      newest: time(row?.['b']),
    };
  }

  async close(): Promise<void> {
    await this.#lock.exclusive(() => {
      this.#reader.closeSync();
      this.#writer.closeSync();
      this.#instance.closeSync();
      return Promise.resolve();
    });
  }

  async #prepare(): Promise<void> {
    const columns = FLOW_COLUMNS.map(({ name, type }) => `${name} ${TYPES[type]}`).join(', ');
    await this.#writer.run(`CREATE TABLE IF NOT EXISTS flows (${columns})`);
    await this.#writer.run('CREATE TABLE IF NOT EXISTS exported (hour BIGINT PRIMARY KEY)');
    const result = await this.#writer.runAndReadAll('SELECT hour FROM exported ORDER BY hour');
    const exported = result.getRowsJS().map(([hour]) => Number(hour));
    const known = new Set(exported);
    for (const name of readdirSync(this.#options.folder)) {
      const hour = FILE.exec(name)?.[1];
      const counts = hour === undefined ? !name.endsWith('.part') : known.has(Number(hour));
      if (!counts) rmSync(join(this.#options.folder, name), { force: true });
    }
    this.#files = exported.flatMap((hour) => this.#fileOf(hour));
  }

  /** A file that somebody took away is no longer there to be asked. */
  #fileOf(hour: number): HourFile[] {
    const path = this.#pathOf(hour);
    return existsSync(path) ? [{ hour, path, bytes: statSync(path).size }] : [];
  }

  #pathOf(hour: number): string {
    return join(this.#options.folder, `flows-${hour}.parquet`);
  }

  #tableBytes(): number {
    return ['flows.duckdb', 'flows.duckdb.wal'].reduce((sum, name) => {
      const path = join(this.#options.folder, name);
      return existsSync(path) ? sum + statSync(path).size : sum;
    }, 0);
  }

  /** Hours that are over go from the table into files of their own. */
  async #export(nowMs: number): Promise<void> {
    const before = Math.floor((nowMs - SETTLE_MS) / HOUR_MS) * HOUR_MS;
    const result = await this.#writer.runAndReadAll(
      `SELECT DISTINCT (bucket_start // ${HOUR_MS}) * ${HOUR_MS} FROM flows ` +
        `WHERE bucket_start < ${before} ORDER BY 1`,
    );
    for (const [hour] of result.getRowsJS()) await this.#exportHour(Number(hour));
  }

  async #exportHour(hour: number): Promise<void> {
    const own = `bucket_start >= ${hour} AND bucket_start < ${hour + HOUR_MS}`;
    const path = this.#pathOf(hour);
    const part = `${path}.part`;
    await this.#lock.exclusive(async () => {
      // Late records join what the hour's file has already.
      const there = this.#files.some((file) => file.hour === hour);
      const older = there ? ` UNION ALL SELECT * FROM read_parquet(${DUCKDB.text(path)})` : '';
      await this.#writer.run(
        `COPY (SELECT * FROM flows WHERE ${own}${older}) TO ${DUCKDB.text(part)} ` +
          '(FORMAT parquet, COMPRESSION zstd)',
      );
      if (there) await this.#forget(hour);
      renameSync(part, path);
      await this.#writer.run('BEGIN');
      await this.#writer.run(`DELETE FROM flows WHERE ${own}`);
      await this.#writer.run(`INSERT INTO exported VALUES (${hour})`);
      await this.#writer.run('COMMIT');
      await this.#writer.run('CHECKPOINT');
      const others = this.#files.filter((file) => file.hour !== hour);
      this.#files = [...others, ...this.#fileOf(hour)].toSorted((a, b) => a.hour - b.hour);
    });
  }

  /** Takes the rows of an hour's file back into the table, so that a death loses none of them. */
  async #forget(hour: number): Promise<void> {
    await this.#writer.run('BEGIN');
    await this.#writer.run(
      `INSERT INTO flows SELECT * FROM read_parquet(${DUCKDB.text(this.#pathOf(hour))})`,
    );
    await this.#writer.run(`DELETE FROM exported WHERE hour = ${hour}`);
    await this.#writer.run('COMMIT');
  }

  async #read(
    sqlOf: (from: string) => string,
    { from, to }: { readonly from: number; readonly to: number },
  ): Promise<Record<string, unknown>[]> {
    return this.#lock.shared(async () => {
      const files = this.#files.filter(({ hour }) => hour < to && hour + HOUR_MS > from);
      const paths = files.map(({ path }) => DUCKDB.text(path)).join(', ');
      const table =
        files.length === 0
          ? 'flows'
          : `(SELECT * FROM flows UNION ALL SELECT * FROM read_parquet([${paths}])) AS flows`;
      const result = await this.#reader.runAndReadAll(sqlOf(table));
      return result.getRowObjects();
    });
  }
}

/** Rows are handed over in pieces, so that the event loop is never held up for long. */
const CHUNK_ROWS = 256;

const VALUE_TYPES: Readonly<Record<ColumnType, DuckDBType>> = {
  integer: BIGINT,
  text: VARCHAR,
  texts: LIST(VARCHAR),
};

async function appendRecords(
  appender: DuckDBAppender,
  records: readonly FlowRecord[],
): Promise<void> {
  const types = FLOW_COLUMNS.map(({ type }) => VALUE_TYPES[type]);
  for (let first = 0; first < records.length; first += CHUNK_ROWS) {
    const part = records.slice(first, first + CHUNK_ROWS);
    const chunk = DuckDBDataChunk.create(types, part.length);
    chunk.setColumns(FLOW_COLUMNS.map(({ of }) => part.map((record) => duckdbValue(of(record)))));
    appender.appendDataChunk(chunk);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function duckdbValue(value: ColumnValue): DuckDBValue {
  if (typeof value === 'number') return BigInt(value);
  return typeof value === 'string' ? value : listValue(value);
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
