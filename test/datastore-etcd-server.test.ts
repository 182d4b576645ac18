// `tortie server` over a real etcd: Calico's layout as etcdctl sees it, other writers, several servers, faults.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { type TestContext, suite, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import {
  felixConfigurationKind,
  globalNetworkPolicyKind,
  ipamBlockKind,
  ipamConfigurationKind,
  ipPoolKind,
  kindOf,
  networkSetKind,
  podKind,
  type Resource,
  tierKind,
} from '#api';
import { type ApiClient, Syncer } from '#datastore';
import { EtcdConnection } from '../src/datastore/etcd/etcd-connection.ts';
import {
  EtcdProcess,
  type EtcdProcessOptions,
  freePort,
  makeCertificates,
  tlsArgs,
} from '../src/datastore/etcd/etcd-fixture.ts';
import { txn } from '../src/datastore/etcd/etcd-messages.ts';
import {
  type ServerProcess,
  startServerProcess,
  temporaryFolder,
} from './kubernetes/server-process.ts';

const TORTIE = join(import.meta.dirname, '..', 'bin', 'tortie');
const V3 = '/calico/resources/v3/projectcalico.org';

async function startEtcd(context: TestContext, options?: EtcdProcessOptions): Promise<EtcdProcess> {
  const etcd = await EtcdProcess.start(options);
  context.after(() => etcd.remove());
  return etcd;
}

async function startServer(context: TestContext, etcd: EtcdProcess): Promise<ServerProcess> {
  const data = join(await temporaryFolder(context), 'data');
  const flags = ['--datastore-type', 'etcd', '--etcd-endpoints', etcd.endpoint];
  return startServerProcess(context, data, { flags });
}

function resource(kind: string, metadata: object, spec: object): Resource {
  return { apiVersion: 'projectcalico.org/v3', kind, metadata, spec } as Resource;
}

const networkSet = (name: string, count: number): Resource =>
  resource(
    'NetworkSet',
    { name, namespace: 'default', labels: { count: String(count) } },
    { nets: ['192.0.2.0/24'] },
  );

/** Keys below `/calico/` and their JSON, as etcdctl tells them. */
async function rawKeys(etcd: EtcdProcess): Promise<Map<string, Record<string, unknown>>> {
  const answer: unknown = JSON.parse(
    await etcd.control('get', '--prefix', '/calico/', '-w', 'json'),
  );
  const kvs: readonly { key: string; value?: string }[] = Object(answer).kvs;
  const text = (base64 = ''): string => Buffer.from(base64, 'base64').toString();
  return new Map(
    kvs
      .filter(({ value }) => value !== undefined)
      .map(({ key, value }) => [text(key), JSON.parse(text(value))]),
  );
}

async function until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (let turn = 0; turn < 1_000; turn++) {
    if (await holds()) return;
    await setTimeout(20);
  }
  assert.fail(`it has not come to this: ${what}`);
}

/** A syncer of network sets, and what it has heard: `name count`. */
async function follow(
  context: TestContext,
  client: ApiClient,
): Promise<{ readonly heard: string[]; readonly lists: () => number }> {
  const heard: string[] = [];
  let lists = 0;
  const syncer = new Syncer({
    client: {
      list: (...parameters: Parameters<ApiClient['list']>) => {
        lists++;
        return client.list(...parameters);
      },
      watch: (...parameters: Parameters<ApiClient['watch']>) => client.watch(...parameters),
    },
    kinds: [networkSetKind],
    callbacks: {
      onUpdates: (updates) => {
        for (const { key, resource } of updates) {
          heard.push(`${key.split('/').at(-1)} ${resource?.metadata.labels?.['count'] ?? 'gone'}`);
        }
      },
      onStatus: () => undefined,
    },
  });
  context.after(() => syncer.stop());
  syncer.start();
  await until(() => syncer.status === 'in-sync', 'in-sync');
  return { heard, lists: () => lists };
}

