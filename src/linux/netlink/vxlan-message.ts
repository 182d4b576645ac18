// Messages of rtnetlink about VXLAN devices and what they know: IFLA_VXLAN_* and forwarding entries.
import { type Address, addressBytes, parseAddress } from '#lib';
import { addressText } from '../address-text.ts';
import { LITTLE_ENDIAN } from '../libc.ts';
import { AttributeWriter, parseAttributes } from './attribute.ts';
import {
  INFO_DATA,
  INFO_KIND,
  LINK_ATTRIBUTE,
  linkByName,
  macBytes,
  macText,
} from './link-message.ts';
import { VXLAN } from './vxlan-settings.ts';

/** A device that wraps Ethernet frames into UDP (RFC 7348), told by us where each peer is. */
export interface VxlanOptions {
  readonly name: string;
  readonly vni: number;
  /** UDP port, of both ends. */
  readonly port: number;
  /** Own address under the tunnel. */
  readonly local: string;
  /** Name of the interface that wrapped packets leave by. */
  readonly parent: string;
  readonly mac: string;
  readonly mtu: number;
}

/** Body that creates the device; values that cannot be are a RangeError. */
export function newVxlan(options: VxlanOptions, parent: number): Uint8Array {
  const local = checkAddress(options.local);
  return linkByName(options.name)
    .bytes(LINK_ATTRIBUTE.ADDRESS, macBytes(options.mac))
    .u32(LINK_ATTRIBUTE.MTU, options.mtu)
    .nested(LINK_ATTRIBUTE.LINKINFO, (info) => {
      info.string(INFO_KIND, 'vxlan').nested(INFO_DATA, (data) => {
        data.u32(VXLAN.ID, options.vni).u32(VXLAN.LINK, parent);
        data.bytes(local.family === 4 ? VXLAN.LOCAL : VXLAN.LOCAL6, addressBytes(local));
        data.u8(VXLAN.LEARNING, 0).be16(VXLAN.PORT, options.port);
      });
    })
    .finish();
}

/** Where a device sends frames for a MAC address: an entry of its forwarding table. */
export interface ForwardingEntry {
  readonly mac: string;
  /** Address under the tunnel. */
  readonly destination: string;
}

const AF_BRIDGE = 7;
const NTF_SELF = 2;
const NUD_PERMANENT = 0x80;
const NDA = { DST: 1, LLADDR: 2 } as const;
const HEADER = 12;

/** struct ndmsg of a forwarding entry of a device. */
function forwardingHeader(index: number, state: number, flags: number): Uint8Array {
  const header = new Uint8Array(HEADER);
  const view = new DataView(header.buffer);
  header[0] = AF_BRIDGE;
  view.setInt32(4, index, LITTLE_ENDIAN);
  view.setUint16(8, state, LITTLE_ENDIAN);
  header[10] = flags;
  return header;
}

/** Body of a dump of one device's forwarding entries. */
export function forwardingQuery(index: number): Uint8Array {
  return forwardingHeader(index, 0, 0);
}

/** Body that sets or deletes a forwarding entry. */
export function forwardingBody(index: number, { mac, destination }: ForwardingEntry): Uint8Array {
  return new AttributeWriter(forwardingHeader(index, NUD_PERMANENT, NTF_SELF))
    .bytes(NDA.LLADDR, macBytes(mac))
    .bytes(NDA.DST, addressBytes(checkAddress(destination)))
    .finish();
}

/** Reads a forwarding entry of the device; undefined for what has no destination. */
export function parseForwarding(body: Uint8Array, index: number): ForwardingEntry | undefined {
  if (body.length < HEADER || body[0] !== AF_BRIDGE) return undefined;
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  if (view.getInt32(4, LITTLE_ENDIAN) !== index) return undefined;
  const attributes = parseAttributes(body.subarray(HEADER));
  const mac = attributes.bytes(NDA.LLADDR);
  const bytes = attributes.bytes(NDA.DST);
  const destination = bytes && addressText(bytes.length === 4 ? 4 : 6, bytes);
  if (mac?.length !== 6 || destination === undefined) return undefined;
  return { mac: macText(mac), destination };
}

function checkAddress(text: string): Address {
  const address = parseAddress(text);
  if (address) return address;
  throw new RangeError(`${JSON.stringify(text)} is not an IP address`);
}
