// Connection tracking against the kernel: events, counters, listing and deletion of real traffic.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import test, { type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  CONNTRACK_STATUS,
  type ConntrackEvent,
  type ConntrackEventType,
  ConntrackSocket,
  enableConntrackAccounting,
  listenInNamespace,
  writeSysctlInNamespace,
} from '#linux';
import { loadChain, makePair, run, type TestNamespace } from './linux-namespaces.ts';

const SERVER = `
  require('net')
    .createServer({ allowHalfOpen: true }, (s) => s.resume().on('end', () => s.end('x'.repeat(5000))))
    .listen({ fd: 3 }, () => console.log('up'))`;

/** Sends 300 bytes and prints how many came back. */
const CLIENT = `
  let count = 0;
  const s = require('net').connect(4000, process.argv[1], () => s.end('y'.repeat(300)));
  s.on('data', (data) => (count += data.length)).on('end', () => console.log(count));`;

/** Sends a datagram to each of 3000 ports. */
const SENDER = `
  const s = require('dgram').createSocket('udp4');
  let count = 0;
  const go = () => {
    for (let i = 0; i < 50 && count < 3000; i++) s.send('x', 1024 + ++count, '10.99.0.2');
    setTimeout(count < 3000 ? go : () => s.close(), 1);
  };
  go();`;

/** Makes the right side track connections, with counters, and serve TCP on port 4000. */
async function prepare(t: TestContext) {
  const { left, right } = makePair(t);
  loadChain(right, 'filter hook input priority 0', ['ct state new accept']);
  enableConntrackAccounting(right.fd);
  const close = 'net/netfilter/nf_conntrack_tcp_timeout_time_wait';
  writeSysctlInNamespace(right.fd, close, 1);
  return { left, right };
}

async function serve(t: TestContext, namespace: TestNamespace, address: string): Promise<void> {
  const listener = listenInNamespace(namespace.fd, address, 4000);
  const child = spawn(process.execPath, ['-e', SERVER], {
    stdio: ['ignore', 'pipe', 'inherit', listener],
  });
  t.after(() => child.kill('SIGKILL'));
  assert.ok(child.stdout);
  await once(child.stdout, 'data');
}

function open(t: TestContext, namespace: TestNamespace, ...events: ConntrackEventType[]) {
  const socket = ConntrackSocket.open({ namespace: namespace.fd, events });
  t.after(() => socket.close());
  return socket;
}

/** Events until `enough`, for ten seconds at most. Listing makes the kernel end what is over. */
async function readUntil(socket: ConntrackSocket, enough: (events: ConntrackEvent[]) => boolean) {
  const events: ConntrackEvent[] = [];
  for (let attempt = 0; attempt < 250 && !enough(events); attempt++) {
    socket.dump();
    events.push(...socket.events());
    await sleep(40);
  }
  return events;
}

