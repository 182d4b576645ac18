// nftables expression `range`: ends the rule unless a register lies inside (or outside) a range.
import type { AttributeWriter } from '../../netlink/attribute.ts';
import { type Hex, type Register, writeValue } from './register.ts';

/** Both ends belong to the range. */
export interface Range {
  readonly kind: 'range';
  readonly operator: 'eq' | 'neq';
  readonly register: Register;
  readonly from: Hex;
  readonly to: Hex;
}

const ATTRIBUTE = { SREG: 1, OP: 2, FROM: 3, TO: 4 } as const;

export function writeRange(writer: AttributeWriter, range: Range): void {
  writer.be32(ATTRIBUTE.SREG, range.register);
  writer.be32(ATTRIBUTE.OP, range.operator === 'eq' ? 0 : 1);
  writeValue(writer, ATTRIBUTE.FROM, range.from);
  writeValue(writer, ATTRIBUTE.TO, range.to);
}
