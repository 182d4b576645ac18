// Tables as kubectl prints them: cells by JSONPath, ages, selectors, and the object beside.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type KindDefinition, KINDS, kubernetesNetworkPolicyKind, podKind } from '#api';
import { jsonPath } from './json-path.ts';
import { acceptedForm } from './representation.ts';
import { parseResourcePath } from './request-path.ts';
import { tableOf } from './table.ts';

const NOW = Date.parse('2026-01-10T00:00:00Z');
const options = { resourceVersion: '7', includeObject: 'None', now: NOW } as const;

function cells(kind: KindDefinition, object: Record<string, unknown>): unknown {
  const resource = { apiVersion: 'v1', kind: kind.kind, metadata: { name: 'a' }, ...object };
  const table = tableOf(kind, [resource], options);
  return (table['rows'] as { cells: unknown[] }[])[0]?.cells;
}

test('every column of every kind can be read', () => {
  for (const kind of KINDS) {
    assert.ok(Array.isArray(cells(kind, {})), kind.kind);
    for (const { path } of kind.columns) assert.doesNotThrow(() => jsonPath(path));
  }
});

test('a cell that is missing is null, so that kubectl decides how to show it', () => {
  const kind = { ...podKind, columns: [{ name: 'N', type: 'string', path: '.x', priority: 0 }] };
  assert.deepEqual(cells(kind as KindDefinition, { metadata: { name: 'a' } }), [
    'a',
    null,
    '<unknown>',
  ]);
});

test('ages are written as kubectl writes them', () => {
  const kind = { ...podKind, columns: [] };
  const ages: [number, string][] = [
    [0, '0s'],
    [119, '119s'],
    [150, '2m30s'],
    [600, '10m'],
    [3 * 3600 - 1, '179m'],
    [3 * 3600 + 1200, '3h20m'],
    [30 * 3600, '30h'],
    [3 * 86_400 + 7200, '3d2h'],
    [400 * 86_400, '400d'],
    [800 * 86_400, '2y70d'],
  ];
  for (const [seconds, text] of ages) {
    const creationTimestamp = new Date(NOW - seconds * 1000).toISOString();
    assert.deepEqual(cells(kind, { metadata: { name: 'a', creationTimestamp } }), ['a', text]);
  }
});

test('a pod selector is shown as a selector', () => {
  const shown = (podSelector: unknown) =>
    (cells(kubernetesNetworkPolicyKind, { spec: { podSelector } }) as unknown[])[1];
  assert.equal(shown({}), '<none>');
  assert.equal(shown({ matchLabels: { b: '2', a: '1' } }), 'a=1,b=2');
  const matchExpressions = [
    { key: 'x', operator: 'In', values: ['1', '2'] },
    { key: 'y', operator: 'DoesNotExist' },
  ];
  assert.equal(shown({ matchExpressions }), '!y,x in (1,2)');
});

test('JSONPath: members, indices, all, quoted names and a filter', () => {
  const value = {
    a: [
      { t: 'x', v: 1 },
      { t: 'y', v: 2 },
    ],
    'b.c/d': { e: 3 },
  };
  assert.deepEqual(jsonPath('.a[0].v')(value), [1]);
  assert.deepEqual(jsonPath('.a[-1].v')(value), [2]);
  assert.deepEqual(jsonPath('.a[*].v')(value), [1, 2]);
  assert.deepEqual(jsonPath(`['b.c/d'].e`)(value), [3]);
  assert.deepEqual(jsonPath('.a[?(@.t=="y")].v')(value), [2]);
  assert.deepEqual(jsonPath('.a.nothing[3]')(value), []);
  assert.throws(() => jsonPath('.a[?(@.t>1)]'), /cannot read the JSONPath/);
});

test('the Accept header chooses the first form that we have', () => {
  const kubectl =
    'application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json';
  assert.equal(acceptedForm(kubectl), 'table');
  assert.equal(acceptedForm('application/vnd.kubernetes.protobuf, application/json'), 'object');
  assert.equal(acceptedForm('application/json;as=Table;v=v9;g=meta.k8s.io, */*'), 'object');
  assert.equal(acceptedForm(undefined), 'object');
  const partial = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1';
  assert.equal(acceptedForm(partial), 'metadata');
  assert.throws(() => acceptedForm('application/com.github.proto-openapi.spec.v2@v1.0+protobuf'), {
    code: 406,
  });
});

test('paths name resources, collections and subresources', () => {
  const read = (path: string) => {
    const parsed = parseResourcePath(path);
    return parsed && [parsed.kind.kind, parsed.namespace, parsed.name, parsed.subresource];
  };
  assert.deepEqual(read('/api/v1/pods'), ['Pod', undefined, undefined, undefined]);
  assert.deepEqual(read('/api/v1/namespaces/shop/pods/a'), ['Pod', 'shop', 'a', undefined]);
  assert.deepEqual(read('/api/v1/namespaces/shop'), ['Namespace', undefined, 'shop', undefined]);
  assert.deepEqual(read('/api/v1/namespaces/a/status'), ['Namespace', undefined, 'a', 'status']);
  assert.deepEqual(read('/api/v1/namespaces/pods/pods/a'), ['Pod', 'pods', 'a', undefined]);
  const tier = ['Tier', undefined, 'a b', undefined];
  assert.deepEqual(read('/apis/projectcalico.org/v3/tiers/a%20b'), tier);
  for (const path of [
    '/api/v1/pods/a',
    '/api/v1/namespaces/shop/tiers/a',
    '/api/v1/namespaces/shop/pods/a/log',
    '/api/v1/namespaces//pods',
    '/apis/projectcalico.org/v3/globalnetworksets/a/status',
    '/apis//v1/pods',
    '/api',
  ]) {
    assert.equal(read(path), undefined, path);
  }
});
