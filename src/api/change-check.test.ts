// Changes and deletions that must not be: a pool's prefix and blocks, who a resource is, the built-in tiers.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkDelete, checkUpdate } from './change-check.ts';
import type { Resource } from './kind.ts';
import { kindOf, KINDS } from './kinds.ts';
import { pendingChangeKind } from './pending-change.ts';
import { RBAC_GROUP } from './rbac.ts';
import { validateResource } from './validate-resource.ts';

const v3 = 'projectcalico.org/v3';

function valid(kind: string, name: string, spec: object): Resource {
  const { resource, problems } = validateResource({
    apiVersion: v3,
    kind,
    metadata: { name },
    spec,
  });
  assert.ok(resource, JSON.stringify(problems));
  return resource;
}

const pool = (spec: object) => valid('IPPool', 'pool', { cidr: '10.0.0.0/16', ...spec });
const paths = (old: Resource, next: Resource) => checkUpdate(old, next).map(({ path }) => path);

test('a pool keeps its prefix and the size of its blocks', () => {
  assert.deepEqual(paths(pool({}), pool({ natOutgoing: true, blockSize: 26 })), []);
  assert.deepEqual(paths(pool({}), pool({ cidr: '10.1.0.0/16' })), ['spec.cidr']);
  assert.deepEqual(paths(pool({ blockSize: 28 }), pool({})), ['spec.blockSize']);
  const [problem] = checkUpdate(pool({}), pool({ blockSize: 24 }));
  assert.match(problem?.message ?? '', /^cannot change from 26 to 24; make another IPPool/);
});

test('a resource stays who it is', () => {
  const policy = valid('GlobalNetworkPolicy', 'a', {});
  assert.deepEqual(paths(policy, valid('GlobalNetworkPolicy', 'a', { order: 1 })), []);
  assert.deepEqual(paths(policy, valid('GlobalNetworkPolicy', 'b', {})), ['metadata.name']);
  const moved = { ...policy, metadata: { ...policy.metadata, namespace: 'shop' } };
  assert.deepEqual(paths(policy, moved), ['metadata.namespace']);
  assert.deepEqual(paths(policy, valid('Tier', 'a', {})), ['kind']);
});

test('fields that never change are fields, and the CRD refuses their change too', () => {
  // Kubernetes has the RBAC kinds itself, and pending changes are undone by our own server alone: no CRDs.
  const withCrd = KINDS.filter((kind) => kind.group !== RBAC_GROUP && kind !== pendingChangeKind);
  for (const { kind, schema, immutableFields = [] } of withCrd) {
    for (const path of immutableFields) {
      const rules = JSON.stringify(schema);
      assert.match(path, /^spec\.\w+$/, kind);
      assert.match(rules, new RegExp(`"${path.slice('spec.'.length)}":[^}]*self == oldSelf`));
    }
  }
  assert.ok(kindOf(v3, 'IPPool')?.immutableFields);
});

test('built-in tiers stay; other tiers and their namesakes go', () => {
  const order = { default: 1_000_000, 'kube-admin': 1_000, 'kube-baseline': 10_000_000 };
  for (const [name, number] of Object.entries(order)) {
    const defaultAction = name === 'default' ? 'Deny' : 'Pass';
    const tier = valid('Tier', name, { order: number, defaultAction });
    assert.equal(checkDelete(tier).length, 1, name);
  }
  assert.deepEqual(checkDelete(valid('Tier', 'mine', {})), []);
  assert.deepEqual(checkDelete(valid('GlobalNetworkPolicy', 'default', {})), []);
});
