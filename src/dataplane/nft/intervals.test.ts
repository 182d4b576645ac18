// Ranges against sets of single values, and there and back through the kernel's half-open elements.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Interval, mergeIntervals, netIntervals } from '../rules/intervals.ts';
import { intervalElements } from './intervals.ts';
import { IpSetStates } from './ip-set-states.ts';
import { entriesOf } from './set-state.ts';

const LAST = 255;
const intervals = fc.array(
  fc
    .tuple(fc.nat(LAST), fc.nat(LAST))
    .map(([a, b]): Interval => [BigInt(Math.min(a, b)), BigInt(Math.max(a, b))]),
  { maxLength: 12 },
);

function valuesOf(list: readonly Interval[]): number[] {
  const values = new Set<number>();
  for (const [first, last] of list) {
    for (let value = first; value <= last; value++) values.add(Number(value));
  }
  return [...values].toSorted((a, b) => a - b);
}

void test('merging keeps the values, and leaves a gap between any two ranges', () => {
  fc.assert(
    fc.property(intervals, (list) => {
      const merged = mergeIntervals(list);
      assert.deepEqual(valuesOf(merged), valuesOf(list));
      for (const [index, [first]] of merged.entries()) {
        const before = merged[index - 1];
        assert.ok(!before || before[1] + 1n < first);
      }
    }),
  );
});

void test('elements read back in any order are the entries that were written', () => {
  const members = fc.uniqueArray(
    fc
      .tuple(fc.nat(LAST), fc.integer({ min: 0, max: 32 }))
      .map(([a, length]) => `${a}.0.0.0/${length}`),
  );
  fc.assert(
    fc.property(members, fc.infiniteStream(fc.nat()), (nets, order) => {
      const set = { id: 's', type: 'net', members: new Set(nets) } as const;
      const state = new IpSetStates().stateOf(set, 'net', 4);
      const shuffled = [...state.entries.values()]
        .flat()
        .map((element) => ({ element, at: order.next().value ?? 0 }))
        .toSorted((a, b) => a.at - b.at)
        .map(({ element }) => element);
      assert.deepEqual(
        [...entriesOf(state.type, shuffled).keys()].toSorted(),
        [...state.entries.keys()].toSorted(),
      );
    }),
  );
});

void test('a range that ends at the last address has no end element', () => {
  const [all] = netIntervals(['0.0.0.0/0', '10.0.0.0/8'], 4);
  assert.deepEqual(all && intervalElements(all, 4), [{ key: '00000000' }]);
  const [some] = netIntervals(['fd00::/8'], 6);
  assert.deepEqual(some && intervalElements(some, 16), [
    { key: 'fd000000000000000000000000000000' },
    { key: 'fe000000000000000000000000000000', intervalEnd: true },
  ]);
});
