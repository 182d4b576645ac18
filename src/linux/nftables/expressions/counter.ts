// nftables expression `counter`: counts the packets and bytes that come so far in the rule.
import type { AttributeWriter } from '../../netlink/attribute.ts';

export interface Counter {
  readonly kind: 'counter';
}

const ATTRIBUTE = { BYTES: 1, PACKETS: 2 } as const;

/** Begins at nought. */
export function writeCounter(writer: AttributeWriter): void {
  writer.be64(ATTRIBUTE.BYTES, 0n).be64(ATTRIBUTE.PACKETS, 0n);
}
