// Pools are chosen by the labels of the node and of the pod's namespace, and bad selectors choose nothing.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type IPPool, kindOf, type Resource } from '#api';
import { PoolSelection } from './pool-selection.ts';

function update(kindName: string, name: string, labels: Record<string, string> | undefined) {
  const kind = kindOf('v1', kindName);
  assert.ok(kind);
  const resource = { apiVersion: 'v1', kind: kindName, metadata: { name, labels } } as Resource;
  return { kind, key: `v1/${kindName} /${name}`, resource: labels && resource };
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
  assert.equal(selection.selects(rack, { namespace: 'shop' }), false);
  selection.onUpdates([
    update('Node', 'node-1', { rack: 'a' }),
    update('Node', 'node-2', { rack: 'b' }),
    update('Namespace', 'shop', { team: 'red' }),
  ]);
  assert.equal(selection.selects(rack, { namespace: 'shop' }), true);
  assert.equal(selection.selects(rack, { namespace: 'other' }), false);
  selection.onUpdates([update('Node', 'node-1', undefined)]);
  assert.equal(selection.selects(rack, { namespace: 'shop' }), false);
});

test('no selector is every node, a broken one is none', () => {
  const selection = new PoolSelection('node-1');
  assert.equal(selection.selects(pool({}), {}), true);
  assert.equal(selection.selects(pool({ nodeSelector: 'rack ==' }), {}), false);
});
