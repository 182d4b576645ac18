// A virtual machine arrives at a node: heard on its interface, and its routes follow.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { LiveMigrations, listenForArrival } from '#agent';
import type { LocalEndpoint } from '#calc/dataplane-update';
import { writeSysctlInNamespace } from '#linux';
import { endpoint, makeRouter, podAddress, podInterface, stateOf } from './dataplane-router.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root';

test('[AG23] routes are absent, preferred and usual as the machine is on its way, there and settled', {
  skip,
}, async (t) => {
  const router = await makeRouter(t, 1);
  const [machine] = router.pods;
  assert.ok(machine);
  const dataplane = router.start();
  let changes = 0;
  const migrations = new LiveMigrations({
    listen: (name, onArrival) => listenForArrival(name, onArrival, router.machine.fd),
    isRouted: (one) => dataplane.isRouted(one),
    onChange: () => changes++,
    log: () => undefined,
  });
  t.after(() => migrations.stop());
  migrations.setSettleTime(1);
  const apply = (migration?: LocalEndpoint['migration']) => {
    const state = stateOf([endpoint(1, migration ? { migration } : {})]);
    assert.deepEqual(dataplane.apply(migrations.amend(state)).errors, []);
    const shown = router.machine.run('ip', 'route', 'show', podAddress(1, 4));
    return /metric \d+/.exec(shown)?.[0];
  };
  const until = async (count: number) => {
    for (let attempt = 0; attempt < 500 && changes < count; attempt++) await sleep(20);
    assert.equal(changes, count);
  };
  dataplane.apply(migrations.amend(stateOf([])));
  assert.equal(apply('target'), undefined);
  // The kernel tells everybody whose address it is when the interface comes up again.
  writeSysctlInNamespace(machine.fd, 'net/ipv4/conf/eth0/arp_notify', 1);
  machine.run('ip', 'link', 'set', 'eth0', 'down');
  machine.run('ip', 'link', 'set', 'eth0', 'up');
  await until(1);
  assert.equal(apply('target'), 'metric 512');
  const again = new LiveMigrations({
    listen: () => undefined,
    isRouted: (one) => router.start().isRouted(one),
    onChange: () => undefined,
    log: () => undefined,
  });
  const target = stateOf([endpoint(1, { migration: 'target' })]);
  assert.equal(again.amend(target).endpoints.get('default/pod-1')?.routing, 'elevated');
  again.stop();
  assert.equal(apply(), 'metric 512', 'the migration is over');
  await until(2);
  assert.equal(apply(), 'metric 1024');
  assert.equal(dataplane.isEnforced('default/pod-1'), true);
  assert.match(router.machine.run('ip', 'route', 'show', 'dev', podInterface(1)), /metric 1024/);
});
