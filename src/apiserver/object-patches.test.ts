// Merge, JSON and strategic merge patches as functions.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { podKind, serviceKind } from '#api';
import { jsonPatch } from './json-patch.ts';
import { mergePatch } from './merge-patch.ts';
import { strategicMerge } from './strategic-merge.ts';

test('merge patch: the cases of RFC 7386, appendix A', () => {
  const cases: [unknown, unknown, unknown][] = [
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [
      ['a', 'b'],
      ['c', 'd'],
      ['c', 'd'],
    ],
    [{ a: 'b' }, ['c'], ['c']],
    [{ a: 'foo' }, null, null],
    [{ a: 'foo' }, 'bar', 'bar'],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: 'b', c: null }, { a: 'b' }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ];
  for (const [target, patch, result] of cases) assert.deepEqual(mergePatch(target, patch), result);
});

test('a member named __proto__ is a member like others', () => {
  const patch: unknown = JSON.parse('{"a":{"__proto__":{"x":1}}}');
  const merged = mergePatch({}, patch);
  assert.equal(JSON.stringify(merged), '{"a":{"__proto__":{"x":1}}}');
  assert.equal(Object.hasOwn(Object.prototype, 'x'), false);
});

test('JSON patch: each operation, and a failure refuses all', () => {
  const target = { a: [1, 2, 3], b: { c: 'd' } };
  const apply = (...operations: unknown[]) => jsonPatch(target, operations);
  assert.deepEqual(apply({ op: 'add', path: '/a/1', value: 9 }), { ...target, a: [1, 9, 2, 3] });
  assert.deepEqual(apply({ op: 'add', path: '/a/-', value: 9 }), { ...target, a: [1, 2, 3, 9] });
  assert.deepEqual(apply({ op: 'remove', path: '/a/0' }), { ...target, a: [2, 3] });
  assert.deepEqual(apply({ op: 'replace', path: '/b/c', value: 1 }), { ...target, b: { c: 1 } });
  assert.deepEqual(apply({ op: 'move', from: '/b/c', path: '/e' }), {
    a: [1, 2, 3],
    b: {},
    e: 'd',
  });
  assert.deepEqual(apply({ op: 'copy', from: '/b', path: '/e' }), { ...target, e: { c: 'd' } });
  assert.throws(() => apply({ op: 'replace', path: '/x', value: 1 }), /nothing at "\/x"/);
  assert.throws(() => apply({ op: 'remove', path: '/a/3' }), /nothing at/);
  assert.throws(() => apply({ op: 'add', path: '/a/01', value: 1 }), /nothing at/);
  assert.throws(() => apply({ op: 'test', path: '/b/c', value: 'x' }), /does not have the value/);
  assert.throws(() => apply({ op: 'add', path: 'b', value: 1 }), /no JSON pointer/);
  assert.deepEqual(target, { a: [1, 2, 3], b: { c: 'd' } });
});

const pod = {
  spec: {
    containers: [
      { name: 'web', env: [{ name: 'A', value: '1' }], ports: [{ containerPort: 80 }] },
      { name: 'log', command: ['a', 'b'] },
    ],
    nodeSelector: { disk: 'ssd' },
  },
  metadata: { finalizers: ['x'] },
};

test('strategic merge: lists by their keys, plain lists as a whole', () => {
  const patch = {
    spec: {
      containers: [
        { name: 'web', env: [{ name: 'B', value: '2' }] },
        { name: 'log', command: ['c'] },
        { name: 'new' },
      ],
    },
    metadata: { finalizers: ['y', 'x'] },
  };
  assert.deepEqual(strategicMerge(podKind, pod, patch), {
    spec: {
      containers: [
        {
          name: 'web',
          env: [
            { name: 'A', value: '1' },
            { name: 'B', value: '2' },
          ],
          ports: [{ containerPort: 80 }],
        },
        { name: 'log', command: ['c'] },
        { name: 'new' },
      ],
      nodeSelector: { disk: 'ssd' },
    },
    metadata: { finalizers: ['x', 'y'] },
  });
});

test('strategic merge: directives delete, replace and order', () => {
  const patch = {
    spec: {
      $setElementOrder: [],
      '$setElementOrder/containers': [{ name: 'first' }, { name: 'web' }],
      containers: [{ name: 'log', $patch: 'delete' }, { name: 'first' }],
      nodeSelector: { $patch: 'replace', zone: 'a' },
    },
    metadata: { '$deleteFromPrimitiveList/finalizers': ['x'] },
  };
  const merged = strategicMerge(podKind, pod, patch);
  assert.deepEqual(merged, {
    spec: {
      containers: [{ name: 'first' }, pod.spec.containers[0]],
      nodeSelector: { zone: 'a' },
    },
    metadata: { finalizers: [] },
  });
  const service = { spec: { ports: [{ port: 80, name: 'a' }] } };
  const ports = { spec: { ports: [{ port: 80, name: 'b' }, { port: 81 }] } };
  assert.deepEqual(strategicMerge(serviceKind, service, ports), {
    spec: { ports: [{ port: 80, name: 'b' }, { port: 81 }] },
  });
  const unkeyed = { spec: { containers: [{ image: 'x' }] } };
  assert.throws(() => strategicMerge(podKind, pod, unkeyed), /"spec.containers".*no "name"/);
});
