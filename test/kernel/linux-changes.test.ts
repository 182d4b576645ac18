// What others change is heard, and what is our own is not: routes, addresses, links, nftables.
import assert from 'node:assert/strict';
import test from 'node:test';
import { ChangeMonitor, NftablesSocket, type KernelChanges } from '#linux';
import { makeNamespace, run } from './linux-namespaces.ts';

const NOTHING: KernelChanges = {
  routes: false,
  addresses: false,
  links: false,
  settings: false,
  table: false,
};

void test('changes of other processes are heard, each as what it is, and our own are not', (t) => {
  const host = makeNamespace(t);
  const own = host.route;
  const nftables = NftablesSocket.open({ namespace: host.fd });
  t.after(() => nftables.close());
  const monitor = ChangeMonitor.open({
    namespace: host.fd,
    table: 'ours',
    protocol: 80,
    routesTo: () => ['cali'],
    links: new Set(['vxlan.calico']),
    own: { routes: own.port, nftables: nftables.port },
  });
  t.after(() => monitor.close());
  own.createVeth({ name: 'eth0', peerName: 'eth1' });
  own.setUp('eth0');
  own.setUp('eth1');
  own.addAddress('eth0', '192.0.2.1/24');
  const route = {
    family: 4,
    destination: '198.51.100.0/24',
    gateway: '192.0.2.9',
    table: 254,
    protocol: 80,
    type: 'unicast',
  } as const;
  own.replaceRoute(route);
  nftables.commit([
    { kind: 'add-table', table: 'ours' },
    { kind: 'add-chain', table: 'ours', chain: 'a' },
  ]);
  const mine = monitor.read();
  // Addresses that the kernel gives an interface by itself are news too.
  assert.deepEqual({ ...mine, addresses: false }, NOTHING);

  run(host, 'ip', 'route', 'add', '198.51.101.0/24', 'via', '192.0.2.9');
  run(host, 'nft', 'add', 'table', 'inet', 'theirs');
  assert.deepEqual({ ...monitor.read(), addresses: false }, NOTHING, "others' own affairs");
  run(host, 'ip', 'route', 'del', '198.51.100.0/24');
  assert.equal(monitor.read().routes, true);
  run(host, 'ip', 'address', 'add', '192.0.2.2/24', 'dev', 'eth0');
  assert.deepEqual(monitor.read(), { ...NOTHING, addresses: true });
  run(host, 'nft', 'add', 'rule', 'inet', 'ours', 'a', 'accept');
  assert.deepEqual(monitor.read(), { ...NOTHING, table: true });
  run(host, 'ip', 'link', 'add', 'vxlan.calico', 'type', 'vxlan', 'id', '1', 'dstport', '4789');
  assert.equal(monitor.read().links, true);
  for (const verb of ['add', 'del']) {
    const [first, second] = ['02:00:00:00:00:01', '02:00:00:00:00:02'];
    run(host, 'ip', 'neigh', verb, '192.0.2.77', 'lladdr', first, 'dev', 'vxlan.calico');
    const isLink = { ...NOTHING, links: true };
    assert.deepEqual({ ...monitor.read(), addresses: false }, isLink, `neighbour ${verb}`);
    run(host, 'bridge', 'fdb', verb, second, 'dev', 'vxlan.calico', 'dst', '192.0.2.9');
    assert.deepEqual({ ...monitor.read(), addresses: false }, isLink, `entry ${verb}`);
  }
  run(host, 'ip', 'neigh', 'add', '192.0.2.78', 'lladdr', '02:00:00:00:00:03', 'dev', 'eth0');
  assert.deepEqual({ ...monitor.read(), addresses: false }, NOTHING, 'neighbours elsewhere');
  own.createVeth({ name: 'cali1', peerName: 'cali2' });
  own.setUp('cali1');
  own.setUp('cali2');
  monitor.read();
  run(host, 'ip', 'route', 'add', '198.51.102.0/24', 'dev', 'cali1', 'table', '7');
  assert.deepEqual({ ...monitor.read(), addresses: false }, NOTHING, 'of another table');
  run(host, 'ip', 'route', 'add', '198.51.102.0/24', 'dev', 'cali1');
  assert.deepEqual({ ...monitor.read(), addresses: false }, { ...NOTHING, routes: true });
  for (const name of ['net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding']) {
    for (const value of [1, 0]) run(host, 'sysctl', '-q', '-w', `${name}=${value}`);
    assert.equal(monitor.read().settings, true, name);
  }
  run(host, 'sysctl', '-q', '-w', 'net.ipv4.conf.cali1.proxy_arp=1');
  assert.equal(monitor.read().settings, false, 'of one interface');
  run(host, 'nft', 'flush', 'ruleset');
  assert.equal(monitor.read().table, true);
  assert.deepEqual(monitor.read(), NOTHING);
});
