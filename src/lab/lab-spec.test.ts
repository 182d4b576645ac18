// Tests of the Lab manifest and of what a machine must have for a lab.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isLabManifest, readLabSpec, readNodeCount } from './lab-spec.ts';

const bank = { name: 'bank', addresses: ['203.0.113.10', '2001:db8::1'], command: ['node', 'x'] };

test('a Lab manifest gives nodes and machines outside', () => {
  const manifest = {
    apiVersion: 'lab.tortie.dev/v1',
    kind: 'Lab',
    spec: { nodes: 5, outside: [bank] },
  };
  assert.ok(isLabManifest(manifest));
  assert.deepEqual(readLabSpec(manifest), { spec: { nodes: 5, outside: [bank] }, problems: [] });
  assert.ok(!isLabManifest({ ...manifest, kind: 'Pod' }));
});

test('everything wrong with a Lab manifest is told with its path', () => {
  const spec = {
    nodes: 51,
    node: 3,
    outside: [
      { ...bank, addresses: ['x'] },
      { ...bank, name: 'B' },
      { ...bank, command: [] },
      bank,
      bank,
    ],
  };
  const paths = readLabSpec({ spec }).problems.map(({ path }) => path);
  assert.deepEqual(paths, [
    'spec.node',
    'spec.nodes',
    'spec.outside[0].addresses',
    'spec.outside[1].name',
    'spec.outside[2].command',
    'spec.outside[4].name',
  ]);
  assert.deepEqual(readLabSpec({}).problems[0]?.path, 'spec');
});

test('a count of nodes is a whole number that a lab can have', () => {
  assert.equal(readNodeCount('3'), 3);
  assert.equal(readNodeCount(1), 1);
  for (const value of [0, 51, 1.5, '', '3x', '-1', null, true]) {
    assert.equal(readNodeCount(value), undefined, String(value));
  }
});
