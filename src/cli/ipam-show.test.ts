// Numbers and tables as calicoctl's ipam commands print them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatBoxedTable } from './boxed-table.ts';
import { shortNumber } from './ipam-show.ts';

test('numbers have five significant digits, as C prints them with %.5g', () => {
  const expected: [number, string][] = [
    [0, '0'],
    [65536, '65536'],
    [99999, '99999'],
    [100000, '1e+05'],
    [262144, '2.6214e+05'],
    [2 ** 64, '1.8447e+19'],
  ];
  for (const [value, text] of expected) assert.equal(shortNumber(value), text);
});

test('a table has lines around its cells, numbers to the right, headings to the left', () => {
  assert.equal(
    formatBoxedTable(['A', 'COUNT'], [['long', '7']], new Set(['COUNT'])),
    '+------+-------+\n| A    | COUNT |\n+------+-------+\n| long |     7 |\n+------+-------+\n',
  );
});
