// Messages of rtnetlink about interface addresses and neighbours (struct ifaddrmsg, struct ndmsg).

import { type Family, addressBytes, parseAddress, parsePrefix } from '#lib';
import { addressText } from '../address-text.ts';
import { LITTLE_ENDIAN } from '../libc.ts';
import { AttributeWriter, parseAttributes } from './attribute.ts';
import { macBytes, macText } from './link-message.ts';

/** Address family numbers of Linux. */
export function familyNumber(family: Family): number {
  return family === 4 ? 2 : 10;
}

/** The family of a number of Linux; undefined for what is not IP. */
export function familyOf(number: number | undefined): Family | undefined {
  return number === 2 ? 4 : number === 10 ? 6 : undefined;
}

/** Scopes of addresses and routes (linux/rtnetlink.h). */
export const SCOPE = { universe: 0, site: 200, link: 253, host: 254, nowhere: 255 } as const;
export type Scope = keyof typeof SCOPE;

/** The name of a scope number; unknown numbers count as `universe`. */
export function scopeName(number: number | undefined): Scope {
  if (number === SCOPE.site) return 'site';
  if (number === SCOPE.link) return 'link';
  if (number === SCOPE.host) return 'host';
  return number === SCOPE.nowhere ? 'nowhere' : 'universe';
}

/** An address on an interface. */
export interface LinkAddress {
  readonly family: Family;
  /** Address with the length of its subnet: `10.0.0.1/24`. */
  readonly prefix: string;
  readonly interface: string;
  readonly scope: Scope;
  /** IPv6 duplicate address detection is not over yet, or it failed: not usable. */
  readonly tentative: boolean;
}

export interface AddressOptions {
  readonly scope?: Scope;
  /** Do not make the kernel's own route to the subnet. */
  readonly noPrefixRoute?: boolean;
  /** IPv6: usable at once, without duplicate address detection. */
  readonly noDad?: boolean;
}

export const ADDRESS_MESSAGE = { NEW: 20, DELETE: 21, GET: 22 } as const;

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_FLAGS = 8;
const FLAG = { NODAD: 0x02, DADFAILED: 0x08, TENTATIVE: 0x40, NOPREFIXROUTE: 0x200 } as const;
const ADDRESS_HEADER = 8;

/** Body of a dump of the addresses of all interfaces. */
export function addressQuery(): Uint8Array {
  return new Uint8Array(ADDRESS_HEADER);
}

/** Body that adds or deletes an address; text that is no prefix is a RangeError. */
export function addressBody(index: number, text: string, options: AddressOptions = {}): Uint8Array {
  const prefix = parsePrefix(text);
  if (!prefix) throw new RangeError(`${JSON.stringify(text)} is not an address like 10.0.0.1/24`);
  const header = new Uint8Array(ADDRESS_HEADER);
  header[0] = familyNumber(prefix.family);
  header[1] = prefix.length;
  header[3] = SCOPE[options.scope ?? 'universe'];
  new DataView(header.buffer).setUint32(4, index, LITTLE_ENDIAN);
  const flags =
    (options.noPrefixRoute ? FLAG.NOPREFIXROUTE : 0) |
    (options.noDad && prefix.family === 6 ? FLAG.NODAD : 0);
  const bytes = addressBytes(prefix);
  const writer = new AttributeWriter(header).bytes(IFA_LOCAL, bytes).bytes(IFA_ADDRESS, bytes);
  if (flags) writer.u32(IFA_FLAGS, flags);
  return writer.finish();
}

/** Reads an RTM_NEWADDR message; undefined when it is malformed or not IP. */
export function parseLinkAddress(
  body: Uint8Array,
  nameOf: (index: number) => string,
): LinkAddress | undefined {
  const family = familyOf(body[0]);
  if (body.length < ADDRESS_HEADER || family === undefined) return undefined;
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const attributes = parseAttributes(body.subarray(ADDRESS_HEADER));
  const bytes = attributes.bytes(IFA_LOCAL) ?? attributes.bytes(IFA_ADDRESS);
  const address = addressText(family, bytes);
  if (address === undefined) return undefined;
  const flags = attributes.u32(IFA_FLAGS) ?? view.getUint8(2);
  return {
    family,
    prefix: `${address}/${view.getUint8(1)}`,
    interface: nameOf(view.getUint32(4, LITTLE_ENDIAN)),
    scope: scopeName(view.getUint8(3)),
    tentative: (flags & (FLAG.TENTATIVE | FLAG.DADFAILED)) !== 0,
  };
}

/** An entry of the neighbour table (ARP, IPv6 neighbour discovery). */
export interface Neighbour {
  readonly family: Family;
  readonly interface: string;
  readonly address: string;
  /** Absent while the neighbour is being looked for, or was not found. */
  readonly mac?: string;
  /** Set by an administrator for good; else learned by the kernel. */
  readonly permanent: boolean;
}

export const NEIGHBOUR_MESSAGE = { NEW: 28, DELETE: 29, GET: 30 } as const;

const NDA_DST = 1;
const NDA_LLADDR = 2;
const NUD_PERMANENT = 0x80;
const NEIGHBOUR_HEADER = 12;

/** Body of a dump of the neighbour tables of both families. */
export function neighbourQuery(): Uint8Array {
  return new Uint8Array(NEIGHBOUR_HEADER);
}

/** Body that sets (with a MAC address) or deletes (without) a neighbour. */
export function neighbourBody(index: number, text: string, mac?: string): Uint8Array {
  const address = parseAddress(text);
  if (!address) throw new RangeError(`${JSON.stringify(text)} is not an IP address`);
  const header = new Uint8Array(NEIGHBOUR_HEADER);
  const view = new DataView(header.buffer);
  header[0] = familyNumber(address.family);
  view.setInt32(4, index, LITTLE_ENDIAN);
  if (mac !== undefined) view.setUint16(8, NUD_PERMANENT, LITTLE_ENDIAN);
  const writer = new AttributeWriter(header).bytes(NDA_DST, addressBytes(address));
  if (mac !== undefined) writer.bytes(NDA_LLADDR, macBytes(mac));
  return writer.finish();
}

/** Reads an RTM_NEWNEIGH message; undefined when it is malformed or not IP. */
export function parseNeighbour(
  body: Uint8Array,
  nameOf: (index: number) => string,
): Neighbour | undefined {
  const family = familyOf(body[0]);
  if (body.length < NEIGHBOUR_HEADER || family === undefined) return undefined;
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const attributes = parseAttributes(body.subarray(NEIGHBOUR_HEADER));
  const bytes = attributes.bytes(NDA_DST);
  const address = addressText(family, bytes);
  if (address === undefined) return undefined;
  const mac = attributes.bytes(NDA_LLADDR);
  return {
    family,
    interface: nameOf(view.getInt32(4, LITTLE_ENDIAN)),
    address,
    ...(mac?.length === 6 ? { mac: macText(mac) } : {}),
    permanent: (view.getUint16(8, LITTLE_ENDIAN) & NUD_PERMANENT) !== 0,
  };
}
