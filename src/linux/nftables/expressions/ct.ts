// nftables expression `ct`: facts about the packet's connection.
import type { AttributeWriter } from '../../netlink/attribute.ts';
import type { Register } from './register.ts';

const KEY = { state: 0, status: 2, mark: 3 } as const;

/** Loads four bytes in the machine's order. */
export interface Ct {
  readonly kind: 'ct';
  readonly key: keyof typeof KEY;
  readonly register: Register;
}

/** Bits of the key `state`. */
export const CT_STATE = { invalid: 1, established: 2, related: 4, new: 8, untracked: 64 } as const;

const ATTRIBUTE = { DREG: 1, KEY: 2 } as const;

export function writeCt(writer: AttributeWriter, ct: Ct): void {
  writer.be32(ATTRIBUTE.DREG, ct.register).be32(ATTRIBUTE.KEY, KEY[ct.key]);
}