/** `tortie server` that is to fail: its exit code and what it says. */
async function failedServer(
  context: TestContext,
  flags: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<{ code: number | null; errors: string }> {
  const data = join(await temporaryFolder(context), 'data');
  const child = spawn(TORTIE, ['server', '--data', data, '--listen', '127.0.0.1:0', ...flags], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, ...environment },
  });
  context.after(() => child.kill('SIGKILL'));
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  await once(child, 'close');
  return { code: child.exitCode, errors };
}

suite('tortie server over etcd', () => {
  test('[ET1] what is applied stands in etcd where Calico has it, in its JSON', async (context) => {
    const etcd = await startEtcd(context);
    const { client } = await startServer(context, etcd);
    const block = {
      cidr: '10.0.0.0/31',
      affinity: 'host:n1',
      allocations: [null, null],
      unallocated: [0, 1],
      attributes: [],
    };
    const applied: readonly [string, Resource][] = [
      [`${V3}/tiers/ops`, resource('Tier', { name: 'ops' }, { order: 5 })],
      [
        `${V3}/globalnetworkpolicies/ops.all`,
        resource('GlobalNetworkPolicy', { name: 'ops.all' }, { tier: 'ops', selector: 'all()' }),
      ],
      [
        `${V3}/networkpolicies/default/web`,
        resource('NetworkPolicy', { name: 'web', namespace: 'default' }, { selector: 'a == "b"' }),
      ],
      [`${V3}/networksets/default/outside`, networkSet('outside', 1)],
      [`${V3}/ippools/p6`, resource('IPPool', { name: 'p6' }, { cidr: 'fd00::/48' })],
      [
        `${V3}/hostendpoints/n1-eth0`,
        resource('HostEndpoint', { name: 'n1-eth0' }, { node: 'n1', interfaceName: 'eth0' }),
      ],
      [
        '/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-31',
        resource('IPAMBlock', { name: '10-0-0-0-31' }, block),
      ],
      [
        '/calico/ipam/v2/handle/k8s.abc',
        resource('IPAMHandle', { name: 'k8s.abc' }, { handleID: 'k8s.abc', block: {} }),
      ],
      [
        '/calico/ipam/v2/host/n1/ipv4/block/10.0.0.0-31',
        resource(
          'BlockAffinity',
          { name: 'n1-10-0-0-0-31' },
          { state: 'confirmed', node: 'n1', type: 'host', cidr: '10.0.0.0/31' },
        ),
      ],
      [
        '/calico/ipam/v2/config',
        resource('IPAMConfiguration', { name: 'default' }, { strictAffinity: true }),
      ],
    ];
    const pod = { name: 'p', namespace: 'default' };
    const containers = [{ name: 'c', image: 'i' }];
    const body = { apiVersion: 'v1', kind: 'Pod', metadata: pod, spec: { containers } };
    await client.create(podKind, body as Resource);
    for (const [, object] of applied) {
      const kind = kindOf(object.apiVersion, object.kind);
      assert.ok(kind);
      await client.create(kind, object);
      const read = await client.get(kind, object.metadata);
      const { spec } = Object(object);
      assert.deepEqual({ ...Object(read).spec, ...spec }, Object(read).spec, object.kind);
    }
    const raw = await rawKeys(etcd);
    for (const [path, { kind, metadata }] of applied) {
      const stored = raw.get(path);
      assert.ok(stored, path);
      const { resourceVersion, uid, name } = Object(stored['metadata']);
      assert.equal(resourceVersion, undefined);
      assert.match(uid, /^[0-9a-f-]{36}$/);
      assert.equal(name, metadata.name);
      const isResource = path.startsWith(V3);
      assert.equal(stored['kind'], isResource ? kind : undefined);
      assert.equal(stored['apiVersion'], isResource ? 'projectcalico.org/v3' : undefined);
    }
    assert.deepEqual(
      raw.get('/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-31')?.['unallocated'],
      [0, 1],
    );
    assert.equal(raw.get('/calico/ipam/v2/config')?.['strict_affinity'], true);
    assert.equal(raw.get('/calico/ipam/v2/config')?.['auto_allocate_blocks'], true);
    assert.ok(raw.has('/calico/tortie/v1/pods/default/p'));
    assert.ok(raw.has('/calico/tortie/v1/namespaces//default'));
    const unknown = [...raw.keys()].filter(
      (path) => !/^\/calico\/(resources\/v3\/projectcalico\.org|ipam\/v2|tortie\/v1)\//.test(path),
    );
    assert.deepEqual(unknown, []);
    await client.delete(ipamConfigurationKind, { name: 'default' });
    await client.delete(ipamBlockKind, { name: '10-0-0-0-31' });
    const left = await rawKeys(etcd);
    assert.ok(!left.has('/calico/ipam/v2/config'));
    assert.ok(!left.has('/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-31'));
  });

  test("[ET2] what Calico's tools write is listed, watched, and can be changed", async (context) => {
    const etcd = await startEtcd(context);
    const { client } = await startServer(context, etcd);
    const { heard } = await follow(context, client);
    const metadata = {
      name: 'theirs',
      namespace: 'default',
      creationTimestamp: '2026-01-02T03:04:05Z',
    };
    const theirs = {
      ...networkSet('theirs', 0),
      metadata: { ...metadata, labels: { count: '7' } },
    };
    await etcd.control('put', `${V3}/networksets/default/theirs`, JSON.stringify(theirs));
    await etcd.control(
      'put',
      `${V3}/globalnetworkpolicies/default.theirs`,
      '{"kind":"GlobalNetworkPolicy","apiVersion":"projectcalico.org/v3","metadata":{"name":' +
        '"default.theirs","uid":"7a1b3c55-1111-4222-8333-444455556666","creationTimestamp":' +
        '"2026-01-02T03:04:05Z"},"spec":{"order":10,"selector":"all()","types":["Ingress"]}}',
    );
    await etcd.control(
      'put',
      '/calico/ipam/v2/assignment/ipv4/block/10.9.0.0-31',
      '{"cidr":"10.9.0.0/31","affinity":"host:n9","allocations":[0,null],"unallocated":[1],' +
        '"attributes":[{"handle_id":"h","secondary":{"node":"n9"}}],"deleted":false}',
    );
    const policies = await client.list(globalNetworkPolicyKind);
    const names = policies.items.map(({ metadata: { name, uid } }) => `${name} ${uid}`);
    assert.deepEqual(names, ['default.theirs 7a1b3c55-1111-4222-8333-444455556666']);
    const block = await client.get(ipamBlockKind, { name: '10-9-0-0-31' });
    assert.equal(Object(block).spec.affinity, 'host:n9');
    await until(() => heard.includes('theirs 7'), 'the syncer hears of it');
    const current = await client.get(networkSetKind, metadata);
    assert.ok(current);
    const labels = { count: '8' };
    await client.replace(networkSetKind, { ...current, metadata: { ...current.metadata, labels } });
    await until(() => heard.includes('theirs 8'), 'the syncer hears of the change');
    await etcd.control('del', `${V3}/networksets/default/theirs`);
    await until(() => heard.includes('theirs gone'), 'the syncer hears of the deletion');
    assert.equal(await client.get(networkSetKind, metadata), undefined);
  });

  test('[ET2] one transaction of many keys is told to the last, however much it is at once', async (context) => {
    const etcd = await startEtcd(context);
    const { client } = await startServer(context, etcd);
    const { heard } = await follow(context, client);
    const connection = new EtcdConnection({ endpoints: [etcd.endpoint] });
    context.after(() => connection.close());
    const count = 600;
    const nets = Array.from({ length: 40 }, (_, n) => `192.0.2.${n}/32`);
    for (let from = 0; from < count; from += 100) {
      const success = Array.from({ length: 100 }, (_, n) => {
        const name = `set-${from + n}`;
        const value = JSON.stringify({ ...networkSet(name, 1), spec: { nets } });
        return { put: { key: `${V3}/networksets/default/${name}`, value } };
      });
      await connection.call(txn, { success });
    }
    await until(() => heard.length === count, 'all that were made are heard of');
    await etcd.control('del', '--prefix', `${V3}/networksets/`);
    await until(() => heard.length === 2 * count, 'all that are gone are heard of');
    assert.equal(new Set(heard).size, 2 * count);
  });

  test("[ET2] a server that comes to an etcd of Calico's adds no pools and no parameters", async (context) => {
    const etcd = await startEtcd(context);
    const information = resource(
      'ClusterInformation',
      { name: 'default' },
      { datastoreReady: true },
    );
    await etcd.control('put', `${V3}/clusterinformations/default`, JSON.stringify(information));
    const { client } = await startServer(context, etcd);
    assert.equal((await client.list(ipPoolKind)).items.length, 0);
    assert.equal((await client.list(felixConfigurationKind)).items.length, 0);
    assert.ok(await client.get(tierKind, { name: 'kube-admin' }));
    assert.ok((await rawKeys(etcd)).has('/calico/tortie/v1/namespaces//default'));
  });

  test("[ET3] two servers over one etcd see each other's writes, with one revision", async (context) => {
    const etcd = await startEtcd(context);
    const [one, other] = [await startServer(context, etcd), await startServer(context, etcd)];
    const { heard } = await follow(context, other.client);
    for (let n = 0; n < 10; n++) {
      const name = `set-${n}`;
      const made = await one.client.create(networkSetKind, networkSet(name, n));
      const read = await other.client.get(networkSetKind, made.metadata);
      assert.deepEqual(read, made);
      await assert.rejects(other.client.create(networkSetKind, networkSet(name, n)), {
        name: 'ApiError',
        reason: 'AlreadyExists',
      });
      await other.client.delete(networkSetKind, made.metadata);
      assert.equal(await one.client.get(networkSetKind, made.metadata), undefined);
      assert.equal((await one.client.list(networkSetKind)).items.length, 0);
    }
    await until(() => heard.length === 20, 'everything is heard');
    const expected = Array.from({ length: 10 }, (_, n) => [`set-${n} ${n}`, `set-${n} gone`]);
    assert.deepEqual(heard, expected.flat());
  });

  test('[ET4] etcd killed under writers: what is acknowledged stays, the watch has no gap', async (context) => {
    const etcd = await startEtcd(context);
    const { client } = await startServer(context, etcd);
    const { heard, lists } = await follow(context, client);
    const acknowledged = new Map<string, number>();
    let running = true;
    const writers = Array.from({ length: 4 }, async (_, writer) => {
      const name = `set-${writer}`;
      let current = await client.create(networkSetKind, networkSet(name, 0));
      for (let count = 1; running; count++) {
        const { resourceVersion = '' } = current.metadata;
        const next = networkSet(name, count);
        const metadata = { ...next.metadata, resourceVersion };
        current = await client.replace(networkSetKind, { ...next, metadata });
        acknowledged.set(name, count);
      }
    });
    for (let kill = 0; kill < 2; kill++) {
      const before = heard.length;
      await until(() => heard.length > before + 60, 'writes go on');
      await etcd.kill();
      await etcd.run();
    }
    running = false;
    await Promise.all(writers);
    await until(
      () => [...acknowledged].every(([name, count]) => heard.includes(`${name} ${count}`)),
      'the last writes are heard',
    );
    for (const [name, last] of acknowledged) {
      const counts = heard.filter((line) => line.startsWith(`${name} `));
      assert.deepEqual(
        counts,
        Array.from({ length: last + 1 }, (_, count) => `${name} ${count}`),
      );
      const read = await client.get(networkSetKind, { name, namespace: 'default' });
      assert.equal(read?.metadata.labels?.['count'], String(last));
    }
    assert.equal(lists(), 1);
  });

  test('a compaction under a watch takes nothing from it', async (context) => {
    const etcd = await startEtcd(context);
    const { client } = await startServer(context, etcd);
    const { heard, lists } = await follow(context, client);
    for (let n = 0; n < 5; n++) {
      const made = await client.create(networkSetKind, networkSet(`set-${n}`, n));
      await etcd.control('compact', made.metadata.resourceVersion ?? '');
    }
    await until(() => heard.length === 5, 'everything is heard');
    assert.equal(lists(), 1);
  });

  test("[ET7] flags and variables as Calico's tools have them: certificates, user", async (context) => {
    const folder = await temporaryFolder(context);
    await makeCertificates(folder);
    const path = (name: string): string => join(folder, name);
    const client = [`--cert=${path('client.pem')}`, `--key=${path('client.key')}`];
    const etcd = await startEtcd(context, {
      scheme: 'https',
      args: tlsArgs(folder),
      controlArgs: [`--cacert=${path('ca.pem')}`, ...client],
    });
    for (const command of [
      'user add root:secret-word',
      'user grant-role root root',
      'auth enable',
    ]) {
      await etcd.control(...command.split(' '));
    }
    const environment = {
      DATASTORE_TYPE: 'etcdv3',
      ETCD_ENDPOINTS: etcd.endpoint,
      ETCD_CA_CERT_FILE: path('ca.pem'),
      ETCD_CERT_FILE: path('client.pem'),
      ETCD_KEY_FILE: path('client.key'),
      ETCD_USERNAME: 'root',
      ETCD_PASSWORD: 'secret-word',
    };
    const data = join(folder, 'data');
    const server = await startServerProcess(context, data, { environment });
    await server.client.create(tierKind, resource('Tier', { name: 'ops' }, { order: 5 }));
    await server.end('SIGTERM');
    const flags = [
      ['--datastore-type', 'etcd', '--etcd-endpoints', etcd.endpoint],
      ['--etcd-ca-cert-file', path('ca.pem'), '--etcd-cert-file', path('client.pem')],
      ['--etcd-key-file', path('client.key'), '--etcd-username', 'root'],
    ].flat();
    const password = { ETCD_PASSWORD: 'secret-word' };
    const again = await startServerProcess(context, data, { flags, environment: password });
    assert.ok(await again.client.get(tierKind, { name: 'ops' }));
    const wrong = await failedServer(context, flags, { ETCD_PASSWORD: 'secret-typo' });
    assert.equal(wrong.code, 1);
    assert.match(wrong.errors, /authentication failed/);
    assert.doesNotMatch(wrong.errors, /secret/);
  });

  test('[ET11] `tortie datastore backup` copies all of etcd', async (context) => {
    const etcd = await startEtcd(context);
    const file = join(await temporaryFolder(context), 'backup.db');
    const words = ['datastore', 'backup', file, '--etcd-endpoints', etcd.endpoint];
    const { stdout } = await promisify(execFile)(TORTIE, words);
    assert.match(stdout, /etcd 3\.\S+ at http.*revision 1 or later.*etcdctl snapshot restore/);
    await etcd.control('put', '/calico/later', 'x');
    await etcd.restore(file);
    assert.equal(await etcd.control('get', '--prefix', '/calico/'), '');
    await assert.rejects(promisify(execFile)(TORTIE, words.slice(0, 3)), /--data DIR or --etcd/);
  });

  test('[ET8] a server that cannot reach its etcd says what to do', async (context) => {
    const nobody = `http://127.0.0.1:${await freePort()}`;
    const flags = ['--datastore-type', 'etcd', '--etcd-endpoints', nobody];
    const { code, errors } = await failedServer(context, flags);
    assert.equal(code, 1, errors);
    assert.match(errors, /annot reach etcd at http.*check that it runs/);
  });
});
