// Host endpoints as real packets meet them: every stage, every way, in both families.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DataplanePolicy, DataplaneState, HostEndpoint } from '#calc/dataplane-update';
import { BARE_STATE, policyKey } from '#calc/dataplane-update';
import { ALLOW_ALL, endpoint, podAddress, policy, rule, stateOf } from './dataplane-router.ts';
import { HOST_ADDRESS, type Machine, tierOf } from './dataplane-router.ts';
import {
  bothWays,
  hostEndpoint,
  makeEdge,
  NO_FAILSAFE,
  NODE_ADDRESS,
  OUTSIDE_ADDRESS,
  redirectPort,
} from './dataplane-outside.ts';

const FAMILIES = [4, 6] as const;
const ANY = { ipSets: [], notIpSets: [] };
const toPort = (port: number) => ({
  protocol: 6,
  destination: { ...ANY, ports: [[port, port]] as const },
});
const fromPort = (port: number) => ({
  protocol: 6,
  source: { ...ANY, ports: [[port, port]] as const },
});
const WEB = policy('web', {
  ingress: [rule('Allow', toPort(80))],
  egress: [rule('Allow', toPort(80))],
});
const NO_WEB = policy('no-web', {
  ingress: [rule('Deny', toPort(80))],
  egress: [rule('Deny', toPort(80))],
});
const passing = (...policies: readonly DataplanePolicy[]) =>
  ({ ...tierOf(...policies), defaultAction: 'Pass' }) as const;
const SILENT_FAILSAFE = {
  ...BARE_STATE.settings,
  failsafeInbound: NO_FAILSAFE,
  failsafeOutbound: NO_FAILSAFE,
};
/** The reply comes from the port that was asked, so both directions have to be allowed. */
const UNTRACKED_WEB = policy('untracked-web', {
  ingress: [rule('Allow', toPort(80))],
  egress: [rule('Allow', fromPort(80))],
});

function hostState(
  hosts: readonly HostEndpoint[],
  policies: readonly DataplanePolicy[] = [],
  more: Partial<DataplaneState> = {},
): DataplaneState {
  return stateOf([endpoint(1), endpoint(2)], policies, {
    hostEndpoints: new Map(hosts.map((one) => [one.id, one])),
    ...more,
  });
}

/** Asks over both families at once; they must answer alike. */
async function ask(
  from: Machine,
  to: Readonly<Record<4 | 6, string>>,
  port: number,
  protocol: 'tcp' | 'udp' = 'tcp',
): Promise<string> {
  const [four, six] = await Promise.all(
    FAMILIES.map((family) => from.probe(protocol, to[family], port)),
  );
  return four !== undefined && four === six ? four : `${four} over IPv4, ${six} over IPv6`;
}

const pod = (number: number) => ({ 4: podAddress(number, 4), 6: podAddress(number, 6) });

void test('[DP7] [DP17] a host endpoint without policy and profile closes the host and lets it forward', async (t) => {
  const { machine, pods, outside, start } = await makeEdge(t, 2);
  const [one] = pods;
  assert.ok(one);
  const dataplane = start();
  assert.deepEqual(dataplane.apply(hostState([])).errors, []);
  assert.equal(await ask(outside, NODE_ADDRESS, 80), 'open', 'without an endpoint');
  const closed = hostState([hostEndpoint()]);
  assert.deepEqual(dataplane.apply(closed).errors, []);
  assert.equal(start().apply(closed).writes, 0, 'a restart finds it as it is');
  assert.equal(await ask(outside, NODE_ADDRESS, 80), 'silent', 'to the host');
  assert.equal(await ask(machine, OUTSIDE_ADDRESS, 80), 'silent', 'from the host');
  assert.equal(await ask(outside, pod(1), 80), 'open', 'through the host');
  assert.equal(await ask(one, OUTSIDE_ADDRESS, 80), 'open', 'out through the host');
  assert.equal(await ask(machine, pod(1), 80), 'open', 'to its own pod');
  assert.equal(await ask(one, NODE_ADDRESS, 80), 'open', 'a pod to its own host');
  assert.equal(await ask(machine, HOST_ADDRESS, 80), 'open', 'to itself');
  const profile = hostEndpoint({ profiles: [policyKey(ALLOW_ALL.id)] });
  dataplane.apply(hostState([profile]));
  assert.equal(await ask(outside, NODE_ADDRESS, 80), 'open', 'the profile allows');
  dataplane.apply(hostState([hostEndpoint({ profiles: ['Profile//gone'] })]));
  assert.equal(await ask(outside, NODE_ADDRESS, 80), 'silent', 'a missing profile denies');
});

