// Tests of the exposition format: any label comes back as it was.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { headerText, labelText } from './metric-text.ts';

const SEED = Number(process.env['SEED'] ?? Math.trunc(Math.random() * 2 ** 31));

/** What the text format says of a label's value. */
function valuesOf(text: string): string[] {
  return [...text.matchAll(/[{,][a-z_]+="((?:[^"\\\n]|\\[\\n"])*)"/g)].map(([, value = '']) =>
    value.replace(/\\(.)/g, (_, character) => (character === 'n' ? '\n' : character)),
  );
}

test('labels of any text are read back, and cannot end a line', (context) => {
  const value = fc.string({ unit: fc.constantFrom('a', '"', '\\', '\n', ',', '}', 'n', 'é') });
  fc.assert(
    fc.property(value, value, (first, second) => {
      const text = labelText({ first, second });
      assert.ok(!text.includes('\n'));
      assert.deepEqual(valuesOf(text), [first, second]);
    }),
    { seed: SEED },
  );
  context.diagnostic(`seed ${SEED}`);
});

test('no labels are no braces, and a header says help and type', () => {
  assert.equal(labelText({}), '');
  const header = headerText({ name: 'a_total', type: 'counter', help: 'How many.' });
  assert.equal(header, '# HELP a_total How many.\n# TYPE a_total counter\n');
});
