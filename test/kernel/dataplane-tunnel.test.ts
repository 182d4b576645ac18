// VXLAN between two nodes as their pods meet it: made, used, repaired and taken away, in both families.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { BARE_STATE } from '#calc/dataplane-update';
import type { DataplaneState, HostRoute, VxlanPeer, VxlanTunnel } from '#calc/dataplane-update';
import type { Family } from '#lib';
import { RouteSocket, writeSysctlInNamespace } from '#linux';
import {
  attachPod,
  endpoint,
  Machine,
  makeRouter,
  podAddress,
  stateOf,
} from './dataplane-router.ts';
import type { Router } from './dataplane-router.ts';
import { hostEndpoint } from './dataplane-outside.ts';

const FAMILIES = [4, 6] as const;
const DEVICE = { 4: 'vxlan.calico', 6: 'vxlan-v6.calico' } as const;
const BITS = { 4: 32, 6: 128 } as const;

/** Node 1 has pod 1 and node 2 has pod 2; between them is a wire with a network of its own. */
const underlay = (node: number, family: Family) =>
  family === 4 ? `172.31.0.${node}` : `fd31::${node}`;
const onTunnel = (node: number, family: Family) =>
  family === 4 ? `10.66.0.${node}` : `fd66::${node}`;
const mac = (node: number, family: Family) => `66:00:00:00:0${family}:0${node}`;

function peer(node: number, family: Family): VxlanPeer {
  const address = onTunnel(node, family);
  return { node: `n${node}`, address, mac: mac(node, family), underlay: underlay(node, family) };
}

function tunnel(node: number, family: Family, more: Partial<VxlanTunnel> = {}): VxlanTunnel {
  const { address, mac: own, underlay: local } = peer(node, family);
  const peers = [peer(3 - node, family)];
  const base = { family, vni: 4096, port: 4789, mtu: 0, address, mac: own, underlay: local, peers };
  return { ...base, ...more };
}

/** The routes of a node to the other's pod and tunnel address. */
function routesOf(node: number, by?: 'vxlan'): HostRoute[] {
  const other = 3 - node;
  return FAMILIES.flatMap((family) => {
    const gateway = by ? onTunnel(other, family) : underlay(other, family);
    return [podAddress(other, family), onTunnel(other, family)].map((address) => ({
      destination: `${address}/${BITS[family]}`,
      gateway,
      ...(by && { by }),
    }));
  });
}

function stateOfNode(node: number, more: Partial<DataplaneState> = {}): DataplaneState {
  const tunnels = FAMILIES.map((family) => tunnel(node, family));
  return stateOf([endpoint(node)], [], { tunnels, routes: routesOf(node, 'vxlan'), ...more });
}

interface Pair {
  readonly routers: readonly [Router, Router];
  readonly pods: readonly [Machine, Machine];
}

async function makePair(t: TestContext): Promise<Pair> {
  const routers: [Router, Router] = [await makeRouter(t, 0), await makeRouter(t, 0)];
  const pods: [Machine, Machine] = [new Machine(t), new Machine(t)];
  const [one, two] = routers;
  one.routes.createVeth({ name: 'eth0', peerName: 'eth0', peerNamespace: two.machine.fd });
  for (const [index, { machine, routes }] of routers.entries()) {
    writeSysctlInNamespace(machine.fd, 'net/ipv6/conf/eth0/accept_dad', 0);
    routes.setUp('eth0');
    routes.addAddress('eth0', `${underlay(index + 1, 4)}/24`);
    routes.addAddress('eth0', `${underlay(index + 1, 6)}/64`, { noDad: true });
    const [pod] = pods.slice(index, index + 1);
    assert.ok(pod);
    attachPod(machine, routes, pod, index + 1);
    await pod.start();
  }
  return { routers, pods };
}

/** Packets that have come out of a node's tunnel. */
function unwrapped({ machine }: Router, family: Family): number {
  const text = machine.run('ip', '-s', '-j', 'link', 'show', 'dev', DEVICE[family]);
  const [link] = JSON.parse(text) as [{ stats64: { rx: { packets: number } } }];
  return link.stats64.rx.packets;
}

