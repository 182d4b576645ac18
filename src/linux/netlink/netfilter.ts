// What all messages of nfnetlink have in common (linux/netfilter/nfnetlink.h).

/** Subsystems: the high byte of a message type. */
export const SUBSYSTEM = { CONNTRACK: 1, LOG: 4, NFTABLES: 10 } as const;

/** Length of struct nfgenmsg. */
export const NETFILTER_HEADER = 4;

/** Type of a message: subsystem and operation. */
export function messageType(subsystem: number, operation: number): number {
  return (subsystem << 8) | operation;
}

/** struct nfgenmsg: family number, version 0 and resource id (log group, subsystem of a batch). */
export function netfilterHeader(family: number, resource = 0): Uint8Array {
  return Uint8Array.of(family, 0, resource >> 8, resource & 0xff);
}
