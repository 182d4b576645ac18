// `tortie ipam` against a real server: what it prints, what it frees, and what it refuses.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test, type TestContext } from 'node:test';
import {
  blockAffinityKind,
  clusterInformationKind,
  ipamBlockKind,
  type IPPool,
  ipPoolKind,
  ipReservationKind,
  nodeKind,
  podKind,
  type Resource,
} from '#api';
import { createProgram, runProgram, type Terminal } from '#cli';
import type { ApiClient } from '#datastore/client';
import { BlockAllocator } from '#ipam';
import { startServerProcess, temporaryFolder } from './server-process.ts';

const calico = 'projectcalico.org/v3';

interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

class Cluster {
  readonly folder: string;
  readonly client: ApiClient;
  readonly #kubeconfig: string;

  constructor(folder: string, client: ApiClient, kubeconfig: string) {
    this.folder = folder;
    this.client = client;
    this.#kubeconfig = kubeconfig;
  }

  /** The command line in this process: starting one for each would be most of the time. */
  async ipam(...words: string[]): Promise<Outcome> {
    const written = { out: '', err: '' };
    const terminal: Terminal = {
      out: (text) => void (written.out += text),
      err: (text) => void (written.err += text),
      outBytes: () => Promise.resolve(),
      readInput: () => Promise.resolve(''),
      inputStream: () => Readable.from([]),
      environment: {},
      isScreen: false,
    };
    const program = createProgram(terminal, { version: '1.2.3', executable: '', root: '' });
    const all = ['ipam', ...words, '--kubeconfig', this.#kubeconfig];
    return { code: await runProgram(program, all, terminal), ...written };
  }

  async assign(name: string, node = 'n1', families: readonly (4 | 6)[] = [4]): Promise<string[]> {
    const allocator = new BlockAllocator({ client: this.client, nodeName: node });
    const attributes = { namespace: 'default', pod: name, node };
    return allocator.assign({ handle: `net.${name}`, attributes, families });
  }

  async addPod(name: string, node: string, addresses: readonly string[]): Promise<void> {
    const metadata = { name, namespace: 'default' };
    const spec = { nodeName: node, containers: [{ name: 'c', image: 'i' }] };
    await this.client.create(podKind, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata,
      spec,
    } as Resource);
    const status = { phase: 'Running', podIPs: addresses.map((ip) => ({ ip })) };
    const key = { name, namespace: 'default' };
    await this.client.patch(podKind, key, { status }, { subresource: 'status' });
  }

  async lock(datastoreReady: boolean): Promise<void> {
    const metadata = { name: 'default' };
    const kind = 'ClusterInformation';
    const old = await this.client.get(clusterInformationKind, metadata);
    const spec = { datastoreReady, clusterGUID: 'guid-1', clusterType: 'test' };
    const next: Resource & { spec: unknown } = {
      ...(old ?? { apiVersion: calico, kind, metadata }),
      spec,
    };
    if (old) await this.client.replace(clusterInformationKind, next);
    else await this.client.create(clusterInformationKind, next);
  }
}

async function start(t: TestContext): Promise<Cluster> {
  const folder = await temporaryFolder(t);
  const { client, kubeconfig } = await startServerProcess(t, join(folder, 'data'));
  for (const { metadata } of (await client.list(ipPoolKind)).items) {
    await client.delete(ipPoolKind, { name: metadata.name });
  }
  for (const [name, cidr, blockSize] of [
    ['v4', '10.9.0.0/24', 26],
    ['v6', 'fd00:9::/112', 122],
  ] as const) {
    const spec = { cidr, blockSize };
    await client.create(ipPoolKind, {
      apiVersion: calico,
      kind: 'IPPool',
      metadata: { name },
      spec,
    } as IPPool);
  }
  for (const name of ['n1', 'n2']) {
    await client.create(nodeKind, { apiVersion: 'v1', kind: 'Node', metadata: { name } });
  }
  return new Cluster(folder, client, kubeconfig);
}

