// Flow records in ClickHouse, one server or a cluster of shards and replicas, from version 18 on.
import { type ClickHouseClient, ClickHouseLogLevel, createClient } from '@clickhouse/client';
import type { FlowRecord, FlowRecordsQuery, FlowSummaryQuery, FlowSummaryRow } from '#flows';
import { type ColumnType, FLOW_COLUMNS, recordOf } from './flow-columns.ts';
import { recordsSql, summarySql } from './flow-sql.ts';
import type { FlowStorage, Retention, StorageState } from './flow-storage.ts';
import { CLICKHOUSE } from './sql-dialect.ts';
import { summaryRow } from './summary-row.ts';

export interface ClickhouseOptions {
  /** HTTP addresses; the next one is tried where one does not answer. */
  readonly urls: readonly string[];
  readonly database: string;
  readonly username?: string;
  readonly password?: string;
  /** A cluster of the servers' configuration; replicas share a table by their macros. */
  readonly cluster?: string;
  readonly retention: Retention;
  readonly timeoutMs?: number;
}

const DAY_MS = 86_400_000;
const TIMEOUT_MS = 30_000;
const NAME = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/;
const TYPES: Readonly<Record<ColumnType, string>> = {
  integer: 'Int64',
  text: 'String',
  texts: 'Array(String)',
};

/**
 * A batch that is sent again after an unclear end is the same block again, which replicated tables
 * recognise; a table of one server may then hold it twice.
 */
export class ClickhouseStorage implements FlowStorage {
  readonly #options: ClickhouseOptions;
  readonly #clients: readonly ClickHouseClient[];
  #first = 0;

