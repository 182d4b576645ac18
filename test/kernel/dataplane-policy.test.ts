// Policy as real packets meet it: TCP, UDP and ICMP between pods and the host, in both families.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import type { IpSet } from '#calc/dataplane-update';
import {
  HOST_ADDRESS,
  endpoint,
  makeRouter,
  podAddress,
  policy,
  rule,
  stateOf,
  tierOf,
} from './dataplane-router.ts';

const FAMILIES = [4, 6] as const;

void test('pods with the allow profile reach one another, the host and are reached from it', async (t) => {
  const { machine, pods, start } = await makeRouter(t, 2);
  const [one] = pods;
  assert.ok(one);
  const report = start().apply(stateOf([endpoint(1), endpoint(2)]));
  assert.deepEqual(report.errors, []);
  assert.deepEqual(report.pending, []);
  for (const family of FAMILIES) {
    const other = podAddress(2, family);
    assert.equal(await one.probe('tcp', other, 80), 'open', `tcp ${family}`);
    assert.equal(await one.probe('udp', other, 53), 'open', `udp ${family}`);
    assert.ok(one.pings(other), `ping ${family}`);
    assert.equal(await machine.probe('tcp', other, 80), 'open', `from the host ${family}`);
  }
});

void test('[DP2] an interface that no endpoint claims may neither send nor receive', async (t) => {
  const { pods, routes, start } = await makeRouter(t, 2);
  const [one, two] = pods;
  assert.ok(one && two);
  start().apply(stateOf([endpoint(1)]));
  routes.replaceRoute({
    family: 4,
    destination: '10.65.0.2/32',
    interface: 'cali0000000002',
    table: 254,
    protocol: 4,
    type: 'unicast',
  });
  assert.equal(await two.probe('tcp', podAddress(1, 4), 80), 'silent', 'from the unknown');
  assert.equal(await one.probe('tcp', podAddress(2, 4), 80), 'silent', 'to the unknown');
  assert.equal(two.pings('10.65.0.1'), false);
  assert.equal(await two.probe('tcp', HOST_ADDRESS[4], 80), 'silent', 'to the host');
  assert.equal(await one.probe('tcp', HOST_ADDRESS[4], 80), 'open', 'the known reaches the host');
});

void test('ports, protocols, nets and IP sets decide as the rule says, in both families', async (t) => {
  const { pods, start } = await makeRouter(t, 3);
  const [one, two] = pods;
  assert.ok(one && two);
  const set: IpSet = {
    id: 's:one',
    type: 'net',
    members: new Set(['10.65.0.1/32', 'fd65::1/128']),
  };
  const web: IpSet = {
    id: 'n:web',
    type: 'ip-port',
    members: new Set(['10.65.0.3,tcp:8080', 'fd65::3,tcp:8080']),
  };
  const from = { source: { ipSets: ['s:one'], notIpSets: [] } };
  const guard = policy('guard', {
    ingress: [
      rule('Allow', {
        ...from,
        protocol: 6,
        destination: { ipSets: [], notIpSets: [], ports: [[80, 80]], namedPortSets: ['n:web'] },
      }),
      rule('Allow', {
        index: 1,
        protocol: 17,
        source: { nets: ['10.65.0.2/32', 'fd65::2/128'], ipSets: [], notIpSets: [] },
        destination: {
          ipSets: [],
          notIpSets: [],
          ports: [
            [50, 60],
            [1000, 2000],
          ],
        },
      }),
    ],
  });
  const state = stateOf(
    [endpoint(1), endpoint(2), endpoint(3, { ingress: [tierOf(guard)] })],
    [guard],
    {
      ipSets: new Map([
        ['s:one', set],
        ['n:web', web],
      ]),
    },
  );
  assert.deepEqual(start().apply(state).errors, []);
  for (const family of FAMILIES) {
    const target = podAddress(3, family);
    assert.equal(await one.probe('tcp', target, 80), 'open', `numeric port ${family}`);
    assert.equal(await one.probe('tcp', target, 8080), 'open', `named port ${family}`);
    assert.equal(await one.probe('tcp', target, 8081), 'silent', `other port ${family}`);
    assert.equal(await one.probe('udp', target, 53), 'silent', `udp of pod 1 ${family}`);
    assert.equal(await two.probe('tcp', target, 80), 'silent', `outside the set ${family}`);
    assert.equal(await two.probe('udp', target, 53), 'open', `udp of pod 2 ${family}`);
    assert.equal(one.pings(target), false, `ping ${family}`);
  }
});

void test('[DP5] Pass leaves the tier, Log goes on, Deny ends, and a tier denies at its end', async (t) => {
  const { pods, start } = await makeRouter(t, 2);
  const [one] = pods;
  assert.ok(one);
  const tcp = { protocol: 6 };
  const first = policy('first', {
    tier: 'high',
    ingress: [rule('Log'), rule('Pass', { index: 1, ...tcp }), rule('Deny', { index: 2 })],
  });
  const never = policy('never', { tier: 'high', ingress: [rule('Deny')] });
  const second = policy('second', {
    ingress: [
      rule('Allow', {
        ...tcp,
        destination: { ipSets: [], notIpSets: [], ports: [[80, 80]] },
      }),
    ],
  });
  const target = endpoint(2, {
    ingress: [{ ...tierOf(first, never), name: 'high' }, tierOf(second)],
  });
  const dataplane = start();
  dataplane.apply(stateOf([endpoint(1), target], [first, never, second]));
  assert.equal(await one.probe('tcp', podAddress(2, 4), 80), 'open', 'passed, then allowed');
  assert.equal(
    await one.probe('tcp', podAddress(2, 6), 8080),
    'silent',
    'passed, then end of tier',
  );
  assert.equal(await one.probe('udp', podAddress(2, 4), 53), 'silent', 'denied');
  const last = { ...tierOf(second), defaultAction: 'Pass' as const };
  const passing = endpoint(2, { ingress: [{ ...tierOf(first, never), name: 'high' }, last] });
  dataplane.apply(stateOf([endpoint(1), passing], [first, never, second]));
  assert.equal(await one.probe('tcp', podAddress(2, 6), 8080), 'open', 'the profile allows');
});

