// Matches and actions as nftables expressions, one line an expression.
import assert from 'node:assert/strict';
import { endianness } from 'node:os';
import { test } from 'node:test';
import type { Expression } from '#linux';
import type { Action } from '../rules/action.ts';
import type { Match } from '../rules/match.ts';
import { renderRule } from './render.ts';

/** `meta iifname → 1`, `cmp neq 1 63616c69`, …; the words of the expression's fields in order. */
function lines(match: Match[], actions: Action[] = []): string[] {
  return renderRule({ matches: match, actions }).map(lineOf);
}

function lineOf(expression: Expression): string {
  return Object.values(expression)
    .map((value) => (typeof value === 'object' ? JSON.stringify(value) : String(value)))
    .join(' ');
}

void test('one prefix is compared under its mask, a host address as it is', () => {
  const nets = { match: 'nets', end: 'source', family: 4 } as const;
  assert.deepEqual(lines([{ ...nets, nets: ['10.0.0.0/8'] }]), [
    'payload network 12 4 1',
    'bitwise 1 ff000000 00000000',
    'cmp eq 1 0a000000',
  ]);
  assert.deepEqual(lines([{ ...nets, nets: ['10.0.0.1/32'], negated: true }]), [
    'payload network 12 4 1',
    'cmp neq 1 0a000001',
  ]);
});

void test('several prefixes, ports and protocols are one look-up in a set of the rule', () => {
  const nets = ['fd00::/16', 'fd01::/16'];
  assert.deepEqual(lines([{ match: 'nets', end: 'destination', family: 6, nets }]), [
    'payload network 24 16 1',
    `lookup {"type":{"key":["ipv6_addr"],"interval":true},"elements":[{"key":"fd00${'0'.repeat(28)}"},` +
      `{"key":"fd02${'0'.repeat(28)}","intervalEnd":true}]} 1`,
  ]);
  assert.deepEqual(
    lines([
      {
        match: 'ports',
        end: 'source',
        ports: [
          [1, 2],
          [9, 9],
        ],
        negated: true,
      },
    ]),
    [
      'payload transport 0 2 1',
      'lookup {"type":{"key":["inet_service"],"interval":true},"elements":[{"key":"0001"},' +
        '{"key":"0003","intervalEnd":true},{"key":"0009"},{"key":"000a","intervalEnd":true}]} 1 true',
    ],
  );
  assert.deepEqual(lines([{ match: 'protocol', protocols: [6, 17] }]), [
    'meta l4proto 1',
    'lookup {"type":{"key":["inet_proto"]},"elements":[{"key":"06"},{"key":"11"}]} 1',
  ]);
});

void test('one port is compared, one range is a range', () => {
  const ports = { match: 'ports', end: 'destination' } as const;
  assert.deepEqual(lines([{ ...ports, ports: [[80, 80]] }])[1], 'cmp eq 1 0050');
  assert.deepEqual(lines([{ ...ports, ports: [[80, 443]] }])[1], 'range eq 1 0050 01bb');
  assert.deepEqual(
    lines([
      {
        ...ports,
        ports: [
          [80, 90],
          [91, 443],
        ],
      },
    ])[1],
    'range eq 1 0050 01bb',
  );
});

void test('address, protocol and port lie side by side for the look-up of a named port', () => {
  const match = { match: 'ip-port-set', end: 'destination', set: 'x' } as const;
  const [address, protocol, port, lookup] = lines([{ ...match, family: 6 }]);
  assert.deepEqual(
    [address, protocol, port],
    ['payload network 24 16 8', 'meta l4proto 12', 'payload transport 2 2 13'],
  );
  assert.match(lookup ?? '', /^lookup p6-\S{16} 8$/);
  assert.deepEqual(lines([{ ...match, family: 4 }]).slice(0, 3), [
    'payload network 16 4 8',
    'meta l4proto 9',
    'payload transport 2 2 10',
  ]);
});

void test('the mark changes in our bit alone', {
  skip: endianness() !== 'LE' && 'bytes are of a little-endian machine',
}, () => {
  const bit = 0x0004_0000;
  assert.deepEqual(lines([], [{ action: 'set-mark', bit }]), [
    'meta mark 1',
    'bitwise 1 fffffbff 00000400',
    'meta-set mark 1',
  ]);
  assert.deepEqual(lines([], [{ action: 'clear-mark', bit }])[1], 'bitwise 1 fffffbff 00000000');
  assert.deepEqual(lines([{ match: 'mark', bit }]), [
    'meta mark 1',
    'bitwise 1 00000400 00000000',
    'cmp neq 1 00000000',
  ]);
});

void test('dispatch, jumps and logs', () => {
  assert.deepEqual(
    lines(
      [],
      [
        { action: 'dispatch', map: 'dispatch-egress', way: 'in' },
        { action: 'log-packet', group: 2, prefix: 'DUE|' },
        { action: 'limit', rate: { packets: 3, per: 'hour', burst: 5 } },
        { action: 'log-kernel', prefix: 'calico-packet: ' },
        { action: 'count' },
        { action: 'jump', chain: 'c' },
      ],
    ),
    [
      'meta iifname 1',
      'lookup dispatch-egress 1 true',
      'log 2 DUE| 128',
      'limit 3 3600 5',
      'log 4 calico-packet: ',
      'counter',
      'verdict {"kind":"jump","chain":"c"}',
    ],
  );
});
