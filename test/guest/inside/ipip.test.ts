// IPIP between two nodes, on a kernel that can wrap so: run by guest.test.ts, in a guest.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { DataplaneState, HostRoute } from '#calc/dataplane-update';
import {
  attachPod,
  endpoint,
  Machine,
  makeRouter,
  podAddress,
  type Router,
  stateOf,
} from '../../kernel/dataplane-router.ts';
import { hostEndpoint } from '../../kernel/dataplane-outside.ts';

const DEVICE = 'tunl0';
const underlay = (node: number) => `172.31.0.${node}`;
const onTunnel = (node: number) => `10.66.0.${node}`;

/** Node 1 has pod 1 and node 2 has pod 2; a wire is between them. */
function stateOfNode(node: number, more: Partial<DataplaneState> = {}): DataplaneState {
  const other = 3 - node;
  const routes = [podAddress(other, 4), onTunnel(other)].map(
    (address): HostRoute => ({
      destination: `${address}/32`,
      gateway: underlay(other),
      by: 'ipip',
    }),
  );
  const ipip = { mtu: 0, address: onTunnel(node), peers: [underlay(other)] };
  return stateOf([endpoint(node)], [], { routes, ipip, ...more });
}

async function makePair(t: TestContext): Promise<readonly [Router, Router, Machine]> {
  const one = await makeRouter(t, 0);
  const two = await makeRouter(t, 0);
  one.routes.createVeth({ name: 'eth0', peerName: 'eth0', peerNamespace: two.machine.fd });
  const pods = [one, two].map(({ machine, routes }, index) => {
    routes.setUp('eth0');
    routes.addAddress('eth0', `${underlay(index + 1)}/24`);
    const pod = new Machine(t);
    attachPod(machine, routes, pod, index + 1);
    return pod;
  });
  assert.ok(pods[0]);
  return [one, two, pods[0]];
}

/** Packets that have come out of the node's tunnel. */
function unwrapped({ machine }: Router): number {
  const text = machine.run('ip', '-s', '-j', 'link', 'show', 'dev', DEVICE);
  const [link] = JSON.parse(text) as [{ stats64: { rx: { packets: number } } }];
  return link.stats64.rx.packets;
}

test('[DP82] pods and hosts of two nodes reach each other through IPIP, from nodes alone', async (t) => {
  const [one, two, pod] = await makePair(t);
  const dataplanes = [one.start(), two.start()];
  for (const [index, dataplane] of dataplanes.entries()) {
    const { errors, pending } = dataplane.apply(stateOfNode(index + 1));
    assert.deepEqual([errors, pending], [[], []]);
  }
  const link = one.routes.link(DEVICE);
  assert.deepEqual([link?.kind, link?.mtu, link?.up], ['ipip', 1480, true]);
  assert.ok(pod.pings(podAddress(2, 4)), 'pod to pod');
  assert.ok(unwrapped(two) > 0, 'through the tunnel');
  assert.ok(
    one.machine.pings(podAddress(2, 4), '-I', underlay(1)),
    'the host, whatever it is bound to',
  );
  assert.ok(two.machine.pings(onTunnel(1)), 'the tunnel address');
  const again = one.start().apply(stateOfNode(1));
  assert.equal(again.writes, 0, 'found again without memory');

  const [dataplane, other] = dataplanes;
  const closed = hostEndpoint({ interfaceName: 'eth0' });
  const hostEndpoints = new Map([[closed.id, closed]]);
  other?.apply(stateOfNode(2, { hostEndpoints }));
  assert.ok(pod.pings(podAddress(2, 4)), 'a host endpoint lets wrapped packets of nodes in');
  const strangers = { mtu: 0, address: onTunnel(2), peers: ['172.31.0.99'] };
  other?.apply(stateOfNode(2, { ipip: strangers }));
  assert.ok(!pod.pings(podAddress(2, 4)), 'and those of nobody else');
  const usual = stateOfNode(2);
  other?.apply(usual);

  two.machine.run('ip', 'link', 'set', DEVICE, 'down');
  assert.deepEqual(other?.apply(usual).repaired.slice(0, 1), [`interface ${DEVICE}: it was down`]);
  assert.ok(pod.pings(podAddress(2, 4)), 'repaired');
  const narrower = stateOfNode(1, { ipip: { mtu: 1300, address: null, peers: [] } });
  dataplane?.apply(narrower);
  assert.equal(one.routes.link(DEVICE)?.mtu, 1300);
  dataplane?.apply(stateOfNode(1, { ipip: null, routes: [] }));
  assert.equal(one.routes.link(DEVICE)?.up, false, 'what nobody wants is down');
});
