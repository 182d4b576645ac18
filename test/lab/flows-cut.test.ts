// The network between agent and server is cut under traffic: what was counted meanwhile comes afterwards, exactly once.
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FlowRecord } from '#flows';

const TORTIE = join(import.meta.dirname, '..', '..', 'bin', 'tortie');
const LAB = `c-${process.pid}`;
const FOLDER = `/run/tortie/labs/${LAB}`;
const skip = process.getuid?.() === 0 ? false : 'a lab needs root';
const work = mkdtempSync(join(tmpdir(), 'tortie-lab-cut-'));
const CONNECTIONS = 60;
const SERVE = "require('net').createServer((s) => s.on('error', () => 0).end('x')).listen(8080)";
/** One connection after the other, while a file asks for more; says how many were made. */
const CALL = `const fs = require('fs'), net = require('net'); let made = 0;
  const wanted = () => { try { return Number(fs.readFileSync('${work}/wanted', 'utf8')) } catch { return 0 } };
  const next = () => { if (made >= wanted()) return setTimeout(next, 100);
    const s = net.connect(8080, fs.readFileSync('${work}/server', 'utf8'));
    s.on('data', () => 0).on('error', () => setTimeout(next, 100)).on('end', () => {
      made++; fs.writeFileSync('${work}/made', String(made)); setTimeout(next, 20) }) }; next()`;

function pod(name: string, program: string): string {
  return `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: lab, labels: {app: ${name}}}
spec: {nodeName: node-1, containers: [{name: main, command: [node, -e, ${JSON.stringify(program)}]}]}
---`;
}

const MANIFESTS = `
apiVersion: lab.tortie.dev/v1
kind: Lab
spec: {nodes: 1}
---
apiVersion: v1
kind: Namespace
metadata: {name: lab}
---${pod('server', SERVE)}${pod('client', CALL)}
`;

function tortie(...args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { env: { ...process.env, KUBECONFIG: '' }, timeout: 120_000 };
    execFile(TORTIE, args, options, (error, out, err) => {
      if (error) reject(new Error(`tortie ${args.join(' ')}: ${err}`));
      else resolve(out);
    });
  });
}

function kubectl(...args: string[]): string {
  const words = ['--kubeconfig', `${FOLDER}/server/kubeconfig`, ...args];
  return execFileSync('kubectl', words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

function onNode(...words: string[]): void {
  const [name] = readdirSync('/run/netns').filter(
    (it) => it.startsWith(`tortie-${LAB}-`) && it.endsWith('-node-1'),
  );
  assert.ok(name);
  execFileSync('ip', ['netns', 'exec', name, ...words], { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** Connections begun towards the server, as each end reported them. */
async function started(): Promise<Record<'src' | 'dst', number>> {
  const out = await tortie(
    'flows',
    'past',
    '--to',
    'lab/server',
    '--limit',
    '10000',
    '-o',
    'json',
    '--lab',
    LAB,
  );
  const records = out
    .trim()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as FlowRecord);
  const sum = { src: 0, dst: 0 };
  for (const { reporter, connections } of records) sum[reporter] += connections.started;
  return sum;
}

async function until(what: string, fits: () => boolean | Promise<boolean>): Promise<void> {
  for (let look = 0; look < 120; look++) {
    if (await fits()) return;
    await sleep(500);
  }
  assert.fail(`${what} did not come about`);
}

function made(): number {
  try {
    return Number(readFileSync(join(work, 'made'), 'utf8'));
  } catch {
    return 0;
  }
}

before(async () => {
  if (skip) return;
  const file = join(work, 'lab.yaml');
  writeFileSync(file, MANIFESTS);
  await tortie('lab', 'up', '-f', file, '--name', LAB);
  writeFileSync(
    join(work, 'server'),
    kubectl('get', 'pod', 'server', '-n', 'lab', '-o', 'jsonpath={.status.podIP}'),
  );
});

after(async () => {
  if (!skip) await tortie('lab', 'down', LAB);
  rmSync(work, { recursive: true });
});

test('connections made while the server was out of reach are all counted, once', {
  skip,
}, async () => {
  writeFileSync(join(work, 'wanted'), '10');
  await until('the first connections', () => made() === 10);
  await until('their reports', async () => (await started()).dst === 10);
  onNode(
    'nft',
    'add table inet cut; add chain inet cut out { type filter hook output priority -300; }',
  );
  onNode('nft', 'add rule inet cut out tcp dport != 8080 drop');
  writeFileSync(join(work, 'wanted'), String(10 + CONNECTIONS));
  await until('connections during the cut', () => made() === 10 + CONNECTIONS);
  assert.deepEqual(await started(), { src: 10, dst: 10 });
  onNode('nft', 'delete table inet cut');
  await until('reports after the cut', async () => {
    const { src, dst } = await started();
    return src >= 10 + CONNECTIONS && dst >= 10 + CONNECTIONS;
  });
  // Long enough for anything that would be sent a second time.
  await sleep(3_000);
  assert.deepEqual(await started(), { src: 10 + CONNECTIONS, dst: 10 + CONNECTIONS });
});
