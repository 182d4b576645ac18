// Attributes: what is written is read back, and no bytes make a reader leave its buffer or throw.

import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import {
  type AttributeMap,
  AttributeWriter,
  align4,
  parseAttributeList,
  parseAttributes,
} from './attribute.ts';

void test('numbers have the byte order of their name', () => {
  const writer = new AttributeWriter()
    .u8(1, 0xab)
    .u16(2, 0x1234)
    .be16(3, 0x1234)
    .u32(4, 0xdeadbeef)
    .be32(5, 0xdeadbeef)
    .u64(6, 0x0102030405060708n)
    .be64(7, 0x0102030405060708n);
  const map = parseAttributes(writer.finish());
  assert.deepEqual(map.types(), [1, 2, 3, 4, 5, 6, 7]);
  assert.equal(map.u8(1), 0xab);
  assert.equal(map.u16(2), 0x1234);
  assert.deepEqual([...(map.bytes(3) ?? [])], [0x12, 0x34]);
  assert.equal(map.be16(3), 0x1234);
  assert.equal(map.u32(4), 0xdeadbeef);
  assert.deepEqual([...(map.bytes(5) ?? [])], [0xde, 0xad, 0xbe, 0xef]);
  assert.equal(map.be32(5), 0xdeadbeef);
  assert.equal(map.u64(6), 0x0102030405060708n);
  assert.deepEqual([...(map.bytes(7) ?? [])], [1, 2, 3, 4, 5, 6, 7, 8]);
  assert.equal(map.be64(7), 0x0102030405060708n);
});

void test('the bytes are those of linux/netlink.h, with zeroes as padding', () => {
  const header = Uint8Array.of(2, 0, 0, 0);
  const bytes = new AttributeWriter(header)
    .string(1, 'ab')
    .nested(2, (nest) => nest.flag(3))
    .finish();
  const little = [2, 0, 0, 0, 7, 0, 1, 0, 97, 98, 0, 0, 8, 0, 2, 0x80, 4, 0, 3, 0];
  assert.deepEqual([...bytes], little);
});

void test('lists, nests and texts are read back', () => {
  const items = ['one', 'zwölf', ''];
  const bytes = new AttributeWriter()
    .list(9, 1, items, (writer, item) => writer.string(4, item).u32(5, item.length))
    .nested(10, () => undefined)
    .flag(11)
    .finish();
  const map = parseAttributes(bytes);
  const read = map.list(9).map(({ type, data }) => {
    const element = parseAttributes(data);
    return [type, element.string(4), element.u32(5)];
  });
  assert.deepEqual(
    read,
    items.map((item) => [1, item, item.length]),
  );
  assert.deepEqual(map.nested(10)?.types(), []);
  assert.equal(map.has(11), true);
  assert.equal(map.has(12), false);
});

void test('the last of repeated attributes counts, and short ones read as absent', () => {
  const map = parseAttributes(new AttributeWriter().u16(1, 1).u16(1, 2).finish());
  assert.equal(map.u16(1), 2);
  assert.equal(map.u32(1), undefined);
  assert.equal(map.u64(1), undefined);
  assert.equal(map.string(2), undefined);
  assert.deepEqual(map.list(2), []);
});

void test('an attribute that is cut off, or shorter than its header, ends the list', () => {
  const bytes = new AttributeWriter().u32(1, 7).u32(2, 8).finish();
  assert.equal(parseAttributeList(bytes.subarray(0, 15)).length, 1);
  assert.equal(parseAttributeList(bytes.subarray(0, 11)).length, 1);
  const zero = bytes.slice();
  zero[8] = 3;
  assert.equal(parseAttributeList(zero).length, 1);
});

void test('values too large for an attribute, and NULs in text, are refused', () => {
  const writer = new AttributeWriter();
  writer.bytes(1, new Uint8Array(65_531));
  assert.throws(() => writer.bytes(1, new Uint8Array(65_532)), RangeError);
  assert.throws(
    () => writer.nested(2, (nest) => nest.bytes(3, new Uint8Array(65_530))),
    /attribute 2 has 65540 bytes; at most 65535 fit/,
  );
  assert.throws(() => writer.string(4, 'a\0b'), RangeError);
});

const attribute = fc
  .tuple(fc.integer({ min: 0, max: 0x3fff }), fc.uint8Array({ maxLength: 700 }))
  .map(([type, data]) => ({ type, data }));

void test('any attributes are read back as they were written', () => {
  fc.assert(
    fc.property(fc.array(attribute, { maxLength: 20 }), (attributes) => {
      const writer = new AttributeWriter();
      for (const { type, data } of attributes) writer.bytes(type, data);
      const bytes = writer.finish();
      assert.equal(bytes.length % 4, 0);
      assert.equal(
        bytes.length,
        attributes.reduce((sum, { data }) => sum + align4(4 + data.length), 0),
      );
      assert.deepEqual(
        parseAttributeList(bytes).map(({ type, data }) => ({ type, data: Uint8Array.from(data) })),
        attributes,
      );
    }),
  );
});

function readEverything(map: AttributeMap, depth: number): void {
  for (const type of map.types()) {
    map.u8(type);
    map.u16(type);
    map.u32(type);
    map.u64(type);
    map.be16(type);
    map.be32(type);
    map.be64(type);
    map.string(type);
    map.list(type);
    const nested = map.nested(type);
    if (nested && depth > 0) readEverything(nested, depth - 1);
  }
}

/** Bytes that often look like attributes: small little-endian lengths and types, then data. */
const plausible = fc
  .array(fc.tuple(fc.nat(40), fc.nat(20), fc.uint8Array({ maxLength: 40 })), { maxLength: 8 })
  .map((parts) =>
    Uint8Array.from(parts.flatMap(([length, type, data]) => [length, 0, type, 0, ...data])),
  );

void test('random bytes never make a reader throw or see bytes outside its window', () => {
  const bytes = fc.oneof(plausible, fc.uint8Array({ maxLength: 200 }));
  fc.assert(
    fc.property(bytes, fc.nat(16), (inner, offset) => {
      const buffer = new Uint8Array(offset + inner.length + 32).fill(0xee);
      buffer.set(inner, offset);
      const window = buffer.subarray(offset, offset + inner.length);
      for (const { data } of parseAttributeList(window)) {
        assert.ok(data.byteOffset >= offset);
        assert.ok(data.byteOffset + data.length <= offset + inner.length);
      }
      readEverything(parseAttributes(window), 4);
    }),
    { numRuns: 2000 },
  );
});
