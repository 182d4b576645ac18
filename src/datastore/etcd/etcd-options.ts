// How etcd is reached, by the values of flags and by the variables of the environment that Calico's tools read.
import { checkGivenFiles, type GivenFile, type Holds, readGivenFile } from '../given-file.ts';
import type { EtcdConnectionOptions, EtcdTls } from './etcd-connection.ts';
import type { EtcdStoreOptions } from './etcd-store.ts';

export interface EtcdFlags {
  readonly etcdEndpoints?: string;
  readonly etcdCaCertFile?: string;
  readonly etcdCertFile?: string;
  readonly etcdKeyFile?: string;
  readonly etcdUsername?: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Rejects with an Error that says which flag or variable is missing. */
export async function etcdOptions(
  flags: EtcdFlags,
  environment: Environment,
): Promise<EtcdConnectionOptions & Pick<EtcdStoreOptions, 'readTls'>> {
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
  const tls = tlsOptions(flags, environment);
  const name = flags.etcdUsername ?? environment['ETCD_USERNAME'] ?? '';
  const password = environment['ETCD_PASSWORD'] ?? '';
  if ((name === '') !== (password === '')) {
    const missing = name === '' ? '--etcd-username or ETCD_USERNAME' : 'ETCD_PASSWORD';
    throw new Error(`a user of etcd has a name and a password; give ${missing} too`);
  }
  const readTls = (): EtcdTls => tlsOptions(flags, environment);
  const user = name === '' ? {} : { user: { name, password } };
  return { endpoints, tls, ...(Object.keys(tls).length > 0 && { readTls }), ...user };
}

function tlsOptions(flags: EtcdFlags, environment: Environment): EtcdTls {
  const given = (flag: string, value: string | undefined, holds: Holds): GivenFile => {
    const variable = flag.slice(2).replaceAll('-', '_').toUpperCase();
    if (value !== undefined) return { name: flag, path: value, holds };
    return { name: variable, path: environment[variable] ?? '', holds };
  };
  const ca = given('--etcd-ca-cert-file', flags.etcdCaCertFile, 'certificates');
  const certificate = given('--etcd-cert-file', flags.etcdCertFile, 'certificates');
  const key = given('--etcd-key-file', flags.etcdKeyFile, 'key');
  if ((certificate.path === '') !== (key.path === '')) {
    throw new Error(
      'a certificate for etcd has a key; give --etcd-cert-file and --etcd-key-file, or neither',
    );
  }
  checkGivenFiles([ca, certificate, key].filter(({ path }) => path !== ''));
  const pair =
    certificate.path === ''
      ? {}
      : { certificate: readGivenFile(certificate), key: readGivenFile(key) };
  return { ...(ca.path === '' ? {} : { ca: readGivenFile(ca) }), ...pair };
}