void test('[DP18] normal policy is for the host itself, forward policy for what goes through it', async (t) => {
  const { machine, pods, outside, start } = await makeEdge(t, 2);
  const [one, two] = pods;
  assert.ok(one && two);
  const dataplane = start();
  const normal = hostEndpoint({ normal: bothWays(tierOf(WEB)) });
  dataplane.apply(hostState([normal], [WEB]));
  assert.equal(await ask(outside, NODE_ADDRESS, 80), 'open');
  assert.equal(await ask(outside, NODE_ADDRESS, 8080), 'silent', 'the tier denies at its end');
  assert.equal(await ask(machine, OUTSIDE_ADDRESS, 80), 'open');
  assert.equal(await ask(machine, OUTSIDE_ADDRESS, 8080), 'silent');
  assert.equal(await ask(outside, pod(1), 8080), 'open', 'not forwarded traffic');

  const forward = hostEndpoint({
    profiles: [policyKey(ALLOW_ALL.id)],
    forward: bothWays(tierOf(WEB)),
  });
  dataplane.apply(hostState([forward], [WEB]));
  assert.equal(await ask(outside, pod(1), 80), 'open');
  assert.equal(await ask(outside, pod(1), 8080), 'silent', 'in by forward policy');
  assert.equal(await ask(one, OUTSIDE_ADDRESS, 80), 'open');
  assert.equal(await ask(one, OUTSIDE_ADDRESS, 8080), 'silent', 'out by forward policy');
  assert.equal(await ask(one, pod(2), 8080), 'open', 'pods among themselves');
  assert.equal(await ask(outside, NODE_ADDRESS, 8080), 'open', 'not the host itself');
});

void test('[DP19] pre-DNAT policy sees the destination that was written, and what it allows is allowed', async (t) => {
  const { machine, outside, start } = await makeEdge(t, 2);
  redirectPort(machine, 8888, 1, 80);
  const dataplane = start();
  const denied = policy('no-8888', { ingress: [rule('Deny', toPort(8888))] });
  const host = { profiles: [policyKey(ALLOW_ALL.id)] };
  dataplane.apply(hostState([hostEndpoint(host)]));
  assert.equal(await ask(outside, NODE_ADDRESS, 8888), 'open', 'the redirection works');
  dataplane.apply(hostState([hostEndpoint({ ...host, preDnat: [passing(denied)] })], [denied]));
  assert.equal(await ask(outside, NODE_ADDRESS, 8888), 'silent');
  assert.equal(await ask(outside, NODE_ADDRESS, 80), 'open', 'nothing is denied by default');
  dataplane.apply(hostState([hostEndpoint({ ...host, preDnat: [passing(NO_WEB)] })], [NO_WEB]));
  assert.equal(await ask(outside, NODE_ADDRESS, 8888), 'open', 'port 80 comes after it');
  assert.equal(await ask(outside, pod(1), 80), 'silent', 'forwarded traffic too');

  const allowed = policy('8888', { ingress: [rule('Allow', toPort(8888))] });
  const closed = { preDnat: [passing(allowed)], forward: bothWays(tierOf(NO_WEB)) };
  dataplane.apply(hostState([hostEndpoint(closed)], [allowed, NO_WEB]));
  assert.equal(await ask(outside, NODE_ADDRESS, 8888), 'open', 'it skips forward policy');
  assert.equal(await ask(outside, pod(1), 80), 'silent', 'which denies others');
  assert.equal(await ask(outside, NODE_ADDRESS, 80), 'silent', 'and normal policy');
});

void test('[DP20] untracked policy needs both ways, skips the later stages and leaves no connection', async (t) => {
  const { machine, outside, start } = await makeEdge(t, 2);
  const dataplane = start();
  const untracked = hostEndpoint({ untracked: bothWays(passing(UNTRACKED_WEB)) });
  dataplane.apply(hostState([untracked], [UNTRACKED_WEB]));
  assert.equal(await ask(outside, NODE_ADDRESS, 80), 'open');
  assert.equal(await ask(outside, NODE_ADDRESS, 8080), 'silent', 'the rest meets normal policy');
  const tracked = machine.run('cat', '/proc/thread-self/net/nf_conntrack');
  assert.doesNotMatch(tracked, /dport=80 /);
  assert.match(tracked, /dport=8080 |^$/);
  const oneWay = hostEndpoint({ untracked: { ingress: [passing(UNTRACKED_WEB)], egress: [] } });
  dataplane.apply(hostState([oneWay], [UNTRACKED_WEB]));
  assert.equal(await ask(outside, NODE_ADDRESS, 80), 'silent', 'the answer is not let out');
  const deny = hostEndpoint({
    profiles: [policyKey(ALLOW_ALL.id)],
    untracked: bothWays(passing(NO_WEB)),
  });
  dataplane.apply(hostState([deny], [NO_WEB]));
  assert.equal(await ask(outside, NODE_ADDRESS, 80), 'silent');
  assert.equal(await ask(outside, pod(1), 80), 'silent', 'forwarded traffic enters there too');
  assert.equal(await ask(outside, NODE_ADDRESS, 8080), 'open');
});

