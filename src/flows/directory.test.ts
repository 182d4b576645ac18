// Addresses get the names of their owners, whatever order these were heard of in.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Resource } from '#api';
import { Directory } from './directory.ts';
import { DB, directory, networkSet, pod, resource, update, WEB } from './flow-fixture.ts';

const named = (it: Directory, address: string, viewer?: string) => {
  const { type, namespace, name } = it.resolve(address, viewer);
  return `${type} ${namespace ?? ''}/${name}`;
};

test('pods come before hosts, hosts before network sets, and these before networks', () => {
  const it = directory(networkSet('everything', '0.0.0.0/0', '::/0'));
  assert.deepEqual(it.resolve(WEB), {
    type: 'workload',
    namespace: 'shop',
    name: 'web',
    address: WEB,
    labels: { app: 'web' },
  });
  assert.equal(named(it, '172.16.0.1'), 'host /one');
  assert.equal(named(it, '8.8.8.8'), 'network-set /everything');
  assert.equal(named(it, '2001:db8::1'), 'network-set /everything');
});

test('an address of nobody is public or private', () => {
  const it = new Directory();
  for (const address of [
    '10.1.1.1',
    '172.31.0.1',
    '192.168.1.1',
    '127.0.0.1',
    'fd00::1',
    'fe80::1',
  ]) {
    assert.equal(named(it, address), 'network /pvt', address);
  }
  for (const address of ['8.8.8.8', '172.32.0.1', '2001:db8::1', 'nonsense']) {
    assert.equal(named(it, address), 'network /pub', address);
  }
});

test('network sets: longest prefix, then own namespace, global, others, then name', () => {
  const it = directory(
    networkSet('wide', '192.0.0.0/8'),
    networkSet('partners', '192.0.2.0/24'),
    networkSet('shop/ours', '192.0.2.7/24'),
    networkSet('data/theirs', '192.0.2.0/24'),
    networkSet('data/single', '192.0.2.1/32'),
  );
  assert.equal(named(it, '192.0.2.9', 'shop'), 'network-set shop/ours');
  assert.equal(named(it, '192.0.2.9', 'data'), 'network-set data/theirs');
  assert.equal(named(it, '192.0.2.9', 'else'), 'network-set /partners');
  assert.equal(named(it, '192.0.2.9'), 'network-set /partners');
  assert.equal(named(it, '192.0.2.1', 'shop'), 'network-set data/single');
  assert.equal(named(it, '192.1.1.1'), 'network-set /wide');
});

test('finished pods and pods on the host network have no address of their own', () => {
  const done = pod('shop/done', '10.0.1.9', 'one');
  const onHost = pod('shop/agent', '172.16.0.1', 'one');
  const it = directory(
    {
      ...done,
      status: { ...(done as { status?: object }).status, phase: 'Succeeded' },
    } as Resource,
    { ...onHost, spec: { hostNetwork: true, nodeName: 'one', containers: [] } } as Resource,
  );
  assert.equal(named(it, '10.0.1.9'), 'network /pvt');
  assert.equal(named(it, '172.16.0.1'), 'host /one');
});

test('of two pods with one address the later created counts, and the other when it goes', () => {
  const at = (name: string, creationTimestamp: string) =>
    resource('v1', 'Pod', name, {
      metadata: { creationTimestamp },
      spec: { nodeName: 'one', containers: [] },
      status: { podIPs: [{ ip: '10.0.1.9' }] },
    });
  const old = at('shop/b', '2026-01-01T00:00:00Z');
  const young = at('shop/a', '2026-01-02T00:00:00Z');
  const it = directory(young, old);
  assert.equal(named(it, '10.0.1.9'), 'workload shop/a');
  it.onUpdates([update(young, true)]);
  assert.equal(named(it, '10.0.1.9'), 'workload shop/b');
});

test('the node of a pod is known by its address', () => {
  const it = directory();
  assert.equal(it.podNode(DB), 'two');
  assert.equal(it.podNode('172.16.0.1'), undefined);
});

