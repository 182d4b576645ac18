// The store goes away, an agent starts without it, and it comes back as it was long ago: no instant is open or shut.
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { LabFolder } from '#lab';
import type { TrafficReport } from './traffic.ts';

const TORTIE = join(import.meta.dirname, '..', '..', 'bin', 'tortie');
const TRAFFIC = join(import.meta.dirname, 'traffic.ts');
const LAB = `s-${process.pid}`;
const NODES = ['node-1', 'node-2'] as const;
const skip = process.getuid?.() === 0 ? false : 'a lab needs root';
/** Longer than a connection of the traffic waits for an answer. */
const SETTLED_MS = 2_500;
const work = mkdtempSync(join(tmpdir(), 'tortie-stale-'));
const store = join(new LabFolder(LAB).data, 'store.db');
const children: ChildProcess[] = [];

/**
 * Talkers may reach the server and strangers may not, in the old state and in the new one. By the labels of
 * either with the policy of the other it is the other way round: no mixture of the two may ever be enforced.
 */
const LABELS = {
  old: { talker: { tier: 'front', role: 'none' }, stranger: { tier: 'back', role: 'talker' } },
  new: { talker: { tier: 'back', role: 'talker' }, stranger: { tier: 'front', role: 'none' } },
} as const;
const ALLOWED = { old: 'tier == "front"', new: 'role == "talker"' } as const;
type Age = keyof typeof LABELS;

function tortie(...args: string[]): string {
  return execFileSync(TORTIE, args, {
    encoding: 'utf8',
    timeout: 120_000,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

function pod(name: string, node: string, labels: object, args: readonly string[]) {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'shop', labels },
    spec: { nodeName: node, containers: [{ name: 'main', command: ['node', TRAFFIC, ...args] }] },
  };
}

function allow(name: string, selector: string) {
  return {
    apiVersion: 'projectcalico.org/v3',
    kind: 'NetworkPolicy',
    metadata: { name, namespace: 'shop' },
    spec: {
      selector: 'role == "server"',
      ingress: [{ action: 'Allow', protocol: 'TCP', source: { selector } }],
    },
  };
}

function resources(age: Age): object[] {
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } },
    // Where the agent is that lives through it: one that starts enforces nothing before it is in sync.
    pod('server', 'node-2', { role: 'server' }, ['serve']),
    ...NODES.flatMap((node) => [
      ...(['talker', 'stranger'] as const).map((who) => {
        const mode = who === 'talker' ? 'talk' : 'try';
        const args = [mode, 'shop/server', join(work, `${who}-${node}`)];
        return pod(`${who}-${node}`, node, LABELS[age][who], args);
      }),
      pod(`guest-${node}`, node, { who: 'guest' }, [
        'try',
        'shop/server',
        join(work, `guest-${node}`),
      ]),
    ]),
    allow('server', ALLOWED[age]),
    // Guests may only in the new state.
    ...(age === 'new' ? [allow('guests', 'who == "guest"')] : []),
  ];
}

function write(age: Age): string {
  const file = join(work, `${age}.yaml`);
  writeFileSync(
    file,
    resources(age)
      .map((one) => JSON.stringify(one))
      .join('\n---\n'),
  );
  return file;
}

function report(name: string): TrafficReport {
  const file = join(work, name);
  const nothing = { answered: 0, unanswered: 0, beats: 0, retransmitted: 0, broken: false };
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : nothing;
}

const names = ['talker', 'stranger', 'guest'].flatMap((who) =>
  NODES.map((node) => `${who}-${node}`),
);
const reports = () => new Map(names.map((name) => [name, report(name)]));

async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = Date.now() + 60_000;
  for (; !holds(); await sleep(100)) assert.ok(Date.now() < deadline, `not seen: ${what}`);
}

/** Whether since `before` some connections were answered, or none. */
function sees(name: string, before: ReadonlyMap<string, TrafficReport>) {
  const now = report(name);
  const then = before.get(name) ?? now;
  return {
    answered: now.answered - then.answered,
    unanswered: now.unanswered - then.unanswered,
    broken: now.broken,
  };
}

function pidOf(label: string): number | undefined {
  const labs = JSON.parse(tortie('lab', 'status', '-o', 'json')) as {
    name: string;
    processes: { label: string; pid: number; alive?: boolean }[];
  }[];
  return labs.find(({ name }) => name === LAB)?.processes.find((one) => one.label === label)?.pid;
}

function kill(label: string): void {
  const pid = pidOf(label);
  assert.ok(pid !== undefined, `no process of ${label}`);
  process.kill(pid, 'SIGKILL');
}

function nft(node: string): string {
  const netns = `--net=/run/netns/tortie-${LAB}--${node}`;
  const text = execFileSync('nsenter', [netns, 'nft', '-s', 'list', 'table', 'inet', 'tortie'], {
    encoding: 'utf8',
  });
  // The order of chains and elements is that of their making.
  return text
    .split(/[\n,]/)
    .map((line) => line.replaceAll(/[{}=]|elements/g, '').trim())
    .toSorted()
    .join('\n');
}

