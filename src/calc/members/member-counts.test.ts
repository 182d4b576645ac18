// Members of IP sets against counting them anew, and values that outlive later ones (SPEC.md: CG30, CG36).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parsePrefix, type PersistentSet, prefixContains } from '#lib';
import { MemberCounts } from './member-counts.ts';

const SEED = Number(process.env['SEED'] ?? Math.trunc(Math.random() * 2 ** 31));

const member = fc.constantFrom(
  '0.0.0.0/0',
  '10.0.0.0/8',
  '10.0.0.0/24',
  '10.0.0.0/25',
  '10.0.0.128/25',
  '10.0.0.0/32',
  '10.0.0.1/32',
  '10.0.0.200/32',
  '11.0.0.1/32',
  '::/0',
  'fd00::/8',
  'fd00::/32',
  'fd00::1/128',
  'fe80::1/128',
);
const step = fc.record({ member, gone: fc.boolean(), read: fc.boolean() });

/** The members that no other one contains. */
function widest(counts: ReadonlyMap<string, number>): string[] {
  const present = [...counts.keys()];
  return present
    .filter((text) => {
      const prefix = parsePrefix(text);
      return !present.some((other) => {
        const wider = parsePrefix(other);
        return prefix && wider && wider.length < prefix.length && prefixContains(wider, prefix);
      });
    })
    .sort();
}

test('[CG36] any givers and takers leave the widest of what is given, and old values stay', (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const members = new MemberCounts(true);
      const counts = new Map<string, number>();
      const versions: { readonly version: PersistentSet; readonly expected: string[] }[] = [];
      for (const { member: one, gone, read } of steps) {
        const count = counts.get(one) ?? 0;
        if (gone && count === 0) continue;
        if (gone) members.delete(one);
        else members.add(one);
        if (count + (gone ? -1 : 1) > 0) counts.set(one, count + (gone ? -1 : 1));
        else counts.delete(one);
        const version = members.members();
        const expected = widest(counts);
        if (read) assert.deepEqual([...version].sort(), expected);
        versions.push({ version, expected });
      }
      for (const { version, expected } of versions) {
        assert.deepEqual([...version].sort(), expected);
      }
    }),
    { seed: SEED, numRuns: 1000 },
  );
  t.diagnostic(`seed ${SEED}`);
});

test('[CG30] a value is another object only where members are others', () => {
  const members = new MemberCounts(true);
  const empty = members.members();
  members.add('10.0.0.1/32');
  const one = members.members();
  assert.notEqual(one, empty);
  members.add('10.0.0.1/32');
  members.add('10.0.0.2/32');
  members.delete('10.0.0.2/32');
  assert.equal(members.members(), one);
  members.delete('10.0.0.1/32');
  assert.equal(members.members(), one, 'the other giver is still there');
  assert.deepEqual([...empty], []);
});

test('[CG36] ports and addresses of a port set are counted, not compared', () => {
  const members = new MemberCounts(false);
  for (const text of ['10.0.0.1,tcp:80', '10.0.0.1,tcp:80', '10.0.0.1,tcp:81']) members.add(text);
  members.delete('10.0.0.1,tcp:80');
  members.delete('10.0.0.1,tcp:81');
  assert.deepEqual([...members.members()], ['10.0.0.1,tcp:80']);
});

test('[CG36] many addresses among nets, added and taken away in any order', () => {
  const members = new MemberCounts(true);
  const addresses = Array.from({ length: 3000 }, (_, n) => `10.${n % 7}.${n % 250}.${n % 13}/32`);
  for (const address of addresses) members.add(address);
  members.add('10.3.0.0/16');
  const outside = new Set(addresses.filter((address) => !address.startsWith('10.3.')));
  assert.equal(members.members().size, outside.size + 1);
  members.delete('10.3.0.0/16');
  assert.equal(members.members().size, new Set(addresses).size);
  for (const address of addresses) members.delete(address);
  assert.equal(members.members().size, 0);
});