void test('[DP29] pods of two nodes reach each other through the tunnel, and so does the host', async (t) => {
  const { routers, pods } = await makePair(t);
  const [one, two] = routers;
  const dataplanes = [one.start(), two.start()] as const;
  for (const [index, dataplane] of dataplanes.entries()) {
    const report = dataplane.apply(stateOfNode(index + 1));
    assert.deepEqual(report.errors, []);
    assert.deepEqual(report.pending, []);
  }
  for (const family of FAMILIES) {
    const before = unwrapped(two, family);
    assert.equal(await pods[0].probe('tcp', podAddress(2, family), 80), 'open', `IPv${family}`);
    assert.ok(unwrapped(two, family) > before + 2, 'through the tunnel');
    assert.equal(await one.machine.probe('tcp', podAddress(2, family), 80), 'open', 'the host');
    assert.ok(pods[0].pings(podAddress(2, family), '-M', 'do', '-s', '1380'), 'big packets');
    const mtu = 1500 - (family === 4 ? 50 : 70);
    assert.equal(one.routes.link(DEVICE[family])?.mtu, mtu);
  }
  assert.equal(one.start().apply(stateOfNode(1)).writes, 0, 'a restart finds it as it is');

  const across = stateOfNode(1, { routes: routesOf(1) });
  assert.deepEqual(dataplanes[0].apply(across).errors, []);
  dataplanes[1].apply(stateOfNode(2, { routes: routesOf(2) }));
  const before = unwrapped(two, 4);
  assert.equal(await pods[0].probe('tcp', podAddress(2, 4), 80), 'open');
  assert.equal(unwrapped(two, 4), before, 'a plain route does without the tunnel');
  dataplanes[0].apply(stateOfNode(1, { tunnels: [], routes: [] }));
  assert.equal(one.routes.link(DEVICE[4]), undefined, 'nothing is left');
  assert.equal(one.routes.link(DEVICE[6]), undefined);
});

void test('[DP30] what others do to tunnels and routes is undone and said', async (t) => {
  const { routers, pods } = await makePair(t);
  const [one, two] = routers;
  const state = stateOfNode(1);
  const dataplane = one.start();
  dataplane.apply(state);
  two.start().apply(stateOfNode(2));
  const reaches = () => pods[0].probe('tcp', podAddress(2, 4), 80);
  assert.equal(await reaches(), 'open');
  assert.deepEqual(dataplane.apply(state).repaired, []);

  one.machine.run('ip', 'route', 'del', '10.65.0.2');
  assert.deepEqual(dataplane.apply(state).repaired, ['route 10.65.0.2/32']);
  one.machine.run('ip', 'link', 'del', DEVICE[4]);
  assert.notEqual(await reaches(), 'open');
  const { repaired } = dataplane.apply(state);
  assert.match(repaired.join(', '), /vxlan\.calico: it was not there.*route 10\.65\.0\.2\/32/);
  assert.equal(await reaches(), 'open');

  writeSysctlInNamespace(one.machine.fd, 'net/ipv4/ip_forward', 0);
  one.machine.run('bridge', 'fdb', 'del', mac(2, 4), 'dev', DEVICE[4]);
  one.machine.run('ip', 'neigh', 'del', onTunnel(2, 4), 'dev', DEVICE[4]);
  one.machine.run('ip', 'link', 'set', DEVICE[4], 'mtu', '1300', 'address', '66:00:00:00:99:99');
  one.machine.run('ip', 'address', 'add', '10.66.9.9/32', 'dev', DEVICE[4]);
  dataplane.resync();
  const all = dataplane.apply(state).repaired.join(', ');
  for (const part of [
    'sysctl net/ipv4/ip_forward',
    'way to',
    'neighbour',
    'MTU',
    'MAC address',
    'address 10.66.9.9',
  ]) {
    assert.match(all, new RegExp(part));
  }
  assert.equal(await reaches(), 'open');
  assert.equal(one.routes.link(DEVICE[4])?.mtu, 1450);
  dataplane.resync();
  assert.deepEqual(dataplane.apply(state).repaired, []);
});

