// Which IP pools a request may use, and which block of a pool comes next for a node.
import type { IPPool } from '#api';
import {
  type Family,
  type Prefix,
  familyBits,
  maskPrefix,
  parsePrefix,
  prefixContains,
} from '#lib';
import { MAX_BLOCK_ADDRESSES } from './block.ts';

/** A pool with its prefix read. */
export interface PoolRange {
  readonly name: string;
  readonly prefix: Prefix;
  /** Prefix length of its blocks. */
  readonly blockSize: number;
}

/** Says whether a pool's node and namespace selectors choose this node and the pod's namespace. */
export type PoolSelects = (pool: IPPool, attributes: Readonly<Record<string, string>>) => boolean;

/** Without an evaluator of selectors, only pools that select everything are used. */
export const selectsEverything: PoolSelects = (pool) =>
  [pool.spec.nodeSelector, pool.spec.namespaceSelector].every(
    (selector) => selector === undefined || selector === '' || selector === 'all()',
  );

/** Names or exact prefixes, by family; pools named here are used whatever they select (spec 05). */
export type NamedPools = { readonly [F in Family]?: readonly string[] };

export interface PoolQuery {
  readonly pools: NamedPools | undefined;
  readonly attributes: Readonly<Record<string, string>>;
  readonly poolSelects: PoolSelects;
}

/** Pools the request may use, by name; disabled and malformed pools never. */
export function eligiblePools(pools: readonly IPPool[], query: PoolQuery): PoolRange[] {
  const ranges: PoolRange[] = [];
  for (const pool of pools.toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))) {
    if (pool.spec.disabled || pool.metadata.deletionTimestamp !== undefined) continue;
    const range = poolRange(pool);
    if (!range) continue;
    const named = query.pools?.[range.prefix.family];
    const chosen = named
      ? named.includes(pool.metadata.name) || named.includes(pool.spec.cidr)
      : isAutomatic(pool) && query.poolSelects(pool, query.attributes);
    if (chosen) ranges.push(range);
  }
  return ranges;
}

function isAutomatic(pool: IPPool): boolean {
  const { allowedUses, assignmentMode } = pool.spec;
  return (allowedUses?.includes('Workload') ?? true) && assignmentMode !== 'Manual';
}

function poolRange(pool: IPPool): PoolRange | undefined {
  const parsed = parsePrefix(pool.spec.cidr);
  if (!parsed) return undefined;
  const width = familyBits(parsed.family);
  const blockSize = pool.spec.blockSize ?? defaultBlockSize(parsed.family);
  const fits = blockSize >= parsed.length && blockSize <= width;
  if (!fits || 2 ** (width - blockSize) > MAX_BLOCK_ADDRESSES) return undefined;
  return { name: pool.metadata.name, prefix: maskPrefix(parsed), blockSize };
}

function defaultBlockSize(family: Family): number {
  return family === 4 ? 26 : 122;
}

/**
 * The first block of the pool that overlaps no block there is; undefined when none is left.
 * Each node starts at its own place in the pool, so that nodes starting together rarely meet.
 */
export function nextFreeBlock(
  pool: PoolRange,
  taken: readonly Prefix[],
  nodeName: string,
): Prefix | undefined {
  const hostBits = BigInt(familyBits(pool.prefix.family) - pool.blockSize);
  const count = 1n << BigInt(pool.blockSize - pool.prefix.length);
  const near = taken.filter((prefix) => overlaps(prefix, pool.prefix));
  const start = hash(nodeName) % count;
  for (let step = 0n; step < count; step++) {
    const index = (start + step) % count;
    const bits = pool.prefix.bits + (index << hostBits);
    const candidate = { family: pool.prefix.family, bits, length: pool.blockSize };
    const other = near.find((prefix) => overlaps(prefix, candidate));
    if (!other) return candidate;
    if (other.length <= pool.prefix.length) return undefined;
    step += candidatesAfter(candidate, other);
  }
  return undefined;
}

/** How many candidates after this one a larger block covers too. */
function candidatesAfter(candidate: Prefix, other: Prefix): bigint {
  if (other.length >= candidate.length) return 0n;
  const covered = 1n << BigInt(candidate.length - other.length);
  const hostBits = BigInt(familyBits(candidate.family) - candidate.length);
  return covered - 1n - ((candidate.bits >> hostBits) % covered);
}

export function overlaps(a: Prefix, b: Prefix): boolean {
  return prefixContains(a.length <= b.length ? a : b, a.length <= b.length ? b : a);
}

/** FNV-1a over UTF-16 units, 64 bits: spreads names, promises nothing more. */
function hash(text: string): bigint {
  let value = 0xcbf29ce484222325n;
  for (let index = 0; index < text.length; index++) {
    value = BigInt.asUintN(64, (value ^ BigInt(text.charCodeAt(index))) * 0x100000001b3n);
  }
  return value;
}
