// nftables expression `bitwise`: register = (register & mask) ^ xor.
import type { AttributeWriter } from '../../netlink/attribute.ts';
import { type Hex, type Register, writeValue } from './register.ts';

/** `mask` and `xor` have the same length, which is that of the value. */
export interface Bitwise {
  readonly kind: 'bitwise';
  readonly register: Register;
  readonly mask: Hex;
  readonly xor: Hex;
}

const ATTRIBUTE = { SREG: 1, DREG: 2, LENGTH: 3, MASK: 4, XOR: 5 } as const;

export function writeBitwise(writer: AttributeWriter, bitwise: Bitwise): void {
  writer.be32(ATTRIBUTE.SREG, bitwise.register).be32(ATTRIBUTE.DREG, bitwise.register);
  writer.be32(ATTRIBUTE.LENGTH, bitwise.mask.length / 2);
  writeValue(writer, ATTRIBUTE.MASK, bitwise.mask);
  writeValue(writer, ATTRIBUTE.XOR, bitwise.xor);
}
