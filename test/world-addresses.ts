// Where things are in the random worlds: nodes, their blocks, pods, the machine outside, and prefixes around them.
import fc from 'fast-check';
import { type Family, formatAddress, parsePrefix } from '#lib';

export const NODES = ['node-1', 'node-2'] as const;
/** An address that no pod and no node has; some network sets hold it. */
export const OUTSIDE: Readonly<Record<Family, string>> = { 4: '203.0.113.10', 6: '2001:db8:5::10' };
export const NODE_ADDRESS: Readonly<Record<(typeof NODES)[number], Record<Family, string>>> = {
  'node-1': { 4: '172.30.0.11', 6: 'fd00:30::11' },
  'node-2': { 4: '172.30.0.12', 6: 'fd00:30::12' },
};
/** Of node 1 on its interface `eth1`, and of a machine that is reached through it. */
export const SECOND_ADDRESS: Readonly<Record<Family, string>> = {
  4: '172.29.0.11',
  6: 'fd00:29::11',
};
export const BEYOND: Readonly<Record<Family, string>> = { 4: '198.51.100.20', 6: '2001:db8:6::20' };
export const BLOCKS: Readonly<Record<(typeof NODES)[number], Record<Family, string>>> = {
  'node-1': { 4: '10.244.1.0/26', 6: 'fd00:244:1::/122' },
  'node-2': { 4: '10.244.2.0/26', 6: 'fd00:244:2::/122' },
};

export const POD_COUNT = 6;
/** TCP 8080 is the named port `http`, UDP 5353 the named port `dns` of every second pod. */
export const PROBED_PORTS = [
  { protocol: 'tcp', port: 8080 },
  { protocol: 'tcp', port: 9090 },
  { protocol: 'udp', port: 5353 },
] as const;

/** The address of the n-th pod: on node 1 when n is even, else on node 2. */
export function podAddress(index: number, family: Family): string {
  const block = parsePrefix(BLOCKS[NODES[index % 2] ?? 'node-1'][family]);
  if (!block) throw new Error('block is not a prefix');
  return formatAddress({ family, bits: block.bits + BigInt(index + 2) });
}

/** An IPv4 prefix, host bits clear. */
export const net = fc.oneof(
  fc.integer({ min: 0, max: POD_COUNT - 1 }).map((index) => `${podAddress(index, 4)}/32`),
  fc.constantFrom('10.244.0.0/16', '10.244.1.0/26', '203.0.113.0/24', '172.30.0.0/24', '0.0.0.0/0'),
);

/** An IPv6 prefix. */
export const net6 = fc.oneof(
  fc.integer({ min: 0, max: POD_COUNT - 1 }).map((index) => `${podAddress(index, 6)}/128`),
  fc.constantFrom('fd00:244::/32', 'fd00:244:1::/122', '2001:db8:5::/48', '::/0'),
);
