// How full pools and blocks are, as numbers.
import type { IPAMBlock, IPPool } from '#api';
import { familyBits, maskPrefix, parsePrefix, type Prefix, prefixContains } from '#lib';
import { addressAt, blockPrefix, entriesOf, freeOrdinals } from './block.ts';
import type { Reservations } from './settings.ts';

export interface Utilization {
  readonly cidr: string;
  readonly capacity: bigint;
  readonly inUse: bigint;
  /** Whether in use or not. */
  readonly reserved: bigint;
  /** Neither in use nor reserved. */
  readonly free: bigint;
  /** Released and not free yet: a part of those in use. */
  readonly cooling: bigint;
}

export interface PoolUtilization extends Utilization {
  /** Undefined: blocks that lie in no pool, whose sum says nothing. */
  readonly pool: string | undefined;
  readonly blocks: readonly Utilization[];
}

/** Pools in the order they come, each with its blocks; then, if there are any, blocks without a pool. */
export function utilizationOf(
  pools: readonly IPPool[],
  blocks: readonly IPAMBlock[],
  reservations: Reservations,
): PoolUtilization[] {
  const rest = new Set(blocks.filter((block) => blockPrefix(block)));
  const result = pools.flatMap((pool) => {
    const parsed = parsePrefix(pool.spec.cidr);
    if (!parsed) return [];
    const prefix = maskPrefix(parsed);
    const inside = [...rest].filter((block) => liesIn(block, prefix));
    for (const block of inside) rest.delete(block);
    return [poolUtilization(pool, prefix, inside, reservations)];
  });
  if (rest.size === 0) return result;
  const orphans = [...rest].map((block) => blockUtilization(block, reservations));
  const none = { capacity: 0n, inUse: 0n, reserved: 0n, free: 0n, cooling: 0n };
  return [...result, { ...none, cidr: '', pool: undefined, blocks: orphans }];
}

function liesIn(block: IPAMBlock, pool: Prefix): boolean {
  const prefix = blockPrefix(block);
  return prefix !== undefined && prefix.length >= pool.length && prefixContains(pool, prefix);
}

function poolUtilization(
  pool: IPPool,
  prefix: Prefix,
  inside: readonly IPAMBlock[],
  reservations: Reservations,
): PoolUtilization {
  const blocks = inside.map((block) => blockUtilization(block, reservations));
  const sum = (of: (block: Utilization) => bigint) => blocks.reduce((all, it) => all + of(it), 0n);
  const capacity = 1n << BigInt(familyBits(prefix.family) - prefix.length);
  const reserved = reservations.countIn(prefix);
  const inUse = sum((block) => block.inUse);
  // An address that was reserved after it was allocated counts as both.
  const both = sum(
    ({ capacity: size, inUse: used, reserved: kept, free }) => used + kept + free - size,
  );
  return {
    pool: pool.metadata.name,
    cidr: pool.spec.cidr,
    capacity,
    inUse,
    reserved,
    free: capacity - inUse - reserved + both,
    cooling: sum((block) => block.cooling),
    blocks,
  };
}

function blockUtilization(block: IPAMBlock, reservations: Reservations): Utilization {
  const prefix = blockPrefix(block);
  const entries = entriesOf(block);
  const isFree = (ordinal: number) => prefix && !reservations.has(addressAt(prefix, ordinal));
  return {
    cidr: block.spec.cidr,
    capacity: BigInt(block.spec.allocations.length),
    inUse: BigInt(entries.length),
    reserved: prefix ? reservations.countIn(prefix) : 0n,
    free: BigInt(freeOrdinals(block).filter(isFree).length),
    cooling: BigInt(entries.filter(({ releasedAt }) => releasedAt !== undefined).length),
  };
}