  private constructor(options: ClickhouseOptions) {
    this.#options = options;
    this.#clients = options.urls.map((url) =>
      createClient({
        url,
        username: options.username ?? 'default',
        password: options.password ?? '',
        // Failures are told by whoever asked.
        log: { level: ClickHouseLogLevel.OFF },
        request_timeout: options.timeoutMs ?? TIMEOUT_MS,
      }),
    );
  }

  /** Makes the tables where they are not. Throws an Error that says which server and what to do. */
  static async open(options: ClickhouseOptions): Promise<ClickhouseStorage> {
    const names = [options.database, ...(options.cluster === undefined ? [] : [options.cluster])];
    const wrong = names.find((name) => !NAME.test(name));
    if (wrong !== undefined) {
      throw new Error(
        `Cannot use ${JSON.stringify(wrong)} as a ClickHouse name: use letters, digits and "_"`,
      );
    }
    if (options.urls.length === 0) throw new Error('Cannot use ClickHouse: no address is given');
    const storage = new ClickhouseStorage(options);
    try {
      await storage.#prepare();
    } catch (error) {
      await storage.close();
      throw error;
    }
    return storage;
  }

  async append(records: readonly FlowRecord[]): Promise<void> {
    if (records.length === 0) return;
    const values = records.map((record) =>
      Object.fromEntries(FLOW_COLUMNS.map(({ name, of }) => [name, of(record)])),
    );
    await this.#attempt(`keep ${records.length} flow records`, (client) =>
      client.insert({
        table: `${this.#options.database}.flows`,
        values,
        format: 'JSONEachRow',
        clickhouse_settings:
          this.#options.cluster === undefined ? {} : { insert_distributed_sync: 1 },
      }),
    );
  }

  async summarise(query: FlowSummaryQuery): Promise<FlowSummaryRow[]> {
    const rows = await this.#rows(summarySql(query, this.#table, CLICKHOUSE));
    return rows.map((row) => summaryRow(row, query));
  }

  async records(query: FlowRecordsQuery): Promise<FlowRecord[]> {
    return (await this.#rows(recordsSql(query, this.#table, CLICKHOUSE))).map(recordOf);
  }

  /** Whole days go; of a cluster, each shard's own. */
  async retain(nowMs: number): Promise<void> {
    const { ageMs, bytes } = this.#options.retention;
    for (const { day, bytes: size } of await this.#daysAboveBudget(bytes)) {
      if (size > 0 && day * DAY_MS + DAY_MS <= nowMs) await this.#dropDay(day);
    }
    const oldest = nowMs - ageMs;
    for (const { day } of await this.#days()) {
      if (day * DAY_MS + DAY_MS <= oldest) await this.#dropDay(day);
    }
  }

  async state(): Promise<StorageState> {
    const [row] = await this.#rows(
      `SELECT count() AS n, min(bucket_start) AS a, max(bucket_start) AS b FROM ${this.#table}`,
    );
    const records = Number(row?.['n'] ?? 0);
    const days = await this.#days();
    return {
      records,
      bytes: days.reduce((sum, { bytes }) => sum + bytes, 0),
      oldest: records === 0 ? undefined : Number(row?.['a']),
      newest: records === 0 ? undefined : Number(row?.['b']),
    };
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()));
  }

  get #table(): string {
    return `${this.#options.database}.flows`;
  }

  /** Where the rows lie: behind the distributed table in a cluster. */
  get #local(): string {
    return this.#options.cluster === undefined ? 'flows' : 'flows_local';
  }

  get #onCluster(): string {
    const { cluster } = this.#options;
    return cluster === undefined ? '' : ` ON CLUSTER ${cluster}`;
  }

  async #prepare(): Promise<void> {
    const { database, cluster } = this.#options;
    const columns = FLOW_COLUMNS.map(({ name, type }) => `${name} ${TYPES[type]}`).join(', ');
    const order = `PARTITION BY intDiv(bucket_start, ${DAY_MS}) ORDER BY (bucket_start, node)`;
    const replicated = `ReplicatedMergeTree('/clickhouse/tables/{shard}/${database}/flows', '{replica}')`;
    const engine = cluster === undefined ? 'MergeTree()' : replicated;
    await this.#command(`CREATE DATABASE IF NOT EXISTS ${database}${this.#onCluster}`);
    await this.#command(
      `CREATE TABLE IF NOT EXISTS ${database}.${this.#local}${this.#onCluster} (${columns}) ` +
        `ENGINE = ${engine} ${order}`,
    );
    if (cluster === undefined) return;
    await this.#command(
      `CREATE TABLE IF NOT EXISTS ${database}.flows${this.#onCluster} (${columns}) ` +
        `ENGINE = Distributed(${cluster}, ${database}, flows_local, cityHash64(node))`,
    );
  }

  /** Days since the epoch and their bytes, oldest first, as the server that answers has them. */
  async #days(): Promise<{ day: number; bytes: number }[]> {
    const rows = await this.#rows(
      'SELECT partition AS p, sum(bytes_on_disk) AS size FROM system.parts ' +
        `WHERE active AND database = ${CLICKHOUSE.text(this.#options.database)} ` +
        `AND table = ${CLICKHOUSE.text(this.#local)} GROUP BY partition`,
    );
    return rows
      .map(({ p, size }) => ({ day: Number(p), bytes: Number(size) }))
      .toSorted((a, b) => a.day - b.day);
  }

  /** The oldest days, until what is left fits. */
  async #daysAboveBudget(budget: number): Promise<{ day: number; bytes: number }[]> {
    const days = await this.#days();
    let total = days.reduce((sum, { bytes }) => sum + bytes, 0);
    return days.filter(({ bytes }) => {
      const above = total > budget;
      total -= bytes;
      return above;
    });
  }

  async #dropDay(day: number): Promise<void> {
    const { database } = this.#options;
    await this.#command(
      `ALTER TABLE ${database}.${this.#local}${this.#onCluster} DROP PARTITION ${day}`,
    );
  }

  async #rows(query: string): Promise<Record<string, unknown>[]> {
    return this.#attempt('query flows', async (client) => {
      const result = await client.query({ query, format: 'JSONEachRow' });
      return result.json();
    });
  }

  async #command(query: string): Promise<void> {
    await this.#attempt('prepare the flow tables', (client) => client.command({ query }));
  }

  /** Tries every server once, from the one that answered last. */
  async #attempt<T>(what: string, act: (client: ClickHouseClient) => Promise<T>): Promise<T> {
    const reasons: string[] = [];
    for (let tried = 0; tried < this.#clients.length; tried++) {
      const index = (this.#first + tried) % this.#clients.length;
      const client = this.#clients[index];
      if (!client) break;
      try {
        const done = await act(client);
        this.#first = index;
        return done;
      } catch (error) {
        reasons.push(`${this.#options.urls[index]}: ${reasonOf(error)}`);
      }
    }
    throw new Error(`Cannot ${what} in ClickHouse: ${reasons.join('; ')}`);
  }
}

/** Of an aggregate error, such as a refused connection over both families, the first. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return reasonOf(error.errors[0]);
  const message = error instanceof Error ? error.message : String(error);
  return message.split('\n')[0] ?? message;
}
