// How etcd is reached: several endpoints, TLS with client certificates, users, and what is said when it is not.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, suite, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import type { Store, StoreKey } from '../store.ts';
import {
  EtcdProcess,
  type EtcdProcessOptions,
  EtcdProxy,
  freePort,
  makeCertificates,
  tlsArgs,
} from './etcd-fixture.ts';
import { etcdOptions } from './etcd-options.ts';
import { type EtcdStoreOptions, openEtcdStore } from './etcd-store.ts';

const key: StoreKey = { kind: 'pods', namespace: 'shop', name: 'a' };

async function startEtcd(context: TestContext, options?: EtcdProcessOptions): Promise<EtcdProcess> {
  const etcd = await EtcdProcess.start(options);
  context.after(() => etcd.remove());
  return etcd;
}

async function startProxy(
  context: TestContext,
  etcd: EtcdProcess,
  host?: string,
): Promise<EtcdProxy> {
  const proxy = await EtcdProxy.start(etcd, host);
  context.after(() => proxy.close());
  return proxy;
}

async function openStore(context: TestContext, options: EtcdStoreOptions): Promise<Store> {
  const store = await openEtcdStore(options);
  context.after(() => store.close());
  return store;
}

suite('etcd connection', () => {
  test('[ET7] an endpoint that fails is passed over: at the start, and under a watch', async (context) => {
    const etcd = await startEtcd(context);
    const [one, other] = [await startProxy(context, etcd), await startProxy(context, etcd)];
    const dead = `http://127.0.0.1:${await freePort()}`;
    const endpoints = [dead, one.endpoint, other.endpoint];
    const store = await openStore(context, { endpoints });
    const seen: number[] = [];
    await store.watch({
      kind: 'pods',
      from: store.revision,
      onEvent: ({ revision }) => void seen.push(revision),
    });
    const written = [await store.write({ key, value: { n: 1 } })];
    one.cut();
    written.push(await store.write({ key, value: { n: 2 } }));
    one.mend(etcd);
    other.cut();
    written.push(await store.write({ key, value: { n: 3 } }));
    assert.deepEqual(seen, written);
    assert.deepEqual((await store.get(key))?.value, { n: 3 });
  });

  test('[ET7] TLS: both sides show certificates, and strangers are refused', async (context) => {
    const folder = await mkdtemp(join(tmpdir(), 'tortie-etcd-tls-'));
    context.after(() => rm(folder, { recursive: true, force: true }));
    await makeCertificates(folder);
    const path = (name: string): string => join(folder, name);
    const etcd = await startEtcd(context, {
      scheme: 'https',
      args: tlsArgs(folder),
    });
    const read = async (ca: string, name: string) => ({
      ca: await readFile(path(`${ca}.pem`)),
      certificate: await readFile(path(`${name}.pem`)),
      key: await readFile(path(`${name}.key`)),
    });
    const endpoints = [etcd.endpoint];
    const store = await openStore(context, { endpoints, tls: await read('ca', 'client') });
    await store.write({ key, value: { n: 1 } });
    assert.deepEqual((await store.get(key))?.value, { n: 1 });
    const refusal = { name: 'StoreUnavailable', message: /certificates are right/ };
    for (const tls of [await read('other-ca', 'client'), await read('ca', 'stranger'), {}]) {
      await assert.rejects(openEtcdStore({ endpoints, tls, timeoutMs: 500 }), refusal);
    }
    const elsewhere = await startProxy(context, etcd, '127.0.0.2');
    await assert.rejects(
      openEtcdStore({
        endpoints: [elsewhere.endpoint],
        tls: await read('ca', 'client'),
        timeoutMs: 500,
      }),
      { name: 'StoreUnavailable', message: /127\.0\.0\.2 is not in the cert's list/ },
    );
    const plain = endpoints.map((url) => url.replace('https', 'http'));
    await assert.rejects(openEtcdStore({ endpoints: plain, timeoutMs: 500 }), refusal);
  });

  test('[ET12] certificates are renewed without a restart, authorities too', async (context) => {
    const folder = await mkdtemp(join(tmpdir(), 'tortie-etcd-renew-'));
    context.after(() => rm(folder, { recursive: true, force: true }));
    await makeCertificates(folder);
    const etcd = await startEtcd(context, { scheme: 'https', args: tlsArgs(folder) });
    const environment = {
      ETCD_ENDPOINTS: etcd.endpoint,
      ETCD_CA_CERT_FILE: join(folder, 'ca.pem'),
      ETCD_CERT_FILE: join(folder, 'client.pem'),
      ETCD_KEY_FILE: join(folder, 'client.key'),
    };
    const troubles: string[] = [];
    const onTrouble = (error: Error): void => {
      const { cause } = error;
      troubles.push(`${error.message}: ${cause instanceof Error ? cause.message : ''}`);
    };
    const options = { ...(await etcdOptions({}, environment)), renewMs: 20, onTrouble };
    const store = await openStore(context, options);
    const seen: number[] = [];
    const onEvent = ({ revision }: { revision: number }): void => void seen.push(revision);
    await store.watch({ kind: 'pods', from: store.revision, onEvent });
    const written = [await store.write({ key, value: { n: 1 } })];
    // Broken first, and said once for as long as it lasts.
    await writeFile(environment.ETCD_CERT_FILE, 'no certificate');
    for (let tries = 0; troubles.length === 0; tries++) {
      assert.ok(tries < 500, 'nothing was said of the broken file');
      await setTimeout(20);
    }
    written.push(await store.write({ key, value: { n: 2 } }));
    await setTimeout(100);
    assert.equal(troubles.length, 1);
    assert.match(troubles[0] ?? '', /certificates for etcd: cannot use ETCD_CERT_FILE ".*client/);
    // All of another authority: nothing of before would do.
    await makeCertificates(folder);
    await etcd.kill();
    await etcd.run();
    written.push(await store.write({ key, value: { n: 3 } }));
    written.push(await store.write({ key, value: { n: 4 } }));
    assert.deepEqual(seen, written);
  });

  test('[ET7] users: a token is asked for, and again when etcd has forgotten it; roles count', async (context) => {
    const etcd = await startEtcd(context);
    for (const command of [
      'user add root:secret-root',
      'user add calico:secret-calico',
      'user grant-role root root',
      'role add calico',
      'role grant-permission calico readwrite --prefix /calico/',
      'user grant-role calico calico',
      'user add guest:secret-guest',
      'auth enable',
    ]) {
      await etcd.control(...command.split(' '));
    }
    const endpoints = [etcd.endpoint];
    const user = { name: 'calico', password: 'secret-calico' };
    const store = await openStore(context, { endpoints, user });
    await store.write({ key, value: { n: 1 } });
    // Its tokens are in memory.
    await etcd.kill();
    await etcd.run();
    await store.write({ key, value: { n: 2 } });
    assert.deepEqual((await store.get(key))?.value, { n: 2 });
    // A new password makes its tokens invalid, and no stream breaks.
    const root = ['--user=root:secret-root', 'user', 'passwd', 'calico', '--interactive=false'];
    await etcd.controlWith('secret-calico\n', ...root);
    await store.write({ key, value: { n: 3 } });
    for (const [wrong, reason] of [
      [undefined, /user name is empty/],
      [{ name: 'calico', password: 'secret-typo' }, /authentication failed/],
      [{ name: 'guest', password: 'secret-guest' }, /permission denied/],
    ] as const) {
      const failure = openEtcdStore({ endpoints, ...(wrong ? { user: wrong } : {}) });
      await assert.rejects(failure, (error: Error) => {
        assert.equal(error.name, 'StoreUnavailable');
        assert.match(error.message, reason);
        assert.match(error.message, /check the user, its roles/);
        assert.doesNotMatch(error.message, /secret/);
        return true;
      });
    }
  });

  test('[ET8] what is wrong with endpoints and values is said with what to do', async (context) => {
    const nobody = `http://127.0.0.1:${await freePort()}`;
    await assert.rejects(openEtcdStore({ endpoints: [nobody], timeoutMs: 300 }), {
      name: 'StoreUnavailable',
      message: /cannot reach etcd at http:\/\/127\.0\.0\.1:\d+: .*check that it runs/,
    });
    await assert.rejects(
      openEtcdStore({ endpoints: ['127.0.0.1:2379'] }),
      /write http:\/\/HOST:PORT/,
    );
    const etcd = await startEtcd(context, { args: ['--max-request-bytes=10000'] });
    const store = await openStore(context, { endpoints: [etcd.endpoint] });
    await assert.rejects(store.write({ key, value: { text: 'x'.repeat(20_000) } }), {
      name: 'StoreUnavailable',
      message: /etcd refuses: .*too large.*limits of etcd/,
    });
    await store.write({ key, value: { n: 1 } });
  });

  test('[ET8] a full etcd refuses writes, says how to make space, and reads go on', async (context) => {
    const etcd = await startEtcd(context, { args: ['--quota-backend-bytes=200000'] });
    const store = await openStore(context, { endpoints: [etcd.endpoint] });
    await store.write({ key, value: { n: 1 } });
    let refusal: unknown;
    for (let n = 0; n < 100 && !refusal; n++) {
      const value = { text: String(n).repeat(10_000) };
      await store.write({ key: { ...key, name: 'b' }, value }).catch((error: unknown) => {
        refusal = error;
      });
    }
    assert.match(String(refusal), /space exceeded; compact and defragment it, then disarm/);
    assert.deepEqual((await store.get(key))?.value, { n: 1 });
    await etcd.control('compact', String(store.revision));
    await etcd.control('defrag');
    await etcd.control('alarm', 'disarm');
    await store.write({ key, value: { n: 2 } });
    assert.deepEqual((await store.get(key))?.value, { n: 2 });
  });
});
