// nftables expression `lookup`: ends the rule unless a set holds a register; or takes a map's verdict or value.
import type { AttributeWriter } from '../../netlink/attribute.ts';
import type { SetContent } from '../set.ts';
import { type Register, VERDICT_REGISTER } from './register.ts';

/**
 * `set` is the name of a set of the table, or the content of one that belongs to this rule alone.
 * `verdict`: the set is a verdict map and its verdict is carried out; `into`: it is a map of values, and the register
 * gets that of the key. Without an entry the rule ends.
 */
export interface Lookup {
  readonly kind: 'lookup';
  readonly set: string | SetContent;
  readonly register: Register;
  readonly negated?: boolean;
  readonly verdict?: boolean;
  readonly into?: Register;
}

/** Name by which the kernel is asked to find a name for a rule's own set. */
export const ANONYMOUS_NAME = '__set%d';

const ATTRIBUTE = { SET: 1, SREG: 2, DREG: 3, SET_ID: 4, FLAGS: 5 } as const;
const INVERTED = 1;

/** `setId` is the transaction's number of the rule's own set; unused for a named one. */
export function writeLookup(writer: AttributeWriter, lookup: Lookup, setId: number): void {
  writer.string(ATTRIBUTE.SET, typeof lookup.set === 'string' ? lookup.set : ANONYMOUS_NAME);
  if (typeof lookup.set !== 'string') writer.be32(ATTRIBUTE.SET_ID, setId);
  writer.be32(ATTRIBUTE.SREG, lookup.register);
  if (lookup.verdict) writer.be32(ATTRIBUTE.DREG, VERDICT_REGISTER);
  if (lookup.into !== undefined) writer.be32(ATTRIBUTE.DREG, lookup.into);
  if (lookup.negated) writer.be32(ATTRIBUTE.FLAGS, INVERTED);
}
