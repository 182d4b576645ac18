// Settings of the host on the kernel: names of workloads' interfaces, bits of the mark, what denied packets get.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BARE_STATE, type DenyAction, type HostSettings } from '#calc/dataplane-update';
import {
  ALLOW_ALL,
  endpoint,
  HOST_ADDRESS,
  makeRouter,
  podAddress,
  podInterface,
  policy,
  rule,
  type Router,
  stateOf,
  tierOf,
} from './dataplane-router.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root';

const SYSCTL = 'net.ipv4.ip_forward';

const settingsOf = (more: Partial<HostSettings>) => ({
  settings: { ...BARE_STATE.settings, ...more },
});
const rules = ({ machine }: Router) => machine.run('nft', '-n', 'list', 'ruleset');

void test('[DP55] interfaces of each prefix are workloads: unknown ones are cut off', {
  skip,
}, async (t) => {
  const router = await makeRouter(t, 2);
  const [one] = router.pods;
  assert.ok(one);
  const dataplane = router.start();
  const known = [endpoint(1)];
  dataplane.apply(stateOf(known, [], settingsOf({ workloadPrefixes: ['cali', 'tap'] })));
  for (const family of [4, 6] as const) {
    assert.notEqual(await one.probe('tcp', podAddress(2, family), 80), 'open');
  }
  assert.match(rules(router), /iifname != "cali\*" iifname != "tap\*" accept/);
  const tap = endpoint(2, { interfaceName: 'tap2' });
  router.machine.run('ip', 'link', 'set', podInterface(2), 'down');
  router.machine.run('ip', 'link', 'set', podInterface(2), 'name', 'tap2');
  router.machine.run('ip', 'link', 'set', 'tap2', 'up');
  const both = stateOf([endpoint(1), tap], [], settingsOf({ workloadPrefixes: ['cali', 'tap'] }));
  assert.deepEqual(dataplane.apply(both).errors, []);
  assert.equal(await one.probe('tcp', podAddress(2, 4), 80), 'open');
  const denied = policy('no', { ingress: [rule('Deny')] });
  const shut = endpoint(2, { interfaceName: 'tap2', ingress: [tierOf(denied)] });
  dataplane.apply(
    stateOf([endpoint(1), shut], [denied], settingsOf({ workloadPrefixes: ['cali', 'tap'] })),
  );
  assert.notEqual(await one.probe('tcp', podAddress(2, 4), 80), 'open');
});

void test('[DP56] only bits of the mask are used, and Pass works with them', {
  skip,
}, async (t) => {
  const router = await makeRouter(t, 2);
  const [one] = router.pods;
  assert.ok(one);
  const dataplane = router.start();
  const pass = policy('pass', { ingress: [rule('Pass'), rule('Deny', { index: 1 })] });
  const two = endpoint(2, { ingress: [tierOf(pass)] });
  const stateWith = (markMask: number) =>
    stateOf([endpoint(1), two], [pass], settingsOf({ markMask }));
  for (const [mask, bit] of [
    [0x0000_0300, '0x00000100'],
    [0x8001_0000, '0x00010000'],
    [0xffff_0000, '0x00040000'],
  ] as const) {
    assert.deepEqual(dataplane.apply(stateWith(mask)).errors, []);
    assert.match(rules(router), new RegExp(`meta mark set meta mark \\| ${bit}`));
    assert.equal(await one.probe('tcp', podAddress(2, 4), 80), 'open', bit);
    assert.equal(router.start().apply(stateWith(mask)).writes, 0);
  }
});

void test('[DP57] what is denied is refused, dropped, or let pass and told', {
  skip,
}, async (t) => {
  const router = await makeRouter(t, 2);
  const [one] = router.pods;
  assert.ok(one);
  const dataplane = router.start();
  const denied = policy('no', { ingress: [rule('Deny')] });
  const two = endpoint(2, { ingress: [tierOf(denied)] });
  const nobody = endpoint(1, { profiles: [] });
  const apply = (denyAction: DenyAction, source = endpoint(1)) =>
    dataplane.apply({
      ...stateOf([source, two], [denied, ALLOW_ALL], settingsOf({ denyAction })),
      endpointToHostAction: 'Drop',
    });
  const probe = () => one.probe('tcp', podAddress(2, 4), 80);
  const toHost = () => one.pings(HOST_ADDRESS[4]);
  assert.deepEqual(apply('Drop').errors, []);
  assert.deepEqual([await probe(), toHost()], ['silent', false]);
  apply('Reject');
  assert.equal(await one.probe('udp', podAddress(2, 4), 53), 'refused', 'the sender is told');
  apply('LogAndDrop');
  assert.equal(await probe(), 'silent');
  assert.match(rules(router), /log prefix "calico-drop: " drop/);
  apply('Accept', nobody);
  assert.deepEqual([await probe(), toHost()], ['open', true], 'nothing is dropped');
  apply('LogAndAccept');
  assert.equal(await probe(), 'open');
  assert.match(rules(router), /log prefix "calico-drop: " accept/);
});

void test('[DP81] invalid packets and forwarding are looked after unless they are left to others', {
  skip,
}, async (t) => {
  const router = await makeRouter(t, 1);
  const forwarding = (value?: string): string => {
    const argv = value === undefined ? ['-n', SYSCTL] : ['-q', '-w', `${SYSCTL}=${value}`];
    return router.machine.run('sysctl', ...argv).trim();
  };
  forwarding('0');
  const dataplane = router.start();
  const left = settingsOf({ ipForwarding: false, dropInvalid: false });
  assert.deepEqual(dataplane.apply(stateOf([endpoint(1)], [], left)).errors, []);
  assert.equal(forwarding(), '0');
  assert.doesNotMatch(rules(router), /ct state (invalid|0x1) /);
  dataplane.apply(stateOf([endpoint(1)]));
  assert.equal(forwarding(), '1');
  assert.match(rules(router), /ct state (invalid|0x1) counter/);
});

void test("[DP9] what we let pass others' chains at the same hook judge afterwards", {
  skip,
}, async (t) => {
  const router = await makeRouter(t, 2);
  const [one] = router.pods;
  assert.ok(one);
  router.start().apply(stateOf([endpoint(1), endpoint(2)]));
  assert.equal(await one.probe('tcp', podAddress(2, 4), 80), 'open');
  const hook = '{ type filter hook forward priority 10; }';
  for (const argv of [
    ['add', 'table', 'inet', 'others'],
    ['add', 'chain', 'inet', 'others', 'late', hook],
    ['add', 'rule', 'inet', 'others', 'late', 'tcp', 'dport', '80', 'drop'],
  ]) {
    router.machine.run('nft', ...argv);
  }
  assert.equal(await one.probe('tcp', podAddress(2, 4), 80), 'silent');
});
