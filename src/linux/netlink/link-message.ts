// Messages of rtnetlink about interfaces (struct ifinfomsg, linux/if_link.h).

import { AttributeWriter, parseAttributes } from './attribute.ts';
import { parseVxlan, type VxlanSettings } from './vxlan-settings.ts';
import { ERRNO, LITTLE_ENDIAN, SystemError, libc } from '../libc.ts';

/** A network interface of the socket's namespace. */
export interface Link {
  readonly index: number;
  readonly name: string;
  /** Driver kind, such as `veth` or `bridge`; absent for loopback and hardware. */
  readonly kind?: string;
  /** Lower-case colon form; absent where the interface has none. */
  readonly mac?: string;
  readonly mtu: number;
  /** Set up by the administrator. */
  readonly up: boolean;
  /** The other end is there and up. */
  readonly carrier: boolean;
  /** Index of the bridge it belongs to. */
  readonly master?: number;
  /** Index of its peer (veth) or lower interface, in the namespace of that one. */
  readonly peer?: number;
  /** Of interfaces; absent is the group that all are in at first. */
  readonly group?: number;
  /** Of links of kind `vxlan`. */
  readonly vxlan?: VxlanSettings;
}

/** What `createVeth` makes. The peer is born in `peerNamespace`, where its name must be free. */
export interface VethOptions {
  readonly name: string;
  readonly peerName: string;
  readonly peerNamespace?: number;
  readonly mac?: string;
  readonly peerMac?: string;
  /** For both ends. */
  readonly mtu?: number;
}

export const LINK_MESSAGE = { NEW: 16, DELETE: 17, GET: 18, SET: 19 } as const;

/** Attributes of a link message. */
export const LINK_ATTRIBUTE = {
  ADDRESS: 1,
  IFNAME: 3,
  MTU: 4,
  LINK: 5,
  MASTER: 10,
  LINKINFO: 18,
  GROUP: 27,
  NET_NS_FD: 28,
  EXT_MASK: 29,
} as const;

/** Attributes within LINKINFO. */
export const INFO_KIND = 1;
export const INFO_DATA = 2;
const VETH_INFO_PEER = 1;
const SKIP_STATISTICS = 1 << 3;
const HEADER = 16;

/** Flag of struct ifinfomsg: set up by the administrator. */
export const IFF_UP = 1;
const IFF_LOWER_UP = 0x10000;

/** struct ifinfomsg; with `change` set, the flags of that mask are written. */
export function linkHeader(index = 0, flags = 0, change = 0): Uint8Array {
  const header = new Uint8Array(HEADER);
  const view = new DataView(header.buffer);
  view.setInt32(4, index, LITTLE_ENDIAN);
  view.setUint32(8, flags, LITTLE_ENDIAN);
  view.setUint32(12, change, LITTLE_ENDIAN);
  return header;
}

/** Body of a request about the interface of this name. */
export function linkByName(name: string, header = linkHeader()): AttributeWriter {
  return new AttributeWriter(header).string(LINK_ATTRIBUTE.IFNAME, checkLinkName(name));
}

/** Body of a request for interfaces; without a name, of all. Statistics are left out. */
export function linkQuery(name?: string): Uint8Array {
  const writer = name === undefined ? new AttributeWriter(linkHeader()) : linkByName(name);
  return writer.u32(LINK_ATTRIBUTE.EXT_MASK, SKIP_STATISTICS).finish();
}

/** Body that creates an interface of a kind without settings of its own. */
export function newLink(name: string, kind: string): Uint8Array {
  return linkByName(name)
    .nested(LINK_ATTRIBUTE.LINKINFO, (info) => info.string(INFO_KIND, kind))
    .finish();
}

/** Body that creates both ends of a veth pair. */
export function newVeth(options: VethOptions): Uint8Array {
  const { peerNamespace, mtu } = options;
  const writer = linkByName(options.name);
  writeVethEnd(writer, options.mac, mtu);
  writer.nested(LINK_ATTRIBUTE.LINKINFO, (info) => {
    info.string(INFO_KIND, 'veth').nested(INFO_DATA, (data) => {
      data.nested(VETH_INFO_PEER, (peer) => {
        peer.raw(linkHeader()).string(LINK_ATTRIBUTE.IFNAME, checkLinkName(options.peerName));
        writeVethEnd(peer, options.peerMac, mtu);
        if (peerNamespace !== undefined) peer.u32(LINK_ATTRIBUTE.NET_NS_FD, peerNamespace);
      });
    });
  });
  return writer.finish();
}

