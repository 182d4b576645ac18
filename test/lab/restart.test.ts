// kill -9 of the agents under traffic: nothing lost, nothing let through, nothing written to the kernel.
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { TrafficReport } from './traffic.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const TORTIE = join(ROOT, 'bin/tortie');
const LAB = `r${process.pid}`;
const NODES = ['node-1', 'node-2'] as const;
const ROUNDS = 3;
const RESTART_MS = 30_000;

let folder: string;
const monitors: { readonly process: ChildProcess; output: string }[] = [];

interface AgentStatus {
  readonly ready: boolean;
  readonly startTime: string;
  readonly kernelWrites: number;
}

function tortie(...args: string[]): string {
  return execFileSync(TORTIE, args, {
    encoding: 'utf8',
    timeout: 120_000,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** Server on node 1, talkers and the one that may not on both nodes: same host and across. */
function manifests(): string {
  const script = join(ROOT, 'test/lab/traffic.ts');
  const pod = (name: string, node: string, args: string[]) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'shop', labels: { role: name.split('-')[0] ?? '' } },
    spec: { nodeName: node, containers: [{ name: 'main', command: ['node', script, ...args] }] },
  });
  const documents = [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } },
    pod('server', 'node-1', ['serve']),
    ...NODES.flatMap((node) => [
      pod(`talker-${node}`, node, ['talk', 'shop/server', join(folder, `talker-${node}`)]),
      pod(`stranger-${node}`, node, ['try', 'shop/server', join(folder, `stranger-${node}`)]),
    ]),
    {
      apiVersion: 'projectcalico.org/v3',
      kind: 'NetworkPolicy',
      metadata: { name: 'server', namespace: 'shop' },
      spec: {
        selector: 'role == "server"',
        ingress: [{ action: 'Allow', protocol: 'TCP', source: { selector: 'role == "talker"' } }],
      },
    },
  ];
  return documents.map((one) => JSON.stringify(one)).join('\n---\n');
}

function statusOf(node: string): AgentStatus {
  return JSON.parse(tortie('get', 'agentstatus', node, '-o', 'json', '--lab', LAB)).status;
}

function pidOf(node: string): number {
  const labs = JSON.parse(tortie('lab', 'status', '-o', 'json')) as {
    name: string;
    processes: { label: string; pid: number }[];
  }[];
  const found = labs.find((lab) => lab.name === LAB)?.processes.find((one) => one.label === node);
  assert.ok(found, `no agent of ${node}`);
  return found.pid;
}

/** Undefined before the pod's first report. */
function reportOf(pod: string): TrafficReport | undefined {
  const file = join(folder, pod);
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
}

/** Watches what the kernel tells of every change to rules, sets, routes and links of a node. */
function monitor(node: string): void {
  const netns = `--net=/run/netns/tortie-${LAB}--${node}`;
  for (const argv of [
    ['nft', 'monitor'],
    ['ip', 'monitor', 'route', 'link', 'address'],
  ]) {
    const child = spawn('nsenter', [netns, ...argv], { stdio: ['ignore', 'pipe', 'inherit'] });
    const entry = { process: child, output: '' };
    child.stdout.on('data', (chunk) => (entry.output += `${node} ${argv[0]}: ${chunk}`));
    monitors.push(entry);
  }
}

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tortie-restart-'));
  writeFileSync(join(folder, 'world.yaml'), manifests());
  tortie('lab', 'up', '-f', join(folder, 'world.yaml'), '--name', LAB, '--nodes', '2');
});

after(() => {
  for (const { process: child } of monitors) child.kill('SIGKILL');
  tortie('lab', 'down', LAB);
  rmSync(folder, { recursive: true, force: true });
});

test('agents killed and started again under traffic change nothing', async () => {
  for (const node of NODES) {
    await untilTraffic(node);
    monitor(node);
  }
  await sleep(500);
  for (let round = 0; round < ROUNDS; round++) {
    for (const node of NODES) await killAndWait(node);
  }
  await sleep(500);
  for (const node of NODES) {
    const talker = reportOf(`talker-${node}`);
    const stranger = reportOf(`stranger-${node}`);
    assert.ok(talker !== undefined && stranger !== undefined);
    process.stdout.write(
      `# ${node}: ${JSON.stringify(talker)}, stranger ${JSON.stringify(stranger)}\n`,
    );
    assert.equal(talker.unanswered, 0, 'no allowed connection was lost');
    assert.equal(talker.broken, false, 'the open connection stayed open');
    assert.equal(stranger.answered, 0, 'nobody was wrongly let through');
    assert.ok(stranger.unanswered > 0, 'the stranger did try');
  }
  assert.equal(monitors.map((one) => one.output).join(''), '', 'the kernel saw no change');
});

/** Traffic flows before the first kill, and the stranger is at it. */
async function untilTraffic(node: string): Promise<void> {
  const deadline = Date.now() + RESTART_MS;
  for (;;) {
    const talker = reportOf(`talker-${node}`);
    const stranger = reportOf(`stranger-${node}`);
    if (talker && talker.answered > 20 && stranger && stranger.unanswered > 0) return;
    assert.ok(Date.now() < deadline, `no traffic on ${node}: ${JSON.stringify(talker)}`);
    await sleep(200);
  }
}

async function killAndWait(node: string): Promise<void> {
  const before = statusOf(node);
  process.kill(pidOf(node), 'SIGKILL');
  const deadline = Date.now() + RESTART_MS;
  for (;;) {
    const status = statusOf(node);
    if (status.ready && status.startTime !== before.startTime) {
      assert.equal(status.kernelWrites, 0, `${node} wrote to the kernel after its restart`);
      return;
    }
    assert.ok(Date.now() < deadline, `the agent of ${node} did not come back`);
    await sleep(200);
  }
}
