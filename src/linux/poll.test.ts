// The poller on ordinary descriptors: calling back, forgetting closed ones, leaving nothing behind.

import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Poller } from './poll.ts';

const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;

void test('a readable descriptor calls back again and again, until the poller is closed', async () => {
  const before = timers();
  const fd = openSync('/dev/zero', 'r');
  const poller = new Poller();
  let calls = 0;
  await new Promise<void>((resolve) => {
    poller.onReadable(fd, () => {
      calls++;
      if (calls === 3) resolve();
    });
    assert.equal(timers(), before + 1, 'one timer');
  });
  poller.close();
  assert.equal(timers(), before, 'no timer is left');
  await sleep(20);
  assert.equal(calls, 3);
  closeSync(fd);
});

void test('a descriptor that was closed is forgotten, the others go on', async () => {
  const poller = new Poller();
  const closed = openSync('/dev/zero', 'r');
  const open = openSync('/dev/zero', 'r');
  closeSync(closed);
  let closedCalls = 0;
  poller.onReadable(closed, () => closedCalls++);
  await new Promise<void>((resolve) => poller.onReadable(open, resolve));
  poller.close();
  closeSync(open);
  assert.equal(closedCalls, 0);
});
