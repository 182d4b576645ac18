// Routes on the kernel: whose they are, their protocols and metrics, and what of others is taken away.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BARE_STATE, type DataplaneState, type HostSettings } from '#calc/dataplane-update';
import {
  endpoint,
  HOST_ADDRESS,
  makeRouter,
  podAddress,
  podInterface,
  type Router,
  stateOf,
} from './dataplane-router.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root';

const withSettings = (more: Partial<HostSettings>): DataplaneState =>
  stateOf([endpoint(1)], [], { settings: { ...BARE_STATE.settings, ...more } });
const withRoutes = (more: Partial<HostSettings['routes']>): DataplaneState =>
  withSettings({ routes: { ...BARE_STATE.settings.routes, ...more } });

/** Routes to the first pod's interface as `ip` shows them, 3 unsaid, without what the kernel made itself. */
function shown({ machine }: Router, family: '-4' | '-6' = '-4'): string[] {
  const text = machine.run('ip', '-N', family, 'route', 'show', 'dev', podInterface(1));
  return text
    .split('\n')
    .map((line) => line.replaceAll(/ (scope|pref) \S+| linkdown/g, '').trim())
    .filter((line) => line !== '' && !line.startsWith('fe80') && !line.includes('proto 2'));
}

function add({ machine }: Router, destination: string, protocol: string): void {
  const argv = ['route', 'add', destination, 'dev', podInterface(1), 'proto', protocol];
  machine.run('ip', destination.includes(':') ? '-6' : '-4', ...argv);
}

void test('[DP51] routes to workloads have their protocol and metric, and change with them', {
  skip,
}, async (t) => {
  const router = await makeRouter(t, 1);
  const dataplane = router.start();
  const four = podAddress(1, 4);
  const six = podAddress(1, 6);
  assert.deepEqual(dataplane.apply(withRoutes({})).errors, []);
  assert.deepEqual(shown(router), [`${four} metric 1024`]);
  assert.deepEqual(shown(router, '-6'), [`${six} metric 1024`]);
  const priority = { 4: { normal: 77, elevated: 5 }, 6: { normal: 99, elevated: 6 } };
  const changed = withRoutes({ deviceProtocol: 90, priority });
  assert.deepEqual(dataplane.apply(changed).errors, []);
  assert.deepEqual(shown(router), [`${four} proto 90 metric 77`]);
  assert.deepEqual(shown(router, '-6'), [`${six} proto 90 metric 99`]);
  assert.equal(dataplane.isEnforced('default/pod-1'), true);
  assert.equal(router.start().apply(changed).writes, 0, 'found again without memory');
  const elevated = endpoint(1, { routing: 'elevated' });
  dataplane.apply({ ...changed, endpoints: new Map([[elevated.id, elevated]]) });
  assert.deepEqual(shown(router), [`${four} proto 90 metric 5`]);
  assert.deepEqual(shown(router, '-6'), [`${six} proto 90 metric 6`]);
});

void test('[DP51] while a machine is on its way here nothing leads to it', { skip }, async (t) => {
  const router = await makeRouter(t, 1);
  const dataplane = router.start();
  const waiting = endpoint(1, { routing: 'none' });
  dataplane.apply(stateOf([waiting]));
  assert.deepEqual([...shown(router), ...shown(router, '-6')], []);
  assert.equal(dataplane.isEnforced(waiting.id), true, 'its policy is there');
});

void test('[DP52] routes to workloads that nobody wants are taken away, whoever made them', {
  skip,
}, async (t) => {
  const router = await makeRouter(t, 1);
  const dataplane = router.start();
  const wanted = [`${podAddress(1, 4)} metric 1024`];
  dataplane.apply(withRoutes({}));
  add(router, '192.0.2.7', '4');
  add(router, 'fd99::7', '12');
  const local = router.machine.run('ip', '-6', 'route', 'show', 'dev', podInterface(1));
  assert.match(local, /fe80::\/64/);
  dataplane.resync();
  const { repaired, errors } = dataplane.apply(withRoutes({}));
  assert.deepEqual(errors, []);
  assert.deepEqual(repaired.toSorted(), ['route 192.0.2.7/32', 'route fd99::7/128']);
  assert.deepEqual(shown(router), wanted);
  const left = router.machine.run('ip', '-6', 'route', 'show', 'dev', podInterface(1));
  assert.match(left, /fe80::\/64/, "the kernel's own stay");
});

void test('[DP52] unless they may stay: then those of the protocol of workloads go alone', {
  skip,
}, async (t) => {
  const router = await makeRouter(t, 1);
  const dataplane = router.start();
  const state = withRoutes({ removeExternal: false });
  dataplane.apply(state);
  add(router, '192.0.2.7', '4');
  add(router, '192.0.2.8', '3');
  dataplane.resync();
  dataplane.apply(state);
  const wanted = [`${podAddress(1, 4)} metric 1024`, '192.0.2.7 proto 4'];
  assert.deepEqual(shown(router).toSorted(), wanted.toSorted());
});

void test('[DP53] where others make the routes, none is made or taken away', {
  skip,
}, async (t) => {
  const router = await makeRouter(t, 1);
  const dataplane = router.start();
  add(router, podAddress(1, 4), '4');
  const state = withSettings({ routeSync: false });
  dataplane.apply(state);
  dataplane.resync();
  assert.deepEqual(dataplane.apply(state).repaired, []);
  assert.deepEqual(shown(router), [`${podAddress(1, 4)} proto 4`]);
  assert.equal(dataplane.isEnforced('default/pod-1'), true);
});

void test('[DP54] without IPv6 there are no routes of it, and policy holds all the same', {
  skip,
}, async (t) => {
  const router = await makeRouter(t, 1);
  router.machine.run('sysctl', '-q', '-w', 'net.ipv6.conf.all.forwarding=0');
  const dataplane = router.start();
  assert.deepEqual(dataplane.apply(withSettings({ ipv6: false })).errors, []);
  assert.deepEqual(shown(router, '-6'), []);
  const forwarding = router.machine.run('sysctl', '-n', 'net.ipv6.conf.all.forwarding');
  assert.equal(forwarding.trim(), '0');
  assert.equal(dataplane.isEnforced('default/pod-1'), true);
});

void test('[DP51] the source of routes to workloads is the one that is set', {
  skip,
}, async (t) => {
  const router = await makeRouter(t, 1);
  const dataplane = router.start();
  const state = withSettings({ deviceRouteSource: HOST_ADDRESS });
  assert.deepEqual(dataplane.apply(state).errors, []);
  assert.match(shown(router)[0] ?? '', new RegExp(`src ${HOST_ADDRESS[4]}`));
  assert.match(shown(router, '-6')[0] ?? '', new RegExp(`src ${HOST_ADDRESS[6]}`));
  assert.equal(router.start().apply(state).writes, 0);
});
