// Packet sockets on a real interface: every frame once, both directions, filtered in the kernel, losses counted.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { filterProgram } from '#capture';
import { type Frame, PacketSocket, type PacketSocketOptions, parsePacket } from '#linux';
import { makePair, run, type TestNamespace } from './linux-namespaces.ts';

function openSocket(
  t: TestContext,
  namespace: TestNamespace,
  options: Partial<PacketSocketOptions> = {},
): PacketSocket {
  const socket = PacketSocket.open({
    interfaceName: 'right0',
    namespace: namespace.fd,
    ...options,
  });
  assert.ok(socket);
  t.after(() => socket.close());
  return socket;
}

async function readUntil(socket: PacketSocket, enough: (frames: Frame[]) => boolean) {
  const frames: Frame[] = [];
  for (let attempt = 0; attempt < 250 && !enough(frames); attempt++) {
    frames.push(...socket.read());
    await sleep(20);
  }
  return frames;
}

const packetOf = (frame: Frame) => parsePacket(frame.data.subarray(14));
const send = (from: TestNamespace, port: number, count: number, family: 4 | 6 = 4) =>
  run(
    from,
    'bash',
    '-c',
    `for n in $(seq ${count}); do echo $n > /dev/udp/${family === 4 ? '10.99.0.2' : 'fd99::2'}/${port}; done`,
  );

void test('every frame is read once, with its bytes, time and direction', async (t) => {
  const { left, right } = makePair(t);
  const socket = openSocket(t, right);
  const before = BigInt(Date.now()) * 1_000_000n;
  run(left, 'ping', '-c3', '-i0.01', '-s500', '-W2', '10.99.0.2');
  const pings = (frames: Frame[]) => frames.filter((one) => packetOf(one)?.protocol === 1);
  const frames = await readUntil(socket, (read) => pings(read).length >= 6);
  const found = pings(frames);
  assert.deepEqual(
    found.map((frame) => [packetOf(frame)?.icmpType, frame.isOutgoing]),
    [
      [8, false],
      [0, true],
      [8, false],
      [0, true],
      [8, false],
      [0, true],
    ],
  );
  for (const frame of found) {
    assert.equal(frame.length, 14 + 20 + 8 + 500);
    assert.equal(frame.data.length, frame.length);
    const age = frame.timestampNs - before;
    assert.ok(age >= 0n && age < 30_000_000_000n, String(age));
  }
  // IPv6 speaks by itself while this looks: all is read once nothing is on its way.
  let all = frames.length;
  for (let look = 0; look < 250 && all !== socket.received; look++) {
    await sleep(20);
    all += socket.read().length;
  }
  assert.equal(all, socket.received);
  assert.equal(socket.lost, 0);
});

void test('[CT6] the filter runs in the kernel, for both families', async (t) => {
  const { left, right } = makePair(t);
  const filter = filterProgram([{ protocol: 17, ports: [[9000, 9001]] }]);
  const socket = openSocket(t, right, { filter });
  for (const family of [4, 6] as const) {
    for (const port of [8999, 9000, 9001, 9002]) send(left, port, 5, family);
  }
  const frames = await readUntil(socket, (read) => read.length >= 20);
  await sleep(100);
  frames.push(...socket.read());
  const ports = frames.map(
    (frame) => `${packetOf(frame)?.family} ${packetOf(frame)?.destinationPort}`,
  );
  const expected = ['4 9000', '4 9001', '6 9000', '6 9001'].flatMap((it) => Array(5).fill(it));
  assert.deepEqual(ports.sort(), expected);
  // What was refused never took room.
  assert.equal(socket.received, 20);
});

void test('frames that find the ring full are counted, and reading goes on', async (t) => {
  const { left, right } = makePair(t);
  const filter = filterProgram([{ protocol: 1, ports: [] }]);
  const socket = openSocket(t, right, { filter, ringBytes: 512 * 1024 });
  run(left, 'ping', '-f', '-q', '-c', '1000', '-s', '1400', '-W2', '10.99.0.2');
  const first = socket.read();
  const { received, lost } = socket;
  assert.ok(lost > 0 && first.length > 100, `${lost} lost, ${first.length} read`);
  run(left, 'ping', '-c1', '-W2', '10.99.0.2');
  const rest = await readUntil(socket, (read) => read.length >= 2);
  assert.ok(rest.length >= 2);
  assert.equal(first.length + lost + rest.length, socket.received);
  assert.ok(received >= 1000);
});

void test('an interface that goes is noticed, one that is not there is no error', async (t) => {
  const { left, right } = makePair(t);
  const options = { interfaceName: 'none0', namespace: right.fd };
  assert.equal(PacketSocket.open(options), undefined);
  assert.throws(() => PacketSocket.open({ ...options, interfaceName: 'x'.repeat(16) }), RangeError);
  const socket = openSocket(t, right);
  assert.ok(socket.isCurrent());
  left.route.deleteLink('left0');
  for (let attempt = 0; attempt < 100 && socket.isCurrent(); attempt++) await sleep(20);
  assert.ok(!socket.isCurrent());
  assert.deepEqual(socket.read(), []);
});

void test('sockets leave neither memory nor descriptors behind', (t) => {
  const { right } = makePair(t);
  const maps = () => readFileSync('/proc/self/maps', 'utf8').split('\n').length;
  const open = () =>
    PacketSocket.open({ interfaceName: 'right0', namespace: right.fd, ringBytes: 512 * 1024 });
  open()?.close();
  const before = maps();
  const first = open()?.fd;
  for (let count = 0; count < 20; count++) {
    const socket = open();
    socket?.read();
    socket?.close();
  }
  assert.ok(maps() < before + 10, `${maps()} maps after ${before}`);
  const last = open()?.fd ?? 0;
  assert.ok(last <= (first ?? 0) + 3);
});
