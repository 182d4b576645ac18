// Tests of the names of labs, namespaces and places in a lab.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { labNameProblem, nodeNamespace, podNamespace, underlayNamespace } from './lab-name.ts';
import { findTarget, labTargets } from './lab-target.ts';

test("a name cannot be taken for another lab's name with something behind it", () => {
  for (const name of ['demo', 'a', 'lab-2', 'x-y-z', '7']) {
    assert.equal(labNameProblem(name), undefined, name);
  }
  for (const name of ['', 'a--b', '-a', 'a-', 'A', 'a/b', '..', 'a b', 'x'.repeat(31)]) {
    assert.match(labNameProblem(name) ?? '', /is no name for a lab/, name);
  }
  const namespaces = [
    underlayNamespace('a'),
    nodeNamespace('a', 'node-1'),
    podNamespace('a', 'x/y', '1'),
  ];
  for (const path of namespaces) assert.ok(path.startsWith('/run/netns/tortie-a--'), path);
});

test('each life of a pod has a namespace of its own, with a name that a file can have', () => {
  const long = `${'n'.repeat(63)}/${'p'.repeat(253)}`;
  assert.notEqual(podNamespace('a', 'x/y', '1'), podNamespace('a', 'x/y', '2'));
  assert.notEqual(podNamespace('a', long, '1'), podNamespace('a', `${long}q`, '1'));
  assert.ok(podNamespace('a', long, '1').length < 255);
});

const state = {
  name: 'a',
  created: '',
  underlay: 'u',
  port: 1,
  executable: 'x',
  workingFolder: '/',
  nodes: [{ name: 'node-1', namespace: 'n1', addresses: [] }],
  outside: [{ name: 'bank', namespace: 'o', addresses: [], command: ['x'] }],
};
const targets = labTargets(
  state,
  new Map([
    ['shop/cart', 'p1'],
    ['web/front', 'p2'],
    ['data/front', 'p3'],
  ]),
);

test('a place is found by its full name, or by the short one where only one has it', () => {
  const cases = [
    ['node-1', 'n1'],
    ['node:node-1', 'n1'],
    ['shop/cart', 'p1'],
    ['cart', 'p1'],
    ['bank', 'o'],
    ['outside:bank', 'o'],
  ] as const;
  for (const [text, namespace] of cases) assert.equal(findTarget(targets, text), namespace, text);
});

test('a place that is not there, or not the only one, is refused with those that are', () => {
  assert.throws(() => findTarget(targets, 'front'), /use one of web\/front, data\/front/);
  assert.throws(() => findTarget(targets, 'shop/crat'), /did you mean shop\/cart\?/);
  assert.throws(
    () => findTarget(targets, 'nothing-like-it'),
    /the lab has node-1, outside:bank, shop\/cart/,
  );
});
