// Translation, floating addresses, spoofing and service loops as real packets meet them, in both families.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import type { DataplaneState, LocalEndpoint } from '#calc/dataplane-update';
import { BARE_STATE } from '#calc/dataplane-update';
import type { Family } from '#lib';
import { RouteSocket, writeSysctlInNamespace } from '#linux';
import { endpoint, type Machine, podAddress, stateOf } from './dataplane-router.ts';
import { makeEdge, NODE_ADDRESS, OUTSIDE_ADDRESS } from './dataplane-outside.ts';

const FAMILIES = [4, 6] as const;
const POOLS = ['10.65.0.0/16', 'fd65::/32'];
const OUTSIDE_NETS = ['172.31.0.0/24', 'fd31::/64'];
type PerFamily = Readonly<Record<Family, string>>;

async function ask(from: Machine, to: PerFamily, port: number): Promise<string> {
  const [four, six] = await Promise.all(
    FAMILIES.map((family) => from.probe('tcp', to[family], port)),
  );
  return four !== undefined && four === six ? four : `${four} over IPv4, ${six} over IPv6`;
}

const pod = (number: number): PerFamily => ({ 4: podAddress(number, 4), 6: podAddress(number, 6) });

/** What the machine's connections look like from the other end, one a line. */
function connections(machine: Machine): string {
  return machine.run('cat', '/proc/thread-self/net/nf_conntrack');
}

function removePodRoutes(machine: Machine): void {
  const socket = RouteSocket.open({ namespace: machine.fd });
  for (const route of socket.routes({ protocol: 4 })) socket.deleteRoute(route);
  socket.close();
}

void test('[DP24] what pods of a pool send out has an address of the host, but not among pools', async (t) => {
  const { machine, pods, outside, routes, start } = await makeEdge(t, 2);
  const [one] = pods;
  assert.ok(one);
  const dataplane = start();
  const state = (natOutgoing: DataplaneState['natOutgoing']) =>
    stateOf([endpoint(1), endpoint(2)], [], { natOutgoing });
  removePodRoutes(outside);
  dataplane.apply(state({ sources: [], excluded: [] }));
  assert.equal(await ask(one, OUTSIDE_ADDRESS, 80), 'silent', 'nobody out there knows pods');
  const report = dataplane.apply(state({ sources: POOLS, excluded: POOLS }));
  assert.deepEqual(report.errors, []);
  assert.equal(await ask(one, OUTSIDE_ADDRESS, 80), 'open');
  assert.equal(await ask(one, pod(2), 80), 'open');
  assert.match(connections(machine), /src=10\.65\.0\.2 dst=10\.65\.0\.1 sport=80/, 'as itself');
  dataplane.apply(state({ sources: POOLS, excluded: [...POOLS, ...OUTSIDE_NETS] }));
  assert.equal(await ask(one, OUTSIDE_ADDRESS, 80), 'silent', 'excluded');
  dataplane.apply(state({ sources: POOLS, excluded: POOLS, interfaceName: 'wlan+' }));
  assert.equal(await ask(one, OUTSIDE_ADDRESS, 80), 'silent', 'another interface');
  routes.addAddress('eth0', '172.31.0.77/24');
  const own = { address: '172.31.0.77', ports: [50_000, 50_003] as const, interfaceName: 'eth+' };
  dataplane.apply(state({ sources: POOLS, excluded: POOLS, ...own }));
  assert.equal(await ask(one, OUTSIDE_ADDRESS, 80), 'open');
  assert.match(connections(machine), / dst=172\.31\.0\.77 sport=80 dport=5000[0-3] /);
  assert.equal(start().apply(state({ sources: POOLS, excluded: POOLS, ...own })).writes, 0);
});

void test('[DP25] a floating address leads to its pod, for others, for the host and for the pod itself', async (t) => {
  const { machine, pods, outside, start } = await makeEdge(t, 2);
  const [one, two] = pods;
  assert.ok(one && two);
  const external: PerFamily = { 4: '192.0.2.50', 6: '2001:db8:50::1' };
  const socket = RouteSocket.open({ namespace: outside.fd });
  for (const family of FAMILIES) {
    socket.replaceRoute({
      family,
      destination: `${external[family]}/${family === 4 ? 32 : 128}`,
      gateway: NODE_ADDRESS[family],
      table: 254,
      protocol: 4,
      type: 'unicast',
    });
  }
  socket.close();
  const floatingAddresses = FAMILIES.map((family) => ({
    external: external[family],
    internal: podAddress(1, family),
  }));
  const told: string[] = [];
  const dataplane = start((message) => told.push(message));
  dataplane.apply(stateOf([endpoint(1), endpoint(2)]));
  assert.equal(await ask(outside, external, 80), 'silent');
  const state = stateOf([endpoint(1, { floatingAddresses }), endpoint(2)]);
  assert.deepEqual(dataplane.apply(state).errors, []);
  assert.equal(await ask(outside, external, 80), 'open', 'from outside');
  assert.equal(await ask(two, external, 80), 'open', 'from another pod');
  assert.equal(await ask(machine, external, 80), 'open', 'from the host');
  assert.equal(await ask(one, external, 80), 'open', 'from the pod itself');
  assert.match(machine.run('ip', 'route', 'show', '192.0.2.50'), /dev cali0000000001/);
  dataplane.apply(
    stateOf([endpoint(1, { floatingAddresses }), endpoint(2, { floatingAddresses })]),
  );
  assert.match(
    told.join('\n'),
    /cannot have floating address 192\.0\.2\.50: endpoint default\/pod-1/,
  );
});

