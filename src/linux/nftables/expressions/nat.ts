// nftables expressions `nat` and `masq`: rewrite a connection's addresses and ports, in chains of type nat.
import type { Family } from '#lib';
import type { AttributeWriter } from '../../netlink/attribute.ts';
import type { Register } from './register.ts';

/** Registers of the first and last port, two bytes each. */
export interface NatPorts {
  readonly first: Register;
  readonly last: Register;
}

/** Rewrites the source or destination to the address in a register of four or sixteen bytes. */
export interface Nat {
  readonly kind: 'nat';
  readonly end: 'source' | 'destination';
  readonly family: Family;
  readonly address: Register;
  readonly ports?: NatPorts;
  /** The port is drawn anew for each connection, so that two that begin at once do not meet. */
  readonly random?: boolean;
}

/** Rewrites the source to the address of the interface that the packet leaves by. */
export interface Masquerade {
  readonly kind: 'masquerade';
  readonly ports?: NatPorts;
  readonly random?: boolean;
}

const NAT = { TYPE: 1, FAMILY: 2, ADDRESS: 3, ADDRESS_LAST: 4, PORT: 5, PORT_LAST: 6, FLAGS: 7 };
const MASQUERADE = { FLAGS: 1, PORT: 2, PORT_LAST: 3 };
const NFPROTO: Readonly<Record<Family, number>> = { 4: 2, 6: 10 };
/** linux/netfilter/nf_nat.h: NF_NAT_RANGE_*. */
const FLAG = { ADDRESSES: 1, PORTS: 2, RANDOM_FULLY: 16 } as const;

export function writeNat(writer: AttributeWriter, nat: Nat): void {
  writer.be32(NAT.TYPE, nat.end === 'source' ? 0 : 1).be32(NAT.FAMILY, NFPROTO[nat.family]);
  writer.be32(NAT.ADDRESS, nat.address).be32(NAT.ADDRESS_LAST, nat.address);
  if (nat.ports) writer.be32(NAT.PORT, nat.ports.first).be32(NAT.PORT_LAST, nat.ports.last);
  writer.be32(NAT.FLAGS, flagsOf(nat) | FLAG.ADDRESSES);
}

export function writeMasquerade(writer: AttributeWriter, masquerade: Masquerade): void {
  const { ports } = masquerade;
  writer.be32(MASQUERADE.FLAGS, flagsOf(masquerade));
  if (ports) writer.be32(MASQUERADE.PORT, ports.first).be32(MASQUERADE.PORT_LAST, ports.last);
}

function flagsOf({ ports, random }: Pick<Masquerade, 'ports' | 'random'>): number {
  return (ports ? FLAG.PORTS : 0) | (random ? FLAG.RANDOM_FULLY : 0);
}
