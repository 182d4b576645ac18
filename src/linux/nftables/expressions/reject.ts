// nftables expression `reject`: drops the packet and tells its sender.
import type { AttributeWriter } from '../../netlink/attribute.ts';

/** `admin-prohibited` is an ICMP or ICMPv6 answer by the packet's family; `tcp-reset` fits TCP only. */
export interface Reject {
  readonly kind: 'reject';
  readonly answer: 'admin-prohibited' | 'port-unreachable' | 'tcp-reset';
}

const ATTRIBUTE = { TYPE: 1, CODE: 2 } as const;
const TYPE = { TCP_RESET: 1, ICMPX: 2 } as const;
const ICMPX_CODE = { 'port-unreachable': 1, 'admin-prohibited': 3 } as const;

export function writeReject(writer: AttributeWriter, reject: Reject): void {
  if (reject.answer === 'tcp-reset') {
    writer.be32(ATTRIBUTE.TYPE, TYPE.TCP_RESET);
  } else {
    writer.be32(ATTRIBUTE.TYPE, TYPE.ICMPX).u8(ATTRIBUTE.CODE, ICMPX_CODE[reject.answer]);
  }
}
