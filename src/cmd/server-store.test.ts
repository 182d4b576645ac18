// Which store the flags and variables ask for, and what is said where they contradict each other.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pino } from 'pino';
import { openStore, type StoreFlags } from './server-store.ts';

const log = pino({ enabled: false });
const NOBODY = 'http://127.0.0.1:1';

test('[ET8] flags that do not go together are refused with what to give', async () => {
  const flags = { data: '/nowhere', keepChanges: 10 };
  const etcd = { ...flags, datastoreType: 'etcd' };
  const cases: readonly [StoreFlags, Readonly<Record<string, string>>, RegExp][] = [
    [etcd, {}, /give --etcd-endpoints or ETCD_ENDPOINTS/],
    [etcd, { ETCD_ENDPOINTS: ' , ' }, /give --etcd-endpoints or ETCD_ENDPOINTS/],
    [etcd, { ETCD_ENDPOINTS: 'localhost:2379' }, /write http:\/\/HOST:PORT/],
    [{ ...flags, etcdEndpoints: NOBODY }, {}, /give --datastore-type etcd/],
    [{ ...flags, datastoreType: 'kubernetes' }, {}, /"kubernetes".*in "sqlite" or in "etcd"/],
    [flags, { DATASTORE_TYPE: 'kubernetes' }, /by --datastore-type or DATASTORE_TYPE/],
    [{ ...etcd, etcdEndpoints: NOBODY, etcdCertFile: 'a' }, {}, /--etcd-key-file, or neither/],
    [{ ...etcd, etcdEndpoints: NOBODY }, { ETCD_USERNAME: 'a' }, /give ETCD_PASSWORD too/],
    [{ ...etcd, etcdEndpoints: NOBODY }, { ETCD_PASSWORD: 'a' }, /give --etcd-username or/],
    [{ ...etcd, etcdEndpoints: NOBODY, etcdCaCertFile: '/nowhere/ca' }, {}, /\/nowhere\/ca/],
  ];
  for (const [given, environment, message] of cases) {
    await assert.rejects(openStore(given, log, environment), message);
  }
});

test('a file it is, unless etcd is asked for', async (context) => {
  const data = await mkdtemp(join(tmpdir(), 'tortie-server-store-'));
  context.after(() => rm(data, { recursive: true }));
  const environment = { DATASTORE_TYPE: 'etcdv3', ETCD_ENDPOINTS: NOBODY };
  const flags = { data, datastoreType: 'sqlite', keepChanges: 10 };
  const store = await openStore(flags, log, environment);
  assert.equal((await store.list('pods')).items.length, 0);
  await store.close();
});
