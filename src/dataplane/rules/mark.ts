// The one bit of the packet's mark that is ours.

/** Says that a Pass rule has ended the tier. Within 0xffff0000, which is Calico's share of the mark. */
export const PASS_MARK = 0x0004_0000;