void test('[DP21] the endpoint of all interfaces gives way to one by name, and sees what pods send', async (t) => {
  const { machine, pods, outside, start } = await makeEdge(t, 2);
  const [one] = pods;
  assert.ok(one);
  const dataplane = start();
  const all = hostEndpoint({ id: 'all', interfaceName: '*', forward: bothWays(tierOf(WEB)) });
  dataplane.apply(hostState([all], [WEB]));
  assert.equal(await ask(outside, NODE_ADDRESS, 80), 'silent');
  assert.equal(await ask(outside, pod(1), 80), 'open');
  assert.equal(await ask(outside, pod(1), 8080), 'silent');
  assert.equal(await ask(one, OUTSIDE_ADDRESS, 8080), 'silent');
  assert.equal(await ask(one, pod(2), 80), 'open');
  assert.equal(await ask(one, pod(2), 8080), 'silent', 'in at the pod, where all interfaces are');
  assert.equal(await ask(machine, pod(1), 8080), 'open', 'the host to its own pods');
  const named = hostEndpoint({ profiles: [policyKey(ALLOW_ALL.id)] });
  dataplane.apply(hostState([all, named], [WEB]));
  assert.equal(await ask(outside, NODE_ADDRESS, 80), 'open');
  assert.equal(await ask(outside, pod(1), 8080), 'open');
});

void test('[DP22] failsafe ports stay open in every stage, for the networks that they name', async (t) => {
  const { machine, outside, start } = await makeEdge(t, 2);
  const dataplane = start();
  const deny = policy('deny', { ingress: [rule('Deny')], egress: [rule('Deny')] });
  const shut = hostEndpoint({
    untracked: bothWays(passing(deny)),
    preDnat: [passing(deny)],
    normal: bothWays(tierOf(deny)),
  });
  const settings = {
    ...SILENT_FAILSAFE,
    failsafeInbound: [{ protocol: 6, port: 80 }],
    failsafeOutbound: [
      { protocol: 17, port: 53 },
      { protocol: 6, port: 8080, net: '172.31.0.0/16' },
    ],
  };
  assert.deepEqual(dataplane.apply(hostState([shut], [deny], { settings })).errors, []);
  assert.equal(await ask(outside, NODE_ADDRESS, 80), 'open', 'in');
  assert.equal(await ask(outside, NODE_ADDRESS, 8080), 'silent');
  assert.equal(await ask(machine, OUTSIDE_ADDRESS, 53, 'udp'), 'open', 'out');
  assert.equal(await ask(machine, OUTSIDE_ADDRESS, 80), 'silent');
  assert.equal(await machine.probe('tcp', OUTSIDE_ADDRESS[4], 8080), 'open');
  assert.equal(await machine.probe('tcp', OUTSIDE_ADDRESS[6], 8080), 'silent');
  dataplane.apply(hostState([shut], [deny], { settings: SILENT_FAILSAFE }));
  assert.equal(await ask(outside, NODE_ADDRESS, 80), 'silent', 'an empty list switches it off');
});

void test('[DP23] an endpoint without a name governs the interface that has one of its addresses', async (t) => {
  const { outside, routes, start } = await makeEdge(t, 2);
  const told: string[] = [];
  const dataplane = start((message) => told.push(message));
  const byAddress = hostEndpoint({ interfaceName: null, addresses: ['172.31.0.9'] });
  dataplane.apply(hostState([byAddress]));
  assert.match(told.join(), /cannot find an interface with one of its addresses 172\.31\.0\.9/);
  assert.equal(await ask(outside, NODE_ADDRESS, 80), 'open');
  const state = hostState([{ ...byAddress, addresses: [NODE_ADDRESS[6]] }]);
  dataplane.apply(state);
  assert.equal(await ask(outside, NODE_ADDRESS, 80), 'silent');
  routes.deleteAddress('eth0', `${NODE_ADDRESS[6]}/64`);
  dataplane.apply(state);
  assert.equal(await outside.probe('tcp', NODE_ADDRESS[4], 80), 'open', 'the address has gone');
  dataplane.apply(hostState([hostEndpoint({ interfaceName: 'cali0000000001' })]));
  assert.match(told.join(), /cannot govern interface "cali0000000001": it is a workload's/);
});