for (const [family, client, server] of [
  [4, '10.99.0.1', '10.99.0.2'],
  [6, 'fd99::1', 'fd99::2'],
] as const) {
  void test(`a TCP connection of IPv${family} is told from begin to end, with its bytes`, async (t) => {
    const { left, right } = await prepare(t);
    await serve(t, right, server);
    const socket = open(t, right, 'new', 'update', 'destroy');
    assert.equal(run(left, process.execPath, '-e', CLIENT, server).trim(), '5000');
    const ours = (event: ConntrackEvent) => event.original.destinationPort === 4000;
    const isEnd = (event: ConntrackEvent) => ours(event) && event.type === 'destroy';
    const events = (await readUntil(socket, (seen) => seen.some(isEnd))).filter(ours);
    const begin = events[0];
    const end = events.at(-1);
    assert.equal(begin?.type, 'new');
    assert.equal(end?.type, 'destroy');
    assert.equal(new Set(events.map(({ id }) => id)).size, 1);
    assert.ok(events.some((event) => event.type === 'update' && event.tcpState === 'established'));
    const sourcePort = begin.original.sourcePort;
    assert.ok(sourcePort);
    const common = { family, protocol: 6 };
    assert.deepEqual(end.original, {
      ...common,
      source: client,
      destination: server,
      sourcePort,
      destinationPort: 4000,
    });
    assert.deepEqual(end.reply, {
      ...common,
      source: server,
      destination: client,
      sourcePort: 4000,
      destinationPort: sourcePort,
    });
    assert.ok(end.status & CONNTRACK_STATUS.SEEN_REPLY);
    assert.ok(end.status & CONNTRACK_STATUS.ASSURED);
    assert.ok(end.counters);
    const header = family === 4 ? 20 : 40;
    for (const [counter, payload] of [
      [end.counters.original, 300],
      [end.counters.reply, 5000],
    ] as const) {
      const overhead = counter.bytes - payload;
      assert.ok(overhead >= counter.packets * (header + 20), `${overhead} bytes of headers`);
      assert.ok(overhead <= counter.packets * (header + 60), `${overhead} bytes of headers`);
    }
    assert.equal(socket.lost, 0);
  });

  void test(`pings of IPv${family} are listed with their counters and can be deleted`, async (t) => {
    const { left, right } = await prepare(t);
    const socket = open(t, right, 'destroy');
    run(left, 'ping', '-c10', '-i0.2', '-W2', server);
    const isPing = (entry: { original: { protocol: number; icmpType?: number } }) =>
      entry.original.protocol === (family === 4 ? 1 : 58) &&
      entry.original.icmpType === (family === 4 ? 8 : 128);
    const entry = socket.dump().find(isPing);
    assert.ok(entry);
    assert.equal(entry.original.icmpType, family === 4 ? 8 : 128);
    assert.equal(entry.reply.icmpType, family === 4 ? 0 : 129);
    assert.equal(entry.original.source, client);
    assert.ok(entry.original.icmpId !== undefined);
    assert.ok(entry.timeoutSeconds !== undefined && entry.timeoutSeconds <= 30);
    const size = (family === 4 ? 20 : 40) + 64;
    assert.ok(entry.counters && entry.counters.original.packets > 0);
    assert.equal(entry.counters.original.bytes, entry.counters.original.packets * size);
    assert.deepEqual(entry.counters.reply, entry.counters.original);

    assert.equal(socket.delete({ ...entry, id: entry.id ^ 1 }), false, 'another id is another one');
    assert.equal(socket.delete(entry), true);
    assert.equal(socket.delete(entry), false);
    assert.deepEqual(socket.dump().filter(isPing), []);
    const [event] = (await readUntil(socket, (seen) => seen.some(isPing))).filter(isPing);
    assert.equal(event?.type, 'destroy');
    assert.equal(event.id, entry.id);
  });
}

void test('translated addresses show in the reply tuple and the status', async (t) => {
  const { left, right } = await prepare(t);
  await serve(t, right, '10.99.0.2');
  const chain = 'nat hook prerouting priority -100';
  loadChain(right, chain, ['tcp dport 80 dnat ip to 10.99.0.2:4000']);
  const socket = open(t, right);
  const script =
    "const s=require('net').connect(80,'10.99.0.2',()=>s.end('y'));s.resume().on('end',()=>console.log('end'))";
  run(left, process.execPath, '-e', script);
  const entry = socket.dump().find(({ original }) => original.destinationPort === 80);
  assert.ok(entry);
  assert.equal(entry.reply.sourcePort, 4000);
  assert.ok(entry.status & CONNTRACK_STATUS.DESTINATION_NAT);
});

void test('a list of thousands of connections is whole', async (t) => {
  const { left, right } = await prepare(t);
  const socket = open(t, right);
  run(left, process.execPath, '-e', SENDER);
  const ports = new Set(
    socket
      .dump()
      .filter(({ original }) => original.protocol === 17)
      .map(({ original }) => original.destinationPort),
  );
  assert.equal(ports.size, 3000);
});
