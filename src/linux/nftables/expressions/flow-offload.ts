// nftables expression `flow_offload`: from the next packet on the connection takes the short way of a flowtable.
import type { AttributeWriter } from '../../netlink/attribute.ts';

/** For TCP and UDP at the hook forward; of other packets nothing becomes, and the rule ends. */
export interface FlowOffload {
  readonly kind: 'flow-offload';
  readonly flowtable: string;
}

const FLOWTABLE_NAME = 1;

export function writeFlowOffload(writer: AttributeWriter, { flowtable }: FlowOffload): void {
  writer.string(FLOWTABLE_NAME, flowtable);
}
