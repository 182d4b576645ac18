// Packets made byte by byte, and sockets to put them on a wire or to send them as the host itself.
import { closeSync } from 'node:fs';
import koffi from 'koffi';
import { addressBytes, type Family, parseAddress } from '#lib';
import { withNamespace } from '#linux';

/** What a packet says of itself. `id` is carried in the IPv4 identification or the IPv6 flow label. */
export interface CraftedPacket {
  readonly id: number;
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly sourcePort?: number | undefined;
  readonly destinationPort?: number | undefined;
  readonly icmp?:
    | {
        readonly type: number;
        readonly code: number;
        /** The packet that an error speaks of. */
        readonly about?: Omit<CraftedPacket, 'id'>;
      }
    | undefined;
  /** Absent is SYN. */
  readonly tcpFlags?: number;
  /** IPv6 headers before the protocol's own, of 8 bytes and padding alone: 0 hop by hop, 60 destination options. */
  readonly extensions?: readonly number[];
  /** Sent in fragments of so many bytes, a multiple of 8. */
  readonly fragmentBytes?: number;
}

export const MAX_ID = 0xffff;
const TCP = 6;
const UDP = 17;
const SCTP = 132;
const UDPLITE = 136;
const SYN = 2;
const ICMP: readonly number[] = [1, 58];

/** One way to cut a payload: where in the whole it begins, in units of 8 bytes, and whether more follows. */
interface Fragment {
  readonly offset: number;
  readonly more: boolean;
}
const WHOLE: Fragment = { offset: 0, more: false };
const FRAGMENT_HEADER = 44;

/**
 * The IP packet, or its fragments. Sums over the payload are left out: the tests' kernels do not look at them.
 */
export function craft(packet: CraftedPacket): Buffer[] {
  const { protocol, extensions = [], fragmentBytes } = packet;
  const headers = extensions.map((_, index) =>
    Buffer.from([extensions[index + 1] ?? protocol, 0, 1, 4, 0, 0, 0, 0]),
  );
  const payload = Buffer.concat([...headers, payloadOf(packet)]);
  const first = extensions[0] ?? protocol;
  if (fragmentBytes === undefined) return [withHeader(packet, first, payload, WHOLE)];
  const starts = Array.from(
    { length: Math.ceil(payload.length / fragmentBytes) },
    (_, index) => index * fragmentBytes,
  );
  return starts.map((start) => {
    const part = payload.subarray(start, start + fragmentBytes);
    const fragment = { offset: start / 8, more: start + fragmentBytes < payload.length };
    return withHeader(packet, first, part, fragment);
  });
}

function withHeader(packet: CraftedPacket, next: number, part: Buffer, fragment: Fragment): Buffer {
  const source = bytesOf(packet.source);
  const destination = bytesOf(packet.destination);
  const isWhole = fragment === WHOLE;
  if (source.length === 4) {
    const header = header4(packet, next, part);
    header.writeUInt16BE((fragment.more ? 0x2000 : 0) | fragment.offset, 6);
    header.set(source, 12);
    header.set(destination, 16);
    header.writeUInt16BE(checksum(header), 10);
    return Buffer.concat([header, part]);
  }
  const cut = Buffer.from([next, 0, 0, 0, 0, 0, packet.id >> 8, packet.id & 0xff]);
  cut.writeUInt16BE((fragment.offset << 3) | (fragment.more ? 1 : 0), 2);
  const body = isWhole ? part : Buffer.concat([cut, part]);
  const header = header6(packet, isWhole ? next : FRAGMENT_HEADER, body);
  header.set(source, 8);
  header.set(destination, 24);
  return Buffer.concat([header, body]);
}

/** The `id` of a packet as it was logged. */
export function idOf(payload: Uint8Array): number {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  if (bytes.length < 20) return 0;
  return bytes.readUInt8(0) >> 4 === 4 ? bytes.readUInt16BE(4) : bytes.readUInt32BE(0) & MAX_ID;
}

function header4({ id }: CraftedPacket, next: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(20);
  header.writeUInt8(0x45, 0);
  header.writeUInt16BE(20 + payload.length, 2);
  header.writeUInt16BE(id, 4);
  header.writeUInt8(64, 8);
  header.writeUInt8(next, 9);
  return header;
}

function header6({ id }: CraftedPacket, next: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(40);
  header.writeUInt32BE((6 << 28) >>> 0, 0);
  header.writeUInt16BE(id, 2);
  header.writeUInt16BE(payload.length, 4);
  header.writeUInt8(next, 6);
  header.writeUInt8(64, 7);
  return header;
}

