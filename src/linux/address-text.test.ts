// Address text: the same as that of lib for every address, which is the slower oracle.

import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { addressFromBytes, formatAddress } from '#lib';
import { addressText } from './address-text.ts';

const byte = fc.oneof(fc.constant(0), fc.nat(255));
const bytesOf = (length: number) =>
  fc.array(byte, { minLength: length, maxLength: length }).map((list) => Uint8Array.from(list));
const group = fc.oneof(fc.constant([0, 0]), fc.tuple(byte, byte));
const groups = fc
  .array(group, { minLength: 8, maxLength: 8 })
  .map((list) => Uint8Array.from(list.flat()));

void test('any address has the text that lib gives it', () => {
  fc.assert(
    fc.property(fc.oneof(bytesOf(4), bytesOf(16), groups), (bytes) => {
      const address = addressFromBytes(bytes);
      assert.ok(address);
      assert.equal(addressText(address.family, bytes), formatAddress(address));
    }),
    { numRuns: 5000 },
  );
});

void test('the corners of RFC 5952', () => {
  const text = (hex: string) => addressText(6, Buffer.from(hex, 'hex'));
  assert.equal(text('0'.repeat(32)), '::');
  assert.equal(text(`${'0'.repeat(31)}1`), '::1');
  assert.equal(text(`fe8${'0'.repeat(29)}`), 'fe80::');
  assert.equal(text('20010db8000000010001000100010001'), '2001:db8:0:1:1:1:1:1');
  assert.equal(text('20010000000000010000000000000001'), '2001:0:0:1::1');
  assert.equal(text('20010db8000000000001000000000001'), '2001:db8::1:0:0:1');
});

void test('bytes of another width have no text', () => {
  assert.equal(addressText(4, new Uint8Array(16)), undefined);
  assert.equal(addressText(6, new Uint8Array(4)), undefined);
  assert.equal(addressText(6, undefined), undefined);
});
