// nftables expression `notrack`: the packet's connection is not tracked. Only before tracking, at priority -200.

/** Has no attributes. Works at the hooks prerouting and output. */
export interface NoTrack {
  readonly kind: 'notrack';
}
