// Packets of a lab's pods: captured by selector, port and verdict, fetched by who may, read by tshark.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { podInterfaceName } from '#api';
import { ApiClient, loadKubeconfig } from '#datastore/client';
import { LabFolder } from '#lab';
import { noTshark, tsharkFields } from '../kernel/tshark.ts';

const TORTIE = join(fileURLToPath(new URL('../..', import.meta.url)), 'bin/tortie');
const LAB = `c-${process.pid}`;
const skip = process.getuid?.() === 0 ? noTshark : 'a lab needs root';
const folder = mkdtempSync(join(tmpdir(), 'tortie-capture-lab-'));

const SERVE = `
const { createServer } = require('net');
for (const port of [8080, 9090]) createServer((socket) => socket.end('hello')).listen(port);`;
const CONNECT = `
const [, host, port, times] = process.argv;
const connect = (left) => {
  if (left === 0) return;
  const socket = require('net').connect({ host, port: Number(port), timeout: 500 });
  socket.resume();
  const next = () => {
    socket.removeAllListeners();
    socket.on('error', () => {});
    socket.destroy();
    connect(left - 1);
  };
  for (const event of ['end', 'error', 'timeout']) socket.on(event, next);
};
connect(Number(times));`;
const WAIT = 'setInterval(() => 0, 100000)';

const pod = (name: string, nodeName: string, script: string) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'shop', labels: { app: name } },
  spec: { nodeName, containers: [{ name, command: ['node', '-e', script] }] },
});

const role = (name: string, resources: string[]) => [
  { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace: 'shop' } },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'Role',
    metadata: { name, namespace: 'shop' },
    rules: [{ apiGroups: ['projectcalico.org'], resources, verbs: ['get', 'list'] }],
  },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: { name, namespace: 'shop' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
    subjects: [{ kind: 'ServiceAccount', name, namespace: 'shop' }],
  },
];

const WORLD = [
  { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } },
  pod('web', 'node-1', SERVE),
  pod('client', 'node-2', WAIT),
  {
    apiVersion: 'projectcalico.org/v3',
    kind: 'NetworkPolicy',
    metadata: { name: 'web', namespace: 'shop' },
    spec: {
      selector: "app == 'web'",
      ingress: [
        { action: 'Allow', protocol: 'TCP', destination: { ports: [8080] } },
        { action: 'Deny' },
      ],
    },
  },
  ...role('looker', ['packetcaptures']),
  ...role('fetcher', ['packetcaptures', 'packetcaptures/files']),
];

function run(...words: string[]): { code: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(TORTIE, words, {
    encoding: 'utf8',
    timeout: 120_000,
    env: { ...process.env, KUBECONFIG: '' },
  });
  return { code: status, out: stdout, err: stderr };
}

function tortie(...words: string[]): string {
  const { code, out, err } = run(...words, '--lab', LAB);
  assert.equal(code, 0, `${words.join(' ')}: ${err}`);
  return out;
}

function apply(...resources: object[]): void {
  const path = join(folder, 'apply.yaml');
  writeFileSync(path, resources.map((one) => JSON.stringify(one)).join('\n---\n'));
  tortie('apply', '-f', path);
}

function connect(port: number, times: number): void {
  const { status } = JSON.parse(tortie('get', 'pod', 'web', '-n', 'shop', '-o', 'json'));
  const words = ['node', '-e', CONNECT, status.podIP, String(port), String(times)];
  const { code, err } = run('lab', 'exec', '--lab', LAB, 'shop/client', ...words);
  assert.equal(code, 0, err);
}

/** The rows that tshark shows of a capture's one file, after it was fetched. */
function fetched(name: string, ...fields: string[]): string[][] {
  const dest = join(folder, name);
  const [path = '', ...more] = tortie('capture', 'copy', name, '-n', 'shop', '--dest', dest)
    .trim()
    .split('\n');
  assert.deepEqual(more, []);
  assert.equal(path, join(dest, 'node-1', `web_${podInterfaceName('shop', 'web')}.pcap`));
  return tsharkFields(path, ...fields);
}

/** The token of a service account. */
async function tokenOf(account: string): Promise<string> {
  const client = new ApiClient(loadKubeconfig(new LabFolder(LAB).kubeconfig));
  const path = `/api/v1/namespaces/shop/serviceaccounts/${account}/token`;
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} };
  const answer = await client.request('POST', path, { body });
  await client.close();
  return (answer as { status: { token: string } }).status.token;
}

