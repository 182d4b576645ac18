// Transactions as messages: their order, who owns which message, and the limits of one message.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AttributeWriter, parseAttributeList } from '../netlink/attribute.ts';
import { decodeComment, encodeComment } from './comment.ts';
import { ELEMENTS, NFT_MESSAGE, encodeTransaction } from './operation.ts';
import { type SetElement, readElement, writeElement } from './set.ts';

void test('a transaction is framed, and each message belongs to its operation', () => {
  const { requests, owners } = encodeTransaction([
    { kind: 'add-table', table: 't' },
    {
      kind: 'add-rule',
      table: 't',
      chain: 'c',
      expressions: [
        { kind: 'payload', base: 'transport', offset: 2, length: 2, register: 1 },
        {
          kind: 'lookup',
          set: { type: { key: ['inet_service'] }, elements: [{ key: '0050' }] },
          register: 1,
        },
      ],
    },
    { kind: 'flush-chain', table: 't', chain: 'd' },
  ]);
  const { NEW_TABLE, NEW_SET, NEW_ELEMENTS, NEW_RULE, DELETE_RULE } = NFT_MESSAGE;
  assert.deepEqual(
    requests.map(({ type }) => type),
    [0x10, NEW_TABLE, NEW_SET, NEW_ELEMENTS, NEW_RULE, DELETE_RULE, 0x11],
  );
  assert.deepEqual(owners, [-1, 0, 1, 1, 1, 2, -1]);
});

void test('big sets are cut into messages whose lists fit an attribute', () => {
  const elements = Array.from(
    { length: 5000 },
    (_, index): SetElement => ({
      key: index.toString(16).padStart(32, '0'),
      verdict: { kind: 'jump', chain: 'wi-cali0123456789a' },
    }),
  );
  const { requests } = encodeTransaction([
    { kind: 'add-elements', table: 't', set: 's', elements },
  ]);
  const counts = requests.slice(1, -1).map(({ body }) => {
    assert.ok(body.length < 65_536);
    const list = parseAttributeList(body.subarray(4)).find(({ type }) => type === ELEMENTS.LIST);
    return parseAttributeList(list?.data ?? new Uint8Array()).length;
  });
  assert.equal(
    counts.reduce((sum, count) => sum + count, 0),
    elements.length,
  );
});

void test('elements and comments read back as they were written', () => {
  const chain = fc.constantFrom('c', 'pi-0123');
  const verdict = fc.oneof(
    fc.record({ kind: fc.constantFrom('accept', 'drop', 'return') }),
    fc.record({ kind: fc.constantFrom('jump', 'goto'), chain }),
  );
  const element: fc.Arbitrary<object> = fc.record(
    {
      key: fc
        .uint8Array({ minLength: 1, maxLength: 24 })
        .map((bytes) => Buffer.from(bytes).toString('hex')),
      intervalEnd: fc.constant(true),
      verdict,
    },
    { requiredKeys: ['key'] },
  );
  fc.assert(
    fc.property(element, (one) => {
      const writer = new AttributeWriter().nested(1, (nest) =>
        writeElement(nest, one as SetElement),
      );
      const [read] = parseAttributeList(writer.finish());
      assert.deepEqual(read && readElement(read), structuredClone(one));
    }),
  );
  fc.assert(
    fc.property(fc.string({ maxLength: 120 }), (text) => {
      fc.pre(!text.includes('\0'));
      assert.equal(decodeComment(encodeComment(text)), text);
    }),
  );
  assert.equal(decodeComment(Uint8Array.of(7, 3, 1)), undefined);
});