test('property: only the present resources count', () => {
  const one = fc.constantFrom(
    pod('shop/a', '10.0.0.1', 'one'),
    pod('shop/a', '10.0.0.2,10.0.0.1', 'one'),
    pod('shop/b', '10.0.0.2', 'one'),
    networkSet('s', '10.0.0.0/24'),
    networkSet('s', '10.0.0.0/24', '10.0.0.0/30', '10.0.0.0/24'),
    networkSet('shop/t', '10.0.0.0/30'),
  );
  const steps = fc.array(fc.tuple(one, fc.boolean()), { maxLength: 25 });
  fc.assert(
    fc.property(steps, (list) => {
      const updates = list.map(([it, gone]) => update(it, gone));
      const walked = new Directory();
      for (const it of updates) walked.onUpdates([it]);
      const last = [...new Map(updates.map((it) => [it.key, it])).values()];
      const direct = new Directory();
      direct.onUpdates(last.filter((it) => it.resource).reverse());
      for (const address of ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.9', '10.0.1.1']) {
        assert.deepEqual(walked.resolve(address, 'shop'), direct.resolve(address, 'shop'));
      }
    }),
  );
});

test('pods of one owner share a name for all of them', () => {
  const owned = (name: string, metadata: object) =>
    resource('v1', 'Pod', `shop/${name}`, {
      metadata,
      spec: { nodeName: 'one', containers: [] },
      status: { podIPs: [{ ip: '10.0.9.9' }] },
    });
  const aggregate = (metadata: object) => {
    const it = directory(owned('web-7d9f8-abcde', metadata));
    return it.resolve('10.0.9.9').aggregate;
  };
  const owner = { apiVersion: 'apps/v1', kind: 'StatefulSet', name: 'web', uid: 'u' };
  assert.equal(aggregate({ generateName: 'web-7d9f8-' }), 'web-7d9f8-*');
  assert.equal(aggregate({ ownerReferences: [{ ...owner, controller: true }] }), 'web-*');
  assert.equal(aggregate({ ownerReferences: [owner] }), undefined);
  assert.equal(aggregate({}), undefined);
});

test('host endpoints are ends by their addresses, or by all of their node', () => {
  const endpoint = (name: string, spec: object) =>
    resource('projectcalico.org/v3', 'HostEndpoint', name, {
      metadata: { labels: { name } },
      spec,
    });
  const it = directory(
    endpoint('eth0', { node: 'one', interfaceName: 'eth0', expectedIPs: ['172.16.9.1'] }),
    endpoint('two-all', { node: 'two', interfaceName: '*' }),
  );
  const { type, name, aggregate, labels } = it.resolve('172.16.9.1');
  assert.deepEqual([type, name, aggregate, labels], ['host', 'eth0', 'one', { name: 'eth0' }]);
  assert.equal(named(it, '172.16.0.1'), 'host /one');
  assert.equal(named(it, '172.16.0.2'), 'host /two-all');
  const { endpoints, networkSets } = it.counts;
  it.onUpdates([update(endpoint('two-all', {}), true), update(networkSet('all', '0.0.0.0/0'))]);
  assert.deepEqual(it.counts, {
    endpoints: endpoints - 1,
    networkSets: networkSets + 1,
    services: 0,
  });
  assert.equal(named(it, '172.16.0.2'), 'host /two');
});

test('services are found by the address called, else by their endpoints', () => {
  const it = new Directory();
  const ports = [{ name: 'web', port: 80, targetPort: 8080 }];
  const service = resource('v1', 'Service', 'shop/web', {
    spec: { clusterIP: '10.96.0.1', clusterIPs: ['10.96.0.1', 'fd00:96::0001'], ports },
    status: { loadBalancer: { ingress: [{ ip: '203.0.113.1' }] } },
  });
  const slice = resource('discovery.k8s.io/v1', 'EndpointSlice', 'shop/web-1', {
    metadata: { labels: { 'kubernetes.io/service-name': 'web' } },
    endpoints: [{ addresses: ['10.0.1.1'] }],
    ports: [{ name: 'web', port: 8080 }],
  });
  const find = (address: string, port: number, protocol = 'tcp') =>
    it.services.find({ address, port }, { address: '10.0.1.1', port: 8080 }, protocol);
  it.onUpdates([update(slice)]);
  const web = { namespace: 'shop', name: 'web', portName: 'web' };
  assert.deepEqual(find('10.0.1.1', 8080), { ...web, port: 8080 }, 'its service is not known yet');
  it.onUpdates([update(service)]);
  for (const address of ['10.96.0.1', 'fd00:96::1', '203.0.113.1']) {
    assert.deepEqual(find(address, 80), { ...web, port: 80 }, address);
  }
  assert.deepEqual(find('10.0.1.1', 8080), { ...web, port: 80 });
  assert.equal(find('10.96.0.1', 80, 'udp'), undefined);
  it.onUpdates([update(slice, true)]);
  assert.equal(find('10.0.1.1', 8080), undefined);
});
