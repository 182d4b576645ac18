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