void test('show: pools, blocks, one address, borrowed ones, the configuration', async (t) => {
  const cluster = await start(t);
  const [v4 = '', v6 = ''] = await cluster.assign('web', 'n1', [4, 6]);
  const spec = { reservedCIDRs: ['10.9.0.0/26'] };
  const metadata = { name: 'r' };
  await cluster.client.create(ipReservationKind, {
    apiVersion: calico,
    kind: 'IPReservation',
    metadata,
    spec,
  } as Resource);
  const { out } = await cluster.ipam('show', '--show-blocks');
  const rows = out.split('\n').filter((line) => line.startsWith('|'));
  assert.match(
    rows[0] ?? '',
    /^\| GROUPING \| CIDR +\| IPS TOTAL \| IPS IN USE \| IPS RESERVED \| IPS FREE +\| IPS COOLING \|$/,
  );
  assert.match(
    rows[1] ?? '',
    /^\| IP Pool {2}\| 10\.9\.0\.0\/24 +\| +256 \| +1 \(0%\) \| +64 \(25%\) \|/,
  );
  assert.match(rows[2] ?? '', /^\| Block {4}\| 10\.9\.0\.\d+\/26 +\| +64 \| +1 \(2%\) \|/);
  assert.match(
    rows[3] ?? '',
    /^\| IP Pool {2}\| fd00:9::\/112 +\| +65536 \| +1 \(0%\) \| +0 \(0%\) \| 65535 \(100%\) \| +0 \(0%\) \|/,
  );
  const shown = await cluster.ipam('show', '--ip', v6);
  assert.equal(
    shown.out,
    `IP ${v6} is in use\nHandle ID: net.web\nActive Owner Attributes:\n` +
      '  namespace: default\n  node: n1\n  pod: web\n',
  );
  assert.equal((await cluster.ipam('show', '--ip=10.9.0.255')).out, '10.9.0.255 is not assigned\n');
  assert.equal((await cluster.ipam('show', '--ip=ten')).code, 2);
  const allocator = new BlockAllocator({ client: cluster.client, nodeName: 'n2' });
  const next = v4.replace(/\d+$/, (last) => String(Number(last) + 1));
  const attributes = { namespace: 'default', pod: 'far', node: 'n2' };
  await allocator.assign({ handle: 'net.far', attributes, addresses: [next] });
  const borrowed = await cluster.ipam('show', '--show-borrowed');
  assert.match(
    borrowed.out,
    /\| IP +\| BORROWING-NODE \| BLOCK +\| BLOCK OWNER \| TYPE \| ALLOCATED-TO \|/,
  );
  assert.ok(borrowed.out.includes(`| ${next} `) && borrowed.out.includes('| default/far '));
  const set = await cluster.ipam(
    'configure',
    '--strictaffinity=true',
    '--max-blocks-per-host',
    '4',
    '--ip-cooldown-seconds=9',
  );
  assert.equal(
    set.out,
    'Successfully set StrictAffinity to: true\nSuccessfully set MaxBlocksPerHost to: 4\n' +
      'Successfully set IPCooldownSeconds to: 9\n',
  );
  const configuration = await cluster.ipam('show', '--show-configuration');
  assert.match(
    configuration.out,
    /\| StrictAffinity +\| true +\|\n\| AutoAllocateBlocks +\| true +\|\n\| MaxBlocksPerHost +\| 4 +\|/,
  );
  const loose = await cluster.ipam('configure', '--strictaffinity', 'false');
  assert.deepEqual([loose.code, loose.out], [1, '']);
  assert.match(loose.err, /maxBlocksPerHost above 0 needs strictAffinity/);
  assert.equal((await cluster.ipam('configure')).code, 2);
});