void test('[DP4] egress and ingress must both allow; policy of egress holds towards the host', async (t) => {
  const { machine, pods, start } = await makeRouter(t, 2);
  const [one] = pods;
  assert.ok(one);
  const only80 = policy('only-80', {
    egress: [
      rule('Allow', {
        protocol: 6,
        destination: { ipSets: [], notIpSets: [], ports: [[80, 80]] },
      }),
    ],
  });
  const endpoints = [endpoint(1, { egress: [tierOf(only80)] }), endpoint(2)];
  const dataplane = start();
  dataplane.apply(stateOf(endpoints, [only80]));
  for (const address of [podAddress(2, 4), podAddress(2, 6), HOST_ADDRESS[4], HOST_ADDRESS[6]]) {
    assert.equal(await one.probe('tcp', address, 80), 'open', `80 of ${address}`);
    assert.equal(await one.probe('tcp', address, 8080), 'silent', `8080 of ${address}`);
  }
  dataplane.apply(stateOf(endpoints, [only80], { endpointToHostAction: 'Drop' }));
  assert.equal(await one.probe('tcp', HOST_ADDRESS[4], 80), 'silent', 'endpointToHostAction Drop');
  assert.equal(await machine.probe('tcp', podAddress(1, 4), 80), 'open', 'answers to the host');
  assert.equal(await one.probe('tcp', podAddress(2, 4), 80), 'open', 'Drop is for the host only');
});

void test('[DP3] a pod cannot send from an address that is not its own', async (t) => {
  const { pods, start } = await makeRouter(t, 3);
  const [one, two] = pods;
  assert.ok(one && two);
  start().apply(stateOf([endpoint(1), endpoint(2), endpoint(3)]));
  // Nobody answers to a false address: what counts is whether the packet arrives.
  two.run('nft', 'add table inet t; add chain inet t c { type filter hook input priority 0; }');
  two.run('nft', 'add set inet t seen { type ipv4_addr; flags dynamic; }');
  two.run('nft', 'add set inet t seen6 { type ipv6_addr; flags dynamic; }');
  two.run('nft', 'add rule inet t c icmp type echo-request add @seen { ip saddr }');
  two.run('nft', 'add rule inet t c icmpv6 type echo-request add @seen6 { ip6 saddr }');
  for (const source of ['10.65.0.1', '10.65.0.3', '10.65.0.77', 'fd65::1', 'fd65::3', 'fd65::77']) {
    const family = source.includes(':') ? 6 : 4;
    one.run(
      'ip',
      'addr',
      'replace',
      `${source}/${family === 6 ? 128 : 32}`,
      'dev',
      'eth0',
      'nodad',
    );
    one.pings(podAddress(2, family), '-I', source);
  }
  const seen = two.run('nft', 'list', 'ruleset');
  assert.match(seen, /elements = { 10\.65\.0\.1 }/);
  assert.match(seen, /elements = { fd65::1 }/);
});

void test('[DP13] no profile denies, and a missing profile denies', async (t) => {
  const { pods, start } = await makeRouter(t, 2);
  const [one] = pods;
  assert.ok(one);
  const logged: string[] = [];
  const dataplane = start((message) => logged.push(message));
  dataplane.apply(stateOf([endpoint(1), endpoint(2, { profiles: [] })]));
  assert.equal(await one.probe('tcp', podAddress(2, 4), 80), 'silent');
  const profiles = ['Profile//none', ...endpoint(2).profiles];
  const report = dataplane.apply(stateOf([endpoint(1), endpoint(2, { profiles })]));
  assert.deepEqual(report.errors, []);
  assert.equal(
    await one.probe('tcp', podAddress(2, 4), 80),
    'silent',
    'profiles after it are idle',
  );
  assert.match(logged.join('\n'), /cannot find profile Profile\/\/none/);
});

void test('[DP16] an established connection survives a policy that would refuse it now', async (t) => {
  const { machine, pods, start } = await makeRouter(t, 2);
  const [one, two] = pods;
  assert.ok(one && two);
  const dataplane = start();
  const deny = policy('deny', { ingress: [rule('Deny')] });
  dataplane.apply(stateOf([endpoint(1), endpoint(2)]));
  const address = podAddress(2, 4);
  assert.ok(one.pings(address), 'before');
  // One long ping is one connection for conntrack: its identifier stays.
  const count = pingWhile(one, address, () =>
    dataplane.apply(stateOf([endpoint(1), endpoint(2, { ingress: [tierOf(deny)] })], [deny])),
  );
  assert.equal(await count, 8, 'all echoes answered');
  machine.run('conntrack', '-F');
  assert.equal(one.pings(address), false, 'a new one is refused');
});

async function pingWhile(
  from: { readonly path: string },
  address: string,
  change: () => unknown,
): Promise<number> {
  const argv = [`--net=${from.path}`, 'ping', '-n', '-c', '8', '-i', '0.1', '-W', '1', address];
  const child = spawn('nsenter', argv, { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (output === '') change();
    output += text;
  });
  await new Promise((resolve) => child.on('close', resolve));
  return Number(/(\d+) received/.exec(output)?.[1]);
}
