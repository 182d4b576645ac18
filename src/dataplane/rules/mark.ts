// The bits of the packet's mark that are ours.

/** Says that a Pass rule has ended the tier. Within 0xffff0000, which is Calico's share of the mark. */
export const PASS_MARK = 0x0004_0000;

/** Says that an early stage of a host endpoint has allowed the packet: its later stages let it be. */
export const HOST_MARK = 0x0008_0000;