void test('check, its reasons, a report and what is released by it; --fix mends at a second look', async (t) => {
  const cluster = await start(t);
  const [fine = ''] = await cluster.assign('fine');
  await cluster.addPod('fine', 'n1', [fine]);
  const [leaked = ''] = await cluster.assign('leaked');
  const [other = ''] = await cluster.assign('other');
  const file = join(cluster.folder, 'report.json');
  await cluster.lock(true);
  const checked = await cluster.ipam('check', '--show-problem-ips', '-o', file);
  assert.equal(checked.code, 0, checked.err);
  for (const line of [
    'Checking IPAM for inconsistencies...',
    'Found 1 IPAM blocks.',
    'IPAM blocks record 3 allocations.',
    'Found 2 active IP pools.',
    'Found 1 workload IPs.',
    `  ${leaked} leaked; attrs Main:net.leaked Extra:namespace=default,node=n1,pod=leaked`,
    'Found 2 IPs that are allocated in IPAM but not actually in use.',
    'Check complete; found 2 problems.',
    `  leaked ${other}: pod default/other does not exist`,
  ]) {
    assert.ok(checked.out.includes(`${line}\n`), `${line} is missing in:\n${checked.out}`);
  }
  const report = JSON.parse(readFileSync(file, 'utf8')) as Record<string, Record<string, unknown>>;
  assert.deepEqual(Object.keys(report), [
    'version',
    'clusterGUID',
    'datastoreLocked',
    'clusterInformationRevision',
    'clusterType',
    'allocations',
  ]);
  const unlocked = await cluster.ipam('release', '--from-report', file);
  assert.match(unlocked.err, /data store is not locked/i);
  await cluster.lock(false);
  assert.match((await cluster.ipam('release', `--from-report=${file}`)).err, /all stale/);
  const fresh = join(cluster.folder, 'fresh.json');
  await cluster.ipam('release', '--ip', other);
  const [again = ''] = await cluster.assign('other');
  await cluster.ipam('check', '-o', fresh);
  const released = await cluster.ipam('release', '--from-report', file, '--from-report', fresh);
  assert.equal(released.code, 0, released.err);
  assert.match(released.out, /Releasing 1 old IPs\.\.\.\nReleased 1 IPs successfully\n/);
  assert.match(released.out, /You may now unlock the data store\.\n$/);
  assert.equal(
    (await cluster.ipam('release', '--ip', leaked)).err,
    `IP address ${leaked} is not assigned\n`,
  );
  const dry = await cluster.ipam('check', '--fix', '--dry-run', '--grace', '1');
  assert.ok(
    dry.out.includes(`Would mend leaked ${again}: pod default/other does not exist\n`),
    dry.out,
  );
  const fixed = await cluster.ipam('check', '--fix', '--grace=1');
  assert.ok(
    fixed.out.includes(`Mended leaked ${again}: pod default/other does not exist\n`),
    fixed.out,
  );
  assert.match((await cluster.ipam('check')).out, /Check complete; found 0 problems\.\n$/);
});

void test('split: only while locked, into a power of two, with what the pool says', async (t) => {
  const cluster = await start(t);
  const locked = await cluster.ipam('split', '2', '--cidr=10.9.0.0/24');
  assert.match(locked.err, /datastore is not locked/i);
  await cluster.lock(false);
  for (const [number, message] of [
    ['3', /not a valid power of 2: 3/],
    ['8', /smaller than a block of \/26/],
  ] as const) {
    assert.match((await cluster.ipam('split', number, '--name', 'v4')).err, message);
  }
  assert.match((await cluster.ipam('split', '2', '--name', 'none')).err, /unable to find IP pool/i);
  const split = await cluster.ipam('split', '2', '--name', 'v4');
  assert.equal(
    split.out,
    'IP Pool v4 was successfully split into 2 smaller pools.\n' +
      'Created split-v4-0 with CIDR 10.9.0.0/25.\nCreated split-v4-1 with CIDR 10.9.0.128/25.\n',
  );
  const pools = (await cluster.client.list(ipPoolKind)).items as IPPool[];
  assert.deepEqual(
    pools.map(({ metadata, spec }) => `${metadata.name} ${spec.cidr} ${spec.disabled ?? false}`),
    ['split-v4-0 10.9.0.0/25 false', 'split-v4-1 10.9.0.128/25 false', 'v6 fd00:9::/112 false'],
  );
});

void test('the server collects by itself what a node has left, and says of pools whether they are used', async (t) => {
  const folder = await temporaryFolder(t);
  const data = join(folder, 'data');
  const first = await startServerProcess(t, data);
  await first.client.create(nodeKind, { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n1' } });
  const cluster = new Cluster(folder, first.client, first.kubeconfig);
  await cluster.assign('web', 'gone');
  await first.end('SIGTERM');
  const { client } = await startServerProcess(t, data);
  const deadline = Date.now() + 20_000;
  const left = async () => [
    ...(await client.list(ipamBlockKind)).items,
    ...(await client.list(blockAffinityKind)).items,
  ];
  while ((await left()).length > 0 && Date.now() < deadline) {
    await new Promise((done) => setTimeout(done, 50));
  }
  assert.deepEqual(await left(), []);
  const conditions = async () => {
    const [pool] = (await client.list(ipPoolKind)).items;
    return JSON.stringify((pool as Resource & { status?: unknown }).status ?? {});
  };
  while (!(await conditions()).includes('Allocatable') && Date.now() < deadline) {
    await new Promise((done) => setTimeout(done, 50));
  }
  assert.match(await conditions(), /"type":"Allocatable","status":"True","reason":"OK"/);
});
