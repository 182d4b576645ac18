// Which store `tortie server` keeps objects in, by flags and by the environment that Calico's tools read.
import { join } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import type { Logger } from 'pino';
import { parseDuration } from '#api';
import { addEtcdFlags, hasEtcdFlag } from '#cli';
import {
  type EtcdFlags,
  etcdOptions,
  type LogLimits,
  openEtcdStore,
  openSqliteStore,
  STORE_FILE,
  type Store,
} from '#datastore';

export interface StoreFlags extends EtcdFlags {
  readonly data: string;
  readonly datastoreType?: string;
  readonly keepChanges: number;
  readonly keepChangesFor?: number;
}

const KEEP_CHANGES = 10_000;
/** Of their JSON text, whatever their number. */
const KEEP_BYTES = 64 * 1024 * 1024;

type Environment = Readonly<Record<string, string | undefined>>;

const SQLITE = 'sqlite';
/** The second is Calico's name for it. */
const ETCD: readonly string[] = ['etcd', 'etcdv3'];

/** Adds the flags; each has a variable of the environment too, which it goes before. */
export function addStoreOptions(command: Command): Command {
  command.option(
    '--datastore-type <type>',
    'sqlite (a file in the folder) or etcd; DATASTORE_TYPE',
  );
  return addEtcdFlags(command)
    .option(
      '--keep-changes <number>',
      'changes that are kept for watches and lists that go on from one (10000)',
      readNumber,
      KEEP_CHANGES,
    )
    .option('--keep-changes-for <duration>', 'forget older ones too, such as 30m', readDuration);
}

function readNumber(text: string): number {
  if (/^[1-9]\d{0,6}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('Write a number from 1 to 9999999.');
}

function readDuration(text: string): number {
  const milliseconds = parseDuration(text);
  if (milliseconds !== undefined && milliseconds >= 1000) return milliseconds;
  throw new InvalidArgumentError('Write a duration of a second or more, such as 90s, 30m or 2h.');
}

/** Rejects with an Error that says what to do. The process ends when the store fails later. */
export async function openStore(
  flags: StoreFlags,
  log: Logger,
  environment: Environment = process.env,
): Promise<Store> {
  const onFatal = (error: Error): void => {
    log.fatal({ err: error }, 'the store failed');
    process.exit(1);
  };
  const { keepChanges: events, keepChangesFor: ageMs } = flags;
  const limits: LogLimits = {
    events,
    bytes: KEEP_BYTES,
    ...(ageMs === undefined ? {} : { ageMs }),
  };
  if (!usesEtcd(flags, environment)) {
    return openSqliteStore({ path: join(flags.data, STORE_FILE), log: limits, onFatal });
  }
  const options = await etcdOptions(flags, environment);
  const onTrouble = (error: Error): void => log.warn({ err: error }, 'trouble with etcd');
  return openEtcdStore({ ...options, log: limits, onFatal, onTrouble });
}

/** Throws an Error where flags or variables contradict each other. */
export function usesEtcd(flags: StoreFlags, environment: Environment = process.env): boolean {
  const type = flags.datastoreType ?? environment['DATASTORE_TYPE'] ?? SQLITE;
  if (ETCD.includes(type)) return true;
  if (type === SQLITE) {
    if (!hasEtcdFlag({ ...flags })) return false;
    throw new Error(
      'cannot open the store: there are flags for etcd, but the store is a file: give --datastore-type etcd',
    );
  }
  throw new Error(
    `cannot open the store: the datastore type is "${type}", by --datastore-type or ` +
      'DATASTORE_TYPE; a server keeps its objects in "sqlite" or in "etcd"',
  );
}
