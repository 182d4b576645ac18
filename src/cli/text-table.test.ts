// Tests of the table printer and of ages.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatAge, formatTable } from './text-table.ts';

test('a table is as wide as its widest cells, without trailing spaces', () => {
  const text = formatTable(
    ['NAME', 'STATUS'],
    [
      ['cart', 'Running'],
      ['a-long-name', ''],
    ],
  );
  assert.equal(text, 'NAME          STATUS\ncart          Running\na-long-name\n');
});

test('a cell is one line, and not endless', () => {
  const [, row = ''] = formatTable(['A', 'B'], [[`x\ny${'z'.repeat(500)}`, 'b']]).split('\n');
  assert.match(row, /^x yz+… {3}b$/);
  assert.ok(row.length < 130);
});

test('ages are said as kubectl says them', () => {
  const now = Date.parse('2026-01-31T12:00:00Z');
  const age = (seconds: number) => formatAge(new Date(now - seconds * 1000).toISOString(), now);
  const cases: [number, string][] = [
    [0, '0s'],
    [119, '119s'],
    [120, '2m'],
    [310, '5m10s'],
    [3_000, '50m'],
    [12_000, '3h20m'],
    [36_000, '10h'],
    [187_200, '2d4h'],
    [864_000, '10d'],
  ];
  for (const [seconds, expected] of cases) assert.equal(age(seconds), expected);
  assert.equal(formatAge('yesterday', now), '');
  assert.equal(formatAge(undefined, now), '');
});
