// How much of our nftables table the kernel holds, and what was asked of the kernel for it.
import { FAMILIES, type Family } from '#lib';
import type { TableState } from './table-state.ts';

export interface TableSize {
  readonly chains: number;
  readonly rules: number;
  readonly sets: number;
  readonly maps: number;
  /** Those of the sets that hold addresses of the family. */
  readonly ipSets: Readonly<Record<Family, number>>;
}

/** Since the start. */
export interface TableCalls {
  /** Transactions that were sent. */
  readonly transactions: number;
  /** Those of them that the kernel refused. */
  readonly refused: number;
  /** How often the table was read back, and how often that failed. */
  readonly reads: number;
  readonly failedReads: number;
}

const ADDRESS_FIELD: Readonly<Record<Family, string>> = { 4: 'ipv4_addr', 6: 'ipv6_addr' };

export function sizeOf({ chains, sets }: TableState): TableSize {
  const types = [...sets.values()].map(({ type }) => type);
  const plain = types.filter(({ verdicts }) => !verdicts);
  const ofFamily = (family: Family): number =>
    plain.filter(({ key }) => key[0] === ADDRESS_FIELD[family]).length;
  const [four = 0, six = 0] = FAMILIES.map(ofFamily);
  let rules = 0;
  for (const { content } of chains.values()) rules += content?.rules.length ?? 0;
  return {
    chains: chains.size,
    rules,
    sets: plain.length,
    maps: types.length - plain.length,
    ipSets: { 4: four, 6: six },
  };
}
