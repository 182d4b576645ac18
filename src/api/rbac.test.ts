// The RBAC kinds: defaults of bindings, and what Kubernetes refuses of rules, references and subjects.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isObject } from '#lib';
import type { RoleBinding } from './rbac.ts';
import { validateResource } from './validate-resource.ts';

const apiVersion = 'rbac.authorization.k8s.io/v1';

function problems(kind: string, rest: object, name = 'x'): string[] {
  const namespace = kind.startsWith('Cluster') ? {} : { namespace: 'shop' };
  const { problems: found } = validateResource({
    apiVersion,
    kind,
    metadata: { name, ...namespace },
    ...rest,
  });
  return found.map(({ path }) => path);
}

test('a binding gets the groups of its role and subjects, and may name itself with colons', () => {
  const { resource, problems: found } = validateResource({
    apiVersion,
    kind: 'RoleBinding',
    metadata: { name: 'system:a:b', namespace: 'shop' },
    roleRef: { kind: 'Role', name: 'r' },
    subjects: [
      { kind: 'User', name: 'alice' },
      { kind: 'ServiceAccount', name: 'front' },
    ],
  });
  assert.deepEqual(found, []);
  assert.ok(isObject(resource));
  const { roleRef, subjects } = resource as unknown as RoleBinding;
  const apiGroup = 'rbac.authorization.k8s.io';
  assert.deepEqual(roleRef, { apiGroup, kind: 'Role', name: 'r' });
  assert.deepEqual(subjects, [
    { kind: 'User', name: 'alice', apiGroup },
    { kind: 'ServiceAccount', name: 'front' },
  ]);
});

test('rules say verbs, and resources with their groups or paths, paths not in a Role', () => {
  const reads = { verbs: ['get'], apiGroups: [''], resources: ['pods'] };
  const paths = { verbs: ['get'], nonResourceURLs: ['/healthz'] };
  assert.deepEqual(problems('Role', { rules: [reads] }), []);
  assert.deepEqual(problems('ClusterRole', { rules: [reads, paths] }), []);
  assert.deepEqual(problems('ClusterRole', { rules: null }), []);
  assert.deepEqual(problems('Role', { rules: [{ ...reads, verbs: [] }, { verbs: ['get'] }] }), [
    'rules[0].verbs',
    'rules[1].apiGroups',
    'rules[1].resources',
  ]);
  assert.deepEqual(problems('Role', { rules: [paths] }), ['rules[0].nonResourceURLs']);
  const both = { ...reads, ...paths };
  assert.deepEqual(problems('ClusterRole', { rules: [both] }), ['rules[0].nonResourceURLs']);
  const empty = { aggregationRule: { clusterRoleSelectors: [] } };
  assert.deepEqual(problems('ClusterRole', empty), ['aggregationRule.clusterRoleSelectors']);
});

test('references and subjects that nothing could be are refused', () => {
  const roleRef = { kind: 'ClusterRole', name: 'view' };
  const subject = (fields: object): string[] =>
    problems('ClusterRoleBinding', { roleRef, subjects: [{ name: 'a', ...fields }] });
  assert.deepEqual(subject({ kind: 'User' }), []);
  assert.deepEqual(subject({ kind: 'User', apiGroup: 'x' }), ['subjects[0].apiGroup']);
  assert.deepEqual(subject({ kind: 'Group', namespace: 'shop' }), ['subjects[0].namespace']);
  assert.deepEqual(subject({ kind: 'ServiceAccount' }), ['subjects[0].namespace']);
  assert.deepEqual(problems('ClusterRoleBinding', { roleRef: { kind: 'Role', name: 'r' } }), [
    'roleRef.kind',
  ]);
  assert.deepEqual(problems('RoleBinding', { roleRef: { ...roleRef, apiGroup: 'x' } }), [
    'roleRef.apiGroup',
  ]);
  assert.deepEqual(problems('RoleBinding', { roleRef: { kind: 'Role', name: 'a/b' } }), [
    'roleRef.name',
  ]);
  assert.deepEqual(problems('ClusterRole', {}, 'a%b'), ['metadata.name']);
});
