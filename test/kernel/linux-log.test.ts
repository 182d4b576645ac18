// Policy logs against the kernel: what a rule with a log group sees is what the reader returns.

import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type LogPacket, LogReader, parsePacket, Poller } from '#linux';
import { loadChain, makePair, run, type TestNamespace } from './linux-namespaces.ts';

const INPUT = 'filter hook input priority 0';

/** Packets read until `enough`, for at most five seconds. */
async function readUntil(reader: LogReader, enough: (packets: LogPacket[]) => boolean) {
  const packets: LogPacket[] = [];
  for (let attempt = 0; attempt < 250 && !enough(packets); attempt++) {
    packets.push(...reader.read());
    await sleep(20);
  }
  return packets;
}

function openReader(t: TestContext, namespace: TestNamespace, options: object = {}): LogReader {
  const reader = LogReader.open({ group: 7, namespace: namespace.fd, ...options });
  t.after(() => reader.close());
  return reader;
}

void test('logged packets come with prefix, interface, mark and headers, for both families', async (t) => {
  const { left, right } = makePair(t);
  const prefix = 'P'.repeat(60);
  loadChain(right, INPUT, [
    `meta l4proto udp meta mark set 0x123 log prefix "${prefix}" group 7 drop`,
    'icmp type echo-request log prefix "ping" group 7',
  ]);
  const reader = openReader(t, right);
  const send = (address: string) =>
    run(left, 'bash', '-c', `head -c 500 /dev/zero > /dev/udp/${address}/9999`);
  send('10.99.0.2');
  send('fd99::2');
  run(left, 'ping', '-c1', '-W2', '10.99.0.2');
  const packets = await readUntil(reader, (read) => read.length >= 3);
  const index = right.route.link('right0')?.index;
  for (const [family, source, destination, header] of [
    [4, '10.99.0.1', '10.99.0.2', 20],
    [6, 'fd99::1', 'fd99::2', 40],
  ] as const) {
    const packet = packets.find(
      (one) => one.prefix === prefix && parsePacket(one.payload)?.family === family,
    );
    assert.ok(packet, `a packet of IPv${family}`);
    assert.equal(packet.inInterface, index);
    assert.equal(packet.outInterface, undefined);
    assert.equal(packet.hook, 1);
    assert.equal(packet.mark, 0x123);
    assert.equal(packet.payload.length, 128);
    assert.equal(packet.length, 500 + 8 + header);
    const { sourcePort, ...tuple } = parsePacket(packet.payload) ?? {};
    assert.ok(sourcePort);
    assert.deepEqual(tuple, {
      family,
      source,
      destination,
      protocol: 17,
      destinationPort: 9999,
      length: packet.length,
    });
  }
  const ping = packets.find((one) => one.prefix === 'ping');
  const tuple = ping && parsePacket(ping.payload);
  assert.equal(tuple?.icmpType, 8);
  assert.equal(tuple?.icmpCode, 0);
  assert.equal(reader.lost, 0);
});

void test('one reader has a group, until it closes', (t) => {
  const { right } = makePair(t);
  const first = openReader(t, right);
  assert.throws(
    () => openReader(t, right),
    /cannot read log group 7 \(each has one reader; is there another\?\): EPERM/,
  );
  first.close();
  openReader(t, right);
  assert.throws(() => LogReader.open({ group: 70_000 }), RangeError);
});

void test('packets that were not read in time are counted, none is counted twice', async (t) => {
  const { left, right } = makePair(t);
  loadChain(right, INPUT, ['icmp type echo-request log prefix "x" group 7']);
  const reader = openReader(t, right, { bufferBytes: 4096, queueThreshold: 1 });
  run(left, 'ping', '-c300', '-i0.002', '-q', '10.99.0.2');
  let read = reader.read().length;
  assert.ok(read > 0 && read < 300, `${read} fit`);
  run(left, 'ping', '-c1', '-W2', '10.99.0.2');
  read += (await readUntil(reader, (packets) => packets.length >= 1)).length;
  assert.equal(read + reader.lost, 301);
});

void test('the poller calls back when there is something to read, and not after it is closed', async (t) => {
  const { left, right } = makePair(t);
  loadChain(right, INPUT, ['icmp type echo-request log prefix "x" group 7']);
  const reader = openReader(t, right, { queueThreshold: 1 });
  const idle = openReader(t, left);
  const poller = new Poller();
  t.after(() => poller.close());
  const packets: LogPacket[] = [];
  let idleCalls = 0;
  poller.onReadable(idle.fd, () => idleCalls++);
  const called = new Promise<void>((resolve) => {
    poller.onReadable(reader.fd, () => {
      packets.push(...reader.read());
      resolve();
    });
  });
  run(left, 'ping', '-c1', '-W2', '10.99.0.2');
  await called;
  assert.equal(packets.length, 1);
  assert.equal(idleCalls, 0);
  poller.close();
  run(left, 'ping', '-c1', '-W2', '10.99.0.2');
  await sleep(100);
  assert.equal(packets.length, 1, 'closed');
  assert.equal(reader.read().length, 1);
  assert.throws(() => poller.onReadable(reader.fd, () => undefined), /closed/);
});
