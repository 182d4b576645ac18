// nftables expression `fib`: asks the routing table about the packet's addresses.
import type { AttributeWriter } from '../../netlink/attribute.ts';
import type { Register } from './register.ts';

/**
 * `source-route-by-input-interface-present`: whether the route to the packet's source leaves by the
 * interface it came in by: one byte, 1 or 0. Routes that are not unicast (blackhole, local) count as
 * none. The others: the type of the address, four bytes in the machine's order (RTN_LOCAL is 2).
 */
export interface Fib {
  readonly kind: 'fib';
  readonly question:
    | 'source-route-by-input-interface-present'
    | 'source-address-type'
    | 'destination-address-type';
  readonly register: Register;
}

const ATTRIBUTE = { DREG: 1, RESULT: 2, FLAGS: 3 } as const;
const RESULT = { OUTPUT_INTERFACE: 1, ADDRESS_TYPE: 3 } as const;
const FLAG = {
  SOURCE_ADDRESS: 1,
  DESTINATION_ADDRESS: 2,
  INPUT_INTERFACE: 8,
  PRESENT: 32,
} as const;
const QUESTION = {
  'source-route-by-input-interface-present': {
    result: RESULT.OUTPUT_INTERFACE,
    flags: FLAG.SOURCE_ADDRESS | FLAG.INPUT_INTERFACE | FLAG.PRESENT,
  },
  'source-address-type': { result: RESULT.ADDRESS_TYPE, flags: FLAG.SOURCE_ADDRESS },
  'destination-address-type': { result: RESULT.ADDRESS_TYPE, flags: FLAG.DESTINATION_ADDRESS },
} as const;

export function writeFib(writer: AttributeWriter, fib: Fib): void {
  const { result, flags } = QUESTION[fib.question];
  writer.be32(ATTRIBUTE.DREG, fib.register).be32(ATTRIBUTE.RESULT, result);
  writer.be32(ATTRIBUTE.FLAGS, flags);
}