/** A kubeconfig with somebody's token. */
function kubeconfigWith(name: string, token: string): string {
  const { server, ca = '' } = loadKubeconfig(new LabFolder(LAB).kubeconfig);
  const certificate = Buffer.from(ca).toString('base64');
  const text = JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'it',
    contexts: [{ name: 'it', context: { cluster: 'it', user: 'it' } }],
    clusters: [{ name: 'it', cluster: { server, 'certificate-authority-data': certificate } }],
    users: [{ name: 'it', user: { token } }],
  });
  const file = join(folder, `${name}.kubeconfig`);
  writeFileSync(file, text, { mode: 0o600 });
  return file;
}

before(() => {
  if (skip !== false) return;
  const path = join(folder, 'world.yaml');
  writeFileSync(path, WORLD.map((one) => JSON.stringify(one)).join('\n---\n'));
  const { code, err } = run('lab', 'up', '-f', path, '--name', LAB, '--nodes', '2');
  assert.equal(code, 0, err);
});

after(() => {
  run('lab', 'down', LAB);
  rmSync(folder, { recursive: true, force: true });
});

test('[CT7] exactly the packets of a selector and a port, and of a verdict', { skip }, async () => {
  const selector = ['--selector', "app == 'web'", '-n', 'shop'];
  const said = tortie(
    'capture',
    'start',
    'web',
    ...selector,
    '--protocol',
    'tcp',
    '--port',
    '8080',
  );
  assert.equal(said, 'packet capture shop/web has begun on node-1\n');
  tortie('capture', 'start', 'denied', ...selector, '--verdict', 'deny');
  connect(8080, 3);
  connect(9090, 2);
  tortie('capture', 'stop', 'web', '-n', 'shop');
  for (let count = 0; count < 100; count++) {
    if (/web +node-1 +Finished +[1-9]/.test(tortie('capture', 'list', '-n', 'shop'))) break;
    await sleep(100);
  }
  await sleep(1_000);
  const interfaceName = podInterfaceName('shop', 'web');
  const ends = ['tcp.srcport', 'tcp.dstport', 'tcp.flags.syn', 'tcp.flags.ack'];
  const rows = fetched('web', ...ends, 'frame.interface_name', 'frame.interface_description');
  for (const [from, to, , , ...whose] of rows) {
    assert.ok(from === '8080' || to === '8080', `${from} to ${to}`);
    assert.deepEqual(whose, [interfaceName, 'shop/web']);
  }
  const opened = rows.filter(([, to, syn, ack]) => to === '8080' && syn === '1' && ack === '0');
  assert.equal(opened.length, 3);
  const listed = tortie('capture', 'list', '-n', 'shop');
  assert.match(listed, new RegExp(`web +node-1 +Finished +${rows.length} +0 +1 `), listed);

  const columns = ['tcp.dstport', 'tcp.flags.syn', 'frame.comment', 'frame.interface_description'];
  const denied = fetched('denied', ...columns);
  assert.ok(denied.length >= 2);
  const comment = 'verdict=deny by NetworkPolicy/shop/web, ingress rule 1';
  for (const row of denied) assert.deepEqual(row, ['9090', '1', comment, 'shop/web']);
});

