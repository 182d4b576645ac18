// Packet headers: known packets, cut-off ones, extension headers and random bytes.

import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { packetLength, parsePacket } from './packet.ts';

const V4_HEADER = '450005dc00010000400000000a000001c00002c8';
const V6_HEADER = `6000000005b40040${'fd'.padEnd(30, '0')}01${'20010db8'.padEnd(30, '0')}02`;

function v4(protocol: number, rest: readonly number[], fragment = 0): Uint8Array {
  const bytes = Uint8Array.from([...Buffer.from(V4_HEADER, 'hex'), ...rest]);
  bytes[6] = fragment >> 8;
  bytes[7] = fragment & 0xff;
  bytes[9] = protocol;
  return bytes;
}

function v6(next: number, rest: readonly number[]): Uint8Array {
  const bytes = Uint8Array.from([...Buffer.from(V6_HEADER, 'hex'), ...rest]);
  bytes[6] = next;
  return bytes;
}

const PORTS = [0x30, 0x39, 0x00, 0x50];
const v4Ends = { family: 4, source: '10.0.0.1', destination: '192.0.2.200', length: 1500 };
const v6Ends = { family: 6, source: 'fd00::1', destination: '2001:db8::2', length: 1500 };
const ports = { sourcePort: 12345, destinationPort: 80 };

void test('ports are read of every protocol that has them, in both families', () => {
  for (const protocol of [6, 17, 33, 132, 136]) {
    assert.deepEqual(parsePacket(v4(protocol, PORTS)), { ...v4Ends, protocol, ...ports });
    assert.deepEqual(parsePacket(v6(protocol, PORTS)), { ...v6Ends, protocol, ...ports });
  }
  assert.deepEqual(parsePacket(v4(47, PORTS)), { ...v4Ends, protocol: 47 });
});

void test('ICMP has type and code, only in its own family', () => {
  const icmp = { icmpType: 3, icmpCode: 13 };
  assert.deepEqual(parsePacket(v4(1, [3, 13])), { ...v4Ends, protocol: 1, ...icmp });
  assert.deepEqual(parsePacket(v6(58, [3, 13])), { ...v6Ends, protocol: 58, ...icmp });
  assert.deepEqual(parsePacket(v4(58, [3, 13])), { ...v4Ends, protocol: 58 });
  assert.deepEqual(parsePacket(v6(1, [3, 13])), { ...v6Ends, protocol: 1 });
});

void test('options of IPv4 are skipped, and later fragments have no ports', () => {
  const withOptions = v4(17, [1, 1, 1, 1, ...PORTS]);
  withOptions[0] = 0x46;
  assert.deepEqual(parsePacket(withOptions), { ...v4Ends, protocol: 17, ...ports });
  const first = parsePacket(v4(17, PORTS, 0x2000));
  assert.deepEqual(first, { ...v4Ends, protocol: 17, ...ports });
  const later = parsePacket(v4(17, PORTS, 0x2001));
  assert.deepEqual(later, { ...v4Ends, protocol: 17 });
});

void test('extension headers of IPv6 are skipped, at most eight of them', () => {
  const hop = (next: number) => [next, 0, 0, 0, 0, 0, 0, 0];
  const long = (next: number) => [next, 1, ...Array.from({ length: 14 }, () => 0)];
  const authentication = (next: number) => [next, 1, ...Array.from({ length: 10 }, () => 0)];
  const fragment = (next: number, offset: number) => [next, 0, 0, offset << 3, 0, 0, 0, 0];
  const tcp = { ...v6Ends, protocol: 6, ...ports };
  assert.deepEqual(parsePacket(v6(0, [...hop(60), ...long(6), ...PORTS])), tcp);
  assert.deepEqual(parsePacket(v6(51, [...authentication(6), ...PORTS])), tcp);
  assert.deepEqual(parsePacket(v6(44, [...fragment(6, 0), ...PORTS])), tcp);
  assert.deepEqual(parsePacket(v6(44, [...fragment(6, 1), ...PORTS])), { ...v6Ends, protocol: 6 });
  const eight = Array.from({ length: 7 }, () => hop(60)).flat();
  assert.deepEqual(parsePacket(v6(60, [...eight, ...hop(59)])), { ...v6Ends, protocol: 59 });
  const nine = Array.from({ length: 9 }, () => hop(60)).flat();
  assert.deepEqual(parsePacket(v6(60, [...nine, ...PORTS])), { ...v6Ends, protocol: 60 });
  assert.deepEqual(parsePacket(v6(0, [6, 9, 0, 0, 0, 0, 0, 0])), { ...v6Ends, protocol: 6 });
  assert.deepEqual(parsePacket(v6(0, [6, 0])), { ...v6Ends, protocol: 0 });
});

void test('what holds no whole IP header is no packet', () => {
  assert.equal(parsePacket(new Uint8Array(0)), undefined);
  assert.equal(parsePacket(v4(6, []).subarray(0, 19)), undefined);
  assert.equal(parsePacket(v6(6, []).subarray(0, 39)), undefined);
  const shortHeader = v4(6, PORTS);
  shortHeader[0] = 0x44;
  assert.equal(parsePacket(shortHeader), undefined);
  const other = v4(6, PORTS);
  other[0] = 0x55;
  assert.equal(parsePacket(other), undefined);
  assert.deepEqual(parsePacket(v4(6, PORTS.slice(0, 3))), { ...v4Ends, protocol: 6 });
});

void test('the length is that of the header, or of the bytes where there is none', () => {
  assert.equal(packetLength(v4(6, PORTS)), 1500);
  assert.equal(packetLength(v6(6, PORTS)), 1500);
  assert.equal(packetLength(Uint8Array.of(0x45, 1, 2)), 3);
  assert.equal(packetLength(new Uint8Array(0)), 0);
});

void test('random bytes never make the parser throw or invent ports', () => {
  const random = fc.uint8Array({ maxLength: 120 });
  const likely = fc
    .tuple(
      fc.constantFrom(0x45, 0x46, 0x4f, 0x60),
      fc.uint8Array({ minLength: 19, maxLength: 120 }),
    )
    .map(([first, rest]) => Uint8Array.from([first, ...rest]));
  fc.assert(
    fc.property(fc.oneof(random, likely), (bytes) => {
      const tuple = parsePacket(bytes);
      if (!tuple) return;
      assert.equal(tuple.family, (bytes[0] ?? 0) >> 4);
      assert.equal(tuple.length, packetLength(bytes));
      if (tuple.sourcePort !== undefined) assert.ok([6, 17, 33, 132, 136].includes(tuple.protocol));
      assert.deepEqual(parsePacket(Uint8Array.from([0, ...bytes, 0xff]).subarray(1, -1)), tuple);
    }),
    { numRuns: 3000 },
  );
});
