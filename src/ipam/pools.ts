// Which IP pools a request may use, and which block of a pool comes next for a node.
import { defaultBlockSize, type IPPool } from '#api';
import {
  type Family,
  type Prefix,
  compareCodePoints,
  familyBits,
  formatPrefix,
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
  readonly pool: IPPool;
}

export type PoolUse = 'Workload' | 'Tunnel' | 'LoadBalancer';

/** Says whether a pool's selectors choose this node and the pod's namespace. */
export interface PoolSelects {
  /** Undefined: not known yet. */
  node(pool: IPPool): boolean | undefined;
  /** `attributes.namespace` is the pod's. */
  namespace(pool: IPPool, attributes: Readonly<Record<string, string>>): boolean;
}

/** Without an evaluator of selectors, only pools that select everything are used. */
export const selectsEverything: PoolSelects = {
  node: ({ spec }) => isEverything(spec.nodeSelector),
  namespace: ({ spec }) => isEverything(spec.namespaceSelector),
};

function isEverything(selector: string | undefined): boolean {
  return selector === undefined || selector === '' || selector === 'all()';
}

/** Names or exact prefixes, by family; pools named here are used whatever they select (spec 05). */
export type NamedPools = { readonly [F in Family]?: readonly string[] };

export interface PoolQuery {
  readonly pools: NamedPools | undefined;
  readonly use: PoolUse;
  readonly attributes: Readonly<Record<string, string>>;
  readonly poolSelects: PoolSelects;
}

/** What is allocated from: enabled, well formed, not being deleted, and of two that overlap the older. */
export function usableRanges(pools: readonly IPPool[]): PoolRange[] {
  const clashing = overlappedPools(pools);
  return pools
    .filter((pool) => !pool.spec.disabled && pool.metadata.deletionTimestamp === undefined)
    .filter(({ metadata }) => !clashing.has(metadata.name))
    .flatMap((pool) => poolRange(pool) ?? [])
    .toSorted((a, b) => compareCodePoints(a.name, b.name));
}

/** Pools that overlap an older one (of the same age: one whose name is less), with the name of that one. */
export function overlappedPools(pools: readonly IPPool[]): Map<string, string> {
  const clashing = new Map<string, string>();
  const kept: { readonly name: string; readonly prefix: Prefix }[] = [];
  for (const { metadata, spec } of pools.toSorted(byAge)) {
    const prefix = parsePrefix(spec.cidr);
    if (!prefix) continue;
    const other = kept.find((each) => overlaps(each.prefix, prefix));
    if (other) clashing.set(metadata.name, other.name);
    else kept.push({ name: metadata.name, prefix: maskPrefix(prefix) });
  }
  return clashing;
}

function byAge(a: IPPool, b: IPPool): number {
  const [first, second] = [a, b].map(({ metadata }) => metadata.creationTimestamp ?? '');
  return (
    compareCodePoints(first ?? '', second ?? '') ||
    compareCodePoints(a.metadata.name, b.metadata.name)
  );
}

/** Ranges of one family that the request may use, or why it may use none. */
export function eligibleRanges(
  ranges: readonly PoolRange[],
  family: Family,
  query: PoolQuery,
): PoolRange[] | { readonly problem: string } {
  const ofFamily = ranges.filter(
    ({ prefix, pool }) => prefix.family === family && allowsUse(pool, query.use),
  );
  const named = query.pools?.[family];
  if (!named) {
    return ofFamily.filter(
      ({ pool }) =>
        pool.spec.assignmentMode !== 'Manual' &&
        query.poolSelects.node(pool) === true &&
        query.poolSelects.namespace(pool, query.attributes),
    );
  }
  const found = named.map((text) =>
    ofFamily.find(({ name, pool }) => name === text || pool.spec.cidr === text),
  );
  const missing = named.filter((_, index) => !found[index]);
  if (missing.length === 0) return found.filter((range) => range !== undefined);
  const what = `no enabled IPPool "${missing.join(', ')}" has IPv${family} addresses for ${query.use}`;
  return { problem: `${what}; create or enable it, or name another` };
}

export function allowsUse({ spec }: IPPool, use: PoolUse): boolean {
  const { allowedUses } = spec;
  if (!allowedUses || allowedUses.length === 0) return use !== 'LoadBalancer';
  return allowedUses.includes(use);
}

export function poolRange(pool: IPPool): PoolRange | undefined {
  const parsed = parsePrefix(pool.spec.cidr);
  if (!parsed) return undefined;
  const width = familyBits(parsed.family);
  const blockSize = pool.spec.blockSize || defaultBlockSize(pool.spec.cidr);
  const fits = blockSize >= parsed.length && blockSize <= width;
  if (!fits || 2 ** (width - blockSize) > MAX_BLOCK_ADDRESSES) return undefined;
  return { name: pool.metadata.name, prefix: maskPrefix(parsed), blockSize, pool };
}

/** Whether the block lies in one of the ranges. */
export function inRanges(block: Prefix, ranges: readonly PoolRange[]): boolean {
  return ranges.some(
    ({ prefix }) => block.length >= prefix.length && prefixContains(prefix, block),
  );
}

/**
 * The first block of the pool that overlaps nothing that is taken; undefined when none is left.
 * Each node starts at its own place in the pool, so that nodes starting together rarely meet.
 */
export function nextFreeBlock(
  pool: PoolRange,
  taken: readonly Prefix[],
  nodeName: string,
): Prefix | undefined {
  const { family } = pool.prefix;
  const hostBits = BigInt(familyBits(family) - pool.blockSize);
  const count = 1n << BigInt(pool.blockSize - pool.prefix.length);
  const near = taken.filter((prefix) => overlaps(prefix, pool.prefix));
  const same = new Set(near.filter((it) => it.length === pool.blockSize).map(({ bits }) => bits));
  const others = near.filter((it) => it.length !== pool.blockSize);
  const start = nameOrder(nodeName) % count;
  for (let step = 0n; step < count; step++) {
    const index = (start + step) % count;
    const bits = pool.prefix.bits + (index << hostBits);
    if (same.has(bits)) continue;
    const candidate = { family, bits, length: pool.blockSize };
    const other = others.find((prefix) => overlaps(prefix, candidate));
    if (!other) return candidate;
    if (other.length <= pool.prefix.length) return undefined;
    step += candidatesAfter(candidate, other);
  }
  return undefined;
}

/**
 * So many prefixes of equal size that make up the pool's, each of at least one block; or why that
 * cannot be.
 */
export function splitPrefix(
  cidr: string,
  parts: number,
  blockSize = defaultBlockSize(cidr),
): string[] | { readonly problem: string } {
  const power = Math.log2(parts);
  if (!(power >= 1) || !Number.isInteger(power)) {
    return { problem: `number to split CIDR into is not a valid power of 2: ${parts}` };
  }
  const prefix = parsePrefix(cidr);
  if (!prefix) return { problem: `"${cidr}" is no CIDR` };
  const { family, bits } = maskPrefix(prefix);
  const length = prefix.length + power;
  if (length > blockSize) {
    return {
      problem: `it is not large enough: each would be smaller than a block of /${blockSize}`,
    };
  }
  const size = 1n << BigInt(familyBits(family) - length);
  return Array.from({ length: parts }, (_, index) =>
    formatPrefix({ family, bits: bits + size * BigInt(index), length }),
  );
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
export function nameOrder(text: string): bigint {
  let value = 0xcbf29ce484222325n;
  for (let index = 0; index < text.length; index++) {
    value = BigInt.asUintN(64, (value ^ BigInt(text.charCodeAt(index))) * 0x100000001b3n);
  }
  return value;
}
