// The order of texts against the order of their UTF-8 bytes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compareCodePoints } from './code-points.ts';

test('compareCodePoints orders as UTF-8 bytes do', () => {
  const text = fc.string({ unit: 'binary', maxLength: 6 });
  fc.assert(
    fc.property(text, text, (a, b) => {
      const expected = Buffer.compare(Buffer.from(a), Buffer.from(b));
      assert.equal(Math.sign(compareCodePoints(a, b)), expected);
    }),
    {
      examples: [
        ['\u{10000}', '\uffff'],
        ['a', 'ab'],
        ['', ''],
      ],
    },
  );
});
