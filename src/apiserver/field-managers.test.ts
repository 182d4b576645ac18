// Field ownership as functions, at random: what applying promises whatever the object.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { podKind, type Resource } from '#api';
import { isObject } from '#lib';
import { applyFields, trackUpdate } from './field-managers.ts';
import { FieldSet } from './field-set.ts';

const value = fc.constantFrom('1', '2', '3');
const small = (names: readonly string[]) =>
  fc.dictionary(fc.constantFrom(...names), value, { maxKeys: 3 });
const containers = fc.uniqueArray(
  fc.record(
    {
      name: fc.constantFrom('a', 'b', 'c'),
      image: value,
      env: fc.uniqueArray(fc.record({ name: fc.constantFrom('X', 'Y'), value }), {
        selector: ({ name }) => name,
        maxLength: 2,
      }),
      args: fc.array(value, { maxLength: 2 }),
    },
    { requiredKeys: ['name'] },
  ),
  { selector: ({ name }) => name, maxLength: 3 },
);
const body = fc
  .record({
    labels: small(['l', 'm']),
    containers,
    node: small(['x', 'y']),
    open: small(['u', 'v']),
  })
  .map(({ labels, node, open, ...spec }) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', labels },
    spec: { ...spec, nodeSelector: node, open },
  }));

const time = '2026-01-01T00:00:00Z';

function apply(
  current: Resource | undefined,
  wanted: unknown,
  name: string,
  { force = true, at = time } = {},
): Resource {
  const by = { name, time: at, force };
  const application = applyFields(podKind, { current, body: wanted }, by);
  return application.track(application.wanted as Resource);
}

const podOf = (list: readonly Record<string, unknown>[]) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'p' },
  spec: { containers: list },
});

/** Without what is empty, which stays or goes without a difference to anybody. */
function content({ metadata, ...rest }: Resource): unknown {
  const { managedFields: _, ...named } = metadata;
  return pruned({ ...rest, metadata: named });
}

function pruned(node: unknown): unknown {
  if (!isObject(node)) return Array.isArray(node) ? node.map(pruned) : node;
  const entries = Object.entries(node).map(([key, child]) => [key, pruned(child)] as const);
  const isEmpty = (child: unknown): boolean =>
    typeof child === 'object' && child !== null && Object.keys(child).length === 0;
  return Object.fromEntries(entries.filter(([, child]) => !isEmpty(child)));
}

test('applying the same again changes nothing, whoever else is there', () => {
  fc.assert(
    fc.property(body, body, (first, second) => {
      const both = apply(apply(undefined, first, 'ann'), second, 'bob');
      const at = '2027-01-01T00:00:00Z';
      assert.deepEqual(apply(both, second, 'bob', { force: false, at }), both);
      const next = { ...both };
      const by = { name: 'bob', time: at };
      assert.deepEqual(trackUpdate(podKind, { current: both, next }, by), both);
    }),
  );
});

test('what an apply says is so afterwards; without force others keep their values', () => {
  fc.assert(
    fc.property(body, body, (first, second) => {
      const before = apply(undefined, first, 'ann');
      const after = apply(before, second, 'bob');
      assert.deepEqual(content(apply(after, second, 'bob')), content(after));
      assert.deepEqual(after.metadata.labels, {
        ...first.metadata.labels,
        ...second.metadata.labels,
      });
      const clash = Object.entries(second.metadata.labels).some(
        ([label, text]) => (first.metadata.labels[label] ?? text) !== text,
      );
      if (clash)
        assert.throws(() => apply(before, second, 'bob', { force: false }), /conflict with "ann"/);
    }),
  );
});

test('who gives everything up leaves what the others have applied', () => {
  const nothing = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' } };
  fc.assert(
    fc.property(body, body, (first, second) => {
      const both = apply(apply(undefined, first, 'ann'), second, 'bob');
      const left = apply(both, nothing, 'ann');
      assert.deepEqual(content(left), content(apply(undefined, second, 'bob')));
      assert.equal(left.metadata.managedFields?.length, 1);
    }),
  );
});

test('an update makes its manager the only one of what it changes', () => {
  fc.assert(
    fc.property(body, body, (first, second) => {
      const applied = apply(undefined, first, 'ann');
      const next: Resource = second;
      const updated = trackUpdate(podKind, { current: applied, next }, { name: 'eve', time });
      const replay = apply(updated, second, 'ann', { force: false });
      assert.deepEqual(content(replay), content(second), 'the same values are no conflict');
      const sets = (updated.metadata.managedFields ?? []).map((entry) =>
        FieldSet.parse(isObject(entry) ? entry['fieldsV1'] : undefined),
      );
      for (const [index, set] of sets.entries()) {
        for (const other of sets.slice(index + 1)) {
          assert.ok(set && other && set.intersection(other).empty);
        }
      }
    }),
  );
});

test('an item that another still manages keeps the fields that tell it from others', () => {
  const applied = apply(undefined, podOf([{ name: 'a', image: '1' }, { name: 'b' }]), 'ann');
  const env = [{ name: 'X', value: '1' }];
  const { spec } = podOf([{ name: 'a', image: '1', env }, { name: 'b' }]);
  const next: Resource & { spec: unknown } = { ...applied, spec };
  const updated = trackUpdate(podKind, { current: applied, next }, { name: 'eve', time });
  const left = apply(updated, podOf([{ name: 'b' }]), 'ann');
  assert.deepEqual(content(left), content(podOf([{ name: 'a', env }, { name: 'b' }]) as never));
});

test('the time of an entry tells when its manager last changed something', () => {
  const first = podOf([{ name: 'a', image: '1' }]);
  const applied = apply(undefined, first, 'ann');
  const at = '2027-01-01T00:00:00Z';
  const times = (resource: Resource): unknown[] =>
    (resource.metadata.managedFields ?? []).map((entry) => isObject(entry) && entry['time']);
  assert.deepEqual(times(apply(applied, podOf([{ name: 'a', image: '2' }]), 'ann', { at })), [at]);
  assert.deepEqual(times(apply(applied, first, 'bob', { at })), [time, at]);
  assert.deepEqual(times(apply(applied, first, 'ann', { at })), [time]);
});

test('FieldsV1 is read as it is written; what is none is refused', () => {
  const step = fc.constantFrom('f:a', 'f:b', 'k:{"name":"x"}', 'v:"y"');
  const tree = fc.letrec((tie) => ({
    node: fc.dictionary(step, fc.oneof({ maxDepth: 4 }, fc.constant({}), tie('node'))),
  })).node;
  fc.assert(
    fc.property(tree, tree, (a, b) => {
      const [one, two] = [FieldSet.parse(a), FieldSet.parse(b)];
      assert.ok(one && two);
      assert.ok(FieldSet.parse(one.toJSON())?.equals(one));
      assert.ok(one.union(two).difference(two).equals(one.difference(two)));
      assert.ok(one.difference(one.difference(two)).equals(one.intersection(two)));
    }),
  );
  for (const bad of [[], 'x', { a: {} }, { 'f:a': 1 }])
    assert.equal(FieldSet.parse(bad), undefined);
});
