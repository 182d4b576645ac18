// Pools are chosen by the labels of the node and of the pod's namespace, and bad selectors choose nothing.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type IPPool, kindOf, type Resource } from '#api';
import { PoolSelection } from './pool-selection.ts';

function update(kindName: string, name: string, labels: Record<string, string> | undefined) {
  const kind = kindOf('v1', kindName);
  assert.ok(kind);
  const resource = { apiVersion: 'v1', kind: kindName, metadata: { name, labels } } as Resource;
  return { kind, key: `v1/${kindName} ${name}`, resource: labels && resource };
}

function pool(spec: object): IPPool {
  return {
    apiVersion: 'projectcalico.org/v3',
    kind: 'IPPool',
    metadata: { name: 'pool' },
    spec: { cidr: '10.0.0.0/16', ...spec },
  };
}

test('a pool serves where both its selectors match what is known now', () => {
  const selection = new PoolSelection('node-1');
  const rack = pool({ nodeSelector: 'rack == "a"', namespaceSelector: 'team == "red"' });
  assert.equal(selection.node(rack), undefined, 'the node is not known yet');
  assert.equal(selection.namespace(rack, { namespace: 'shop' }), false);
  selection.onUpdates([
    update('Node', 'node-1', { rack: 'a' }),
    update('Node', 'node-2', { rack: 'b' }),
    update('Namespace', 'shop', { team: 'red' }),
  ]);
  assert.equal(selection.node(rack), true);
  assert.equal(selection.namespace(rack, { namespace: 'shop' }), true);
  assert.equal(selection.namespace(rack, { namespace: 'other' }), false);
  selection.onUpdates([update('Node', 'node-1', { rack: 'b' })]);
  assert.equal(selection.node(rack), false);
  selection.onUpdates([update('Node', 'node-1', undefined)]);
  assert.equal(selection.node(rack), undefined);
});

test('no selector is every node, a broken one is none', () => {
  const selection = new PoolSelection('node-1');
  selection.onUpdates([update('Node', 'node-1', {})]);
  assert.equal(selection.node(pool({})), true);
  assert.equal(selection.namespace(pool({}), {}), true);
  assert.equal(selection.node(pool({ nodeSelector: 'rack ==' })), false);
});

test('the annotations of a namespace are those it has now', () => {
  const selection = new PoolSelection('node-1');
  const annotations = { 'cni.projectcalico.org/ipv4pools': '["red"]' };
  const shop = update('Namespace', 'shop', {});
  assert.ok(shop.resource);
  const metadata = { ...shop.resource.metadata, annotations };
  selection.onUpdates([{ ...shop, resource: { ...shop.resource, metadata } }]);
  assert.deepEqual(selection.annotationsOf('shop'), annotations);
  selection.onUpdates([update('Namespace', 'shop', undefined)]);
  assert.deepEqual(selection.annotationsOf('shop'), {});
});
