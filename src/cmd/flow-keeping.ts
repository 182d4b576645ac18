// Opens the storage of flows that the command line names, and what fills it.
import { join } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { ClickhouseStorage, DuckdbStorage, FlowKeeper, type FlowStorage } from '#flowstore';

export interface FlowKeepingFlags {
  readonly data: string;
  readonly flowStorage: 'duckdb' | 'clickhouse' | 'none';
  readonly flowAge: number;
  readonly flowDisk: number;
  readonly clickhouseUrl?: readonly string[];
  readonly clickhouseDatabase: string;
  readonly clickhouseCluster?: string;
  readonly clickhouseUsername?: string;
}

export interface FlowKeeping {
  readonly storage: FlowStorage;
  readonly keeper: FlowKeeper;
  close(): Promise<void>;
}

const STORAGES = ['duckdb', 'clickhouse', 'none'] as const;
const DAY_MS = 86_400_000;
const UNIT_MS: Readonly<Record<string, number>> = { h: 3_600_000, d: DAY_MS };
const UNIT_BYTES: Readonly<Record<string, number>> = { M: 1e6, G: 1e9, T: 1e12 };

export function withFlowKeepingFlags(command: Command): Command {
  return command
    .option(
      '--flow-storage <kind>',
      `where flows are kept: ${STORAGES.join(', ')}`,
      readStorage,
      'duckdb',
    )
    .option('--flow-age <time>', 'how long flows are kept, such as 12h or 8d', readAge, 8 * DAY_MS)
    .option(
      '--flow-disk <size>',
      'how much room they may take, such as 500M or 20G',
      readSize,
      10e9,
    )
    .option('--clickhouse-url <url...>', 'HTTP addresses of ClickHouse servers')
    .option('--clickhouse-database <name>', 'its database', 'tortie')
    .option(
      '--clickhouse-cluster <name>',
      'a cluster of its configuration, with shards and replicas',
    )
    .option(
      '--clickhouse-username <name>',
      'its user; the password is read from CLICKHOUSE_PASSWORD',
    );
}

/** Undefined where no flows are to be kept. Throws an Error that says what to do. */
export async function openFlowKeeping(
  flags: FlowKeepingFlags,
  log: (message: string) => void,
): Promise<FlowKeeping | undefined> {
  const storage = await openStorage(flags);
  if (!storage) return undefined;
  const keeper = new FlowKeeper({ storage, log });
  return {
    storage,
    keeper,
    close: async () => {
      await keeper.close();
      await storage.close();
    },
  };
}

async function openStorage(flags: FlowKeepingFlags): Promise<FlowStorage | undefined> {
  const { data, flowStorage, flowAge, flowDisk } = flags;
  const retention = { ageMs: flowAge, bytes: flowDisk };
  if (flowStorage === 'none') return undefined;
  if (flowStorage === 'duckdb')
    return DuckdbStorage.open({ folder: join(data, 'flows'), retention });
  const { clickhouseUrl: urls = [], clickhouseCluster, clickhouseUsername } = flags;
  if (urls.length === 0) {
    throw new Error('Cannot keep flows in ClickHouse: give --clickhouse-url http://HOST:8123');
  }
  const { CLICKHOUSE_PASSWORD: password } = process.env;
  return ClickhouseStorage.open({
    urls,
    database: flags.clickhouseDatabase,
    retention,
    ...(clickhouseCluster !== undefined && { cluster: clickhouseCluster }),
    ...(clickhouseUsername !== undefined && { username: clickhouseUsername }),
    ...(password !== undefined && { password }),
  });
}

function readStorage(text: string): (typeof STORAGES)[number] {
  const kind = STORAGES.find((it) => it === text);
  if (kind) return kind;
  throw new InvalidArgumentError(`use ${STORAGES.join(', ')}`);
}

function readAge(text: string): number {
  const [, count, unit = ''] = /^(\d{1,6})(h|d)$/.exec(text) ?? [];
  const age = Number(count) * (UNIT_MS[unit] ?? Number.NaN);
  if (age > 0) return age;
  throw new InvalidArgumentError('write hours or days, such as 12h or 8d');
}

function readSize(text: string): number {
  const [, count, unit = ''] = /^(\d{1,6})(M|G|T)$/.exec(text) ?? [];
  const size = Number(count) * (UNIT_BYTES[unit] ?? Number.NaN);
  if (size > 0) return size;
  throw new InvalidArgumentError('write a size such as 500M, 20G or 1T');
}
