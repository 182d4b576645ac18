// Registers of the nftables machine and the data attributes that fill them (linux/netfilter/nf_tables.h).
import type { AttributeWriter } from '../../netlink/attribute.ts';

/**
 * A register: 0 is the verdict, 1 to 4 are sixteen bytes wide, 8 to 23 four bytes wide. Register 1
 * and registers 8 to 11 are the same bytes.
 */
export type Register = number;

export const VERDICT_REGISTER: Register = 0;

/** Bytes in the order in which the register holds them, as hexadecimal text. */
export type Hex = string;

/** Where the packet goes next. `jump` and `goto` name a chain of the same table. */
export type Verdict =
  | { readonly kind: 'accept' | 'drop' | 'return' }
  | { readonly kind: 'jump' | 'goto'; readonly chain: string };

const VERDICT_CODE: Readonly<Record<Verdict['kind'], number>> = {
  drop: 0,
  accept: 1,
  jump: -3,
  goto: -4,
  return: -5,
};

const DATA = { VALUE: 1, VERDICT: 2 } as const;
const VERDICT = { CODE: 1, CHAIN: 2 } as const;

/** A nest that holds a plain value (NFTA_DATA_VALUE). */
export function writeValue(writer: AttributeWriter, type: number, value: Hex): void {
  writer.nested(type, (data) => data.bytes(DATA.VALUE, Buffer.from(value, 'hex')));
}

/** A nest that holds a verdict (NFTA_DATA_VERDICT). */
export function writeVerdict(writer: AttributeWriter, type: number, verdict: Verdict): void {
  writer.nested(type, (data) =>
    data.nested(DATA.VERDICT, (nest) => {
      nest.be32(VERDICT.CODE, VERDICT_CODE[verdict.kind] >>> 0);
      if ('chain' in verdict) nest.string(VERDICT.CHAIN, verdict.chain);
    }),
  );
}
