// A host policy that shuts a node of a lab, and is undone because nobody confirms it.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { DatabaseSync } from 'node:sqlite';
import { LabFolder } from '#lab';
import { eventually, noLab, tortie, TORTIE, useLab } from './lab-under-test.ts';

const LAB = `h-${process.pid}`;
const WAIT = JSON.stringify('setInterval(() => 0, 100000)');

const LAB_MANIFEST = `
apiVersion: lab.tortie.dev/v1
kind: Lab
spec:
  nodes: 2
  outside: [{name: admin, addresses: [198.51.100.7], command: [node, -e, ${WAIT}]}]
`;
const lab = useLab(LAB, LAB_MANIFEST);

/** Nothing in or out, and no failsafe port: the agent cannot make new connections to the server either. */
const SHUT = `
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: node-1-eth0, labels: {host: node-1}}
spec: {node: node-1, interfaceName: eth0, expectedIPs: [172.30.0.11]}
---
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: node.node-1}
spec: {failsafeInboundHostPorts: [], failsafeOutboundHostPorts: []}
`;

/** Whether a node answers the machine outside. */
function answers(node: string): boolean {
  const namespace = `--net=/run/netns/tortie-${LAB}--outside-admin`;
  try {
    execFileSync('nsenter', [namespace, 'ping', '-n', '-c', '1', '-W', '1', node], {
      stdio: 'pipe',
    });
    return true;
  } catch {
    return false;
  }
}

function pidOf(label: string, status: string): number {
  const labs = JSON.parse(status) as {
    name: string;
    processes: { label: string; pid: number }[];
  }[];
  const lab = labs.find(({ name }) => name === LAB);
  const found = lab?.processes.find((one) => one.label === label);
  assert.ok(found, `no process of ${label}`);
  return found.pid;
}

/** No server can use the store until this is called. */
function holdStore(): () => void {
  const path = join(new LabFolder(LAB).data, 'store.db.lock');
  const lock = new DatabaseSync(path, { timeout: 20_000 });
  lock.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  return () => lock.close();
}

test('a change that shuts a node is undone unless it is confirmed', { skip: noLab }, async () => {
  const file = join(lab.folder, 'shut.yaml');
  writeFileSync(file, SHUT);
  assert.ok(answers('172.30.0.11'));
  const applied = await tortie('apply', '--confirm-within', '4s', '-f', file, '--lab', LAB);
  assert.equal(applied.code, 0, applied.err);
  await eventually('node-1 is shut', () => !answers('172.30.0.11'));
  assert.ok(answers('172.30.0.12'), 'the other node is not');
  await eventually('node-1 is open again', () => answers('172.30.0.11'));
  const left = await tortie('get', 'hostendpoints', '-o', 'name', '--lab', LAB);
  assert.doesNotMatch(left.out, /node-1-eth0/);

  await tortie('apply', '--confirm-within', '60s', '-f', file, '--lab', LAB);
  await eventually('node-1 is shut', () => !answers('172.30.0.11'));
  assert.match((await tortie('confirm', '--lab', LAB)).out, /confirmed/);
  assert.equal(answers('172.30.0.11'), false);
});

test('[AG3] the way in comes back where the agent was killed and nobody is there to tell it', {
  skip: noLab,
}, async () => {
  const file = join(lab.folder, 'shut.yaml');
  await tortie('delete', '-f', file, '--lab', LAB);
  await eventually('node-1 is open', () => answers('172.30.0.11'));
  const status = (await tortie('lab', 'status', '-o', 'json')).out;
  const pids = ['node-1', 'server'].map((label) => pidOf(label, status));
  // Long enough for a busy machine to come as far as the kill.
  await tortie('apply', '--confirm-within', '12s', '-f', file, '--lab', LAB);
  await eventually('node-1 is shut', () => !answers('172.30.0.11'));
  // The next agent cannot make a connection, and the server that would undo the change is not there either.
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  const release = holdStore();
  try {
    assert.equal(answers('172.30.0.11'), false, 'nobody has opened it yet');
    await eventually('node-1 is open again', () => answers('172.30.0.11'));
  } finally {
    release();
  }
  await eventually('the server has undone it', () => serverSays('get', 'hostendpoints') === '');
  assert.ok(answers('172.30.0.11'), 'and the node stays open');
});

/** Undefined while it does not answer. */
function serverSays(...args: string[]): string | undefined {
  try {
    const options = { encoding: 'utf8', stdio: 'pipe', timeout: 10_000 } as const;
    return execFileSync(TORTIE, [...args, '-o', 'name', '--lab', LAB], options).trim();
  } catch {
    return undefined;
  }
}