function writeVethEnd(writer: AttributeWriter, mac?: string, mtu?: number): void {
  if (mac !== undefined) writer.bytes(LINK_ATTRIBUTE.ADDRESS, macBytes(mac));
  if (mtu !== undefined) writer.u32(LINK_ATTRIBUTE.MTU, mtu);
}

/** Reads an RTM_NEWLINK message; undefined when it is malformed. */
export function parseLink(body: Uint8Array): Link | undefined {
  if (body.length < HEADER) return undefined;
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const flags = view.getUint32(8, LITTLE_ENDIAN);
  const attributes = parseAttributes(body.subarray(HEADER));
  const name = attributes.string(LINK_ATTRIBUTE.IFNAME);
  if (name === undefined) return undefined;
  const info = attributes.nested(LINK_ATTRIBUTE.LINKINFO);
  const kind = info?.string(INFO_KIND);
  const data = kind === 'vxlan' ? info?.nested(INFO_DATA) : undefined;
  const mac = attributes.bytes(LINK_ATTRIBUTE.ADDRESS);
  const master = attributes.u32(LINK_ATTRIBUTE.MASTER);
  const peer = attributes.u32(LINK_ATTRIBUTE.LINK);
  const group = attributes.u32(LINK_ATTRIBUTE.GROUP);
  return {
    index: view.getInt32(4, LITTLE_ENDIAN),
    name,
    ...(kind === undefined ? {} : { kind }),
    ...(mac?.length === 6 ? { mac: macText(mac) } : {}),
    mtu: attributes.u32(LINK_ATTRIBUTE.MTU) ?? 0,
    up: (flags & IFF_UP) !== 0,
    carrier: (flags & IFF_LOWER_UP) !== 0,
    ...(master === undefined ? {} : { master }),
    ...(peer === undefined ? {} : { peer }),
    ...(group ? { group } : {}),
    ...(data === undefined ? {} : { vxlan: parseVxlan(data) }),
  };
}

const SIOCGIFNAME = 0x8910;
const SIOCGIFINDEX = 0x8933;
const IFREQ_BYTES = 40;
const IFREQ_INDEX = 16;

/**
 * Index of the interface of this name in the namespace of a socket of any kind; undefined when
 * there is none. Twenty times faster than asking by message.
 */
export function linkIndex(socket: number, name: string): number | undefined {
  const bytes = new Uint8Array(IFREQ_BYTES);
  new TextEncoder().encodeInto(checkLinkName(name), bytes);
  const result = libc('ioctl', socket, SIOCGIFINDEX, bytes);
  if (result === -ERRNO.ENODEV) return undefined;
  if (result < 0) throw new SystemError(`cannot look up interface ${name}`, -result);
  return new DataView(bytes.buffer).getInt32(IFREQ_INDEX, LITTLE_ENDIAN);
}

/** Name of the interface with this index in the namespace of a socket; undefined when there is none. */
export function linkName(socket: number, index: number): string | undefined {
  const bytes = new Uint8Array(IFREQ_BYTES);
  new DataView(bytes.buffer).setInt32(IFREQ_INDEX, index, LITTLE_ENDIAN);
  if (libc('ioctl', socket, SIOCGIFNAME, bytes) < 0) return undefined;
  return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
}

/** Six bytes of `02:00:00:ab:cd:ef`; anything else is a RangeError. */
export function macBytes(text: string): Uint8Array {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) {
    throw new RangeError(`${JSON.stringify(text)} is not a MAC address like 02:00:00:ab:cd:ef`);
  }
  return Uint8Array.from(text.split(':'), (part) => Number.parseInt(part, 16));
}

/** Lower-case colon form of a hardware address. */
export function macText(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/** The name, when the kernel would take it for an interface; else a RangeError. */
export function checkLinkName(name: string): string {
  const fits = name !== '.' && name !== '..' && /^[\x21-\x2e\x30-\x39\x3b-\x7e]{1,15}$/.test(name);
  if (fits) return name;
  const rule = 'use 1 to 15 characters without "/", ":" and spaces';
  throw new RangeError(`${JSON.stringify(name)} cannot be the name of an interface; ${rule}`);
}
