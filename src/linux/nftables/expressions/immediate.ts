// nftables expression `immediate`: puts a verdict, or a value, into a register.
import type { AttributeWriter } from '../../netlink/attribute.ts';
import {
  type Hex,
  type Register,
  VERDICT_REGISTER,
  type Verdict,
  writeValue,
  writeVerdict,
} from './register.ts';

export interface ImmediateVerdict {
  readonly kind: 'verdict';
  readonly verdict: Verdict;
}

export interface ImmediateValue {
  readonly kind: 'value';
  readonly register: Register;
  readonly value: Hex;
}

const ATTRIBUTE = { DREG: 1, DATA: 2 } as const;

export function writeImmediate(
  writer: AttributeWriter,
  immediate: ImmediateVerdict | ImmediateValue,
): void {
  if (immediate.kind === 'verdict') {
    writer.be32(ATTRIBUTE.DREG, VERDICT_REGISTER);
    writeVerdict(writer, ATTRIBUTE.DATA, immediate.verdict);
  } else {
    writer.be32(ATTRIBUTE.DREG, immediate.register);
    writeValue(writer, ATTRIBUTE.DATA, immediate.value);
  }
}