void test('[DP31] the settings of a tunnel are those of its device, and a new peer is known at once', async (t) => {
  const { routers } = await makePair(t);
  const [{ machine, routes, start }] = routers;
  const dataplane = start();
  dataplane.apply(stateOfNode(1));
  const before = routes.link(DEVICE[4]);
  const third = { ...peer(2, 4), node: 'n3', address: '10.66.0.3', mac: '66:00:00:00:04:03' };
  const wider = tunnel(1, 4, { peers: [peer(2, 4), third], mtu: 1400 });
  assert.deepEqual(dataplane.apply(stateOfNode(1, { tunnels: [wider] })).errors, []);
  const link = routes.link(DEVICE[4]);
  assert.equal(link?.index, before?.index, 'in place');
  assert.equal(link?.mtu, 1400);
  assert.match(machine.run('ip', 'neigh', 'show', 'dev', DEVICE[4]), /10\.66\.0\.3 lladdr/);
  assert.equal(routes.forwardingEntries(DEVICE[4]).length, 2);
  assert.equal(routes.link(DEVICE[6]), undefined, 'the other family has gone');
  assert.equal(routes.checksumOffload(DEVICE[4]), false, 'as Calico has it');
  const settings = { ...BARE_STATE.settings, checksumOffload: true };
  dataplane.apply(stateOfNode(1, { tunnels: [wider], settings }));
  assert.equal(routes.checksumOffload(DEVICE[4]), true);
  routes.setChecksumOffload(DEVICE[4], false);
  dataplane.resync();
  const again = stateOfNode(1, { tunnels: [wider], settings });
  const { repaired } = dataplane.apply(again);
  assert.equal(routes.checksumOffload(DEVICE[4]), true);
  assert.deepEqual(repaired, [`interface ${DEVICE[4]}: its checksum offload`]);
  const moved = tunnel(1, 4, { vni: 77, port: 8472 });
  dataplane.apply(stateOfNode(1, { tunnels: [moved] }));
  const vxlan = routes.link(DEVICE[4])?.vxlan;
  assert.deepEqual([vxlan?.vni, vxlan?.port], [77, 8472]);
  assert.equal(routes.forwardingEntries(DEVICE[4]).length, 1);
  const lost = tunnel(1, 4, { underlay: '172.31.0.99' });
  const { errors } = dataplane.apply(stateOfNode(1, { tunnels: [lost] }));
  assert.match(
    errors.map(({ message }) => message).join(),
    /no interface of this host has 172\.31\.0\.99/,
  );
});

void test('[DP32] host endpoints let wrapped packets of the other nodes in and out, and of nobody else', async (t) => {
  const { routers, pods } = await makePair(t);
  const [one, two] = routers;
  const closed = { hostEndpoints: new Map([['all', hostEndpoint({ interfaceName: '*' })]]) };
  one.start().apply(stateOfNode(1, closed));
  two.start().apply(stateOfNode(2));
  const reaches = () => pods[0].probe('tcp', podAddress(2, 4), 80);
  assert.equal(await reaches(), 'open');
  assert.equal(await two.machine.probe('udp', underlay(1, 4), 53), 'silent', 'the host is closed');
  const outsider = RouteSocket.open({ namespace: two.machine.fd });
  outsider.addAddress('eth0', '172.31.0.200/24');
  outsider.close();
  const strangers = stateOfNode(2, {
    tunnels: FAMILIES.map((family) =>
      tunnel(2, family, family === 4 ? { underlay: '172.31.0.200' } : {}),
    ),
  });
  two.start().apply(strangers);
  assert.notEqual(await reaches(), 'open', 'from an address that no node has');
  const dataplane = one.start();
  dataplane.apply(stateOfNode(1));
  assert.notEqual(await reaches(), 'open', 'without host endpoints too');
  const settings = { ...BARE_STATE.settings, externalNodes: ['172.31.0.192/26'] };
  dataplane.apply(stateOfNode(1, { settings }));
  assert.equal(await reaches(), 'open', 'an external node');
});

void test('[DP82] where the kernel cannot make an IPIP device that is said, and all else is done', async (t) => {
  const { routers, pods } = await makePair(t);
  const [{ start, routes }] = routers;
  const dataplane = start();
  const ipip = { mtu: 0, address: '10.66.0.1', peers: ['172.31.0.2'] };
  const route = { destination: '10.65.9.0/26', gateway: '172.31.0.2', by: 'ipip' } as const;
  const state = stateOfNode(1, { ipip, routes: [...routesOf(1, 'vxlan'), route] });
  const { errors, pending } = dataplane.apply(state);
  const isMade = routes.link('tunl0') !== undefined;
  const told = errors.map(({ what }) => what);
  assert.deepEqual(told, isMade ? [] : ['tunnel tunl0']);
  assert.deepEqual(pending, isMade ? [] : ['10.65.9.0/26 on tunl0']);
  assert.deepEqual(
    dataplane.apply(state).errors.map(({ what }) => what),
    told,
    'not forgotten',
  );
  routers[1].start().apply(stateOfNode(2));
  assert.equal(await pods[0].probe('tcp', podAddress(2, 4), 80), 'open');
});
