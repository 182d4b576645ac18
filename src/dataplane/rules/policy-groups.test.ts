// Groups put together are the lists, one name is one group, and lists that take turns have few.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { groupPolicies } from './policy-groups.ts';

const KEYS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l'];
const lists = fc.array(fc.subarray(KEYS), { maxLength: 8 });
const alone = fc.subarray(KEYS, { maxLength: 3 });

void test('[DP40] groups are the lists, in order; a name means the same everywhere; some keys are alone', () => {
  fc.assert(
    fc.property(lists, alone, (all, single) => {
      const grouped = groupPolicies(all, (key) => single.includes(key));
      assert.deepEqual(
        grouped.map((groups) => groups.flatMap(({ keys }) => keys)),
        all,
      );
      const known = new Map<string, string>();
      for (const { name, keys } of grouped.flat()) {
        assert.equal(known.get(name) ?? keys.join(), keys.join());
        known.set(name, keys.join());
        assert.ok(keys.length === 1 || !keys.some((key) => single.includes(key)));
      }
    }),
  );
});

void test('[DP40] what all lists share is one group, and lists that take turns with it get their own', () => {
  const common = Array.from({ length: 100 }, (_, index) => `common-${index}`);
  const after = groupPolicies(
    ['x', 'y', 'z'].map((name) => [...common, `own-${name}`]),
    () => false,
  );
  assert.ok(after.every((groups) => groups.length <= 3));
  assert.equal(new Set(after.flatMap((groups) => groups[0]?.name)).size, 1);
  const between = groupPolicies(
    ['x', 'y', 'z'].map((name) => common.flatMap((key, index) => [key, `own-${name}-${index}`])),
    () => false,
  );
  assert.ok(between.every((groups) => groups.length <= 3));
});

void test('[DP40] few lists have groups of their own, however many take turns', () => {
  const common = Array.from({ length: 50 }, (_, index) => `common-${index}`);
  const many = Array.from({ length: 200 }, (_, list) =>
    common.flatMap((key, index) => [key, `own-${list}-${index}`]),
  );
  const own = groupPolicies(many, () => false).filter((groups) => groups.length < 10);
  assert.ok(own.length > 0 && own.length <= 64);
});

void test('[DP40] one policy more changes no group but its own', () => {
  const keys = Array.from(
    { length: 5000 },
    (_, index) => `policy-${String(index).padStart(5, '0')}`,
  );
  const [before = []] = groupPolicies([keys], () => false);
  const [after = []] = groupPolicies([keys.toSpliced(2500, 0, 'policy-02499-more')], () => false);
  assert.ok(before.length > 1);
  const kept = before.filter((group) =>
    after.some(({ keys: now }) => now.join() === group.keys.join()),
  );
  assert.ok(kept.length >= before.length - 1);
});
