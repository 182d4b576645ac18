// Messages of rtnetlink about addresses that an interface answers for though another has them (NTF_PROXY).
import { type Family, addressBytes, parseAddress } from '#lib';
import { addressText } from '../address-text.ts';
import { LITTLE_ENDIAN } from '../libc.ts';
import { familyNumber, familyOf } from './address-message.ts';
import { AttributeWriter, parseAttributes } from './attribute.ts';

/** An address that neighbours at the interface are told is here. */
export interface Proxy {
  readonly family: Family;
  readonly interface: string;
  readonly address: string;
  /** Who set it; see ROUTE_PROTOCOL. */
  readonly protocol: number;
}

const NTF_PROXY = 8;
const NUD_PERMANENT = 0x80;
const NDA_DST = 1;
const NDA_PROTOCOL = 12;
/** struct ndmsg. */
const HEADER = 12;

function header(family: number, index: number): Uint8Array {
  const bytes = new Uint8Array(HEADER);
  const view = new DataView(bytes.buffer);
  bytes[0] = family;
  view.setInt32(4, index, LITTLE_ENDIAN);
  view.setUint16(8, NUD_PERMANENT, LITTLE_ENDIAN);
  bytes[10] = NTF_PROXY;
  return bytes;
}

/** Body of a dump of both families. */
export function proxyQuery(): Uint8Array {
  const bytes = new Uint8Array(HEADER);
  bytes[10] = NTF_PROXY;
  return bytes;
}

/** Body that sets or deletes one. */
export function proxyBody(index: number, text: string, protocol: number): Uint8Array {
  const address = parseAddress(text);
  if (!address) throw new RangeError(`${JSON.stringify(text)} is not an IP address`);
  return new AttributeWriter(header(familyNumber(address.family), index))
    .bytes(NDA_DST, addressBytes(address))
    .u8(NDA_PROTOCOL, protocol)
    .finish();
}

/** Undefined for what is malformed, not IP, or no proxy. */
export function parseProxy(body: Uint8Array, nameOf: (index: number) => string): Proxy | undefined {
  const family = familyOf(body[0]);
  if (body.length < HEADER || family === undefined) return undefined;
  if (((body[10] ?? 0) & NTF_PROXY) === 0) return undefined;
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const attributes = parseAttributes(body.subarray(HEADER));
  const address = addressText(family, attributes.bytes(NDA_DST));
  if (address === undefined) return undefined;
  const protocol = attributes.bytes(NDA_PROTOCOL)?.[0] ?? 0;
  return { family, interface: nameOf(view.getInt32(4, LITTLE_ENDIAN)), address, protocol };
}
