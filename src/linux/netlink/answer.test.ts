// Answers: whose messages they take, how they end, and that an interrupted dump is noticed.

import assert from 'node:assert/strict';
import test from 'node:test';
import { Answer } from './answer.ts';
import { CONTROL_TYPE, MESSAGE_FLAG, type NetlinkMessage } from './message.ts';

const link = (sequence: number, flags = 0): NetlinkMessage => ({
  type: 16,
  flags: MESSAGE_FLAG.MULTI | flags,
  sequence,
  port: 0,
  body: new Uint8Array(16),
});
const control = (type: number, errno: number, flags = 0): NetlinkMessage => ({
  type,
  flags,
  sequence: 5,
  port: 0,
  body: new Uint8Array(Int32Array.of(-errno).buffer),
});

void test('messages of the request are gathered until the end, others are left', () => {
  const answer = new Answer(5);
  assert.equal(answer.add(link(4)), false);
  assert.equal(answer.add(link(5)), true);
  assert.equal(answer.add(link(0)), false);
  assert.equal(answer.end, undefined);
  assert.equal(answer.add(control(CONTROL_TYPE.DONE, 0)), true);
  assert.deepEqual(answer.end, { errno: 0 });
  assert.equal(answer.add(link(5)), false, 'it is over');
  assert.equal(answer.messages.length, 1);
  assert.equal(answer.interrupted, false);
});

void test('errors end it, of requests and of dumps', () => {
  for (const type of [CONTROL_TYPE.ERROR, CONTROL_TYPE.DONE]) {
    const answer = new Answer(5);
    answer.add(control(type, 17));
    assert.deepEqual(answer.end, { errno: 17 });
  }
});

void test('an interrupted dump is noticed on any of its messages', () => {
  for (const place of ['message', 'end']) {
    const answer = new Answer(5);
    const flag = MESSAGE_FLAG.DUMP_INTERRUPTED;
    answer.add(link(5, place === 'message' ? flag : 0));
    answer.add(control(CONTROL_TYPE.DONE, 0, place === 'end' ? flag : 0));
    assert.equal(answer.interrupted, true);
  }
});
