// nftables expression `log`: tells a listener of nfnetlink_log, or the kernel's log, of the packet.
import type { AttributeWriter } from '../../netlink/attribute.ts';

/**
 * To the kernel's log at `level`, or to an nfnetlink_log group: `snaplen` bytes of each packet,
 * delivered when `qthreshold` packets have gathered. The prefix has at most 127 bytes.
 */
export type Log =
  | { readonly kind: 'log'; readonly prefix: string; readonly level: number }
  | {
      readonly kind: 'log';
      readonly prefix: string;
      readonly group: number;
      readonly snaplen: number;
      readonly qthreshold?: number;
    };

const ATTRIBUTE = { GROUP: 1, PREFIX: 2, SNAPLEN: 3, QTHRESHOLD: 4, LEVEL: 5 } as const;

export function writeLog(writer: AttributeWriter, log: Log): void {
  writer.string(ATTRIBUTE.PREFIX, log.prefix);
  if ('level' in log) {
    writer.be32(ATTRIBUTE.LEVEL, log.level);
    return;
  }
  writer.be16(ATTRIBUTE.GROUP, log.group).be32(ATTRIBUTE.SNAPLEN, log.snaplen);
  if (log.qthreshold !== undefined) writer.be16(ATTRIBUTE.QTHRESHOLD, log.qthreshold);
}
