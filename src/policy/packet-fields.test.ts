// Packets as they are written: what is read, and every mistake at once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readPacketFields, type WrittenPacket } from './packet-fields.ts';

function read(written: WrittenPacket): unknown {
  const { fields, problems } = readPacketFields(written);
  return fields ?? problems.map(({ field, message }) => `${field} ${message}`);
}

test('numbers and their texts, names in any case, and null for what is absent', () => {
  assert.deepEqual(read({ port: 80 }), { protocol: 6, port: 80 });
  assert.deepEqual(read({ protocol: 'Udp', port: '53', sourcePort: 7, family: '6' }), {
    protocol: 17,
    port: 53,
    sourcePort: 7,
    family: 6,
  });
  assert.deepEqual(read({ protocol: '1', port: null, icmpType: 0, icmpCode: 255 }), {
    protocol: 1,
    icmpType: 0,
    icmpCode: 255,
  });
  assert.deepEqual(read({ protocol: 47, icmpType: null }), { protocol: 47 });
  assert.deepEqual(read({ port: 80, through: 'gate:eth0:eth1' }), {
    protocol: 6,
    port: 80,
    through: { node: 'gate', in: 'eth0', out: 'eth1' },
  });
});

test('each mistake is told once, with its field', () => {
  assert.deepEqual(read({ protocol: 'udp' }), ['port is missing: UDP needs a port']);
  assert.deepEqual(read({ protocol: 47, port: 1, icmpCode: 1 }), [
    'port makes no sense: protocol 47 has no ports',
    'icmpCode makes no sense: protocol 47 has no ICMP types',
  ]);
  assert.deepEqual(read({ protocol: 'icmp', sourcePort: 1 }), [
    'sourcePort makes no sense: ICMP has no ports',
  ]);
  assert.deepEqual(read({ port: 1.5, sourcePort: '1e3', family: 5 }), [
    'port 1.5 is no number from 1 to 65535',
    'sourcePort "1e3" is no number from 1 to 65535',
    'family 5 is neither 4 nor 6',
  ]);
  for (const through of ['gate', 'gate:eth0', 'gate::eth1', 'a:b:c:d', 7]) {
    assert.match(String(read({ port: 1, through })), /^through .* does not name a node and two/);
  }
  for (const protocol of ['tpc', 256, -1, '', {}, true]) {
    assert.match(String(read({ protocol, port: 1 })), /^protocol .* is no protocol: use icmp, tcp/);
  }
});
