// The hashes against node's own, over every padding length and random bytes.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { base64Url, sha1Hex, sha224 } from './secure-hash.ts';

test('sha224 agrees with node at every length around the padding', () => {
  for (let length = 0; length < 200; length++) {
    const bytes = Uint8Array.from({ length }, (_, index) => (index * 37 + length) & 255);
    const expected = createHash('sha224').update(bytes).digest('hex');
    assert.equal(Buffer.from(sha224(bytes)).toString('hex'), expected, `length ${length}`);
  }
});

test('sha1Hex agrees with node on any text', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
      const bytes = new TextEncoder().encode(text);
      assert.equal(sha1Hex(text), createHash('sha1').update(bytes).digest('hex'));
    }),
  );
});

test('base64Url agrees with node', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      assert.equal(base64Url(bytes), Buffer.from(bytes).toString('base64url'));
    }),
  );
});
