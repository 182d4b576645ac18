// A lab whose server keeps its objects in etcd: policy is enforced, also what another tool writes, and after etcd died.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { EtcdProcess } from '../../src/datastore/etcd/etcd-fixture.ts';

const TORTIE = join(import.meta.dirname, '..', '..', 'bin', 'tortie');
const LAB = `e-${process.pid}`;
const skip = process.getuid?.() === 0 ? false : 'a lab needs root';
const SERVE = `require('net').createServer((s) => s.on('error', () => 0).end('hello')).listen(8080)`;
const WAIT = 'setInterval(() => 0, 100000)';
const V3 = '/calico/resources/v3/projectcalico.org';
const work = mkdtempSync(join(tmpdir(), 'tortie-lab-etcd-'));
let etcd: EtcdProcess | undefined;

function pod(name: string, node: string, program: string): string {
  return `---
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: lab, labels: {app: ${name}}}
spec: {nodeName: ${node}, containers: [{name: main, command: [node, -e, ${JSON.stringify(program)}]}]}
`;
}

const MANIFESTS = `
apiVersion: v1
kind: Namespace
metadata: {name: lab}
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: server, namespace: lab}
spec:
  selector: app == 'server'
  types: [Ingress]
  ingress: [{action: Allow, protocol: TCP, source: {selector: app == 'friend'}, destination: {ports: [8080]}}]
${pod('server', 'node-1', SERVE)}${pod('friend', 'node-2', WAIT)}${pod('stranger', 'node-1', WAIT)}`;

function tortie(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    execFile(TORTIE, args, { timeout: 120_000 }, (error, out, err) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
      resolve({ code, out, err });
    });
  });
}

async function addressOf(name: string): Promise<string> {
  const { out } = await tortie('get', 'pods', '-n', 'lab', '--lab', LAB, '-o', 'json');
  const pods: readonly unknown[] = Object(JSON.parse(out)).items;
  const found = pods.find((item) => Object(item).metadata.name === name);
  return Object(found).status.podIP;
}

/** Whether the server answers. */
async function reaches(source: string, address: string): Promise<boolean> {
  const program = `
    const socket = require('net').connect({ host: '${address}', port: 8080, timeout: 1500 });
    socket.on('data', () => process.exit(0));
    for (const end of ['timeout', 'error', 'close']) socket.on(end, () => process.exit(1));`;
  const words = ['lab', 'exec', '--lab', LAB, `lab/${source}`, '--', 'node', '-e', program];
  return (await tortie(...words)).code === 0;
}

async function eventually(what: string, look: () => Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 60; attempt++) {
    if (await look()) return;
    await sleep(200);
  }
  assert.fail(`not seen: ${what}`);
}

before(async () => {
  if (skip) return;
  etcd = await EtcdProcess.start();
  const file = join(work, 'lab.yaml');
  writeFileSync(file, MANIFESTS);
  const words = ['lab', 'up', '-f', file, '--name', LAB, '--nodes', '2'];
  const { code, err } = await tortie(...words, '--etcd-endpoints', etcd.endpoint);
  assert.equal(code, 0, err);
});

after(async () => {
  if (!skip) await tortie('lab', 'down', LAB);
  await etcd?.remove();
  rmSync(work, { recursive: true, force: true });
});

test('[ET1] policy and addresses stand in etcd as Calico keeps them, and policy is enforced', {
  skip,
}, async () => {
  const keys = ((await etcd?.control('get', '--prefix', '/calico/', '--keys-only')) ?? '').split(
    '\n',
  );
  assert.ok(keys.includes(`${V3}/networkpolicies/lab/server`));
  const address = await addressOf('server');
  assert.ok(keys.some((key) => key.startsWith('/calico/ipam/v2/assignment/ipv4/block/')));
  assert.ok(keys.some((key) => key.startsWith('/calico/ipam/v2/host/node-1/ipv4/block/')));
  assert.equal(await reaches('friend', address), true);
  assert.equal(await reaches('stranger', address), false);
});

test('[ET2] [ET4] a policy that another tool writes is enforced, also after etcd was killed', {
  skip,
}, async () => {
  const address = await addressOf('server');
  await etcd?.kill();
  assert.equal(await reaches('friend', address), true, 'the kernel goes on without etcd');
  await etcd?.run();
  const path = `${V3}/globalnetworkpolicies/default.no-friend`;
  const policy = {
    kind: 'GlobalNetworkPolicy',
    apiVersion: 'projectcalico.org/v3',
    metadata: { name: 'default.no-friend', creationTimestamp: '2026-01-02T03:04:05Z' },
    spec: {
      order: 1,
      selector: "app == 'friend'",
      types: ['Egress'],
      egress: [{ action: 'Deny', source: {}, destination: {} }],
    },
  };
  await etcd?.control('put', path, JSON.stringify(policy));
  await eventually('the deny', async () => !(await reaches('friend', address)));
  await etcd?.control('del', path);
  await eventually('the allow again', () => reaches('friend', address));
});
