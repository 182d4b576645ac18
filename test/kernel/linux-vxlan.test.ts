// VXLAN devices and their forwarding entries against the kernel, with iproute2 as the oracle.
import assert from 'node:assert/strict';
import test from 'node:test';
import { NetlinkError } from '#linux';
import { ip, makeNamespace, run } from './linux-namespaces.ts';

const CASES = [
  { family: 4, parentAddress: '172.31.0.1/24', local: '172.31.0.1', peer: '172.31.0.2' },
  { family: 6, parentAddress: 'fd31::1/64', local: 'fd31::1', peer: 'fd31::2' },
] as const;

void test('VXLAN devices over IPv4 and IPv6 are as iproute2 sees them, and so is where frames go', (t) => {
  for (const { family, parentAddress, local, peer } of CASES) {
    const host = makeNamespace(t);
    host.route.createVeth({ name: 'eth0', peerName: 'eth1' });
    for (const name of ['eth0', 'eth1']) host.route.setUp(name);
    host.route.addAddress('eth0', parentAddress, { noDad: true });
    const parent = host.route.link('eth0');
    host.route.createVxlan({
      name: 'vxlan.calico',
      vni: 4096,
      port: 4789,
      local,
      parent: 'eth0',
      mac: '66:01:02:03:04:05',
      mtu: 1430,
    });
    const link = host.route.link('vxlan.calico');
    assert.equal(link?.mac, '66:01:02:03:04:05');
    assert.equal(link.mtu, 1430);
    const settings = { vni: 4096, port: 4789, local, parent: parent?.index, learning: false };
    assert.deepEqual(link.vxlan, settings, `IPv${family}`);
    const [shown] = ip(host, 'link', 'show', 'dev', 'vxlan.calico') as unknown as [
      { linkinfo: { info_data: Record<string, unknown> } },
    ];
    const data = shown.linkinfo.info_data;
    assert.equal(data['id'], 4096);
    assert.equal(data['port'], 4789);
    assert.equal(data[family === 4 ? 'local' : 'local6'], local);
    assert.equal(data['link'], 'eth0');
    assert.equal(data['learning'], false);

    const entry = { mac: '66:00:00:00:00:09', destination: peer };
    host.route.replaceForwardingEntry('vxlan.calico', { ...entry, destination: local });
    host.route.replaceForwardingEntry('vxlan.calico', entry);
    assert.deepEqual(host.route.forwardingEntries('vxlan.calico'), [entry]);
    const table = run(host, 'bridge', 'fdb', 'show', 'dev', 'vxlan.calico');
    assert.match(table, new RegExp(`66:00:00:00:00:09 dst ${peer} self permanent`));
    assert.ok(host.route.deleteForwardingEntry('vxlan.calico', entry));
    assert.equal(host.route.deleteForwardingEntry('vxlan.calico', entry), false);
    assert.deepEqual(host.route.forwardingEntries('vxlan.calico'), []);
    assert.deepEqual(host.route.forwardingEntries('gone'), []);
    assert.throws(
      () => host.route.replaceForwardingEntry('gone', entry),
      (error) => error instanceof NetlinkError && error.code === 'ENODEV',
    );
  }
});