void test('[DP26] packets to service addresses that nothing translated do not run in circles', async (t) => {
  const { machine, pods, outside, routes, start } = await makeEdge(t, 1);
  const [one] = pods;
  assert.ok(one);
  const service: PerFamily = { 4: '203.0.113.7', 6: '2001:db8:7::1' };
  writeSysctlInNamespace(outside.fd, 'net/ipv4/ip_forward', 1);
  writeSysctlInNamespace(outside.fd, 'net/ipv6/conf/all/forwarding', 1);
  const there = RouteSocket.open({ namespace: outside.fd });
  for (const family of FAMILIES) {
    const route = {
      family,
      destination: family === 4 ? '203.0.113.0/24' : '2001:db8:7::/64',
      table: 254,
      protocol: 4,
      type: 'unicast',
    } as const;
    there.replaceRoute({ ...route, gateway: NODE_ADDRESS[family] });
    routes.replaceRoute({ ...route, gateway: OUTSIDE_ADDRESS[family] });
  }
  there.close();
  const dataplane = start();
  const nets = ['203.0.113.0/24', '2001:db8:7::/64'];
  const answers = (action: DataplaneState['serviceLoopPrevention']['action'], from: Machine) => {
    const report = dataplane.apply(
      stateOf([endpoint(1)], [], { serviceLoopPrevention: { action, nets } }),
    );
    assert.deepEqual(report.errors, []);
    return FAMILIES.map((family) => pingText(from, service[family]));
  };
  for (const text of answers('Disabled', one)) assert.match(text, /exceeded/, 'a circle');
  for (const text of answers('Drop', one)) assert.doesNotMatch(text, /exceeded|[Ff]rom/);
  for (const text of answers('Reject', one)) assert.match(text, /filtered|prohibited/);
  for (const text of answers('Drop', machine)) assert.doesNotMatch(text, /exceeded|[Ff]rom/);
});

/** All that `ping` says of one echo. */
function pingText(machine: Machine, address: string): string {
  const argv = [`--net=${machine.path}`, 'ping', '-n', '-c', '1', '-W', '1', '-t', '6', address];
  try {
    return execFileSync('nsenter', argv, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: unknown; stderr?: unknown };
    return `${String(stdout)}${String(stderr)}`;
  }
}

void test('[DP27] a pod sends from allowed prefixes besides its own addresses, and from no others', async (t) => {
  const { pods, outside, start } = await makeEdge(t, 1);
  const [one] = pods;
  assert.ok(one);
  const inside = RouteSocket.open({ namespace: one.fd });
  const lengths = { 4: 32, 6: 128 } as const;
  const strays: PerFamily = { 4: '10.65.0.99', 6: 'fd65::99' };
  for (const family of FAMILIES) {
    inside.addAddress('lo', `${strays[family]}/${lengths[family]}`, { noDad: true });
  }
  inside.close();
  const dataplane = start();
  const arrive = (more: Partial<LocalEndpoint>) => {
    assert.deepEqual(dataplane.apply(stateOf([endpoint(1, more)])).errors, []);
    return FAMILIES.map((family) => {
      const before = received(outside, family);
      assert.equal(one.pings(OUTSIDE_ADDRESS[family], '-W', '0.3', '-I', strays[family]), false);
      return received(outside, family) - before;
    });
  };
  assert.deepEqual(arrive({}), [0, 0]);
  assert.deepEqual(arrive({ allowedSources: ['10.65.0.0/24', 'fd65::/64'] }), [1, 1]);
  assert.deepEqual(arrive({ allowedSources: ['10.65.1.0/24', 'fd65:1::/64'] }), [0, 0]);
  assert.ok(one.pings(OUTSIDE_ADDRESS[4]), 'its own address all the time');
});

/** Echo requests that a machine has taken in. */
function received(machine: Machine, family: Family): number {
  const file = family === 4 ? 'snmp' : 'snmp6';
  const text = machine.run('cat', `/proc/thread-self/net/${file}`);
  if (family === 6) return Number(/^Icmp6InEchos\s+(\d+)/m.exec(text)?.[1]);
  const [names = '', values = ''] = text.split('\n').filter((line) => line.startsWith('Icmp:'));
  return Number(values.split(' ')[names.split(' ').indexOf('InEchos')]);
}

void test('[DP28] tunnels that pods make are dropped unless the settings allow them', async (t) => {
  const { pods, start } = await makeEdge(t, 1);
  const [one] = pods;
  assert.ok(one);
  const dataplane = start();
  const settings = { ...BARE_STATE.settings, vxlanPort: 53 };
  dataplane.apply(stateOf([endpoint(1)], [], { settings }));
  assert.equal(await one.probe('udp', OUTSIDE_ADDRESS[4], 53), 'silent', 'the port of VXLAN');
  const allowed = { ...settings, allowVxlanFromWorkloads: true };
  dataplane.apply(stateOf([endpoint(1)], [], { settings: allowed }));
  assert.equal(await one.probe('udp', OUTSIDE_ADDRESS[4], 53), 'open');
});
