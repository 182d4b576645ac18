// Tells neighbours at an interface whose an address is: gratuitous ARP (RFC 5227), advertisement (RFC 4861).
import { addressBytes, familyBits, parseAddress } from '#lib';
import { libc, libcOrThrow, LITTLE_ENDIAN, SystemError } from './libc.ts';
import { withNamespace } from './namespace.ts';
import { macBytes } from './netlink/link-message.ts';

const AF_PACKET = 17;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const BROADCAST = new Uint8Array(6).fill(0xff);
/** Where frames to ff02::1 go. */
const ALL_NODES_MAC = Uint8Array.of(0x33, 0x33, 0, 0, 0, 1);
const ALL_NODES = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
const ARP = [0x08, 0x06] as const;
const IPV6 = [0x86, 0xdd] as const;
const ICMPV6 = 58;
const ADVERTISEMENT = 136;
const OVERRIDE = 0x20;
const TARGET_LINK_ADDRESS = 2;

export interface Announcement {
  readonly address: string;
  /** Of the interface, and its index in the namespace. */
  readonly mac: string;
  readonly index: number;
  /** Absent: the one this thread is in. */
  readonly namespace?: number;
}

/** Sends it once. Throws SystemError. Needs CAP_NET_RAW. */
export function announceAddress({ address, mac, index, namespace }: Announcement): void {
  const frame = announcementFrame(address, mac);
  const action = `cannot announce ${address}`;
  const create = () => libcOrThrow(action, 'socket', AF_PACKET, SOCK_RAW_CLOEXEC, 0);
  const fd = namespace === undefined ? create() : withNamespace(namespace, create);
  try {
    const place = linkPlace(index);
    const sent = libc('sendto', fd, frame, frame.length, 0, place, place.length);
    if (sent < 0) throw new SystemError(action, -sent);
  } finally {
    libc('close', fd);
  }
}

/** The frame that says that the address is at the MAC address. A RangeError where either is none. */
export function announcementFrame(text: string, macText: string): Uint8Array {
  const address = parseAddress(text);
  if (!address) throw new RangeError(`${JSON.stringify(text)} is not an IP address`);
  const [own, mac] = [addressBytes(address), macBytes(macText)];
  if (familyBits(address.family) === 32) {
    const request = [0, 1, 0x08, 0, 6, 4, 0, 1];
    const asked = [...mac, ...own, 0, 0, 0, 0, 0, 0, ...own];
    return Uint8Array.from([...BROADCAST, ...mac, ...ARP, ...request, ...asked]);
  }
  const about = [ADVERTISEMENT, 0, 0, 0, OVERRIDE, 0, 0, 0, ...own];
  const message = Uint8Array.from([...about, TARGET_LINK_ADDRESS, 1, ...mac]);
  const pseudo = [...own, ...ALL_NODES, 0, 0, 0, message.length, 0, 0, 0, ICMPV6];
  const sum = checksum([...pseudo, ...message]);
  message[2] = sum >> 8;
  message[3] = sum & 0xff;
  const packet = [0x60, 0, 0, 0, 0, message.length, ICMPV6, 255, ...own, ...ALL_NODES];
  return Uint8Array.of(...ALL_NODES_MAC, ...mac, ...IPV6, ...packet, ...message);
}

/** The Internet checksum (RFC 1071) of an even number of bytes. */
function checksum(bytes: readonly number[]): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2)
    sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** struct sockaddr_ll: an interface. */
function linkPlace(index: number): Uint8Array {
  const bytes = new Uint8Array(20);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_PACKET, LITTLE_ENDIAN);
  view.setInt32(4, index, LITTLE_ENDIAN);
  return bytes;
}
