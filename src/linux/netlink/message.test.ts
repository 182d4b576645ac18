// Netlink messages: encoding, splitting datagrams, errors with the kernel's own words, and fuzzing.

import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { AttributeWriter } from './attribute.ts';
import { parseConntrackEntry } from './conntrack.ts';
import { parseLink } from './link-message.ts';
import { parseLinkAddress, parseNeighbour } from './address-message.ts';
import {
  CONTROL_TYPE,
  MESSAGE_FLAG,
  NetlinkError,
  encodeMessages,
  parseAcknowledgement,
  parseMessages,
} from './message.ts';
import { parseRoute } from './route-message.ts';

const request = fc.record({
  type: fc.integer({ min: 16, max: 0xffff }),
  flags: fc.integer({ min: 0, max: 0xffff }),
  body: fc.uint8Array({ maxLength: 100 }),
});

void test('any messages are split as they were joined, with rising numbers', () => {
  fc.assert(
    fc.property(fc.array(request, { maxLength: 10 }), fc.nat(0x7fff_ffff), (requests, first) => {
      const bytes = encodeMessages(requests, first, MESSAGE_FLAG.REQUEST);
      const expected = requests.map(({ type, flags, body }, index) => ({
        type,
        flags: flags | MESSAGE_FLAG.REQUEST,
        sequence: first + index,
        port: 0,
        body: [...body],
      }));
      const split = parseMessages(bytes).map((message) => ({
        ...message,
        body: [...message.body],
      }));
      assert.deepEqual(split, expected);
    }),
  );
});

void test('a message that is cut off ends the datagram', () => {
  const requests = [16, 17].map((type) => ({ type, body: new Uint8Array(8) }));
  const bytes = encodeMessages(requests, 1, 0);
  assert.equal(parseMessages(bytes).length, 2);
  assert.equal(parseMessages(bytes.subarray(0, -1)).length, 1);
  assert.equal(parseMessages(bytes.subarray(0, 15)).length, 0);
});

function errorBody(errno: number, rest: Uint8Array): Uint8Array {
  return Buffer.concat([new Uint8Array(Int32Array.of(-errno).buffer), rest]);
}

void test('an error carries the words of the kernel, whether the request is quoted or not', () => {
  const words = new AttributeWriter().string(1, 'Nexthop has invalid gateway').u32(2, 36).finish();
  const quoted = encodeMessages([{ type: 24, body: new Uint8Array(21) }], 9, 0);
  const expected = {
    errno: 101,
    detail: 'Nexthop has invalid gateway, at byte 36 of the message',
  };
  const flags = MESSAGE_FLAG.ACK_ATTRIBUTES;
  const message = { type: CONTROL_TYPE.ERROR, sequence: 9, port: 0 };
  const whole = errorBody(101, Buffer.concat([quoted, words]));
  assert.deepEqual(parseAcknowledgement({ ...message, flags, body: whole }), expected);
  const capped = errorBody(101, Buffer.concat([quoted.subarray(0, 16), words]));
  const cappedFlags = flags | MESSAGE_FLAG.CAPPED;
  assert.deepEqual(
    parseAcknowledgement({ ...message, flags: cappedFlags, body: capped }),
    expected,
  );
  const plain = errorBody(17, quoted);
  assert.deepEqual(parseAcknowledgement({ ...message, flags: 0, body: plain }), { errno: 17 });
  const done = errorBody(22, words);
  assert.deepEqual(
    parseAcknowledgement({ type: CONTROL_TYPE.DONE, sequence: 9, port: 0, flags, body: done }),
    { ...expected, errno: 22 },
  );
});

void test('the error has action, name, number, text, detail and index', () => {
  const error = new NetlinkError('cannot do it', 17, { detail: 'there is one', index: 3 });
  assert.equal(error.message, 'cannot do it: EEXIST, file already exists (there is one)');
  assert.equal(error.code, 'EEXIST');
  assert.equal(error.errno, 17);
  assert.equal(error.index, 3);
  assert.equal(new NetlinkError('x', 9999).message, 'x: E9999');
  assert.equal(new NetlinkError('x', 1).index, undefined);
});

void test('random bytes never make a parser of messages throw', () => {
  const nameOf = (index: number) => `#${index}`;
  const header = fc.oneof(
    fc.constant([2, 32, 0, 0, 254, 80, 0, 1, 0, 0, 0, 0]),
    fc.constant([10, 64, 0, 0, 254, 80, 0, 1, 0, 0, 0, 0]),
    fc.array(fc.nat(255), { maxLength: 16 }),
  );
  const tail = fc.array(
    fc.tuple(fc.nat(24), fc.nat(30), fc.array(fc.nat(255), { maxLength: 24 })),
    { maxLength: 8 },
  );
  fc.assert(
    fc.property(header, tail, (start, attributes) => {
      const rest = attributes.flatMap(([length, type, data]) => [length, 0, type, 0, ...data]);
      const body = Uint8Array.from([...start, ...rest]);
      parseRoute(body, nameOf);
      parseLink(body);
      parseLinkAddress(body, nameOf);
      parseNeighbour(body, nameOf);
      parseConntrackEntry(body);
      parseMessages(body);
      for (const flags of [0, 0x100, 0x200, 0x300]) {
        for (const type of [CONTROL_TYPE.ERROR, CONTROL_TYPE.DONE]) {
          parseAcknowledgement({ type, flags, sequence: 0, port: 0, body });
        }
      }
    }),
    { numRuns: 2000 },
  );
});
