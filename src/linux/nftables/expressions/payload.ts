// nftables expression `payload`: loads bytes of the network or transport header.
import type { AttributeWriter } from '../../netlink/attribute.ts';
import type { Register } from './register.ts';

const BASE = { network: 1, transport: 2 } as const;

/** Ends the rule when the packet is too short. `offset` and `length` in bytes. */
export interface Payload {
  readonly kind: 'payload';
  readonly base: keyof typeof BASE;
  readonly offset: number;
  readonly length: number;
  readonly register: Register;
}

const ATTRIBUTE = { DREG: 1, BASE: 2, OFFSET: 3, LENGTH: 4 } as const;

export function writePayload(writer: AttributeWriter, payload: Payload): void {
  writer.be32(ATTRIBUTE.DREG, payload.register).be32(ATTRIBUTE.BASE, BASE[payload.base]);
  writer.be32(ATTRIBUTE.OFFSET, payload.offset).be32(ATTRIBUTE.LENGTH, payload.length);
}
