// Processes are found by what they hold, and their arguments tell no secrets.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readlinkSync, rmSync, symlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { NamespaceProcesses, processInfo, socketsOfProcess } from './processes.ts';

test('processes by network namespace, one that is new before the others; one that has gone is not there', async (t) => {
  const inode = Number(/\d+/.exec(readlinkSync('/proc/self/ns/net'))?.[0]);
  const processes = new NamespaceProcesses();
  assert.ok(processes.refresh().get(inode)?.includes(process.pid));
  const child = spawn('/bin/cat', { stdio: ['pipe', 'ignore', 'ignore'] });
  t.after(() => child.kill('SIGKILL'));
  await once(child, 'spawn');
  const pids = processes.refresh().get(inode) ?? [];
  assert.ok(child.pid !== undefined && pids.includes(child.pid));
  assert.ok(pids.indexOf(child.pid) < pids.indexOf(process.pid));
  child.stdin.end();
  await once(child, 'exit');
  assert.equal(processes.refresh().get(inode)?.includes(child.pid), false);
});

test('a process that enters a namespace later is found there, also one with the number of another', (t) => {
  const proc = mkdtempSync(join(tmpdir(), 'tortie-proc-'));
  t.after(() => rmSync(proc, { recursive: true }));
  const enter = (pid: number, inode: number): void => {
    rmSync(join(proc, String(pid)), { recursive: true, force: true });
    mkdirSync(join(proc, String(pid), 'ns'), { recursive: true });
    symlinkSync(`net:[${inode}]`, join(proc, String(pid), 'ns', 'net'));
  };
  let now = 100_000;
  const processes = new NamespaceProcesses({ proc, now: () => now });
  enter(7, 1);
  assert.deepEqual([...processes.refresh()], [[1, [7]]]);
  enter(7, 2);
  assert.deepEqual([...processes.refresh()], [[2, [7]]]);
  now += 10_000;
  enter(7, 3);
  assert.deepEqual(
    [...processes.refresh()],
    [[2, [7]]],
    'one that has settled is not read again at once',
  );
  now += 30_000;
  assert.deepEqual([...processes.refresh()], [[3, [7]]]);
});

test('a socket that is opened is among those of this process', async (t) => {
  const before = socketsOfProcess(process.pid, 10_000);
  const server = createServer().listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const added = socketsOfProcess(process.pid, 10_000).filter((inode) => !before.includes(inode));
  assert.ok(added.length >= 1);
  assert.deepEqual(socketsOfProcess(2 ** 30, 10), [], 'no such process');
});

test('name and arguments, bounded, without what looks like a secret', async (t) => {
  const secrets = ['--token=abc', '--password', 'def', '--port=80', 'x'.repeat(500)];
  // A shell takes any words after its command; node would end at an option that it does not know.
  const child = spawn('/bin/sh', ['-c', 'read line', ...secrets], {
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  t.after(() => child.kill('SIGKILL'));
  await once(child, 'spawn');
  let info = processInfo(child.pid ?? 0);
  // Its command line is there once the new program is.
  for (let look = 0; look < 500 && info?.args.length === 0; look++) {
    await sleep(10);
    info = processInfo(child.pid ?? 0);
  }
  assert.deepEqual([info?.pid, info?.name], [child.pid, 'sh']);
  assert.deepEqual(info?.args, ['-c', 'read line', '--token=…', '--password', '…']);
  assert.equal(processInfo(2 ** 30), undefined);
});
