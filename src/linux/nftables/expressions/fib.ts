// nftables expression `fib`: asks the routing table for the way back to the packet's source.
import type { AttributeWriter } from '../../netlink/attribute.ts';
import type { Register } from './register.ts';

/**
 * Whether the route to the packet's source leaves by the interface it came in by: one byte, 1 or 0.
 * Routes that are not unicast (blackhole, local) count as none.
 */
export interface Fib {
  readonly kind: 'fib';
  readonly question: 'source-route-by-input-interface-present';
  readonly register: Register;
}

const ATTRIBUTE = { DREG: 1, RESULT: 2, FLAGS: 3 } as const;
const RESULT_OUTPUT_INTERFACE = 1;
const FLAG = { SOURCE_ADDRESS: 1, INPUT_INTERFACE: 8, PRESENT: 32 } as const;

export function writeFib(writer: AttributeWriter, fib: Fib): void {
  writer.be32(ATTRIBUTE.DREG, fib.register).be32(ATTRIBUTE.RESULT, RESULT_OUTPUT_INTERFACE);
  writer.be32(ATTRIBUTE.FLAGS, FLAG.SOURCE_ADDRESS | FLAG.INPUT_INTERFACE | FLAG.PRESENT);
}
