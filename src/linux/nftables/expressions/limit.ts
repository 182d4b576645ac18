// nftables expression `limit`: the rule goes on while packets come no faster than a rate.
import type { AttributeWriter } from '../../netlink/attribute.ts';

/** `packets` in `seconds`, after a burst of so many; beyond that the rule does not match. */
export interface Limit {
  readonly kind: 'limit';
  readonly packets: number;
  readonly seconds: number;
  readonly burst: number;
}

/** nf_tables.h, `enum nft_limit_attributes`; the type 0 is packets. */
const ATTRIBUTE = { RATE: 1, UNIT: 2, BURST: 3, TYPE: 4, FLAGS: 5 } as const;

export function writeLimit(writer: AttributeWriter, limit: Limit): void {
  writer
    .be64(ATTRIBUTE.RATE, BigInt(limit.packets))
    .be64(ATTRIBUTE.UNIT, BigInt(limit.seconds))
    .be32(ATTRIBUTE.BURST, limit.burst)
    .be32(ATTRIBUTE.TYPE, 0)
    .be32(ATTRIBUTE.FLAGS, 0);
}
