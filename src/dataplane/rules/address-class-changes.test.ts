// Addresses that come into sets and leave them: the classes are those that the sets alone give.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FAMILIES } from '#lib';
import type { IpSet } from '#calc/dataplane-update';
import { entity, rule } from '../fixture.ts';
import { changedClasses } from './address-class-changes.ts';
import { addressClasses, addressQuestion } from './address-classes.ts';

const SEED = Number(process.env['SEED'] ?? Math.trunc(Math.random() * 2 ** 31));
const SETS = ['a', 'b', 'c', 'wide'];

/** Beside each other, at the edges of prefixes, and at the ends of what addresses there are. */
const single = fc.oneof(
  fc.nat(9).map((last) => `10.0.0.${last}/32`),
  fc.nat(9).map((last) => `fd00::${last > 0 ? last : ''}/128`),
  fc.constantFrom('0.0.0.0/32', '255.255.255.255/32', '::/128'),
);
const wide = fc.constantFrom('10.0.0.4/30', '10.0.0.0/29', 'fd00::/126', '0.0.0.0/0', '::/0');
const nets = fc.subarray(['10.0.0.0/30', '10.0.0.6/31', '10.0.0.3/32', 'fd00::4/126', '::/0'], {
  minLength: 1,
});
const world = fc.record({
  nets: fc.array(nets, { maxLength: 2 }),
  asksOfAll: fc.boolean(),
  members: fc.tuple(...SETS.map(() => fc.array(single, { maxLength: 6 }))),
  wides: fc.array(wide, { maxLength: 2 }),
  changes: fc.array(
    fc.array(
      fc.record({
        id: fc.constantFrom(...SETS),
        one: fc.oneof({ weight: 12, arbitrary: single }, { weight: 1, arbitrary: wide }),
      }),
      { minLength: 1, maxLength: 4 },
    ),
    { maxLength: 6 },
  ),
});

void test('[DP66] single addresses that come and go leave the classes that the sets alone give', (t) => {
  let kept = 0;
  fc.assert(
    fc.property(world, ({ nets: lists, asksOfAll, members, wides, changes }) => {
      const rules = [
        ...SETS.map((id) => rule('Allow', { source: entity({ ipSets: [id] }) })),
        ...lists.map((list) => rule('Deny', { source: entity({ nets: list }) })),
        ...(asksOfAll ? [rule('Pass', { source: entity({ notIpSets: ['a'] }) })] : []),
      ].map((one, index) => ({ id: `${index}`, rule: one, action: { action: 'drop' } as const }));
      let sets = new Map<string, IpSet>();
      for (const [index, id] of SETS.entries()) {
        const more = id === 'wide' ? wides : [];
        sets.set(id, { id, type: 'net', members: new Set([...(members[index] ?? []), ...more]) });
      }
      const questions = FAMILIES.map((family) =>
        addressQuestion(rules, 'source', family, (id) => sets.get(id)),
      );
      let found = questions.map((one) => addressClasses(one, (id) => sets.get(id)));
      for (const some of changes) {
        const before = sets;
        sets = new Map(before);
        for (const { id, one } of some) {
          const changed = new Set(sets.get(id)?.members);
          if (!changed.delete(one)) changed.add(one);
          sets.set(id, { id, type: 'net', members: changed });
        }
        found = questions.map((question, index) => {
          const classes = found[index];
          const setOf = (id: string) => sets.get(id);
          const expected = addressClasses(question, setOf);
          const got = classes && changedClasses(question, { sets: before, classes }, setOf);
          if (!got) return expected;
          if (got.map.entries !== classes.map.entries) kept++;
          assert.deepEqual(plain(got), plain(expected));
          return got;
        });
      }
    }),
    { numRuns: 2000, seed: SEED },
  );
  t.diagnostic(`seed ${SEED}, ${kept} answers changed in place`);
  assert.ok(kept > 500, `${kept}`);
});

function plain(classes: ReturnType<typeof addressClasses>): unknown {
  return classes && { ...classes, map: { ...classes.map, entries: [...classes.map.entries] } };
}
