// Which store `tortie server` keeps objects in, by flags and by the environment that Calico's tools read.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import type { Logger } from 'pino';
import { parseDuration } from '#api';
import {
  type EtcdStoreOptions,
  type EtcdTls,
  type LogLimits,
  openEtcdStore,
  openSqliteStore,
  STORE_FILE,
  type Store,
} from '#datastore';

export interface StoreFlags {
  readonly data: string;
  readonly datastoreType?: string;
  readonly etcdEndpoints?: string;
  readonly etcdCaCertFile?: string;
  readonly etcdCertFile?: string;
  readonly etcdKeyFile?: string;
  readonly etcdUsername?: string;
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
  return command
    .option('--datastore-type <type>', 'sqlite (a file in the folder) or etcd; DATASTORE_TYPE')
    .option('--etcd-endpoints <urls>', 'http(s)://HOST:PORT, by commas; ETCD_ENDPOINTS')
    .option('--etcd-ca-cert-file <file>', "authority of etcd's certificate; ETCD_CA_CERT_FILE")
    .option('--etcd-cert-file <file>', 'certificate to show to etcd; ETCD_CERT_FILE')
    .option('--etcd-key-file <file>', 'its key; ETCD_KEY_FILE')
    .option('--etcd-username <name>', 'user of etcd; ETCD_USERNAME, and ETCD_PASSWORD')
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

function usesEtcd(flags: StoreFlags, environment: Environment): boolean {
  const type = flags.datastoreType ?? environment['DATASTORE_TYPE'] ?? SQLITE;
  if (ETCD.includes(type)) return true;
  if (type === SQLITE) {
    const given = Object.keys(flags).find((flag) => flag.startsWith('etcd'));
    if (given === undefined) return false;
    throw new Error(
      'there are flags for etcd, but the store is a file: give --datastore-type etcd',
    );
  }
  throw new Error(
    `the datastore type is "${type}", by --datastore-type or DATASTORE_TYPE; a server keeps its ` +
      'objects in "sqlite" or in "etcd"',
  );
}

async function etcdOptions(flags: StoreFlags, environment: Environment): Promise<EtcdStoreOptions> {
  const endpoints = (flags.etcdEndpoints ?? environment['ETCD_ENDPOINTS'] ?? '')
    .split(',')
    .map((url) => url.trim())
    .filter((url) => url !== '');
  if (endpoints.length === 0) {
    throw new Error(
      'there is no endpoint of etcd; give --etcd-endpoints or ETCD_ENDPOINTS, such as ' +
        'http://127.0.0.1:2379',
    );
  }
  const tls = await tlsOptions(flags, environment);
  const name = flags.etcdUsername ?? environment['ETCD_USERNAME'] ?? '';
  const password = environment['ETCD_PASSWORD'] ?? '';
  if ((name === '') !== (password === '')) {
    const missing = name === '' ? '--etcd-username or ETCD_USERNAME' : 'ETCD_PASSWORD';
    throw new Error(`a user of etcd has a name and a password; give ${missing} too`);
  }
  return { endpoints, tls, ...(name === '' ? {} : { user: { name, password } }) };
}

async function tlsOptions(flags: StoreFlags, environment: Environment): Promise<EtcdTls> {
  const caFile = flags.etcdCaCertFile ?? environment['ETCD_CA_CERT_FILE'] ?? '';
  const certificateFile = flags.etcdCertFile ?? environment['ETCD_CERT_FILE'] ?? '';
  const keyFile = flags.etcdKeyFile ?? environment['ETCD_KEY_FILE'] ?? '';
  if ((certificateFile === '') !== (keyFile === '')) {
    throw new Error(
      'a certificate for etcd has a key; give --etcd-cert-file and --etcd-key-file, or neither',
    );
  }
  const pair =
    certificateFile === ''
      ? {}
      : { certificate: await readFile(certificateFile), key: await readFile(keyFile) };
  return { ...(caFile === '' ? {} : { ca: await readFile(caFile) }), ...pair };
}