function payloadOf(packet: CraftedPacket): Buffer {
  const { id, protocol, sourcePort = 0, destinationPort = 0, icmp, tcpFlags = SYN } = packet;
  const payload = Buffer.alloc(32);
  if (ICMP.includes(protocol)) {
    payload.set([icmp?.type ?? 0, icmp?.code ?? 0, 0, 0], 0);
    if (icmp?.about) {
      return Buffer.concat([payload.subarray(0, 8), ...craft({ ...icmp.about, id: 0 })]);
    }
    payload.writeUInt16BE(id, 4);
    return payload;
  }
  payload.writeUInt16BE(sourcePort, 0);
  payload.writeUInt16BE(destinationPort, 2);
  if (protocol === TCP) payload.set([0x50, tcpFlags, 0xff, 0xff], 12);
  if (protocol === UDP) payload.writeUInt16BE(payload.length, 4);
  // A sum must be there (RFC 3828), true or not.
  if (protocol === UDPLITE) payload.writeUInt16BE(0xffff, 6);
  // An INIT chunk of 20 bytes, with a tag.
  if (protocol === SCTP)
    payload.set([1, 0, 0, 20, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1], 12);
  return payload;
}

function checksum(header: Buffer): number {
  let sum = 0;
  for (let at = 0; at < header.length; at += 2) sum += header.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function bytesOf(text: string): Uint8Array {
  const address = parseAddress(text);
  if (!address) throw new Error(`${text} is no address`);
  return addressBytes(address);
}

const AF_INET = 2;
const AF_INET6 = 10;
const AF_PACKET = 17;
const SOCK_DGRAM = 2;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const IPPROTO_RAW = 255;
const ETHERTYPE: Readonly<Record<Family, number>> = { 4: 0x0800, 6: 0x86dd };

const libc = koffi.load(null);
const socket = libc.func('int socket(int, int, int)');
const sendto = libc.func(
  'intptr_t sendto(int, const void *, uintptr_t, int, const void *, uint32_t)',
);

function open(namespace: number, domain: number, type: number, protocol: number): number {
  const fd = withNamespace(namespace, () => Number(socket(domain, type | SOCK_CLOEXEC, protocol)));
  if (fd < 0) throw new Error(`cannot open a socket of domain ${domain}: errno ${koffi.errno()}`);
  return fd;
}

function send(fd: number, packet: Buffer, to: Buffer): void {
  if (Number(sendto(fd, packet, packet.length, 0, to, to.length)) < 0) {
    throw new Error(`cannot send a packet: errno ${koffi.errno()}`);
  }
}

/** Puts packets on the wire of one interface, towards a MAC address (man 7 packet). */
export class WireSocket {
  readonly #fd: number;
  readonly #to: Readonly<Record<Family, Buffer>>;

  constructor(namespace: number, interfaceIndex: number, mac: string) {
    this.#fd = open(namespace, AF_PACKET, SOCK_DGRAM, 0);
    const name = (family: Family) => {
      const bytes = Buffer.alloc(20);
      bytes.writeUInt16LE(AF_PACKET, 0);
      bytes.writeUInt16BE(ETHERTYPE[family], 2);
      bytes.writeInt32LE(interfaceIndex, 4);
      bytes.writeUInt8(6, 11);
      bytes.set(Buffer.from(mac.replaceAll(':', ''), 'hex'), 12);
      return bytes;
    };
    this.#to = { 4: name(4), 6: name(6) };
  }

  send(packet: CraftedPacket): void {
    const to = this.#to[packet.source.includes(':') ? 6 : 4];
    for (const bytes of craft(packet)) send(this.#fd, bytes, to);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** Sends packets as the host itself does, with headers of ours (man 7 raw). */
export class HostSocket {
  readonly #fd: Readonly<Record<Family, number>>;

  constructor(namespace: number) {
    this.#fd = {
      4: open(namespace, AF_INET, SOCK_RAW, IPPROTO_RAW),
      6: open(namespace, AF_INET6, SOCK_RAW, IPPROTO_RAW),
    };
  }

  send(packet: CraftedPacket): void {
    const destination = bytesOf(packet.destination);
    const family = destination.length === 4 ? 4 : 6;
    const name = Buffer.alloc(family === 4 ? 16 : 28);
    name.writeUInt16LE(family === 4 ? AF_INET : AF_INET6, 0);
    name.set(destination, family === 4 ? 4 : 8);
    // A packet that the filter drops is EPERM.
    for (const bytes of craft(packet)) {
      sendto(this.#fd[family], bytes, bytes.length, 0, name, name.length);
    }
  }

  close(): void {
    closeSync(this.#fd[4]);
    closeSync(this.#fd[6]);
  }
}