/** What the kernel tells of changes to rules, sets, routes and addresses of a node. */
function monitor(node: string): () => string {
  let output = '';
  for (const argv of [
    ['nft', 'monitor'],
    ['ip', 'monitor', 'route', 'link', 'address'],
  ]) {
    const netns = `--net=/run/netns/tortie-${LAB}--${node}`;
    const child = spawn('nsenter', [netns, ...argv], { stdio: ['ignore', 'pipe', 'ignore'] });
    child.stdout.on('data', (chunk) => (output += String(chunk)));
    children.push(child);
  }
  return () => output;
}

/**
 * Refuses a node all that it sends to the server, until the returned function is called. Each of its watches then
 * comes back at a time of its own, within seconds.
 */
function cut(node: string): () => void {
  const run = (...words: string[]) =>
    execFileSync('nsenter', [`--net=/run/netns/tortie-${LAB}--${node}`, 'nft', ...words]);
  run('add table inet cut; add chain inet cut out { type filter hook output priority -300; }');
  run('add rule inet cut out tcp dport 6443 reject with tcp reset');
  return () => run('delete table inet cut');
}

function isServed(): boolean {
  try {
    tortie('get', 'nodes', '--lab', LAB);
    return true;
  } catch {
    return false;
  }
}

/** No server can use the store until this is called. */
function holdStore(): () => void {
  const lock = new DatabaseSync(`${store}.lock`, { timeout: 20_000 });
  lock.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  return () => lock.close();
}

before(() => {
  if (skip) return;
  tortie('lab', 'up', '-f', write('old'), '--name', LAB, '--nodes', '2');
});

after(() => {
  for (const child of children) child.kill('SIGKILL');
  if (!skip) tortie('lab', 'down', LAB);
  rmSync(work, { recursive: true, force: true });
});

/** From the old state to the new one; and what the traffic saw when that was in force. */
async function renew(): Promise<ReadonlyMap<string, TrafficReport>> {
  tortie('apply', '-f', write('new'), '--lab', LAB);
  const begun = reports();
  await until('the new state is in force', () =>
    NODES.every((node) => sees(`guest-${node}`, begun).answered > 0),
  );
  await sleep(SETTLED_MS);
  return reports();
}

const backup = join(work, 'backup.db');

/** The ways in which a store from before takes the place of the one that there is; `release` lets a server use it. */
const WAYS: Readonly<Record<string, (release: () => void) => void>> = {
  'copied over it': (release) => {
    for (const end of ['', '-wal', '-shm']) rmSync(`${store}${end}`, { force: true });
    copyFileSync(backup, store);
    release();
  },
  'restored by the command': (release) => {
    release();
    for (let attempt = 0; ; attempt++) {
      try {
        tortie('datastore', 'restore', backup, '--data', new LabFolder(LAB).data, '--replace');
        return;
      } catch (error) {
        // The server was faster.
        if (attempt === 5) throw error;
        kill('server');
      }
    }
  },
};

/** ALL=1: the second way too, which is the same to the agents. */
const ways = Object.entries(WAYS).slice(0, process.env['ALL'] === undefined ? 1 : undefined);
for (const [way, putBack] of ways) {
  test(`[AG1] [AG6] the store is away, and comes back as of long ago, ${way}`, {
    skip,
  }, async () => {
    const begun = reports();
    await until('traffic in the old state', () =>
      NODES.every(
        (node) =>
          sees(`talker-${node}`, begun).answered > 20 &&
          sees(`stranger-${node}`, begun).unanswered > 0,
      ),
    );
    const old = NODES.map(nft);
    if (!existsSync(backup)) {
      tortie('datastore', 'backup', backup, '--data', new LabFolder(LAB).data);
    }
    const before = await renew();
    kill('server');
    const release = holdStore();
    const heals = NODES.map(cut);
    const changes = NODES.map(monitor);
    // One agent lives through it, the other one starts and finds nobody.
    const first = pidOf('node-1');
    kill('node-1');
    await until('an agent without a server', () => {
      const pid = pidOf('node-1');
      return pid !== undefined && pid !== first;
    });
    await sleep(SETTLED_MS);
    assert.deepEqual(
      changes.map((output) => output()),
      ['', ''],
      'without a server nothing is changed',
    );
    for (const node of NODES) {
      assert.ok(sees(`guest-${node}`, before).answered > 0);
      assert.equal(sees(`guest-${node}`, before).unanswered, 0, 'the new state holds meanwhile');
    }
    putBack(release);
    await until('the server is back', () => isServed());
    for (const heal of heals) heal();
    await until('the old state is in force', () =>
      NODES.every((node, at) => nft(node) === old[at]),
    );
    const restored = reports();
    await sleep(SETTLED_MS);
    for (const node of NODES) {
      const talker = sees(`talker-${node}`, before);
      const stranger = sees(`stranger-${node}`, before);
      process.stdout.write(`# ${node}: ${JSON.stringify({ talker, stranger })}\n`);
      assert.equal(talker.unanswered, 0, 'what both states allow was never shut');
      assert.equal(talker.broken, false);
      assert.ok(talker.answered > 100);
      assert.equal(stranger.answered, 0, 'what neither allows was never open');
      assert.ok(stranger.unanswered > 0);
      assert.ok(sees(`guest-${node}`, restored).unanswered > 0, 'guests are shut out');
    }
  });
}