test('[CT12] packets come live to tshark, with their verdicts, until the capture ends', {
  skip,
}, async (t) => {
  tortie(
    'capture',
    'start',
    'live',
    '-n',
    'shop',
    '--selector',
    "app == 'web'",
    '--protocol',
    'tcp',
  );
  connect(8080, 1);
  const follow = ['capture', 'follow', 'live', '--from-start', '-n', 'shop', '--lab', LAB];
  const environment = { ...process.env, KUBECONFIG: '' };
  const source = spawn(TORTIE, follow, { env: environment, stdio: ['ignore', 'pipe', 'inherit'] });
  const fields = ['tcp.dstport', 'tcp.flags.syn', 'tcp.flags.ack', 'frame.interface_description'];
  const columns = [...fields, 'frame.comment'].flatMap((field) => ['-e', field]);
  const reader = spawn('tshark', ['-i', '-', '-n', '-l', '-T', 'fields', ...columns], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  t.after(() => {
    for (const child of [source, reader]) child.kill('SIGKILL');
  });
  source.stdout.pipe(reader.stdin);
  let text = '';
  reader.stdout.on('data', (chunk: Buffer) => (text += chunk.toString('utf8')));
  const opened = (): string[] => text.split('\n').filter((row) => row.startsWith('8080\t1\t0'));
  const until = async (count: number): Promise<void> => {
    for (let look = 0; look < 240 && opened().length < count; look++) await sleep(250);
    assert.equal(opened().length, count);
  };
  await until(1);
  connect(8080, 3);
  await until(4);
  const comment = 'verdict=allow by NetworkPolicy/shop/web, ingress rule 0';
  assert.equal(opened().at(-1), `8080\t1\t0\tshop/web\t${comment}`);
  assert.match(text, /verdict=allow \(established\) by NetworkPolicy\/shop\/web, ingress rule 0/);
  tortie('capture', 'stop', 'live', '-n', 'shop');
  const [code] = (await once(source, 'exit', { signal: AbortSignal.timeout(30_000) })) as [number];
  assert.equal(code, 0);
});

test('[CT12] a capture that ends by itself, followed from its beginning into a file', {
  skip,
}, async (t) => {
  const file = join(folder, 'timed.pcapng');
  const selector = ['--selector', "app == 'web'", '-n', 'shop', '--protocol', 'tcp'];
  const start = [
    'capture',
    'start',
    'timed',
    ...selector,
    '--duration',
    '12s',
    '--follow',
    '-o',
    file,
  ];
  const environment = { ...process.env, KUBECONFIG: '' };
  const source = spawn(TORTIE, [...start, '--lab', LAB], {
    env: environment,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  t.after(() => source.kill('SIGKILL'));
  const exit = once(source, 'exit', { signal: AbortSignal.timeout(90_000) });
  const [said] = (await once(source.stderr, 'data')) as [Buffer];
  assert.equal(said.toString('utf8'), 'packet capture shop/timed has begun on node-1\n');
  connect(8080, 2);
  assert.deepEqual(await exit, [0, null]);
  const rows = tsharkFields(file, 'tcp.dstport', 'tcp.flags.syn', 'tcp.flags.ack');
  const opened = rows.filter((row) => row.join() === '8080,1,0');
  assert.equal(opened.length, 2);
});

test('[CT10] who may not read the files does not get them; nodes do not get those of others', {
  skip,
}, async () => {
  const copy = (config: string) =>
    run(
      'capture',
      'copy',
      'web',
      '-n',
      'shop',
      '--dest',
      join(folder, 'x'),
      '--kubeconfig',
      config,
    );
  const looker = kubeconfigWith('looker', await tokenOf('looker'));
  assert.equal(run('capture', 'list', '-n', 'shop', '--kubeconfig', looker).code, 0);
  const refused = copy(looker);
  assert.equal(refused.code, 1);
  assert.match(refused.err, /Forbidden.*packetcaptures\/files/);
  const fetcher = kubeconfigWith('fetcher', await tokenOf('fetcher'));
  assert.equal(copy(fetcher).code, 0);
  const follow = run('capture', 'follow', 'web', '-n', 'shop', '--kubeconfig', fetcher);
  assert.match(follow.err, /Forbidden.*packetcaptures\/files/);
  const clean = run('captured-packets', 'clean', 'web', '-n', 'shop', '--kubeconfig', fetcher);
  assert.match(clean.err, /Forbidden/);
  const start = run('capture', 'start', 'mine', '-n', 'shop', '--kubeconfig', fetcher);
  assert.match(start.err, /Forbidden/);
  const { token = '' } = loadKubeconfig(new LabFolder(LAB).nodeKubeconfig('node-2'));
  assert.match(copy(kubeconfigWith('node', token)).err, /Forbidden.*packetcaptures\/files/);
});

test("[CT2] limits hold; calicoctl's clean removes the files", { skip }, async () => {
  apply({
    apiVersion: 'projectcalico.org/v3',
    kind: 'FelixConfiguration',
    metadata: { name: 'default' },
    spec: { captureMaxSizeBytes: 8000, captureMaxFiles: 1 },
  });
  tortie('capture', 'start', 'small', '--pod', 'web', '-n', 'shop');
  connect(8080, 10);
  // Packets wait for what policy said of them before they go to the file.
  let [dest, files]: [string, string[]] = ['', []];
  for (let look = 0; look < 100 && files.length < 2; look++) {
    dest = join(folder, `small-${look}`);
    const copied = run('capture', 'copy', 'small', '-n', 'shop', '--dest', dest, '--lab', LAB);
    if (copied.code === 0) files = readdirSync(join(dest, 'node-1'));
    else assert.match(copied.err, /packet capture shop\/small has no files yet/);
  }
  assert.equal(files.length, 2);
  for (const name of files) assert.ok(statSync(join(dest, 'node-1', name)).size <= 8000);
  tortie('capture', 'stop', 'small', '-n', 'shop');
  await sleep(1_500);
  tortie('captured-packets', 'clean', 'small', '-n', 'shop');
  const { code, err } = run('captured-packets', 'copy', 'small', '-n', 'shop', '--lab', LAB);
  assert.equal(code, 1);
  assert.match(err, /packet capture shop\/small has no files yet/);
});
