// Processes are found by what they hold, and their arguments tell no secrets.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { processesByNamespace, processInfo, socketsOfProcess } from './processes.ts';

test('this process is among those of its network namespace', () => {
  const inode = Number(/\d+/.exec(readlinkSync('/proc/self/ns/net'))?.[0]);
  assert.ok(processesByNamespace().get(inode)?.includes(process.pid));
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
  const child = spawn('/bin/sh', ['-c', 'read line', ...secrets], { stdio: ['pipe', 'ignore', 'ignore'] });
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
