// Tests of the addresses that a node has on its tunnels.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IPPool } from '#api';
import { compareCodePoints } from '#lib';
import { BlockAllocator } from './block-allocator.ts';
import { selectsEverything } from './pools.ts';
import { type MemoryStore, pool, storeWith } from './store-fixture.ts';
import { reconcileTunnels, type TunnelInputs, tunnelHandle } from './tunnel-addresses.ts';

function reconcile(store: MemoryStore, more: Partial<TunnelInputs> = {}) {
  const allocator = new BlockAllocator({ client: store, nodeName: 'a' });
  const pools = store.of('IPPool') as IPPool[];
  const inputs = { nodeName: 'a', pools, poolSelects: selectsEverything, wireguard: [], ...more };
  return reconcileTunnels(allocator, inputs);
}

void test('[IP25] handles are named as upstream names them', () => {
  assert.deepEqual(
    (['ipip', 'vxlan', 'vxlan-v6', 'wireguard', 'wireguard-v6'] as const).map((type) =>
      tunnelHandle(type, 'a'),
    ),
    [
      'ipip-tunnel-addr-a',
      'vxlan-tunnel-addr-a',
      'vxlan-v6-tunnel-addr-a',
      'wireguard-tunnel-addr-a',
      'wireguard-v6-tunnel-addr-a',
    ],
  );
});

void test('[IP25] an address for each tunnel that a pool of the node wants, kept while it is right', async () => {
  const store = storeWith(
    pool('ipip', '10.1.0.0/24', { ipipMode: 'Always' }),
    pool('vxlan', '10.2.0.0/24', { vxlanMode: 'CrossSubnet' }),
    pool('elsewhere', '10.3.0.0/24', { vxlanMode: 'Always', nodeSelector: '!all()' }),
    pool('pods', '10.4.0.0/24', { vxlanMode: 'Always', allowedUses: ['Workload'] }),
    pool('v6', 'fd00::/112', { vxlanMode: 'Always' }),
  );
  const first = await reconcile(store, { wireguard: [6] });
  assert.deepEqual(first.problems, []);
  const starts = Object.entries(first.annotations).map(([key, address]) => [
    key.replace('projectcalico.org/', ''),
    address === null ? null : address.slice(0, 5),
  ]);
  assert.deepEqual(Object.fromEntries(starts), {
    IPv4IPIPTunnelAddr: '10.1.',
    IPv4VXLANTunnelAddr: '10.2.',
    IPv6VXLANTunnelAddr: 'fd00:',
    IPv4WireguardInterfaceAddr: null,
    IPv6WireguardInterfaceAddr: 'fd00:',
  });
  const writes = store.writes;
  assert.deepEqual(await reconcile(store, { wireguard: [6] }), first);
  assert.equal(store.writes, writes, 'nothing changed, nothing was written');
  store.put(pool('ipip', '10.1.0.0/24', { ipipMode: 'Never' }));
  store.put(pool('vxlan', '10.2.0.0/24', { vxlanMode: 'Always', disabled: true }));
  store.put(pool('next', '10.5.0.0/24', { vxlanMode: 'Always' }));
  const { annotations } = await reconcile(store);
  assert.equal(annotations['projectcalico.org/IPv4IPIPTunnelAddr'], null);
  assert.match(String(annotations['projectcalico.org/IPv4VXLANTunnelAddr']), /^10\.5\./);
  assert.equal(annotations['projectcalico.org/IPv6WireguardInterfaceAddr'], null);
  const allocator = new BlockAllocator({ client: store, nodeName: 'a' });
  const held = (await allocator.allocations()).map(({ attributes }) => String(attributes['type']));
  assert.deepEqual(held.toSorted(compareCodePoints), [
    'vxlanTunnelAddress',
    'vxlanV6TunnelAddress',
  ]);
});

void test('[IP25] an allocation of the handle with other attributes is freed; a shortage is told', async () => {
  const store = storeWith(pool('vxlan', '10.2.0.0/32', { blockSize: 32, vxlanMode: 'Always' }));
  const allocator = new BlockAllocator({ client: store, nodeName: 'a' });
  const attributes: Record<string, string> = {};
  await allocator.assign({ handle: tunnelHandle('vxlan', 'a'), attributes });
  const right = await reconcile(store);
  assert.equal(right.annotations['projectcalico.org/IPv4VXLANTunnelAddr'], '10.2.0.0');
  assert.equal((await allocator.allocations())[0]?.attributes['type'], 'vxlanTunnelAddress');
  const other = new BlockAllocator({ client: store, nodeName: 'b' });
  const full = await reconcileTunnels(other, {
    nodeName: 'b',
    pools: store.of('IPPool') as IPPool[],
    poolSelects: selectsEverything,
    wireguard: [],
  });
  assert.match(full.problems.join(), /"vxlan-tunnel-addr-b": IPPool "vxlan" has no free address/);
  assert.equal('projectcalico.org/IPv4VXLANTunnelAddr' in full.annotations, false);
});
