// Netlink sockets against the kernel: which message of a batch failed, overruns, big dumps, errors.

import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import {
  AttributeWriter,
  MESSAGE_FLAG,
  NETLINK_PROTOCOL,
  NetlinkError,
  type NetlinkRequest,
  NetlinkSocket,
  setAnswerTimeout,
  type NetlinkSocketOptions,
  parseAttributes,
} from '#linux';
import { makeNamespace, type TestNamespace } from './linux-namespaces.ts';

const NEW_LINK = 16;
const DELETE_LINK = 17;
const GET_LINK = 18;
const LINK_GROUP = 1;
const CONNECTOR = 11;
const DONE = 3;
const IFNAME = 3;
const header = new Uint8Array(16);

function open(t: TestContext, namespace: TestNamespace, options: NetlinkSocketOptions = {}) {
  const settings = { namespace: namespace.fd, ...options };
  const socket = NetlinkSocket.open(NETLINK_PROTOCOL.ROUTE, settings);
  t.after(() => socket.close());
  return socket;
}

function bridge(name: string): NetlinkRequest {
  const body = new AttributeWriter(header)
    .string(IFNAME, name)
    .nested(18, (info) => info.string(1, 'bridge'))
    .finish();
  const flags = MESSAGE_FLAG.CREATE | MESSAGE_FLAG.EXCL;
  return { type: NEW_LINK, flags, body, action: `cannot create ${name}` };
}

function remove(name: string): NetlinkRequest {
  return { type: DELETE_LINK, body: new AttributeWriter(header).string(IFNAME, name).finish() };
}

const names = (messages: readonly { body: Uint8Array }[]) =>
  messages.map(({ body }) => parseAttributes(body.subarray(16)).string(IFNAME));

void test('a batch tells which message failed, with its action and the words of the kernel', (t) => {
  const socket = open(t, makeNamespace(t));
  const bad = {
    ...bridge('b2'),
    body: new AttributeWriter(header)
      .string(IFNAME, 'b2')
      .nested(18, (info) => info.string(1, 'nonsense'))
      .finish(),
  };
  assert.throws(
    () => socket.batch([bridge('b0'), bridge('b1'), bad, bridge('b0')]),
    (error: unknown) =>
      error instanceof NetlinkError &&
      error.index === 2 &&
      /^cannot create b2: .*Unknown device type/.test(error.message),
  );
  assert.deepEqual(names(socket.dump({ type: GET_LINK, body: header })), ['lo', 'b0', 'b1']);
  socket.batch([remove('b0'), remove('b1')]);
  socket.batch([]);
  assert.deepEqual(names(socket.dump({ type: GET_LINK, body: header })), ['lo']);
});

void test('requests after a failed one get their own answers', (t) => {
  const socket = open(t, makeNamespace(t));
  for (let round = 0; round < 5; round++) {
    assert.throws(() => socket.request(remove('absent')), { code: 'ENODEV' });
    assert.deepEqual(socket.request(bridge('b0')), []);
    assert.deepEqual(names(socket.dump({ type: GET_LINK, body: header })), ['lo', 'b0']);
    socket.request(remove('b0'));
  }
});

void test('a batch larger than the send buffer makes it grow', (t) => {
  const socket = open(t, makeNamespace(t), { sendBufferBytes: 8192 });
  const filler = new AttributeWriter(header).string(IFNAME, 'lo').bytes(52, new Uint8Array(60_000));
  const ask = { type: GET_LINK, flags: 0, body: filler.finish() };
  assert.throws(
    () => socket.batch([...Array.from({ length: 40 }, () => ask), remove('absent')]),
    (error: unknown) => error instanceof NetlinkError && error.index !== undefined,
  );
});

void test('notifications are received, and those lost to a full buffer are counted', (t) => {
  const namespace = makeNamespace(t);
  const listener = open(t, namespace, { groups: [LINK_GROUP] });
  const small = open(t, namespace, { groups: [LINK_GROUP], receiveBufferBytes: 4096 });
  assert.deepEqual(listener.receive(), []);
  for (let count = 0; count < 20; count++) namespace.route.createBridge(`b${count}`);
  const heard = new Set(names(listener.receive()));
  for (let count = 0; count < 20; count++) assert.ok(heard.has(`b${count}`), `b${count}`);
  assert.equal(listener.overruns, 0);
  assert.ok(small.receive().length < 20);
  assert.ok(small.overruns > 0);
});

void test('notifications that come between request and answer are kept', (t) => {
  const namespace = makeNamespace(t);
  const socket = open(t, namespace, { groups: [LINK_GROUP] });
  namespace.route.createBridge('b0');
  assert.deepEqual(names(socket.dump({ type: GET_LINK, body: header })), ['lo', 'b0']);
  assert.ok(names(socket.receive()).includes('b0'));
});

void test('a dump of many datagrams is whole', (t) => {
  const namespace = makeNamespace(t);
  for (let count = 0; count < 100; count++) namespace.route.createBridge(`b${count}`);
  const listed = names(open(t, namespace).dump({ type: GET_LINK, body: header }));
  assert.equal(new Set(listed).size, 101);
});

void test('a closed socket refuses everything, and closing twice does no harm', (t) => {
  const socket = open(t, makeNamespace(t));
  socket.close();
  socket.close();
  for (const act of [
    () => socket.receive(),
    () => socket.request(remove('x')),
    () => socket.dump({ type: GET_LINK, body: header }),
    () => socket.batch([]),
  ]) {
    assert.throws(act, /the netlink socket is closed/);
  }
});

void test('the kernel is waited for as long as is said', (t) => {
  // The connector, which is in the first namespace alone, answers nobody.
  const socket = NetlinkSocket.open(CONNECTOR);
  t.after(() => {
    setAnswerTimeout(0);
    socket.close();
  });
  setAnswerTimeout(30);
  const body = new Uint8Array(20);
  assert.throws(() => socket.request({ type: DONE, body, action: 'cannot ask' }), {
    code: 'ETIMEDOUT',
    message: /no answer in 30 ms/,
  });
});
