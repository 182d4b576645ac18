// Persistent maps and sets against plain ones: every version, every neighbour, every difference, and its cost.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Tree, treeDifferences } from './balanced-tree.ts';
import { compareCodePoints } from './code-points.ts';
import { differences, PersistentMap, PersistentSet, setDifference } from './persistent-map.ts';

const SEED = Number(process.env['SEED'] ?? Math.trunc(Math.random() * 2 ** 31));

const key = fc.oneof(
  fc.constantFrom('', 'a', 'ab', '\uffff', '\u{1f600}'),
  fc.nat(300).map((n) => `k${n}`),
);
const step = fc.record({ key, value: fc.option(fc.nat(3), { nil: undefined }) });
const steps = fc.array(step, { maxLength: 200, size: 'max' });

function depthOf(tree: Tree<unknown>): number {
  return tree ? 1 + Math.max(depthOf(tree.left), depthOf(tree.right)) : 0;
}

function assertBalanced(tree: Tree<unknown>): void {
  if (!tree) return;
  const [left, right] = [tree.left?.size ?? 0, tree.right?.size ?? 0];
  assert.equal(tree.size, left + right + 1);
  assert.ok(3 * (left + 1) >= right + 1 && 3 * (right + 1) >= left + 1, `${left} and ${right}`);
  assertBalanced(tree.left);
  assertBalanced(tree.right);
}

function sorted<V>(map: ReadonlyMap<string, V>): [string, V][] {
  return [...map].toSorted(([a], [b]) => compareCodePoints(a, b));
}

test('a persistent map is what a plain one is, each version for good, balanced and in order', (t) => {
  fc.assert(
    fc.property(steps, (list) => {
      const plain = new Map<string, number>();
      let map: PersistentMap<number> = PersistentMap.EMPTY;
      const versions: [PersistentMap<number>, [string, number][]][] = [];
      for (const { key: one, value } of list) {
        const isSame = plain.get(one) === value;
        const next = value === undefined ? map.without(one) : map.with(one, value);
        assert.equal(next === map, isSame, 'another object only where something changed');
        map = next;
        if (value === undefined) plain.delete(one);
        else plain.set(one, value);
        assert.equal(map.size, plain.size);
        assert.equal(map.get(one), value);
        assert.equal(map.has(one), value !== undefined);
        versions.push([map, sorted(plain)]);
      }
      assertBalanced(map.tree);
      for (const [version, expected] of versions) assert.deepEqual([...version], expected);
      assert.deepEqual([...PersistentMap.from(plain)], sorted(plain));
      assertBalanced(PersistentMap.from(plain).tree);
    }),
    { seed: SEED, numRuns: 100 },
  );
  t.diagnostic(`seed ${SEED}`);
});

test('the neighbours of a key are those of the sorted list', (t) => {
  fc.assert(
    fc.property(fc.uniqueArray(key), key, (keys, one) => {
      const map = PersistentMap.from(keys.map((text): [string, true] => [text, true]));
      const order = keys.toSorted(compareCodePoints);
      const last = order.findLast((text) => compareCodePoints(text, one) <= 0);
      const first = order.find((text) => compareCodePoints(text, one) >= 0);
      assert.equal(map.lastUpTo(one)?.[0], last);
      assert.equal(map.firstFrom(one)?.[0], first);
    }),
    { seed: SEED },
  );
  t.diagnostic(`seed ${SEED}`);
});

test('the difference of any two versions, or of strangers, is that of plain maps and sets', (t) => {
  fc.assert(
    fc.property(steps, steps, fc.boolean(), (first, second, isStranger) => {
      const change = (from: PersistentMap<number>, list: typeof first) =>
        list.reduce(
          (map, { key: one, value }) =>
            value === undefined ? map.without(one) : map.with(one, value),
          from,
        );
      const before = change(PersistentMap.EMPTY, first);
      const after = change(isStranger ? PersistentMap.EMPTY : before, second);
      const expected = [...differences(new Map(before), new Map(after))];
      const byKey = expected.toSorted((a, b) => compareCodePoints(a.key, b.key));
      assert.deepEqual([...differences(before, after)], byKey);
      const [old, now] = [new Set(before.keys()), new Set(after.keys())];
      const plain = setDifference(old, now);
      assert.deepEqual(setDifference(PersistentSet.from(old), PersistentSet.from(now)), {
        added: [...plain.added].toSorted(compareCodePoints),
        removed: [...plain.removed].toSorted(compareCodePoints),
      });
      assert.equal(
        PersistentSet.from(old).equals(PersistentSet.from(now)),
        plain.added.length + plain.removed.length === 0,
      );
      assert.deepEqual(new Set(plain.added), now.difference(old));
      assert.deepEqual(new Set(plain.removed), old.difference(now));
    }),
    { seed: SEED, numRuns: 100 },
  );
  t.diagnostic(`seed ${SEED}`);
});

/** The same tree, whose nodes say when their key is read; what is shared stays shared. */
function watched<V>(tree: Tree<V>, onRead: () => void, known: Map<object, Tree<V>>): Tree<V> {
  if (!tree) return undefined;
  const before = known.get(tree);
  if (before) return before;
  const { key: text, value, size } = tree;
  const [left, right] = [tree.left, tree.right].map((one) => watched(one, onRead, known));
  const copy = {
    value,
    size,
    left,
    right,
    get key() {
      onRead();
      return text;
    },
  };
  known.set(tree, copy);
  return copy;
}

test('the difference of versions looks at what changed, not at the rest', () => {
  for (const size of [1_000, 100_000]) {
    const texts = Array.from({ length: size }, (_, n) => `member-${n}`);
    const before = PersistentSet.from(texts);
    const after = [7, 70, 700].reduce(
      (set, n) => set.without(`member-${n}`).with(`new-${n}`),
      before,
    );
    let reads = 0;
    const known = new Map<object, Tree<true>>();
    const [old, now] = [before.tree, after.tree].map((one) => watched(one, () => reads++, known));
    assert.equal([...treeDifferences(old, now)].length, 6);
    const depth = depthOf(after.tree);
    assert.ok(depth < 30, `depth ${depth}`);
    assert.ok(reads < 6 * 8 * depth, `${reads} keys read, of ${size}`);
  }
});
