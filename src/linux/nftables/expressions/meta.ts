// nftables expression `meta`: facts about the packet that are not in its headers.
import type { AttributeWriter } from '../../netlink/attribute.ts';
import type { Register } from './register.ts';

const KEY = {
  mark: 3,
  iifname: 6,
  oifname: 7,
  nfproto: 15,
  l4proto: 16,
} as const;

export type MetaKey = keyof typeof KEY;

/** Loads a fact. Names of interfaces fill sixteen bytes; the mark has the machine's byte order. */
export interface Meta {
  readonly kind: 'meta';
  readonly key: MetaKey;
  readonly register: Register;
}

/** Sets the packet's mark from a register. */
export interface MetaSet {
  readonly kind: 'meta-set';
  readonly key: 'mark';
  readonly register: Register;
}

const ATTRIBUTE = { DREG: 1, KEY: 2, SREG: 3 } as const;

export function writeMeta(writer: AttributeWriter, meta: Meta | MetaSet): void {
  writer.be32(ATTRIBUTE.KEY, KEY[meta.key]);
  writer.be32(meta.kind === 'meta' ? ATTRIBUTE.DREG : ATTRIBUTE.SREG, meta.register);
}
