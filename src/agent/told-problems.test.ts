// Problems of resources are said once each, and again when they come back.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ToldProblems } from './told-problems.ts';

test('a problem is said when it comes, not while it stays', () => {
  const said: string[] = [];
  const told = new ToldProblems(({ key, message }) => said.push(`${key}: ${message}`));
  const one = { key: 'NetworkPolicy shop/p', message: 'spec.selector: is wrong' };
  const other = { key: 'NetworkPolicy shop/p', message: 'spec.ingress[0]: is wrong' };
  told.tell([one, one]);
  told.tell([one, other]);
  assert.deepEqual(said, [
    'NetworkPolicy shop/p: spec.selector: is wrong',
    'NetworkPolicy shop/p: spec.ingress[0]: is wrong',
  ]);
  told.tell([]);
  told.tell([one]);
  assert.equal(said.length, 3);
});
