// "Did you mean": near names are found, far ones are not.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { closestName } from './suggestion.ts';

test('closestName finds the near and leaves the far', () => {
  const fields = ['selector', 'notSelector', 'nets', 'ports'];
  assert.equal(closestName('selectr', fields), 'selector');
  assert.equal(closestName('Selector', fields), 'selector');
  assert.equal(closestName('prots', fields), 'ports');
  assert.equal(closestName('net', fields), 'nets');
  assert.equal(closestName('podSelector', fields), 'notSelector');
  assert.equal(closestName('action', fields), undefined);
  assert.equal(closestName('', fields), undefined);
  assert.equal(closestName('x'.repeat(65), ['x'.repeat(65)]), undefined);
});
