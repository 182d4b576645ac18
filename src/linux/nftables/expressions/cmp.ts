// nftables expression `cmp`: ends the rule unless a register compares as told with a value.
import type { AttributeWriter } from '../../netlink/attribute.ts';
import { type Hex, type Register, writeValue } from './register.ts';

const OPERATOR = { eq: 0, neq: 1, lt: 2, lte: 3, gt: 4, gte: 5 } as const;

/** Compares as many bytes as the value has; order is that of the bytes, the first counting most. */
export interface Cmp {
  readonly kind: 'cmp';
  readonly operator: keyof typeof OPERATOR;
  readonly register: Register;
  readonly value: Hex;
}

const ATTRIBUTE = { SREG: 1, OP: 2, DATA: 3 } as const;

export function writeCmp(writer: AttributeWriter, cmp: Cmp): void {
  writer.be32(ATTRIBUTE.SREG, cmp.register).be32(ATTRIBUTE.OP, OPERATOR[cmp.operator]);
  writeValue(writer, ATTRIBUTE.DATA, cmp.value);
}
