// The Kubernetes NetworkPolicy recipes: every probe gets the outcome that the recipe tells.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { corpusMissing } from './corpora.ts';
import { judgeByReference } from './situation.ts';
import { recipeSituations } from './suite-np-recipes.ts';

test('np-recipes', { skip: corpusMissing('np-recipes') }, () => {
  const results = recipeSituations().flatMap(judgeByReference);
  const wrong = results.filter((result) => result !== '');
  process.stdout.write(`# np-recipes: ${results.length - wrong.length} of ${results.length}\n`);
  assert.deepEqual(wrong, []);
  assert.equal(results.length, 63);
});
