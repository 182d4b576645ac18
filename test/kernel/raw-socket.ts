// Raw sockets for protocols that Node.js, or this kernel, has no sockets of: SCTP and ICMP.
import koffi from 'koffi';
import { addressBytes, type Family, parseAddress } from '#lib';

const FAMILY_NUMBER: Readonly<Record<Family, number>> = { 4: 2, 6: 10 };
/** Bytes of struct sockaddr_in and sockaddr_in6, and where the address is in them. */
const SOCKET_ADDRESS = { 4: { bytes: 16, at: 4 }, 6: { bytes: 28, at: 8 } } as const;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const LOOK_MS = 10;
/** Packets read at one look. */
const READ_LIMIT = 1_000;

const libc = koffi.load(null);
const socket = libc.func('int socket(int, int, int)');
const sendto = libc.func(
  'intptr_t sendto(int, const void *, uintptr_t, int, const void *, uint32_t)',
);
const recvfrom = libc.func('intptr_t recvfrom(int, void *, uintptr_t, int, void *, void *)');

export interface RawPacket {
  /** Empty over IPv6, where the kernel keeps the header. */
  readonly source: string;
  /** What follows the IP header. */
  readonly payload: Buffer;
}

/** Receives every packet of its IP protocol that arrives in the network namespace in which it was made. */
export class RawSocket {
  readonly #fd: number;
  readonly #family: Family;
  readonly #buffer = Buffer.allocUnsafe(2_048);
  readonly #onPacket: (packet: RawPacket) => void;

  /** Needs CAP_NET_RAW. */
  constructor(protocol: number, onPacket: (packet: RawPacket) => void, family: Family = 4) {
    this.#family = family;
    this.#fd = Number(socket(FAMILY_NUMBER[family], SOCK_RAW | SOCK_CLOEXEC, protocol));
    if (this.#fd < 0) throw new Error(`cannot open a raw socket: errno ${koffi.errno()}`);
    this.#onPacket = onPacket;
    setInterval(() => this.#read(), LOOK_MS).unref();
  }

  /** The kernel writes the IP header. False where it refuses to send. */
  send(address: string, payload: Buffer): boolean {
    const parsed = parseAddress(address);
    if (!parsed) throw new Error(`${address} is no address`);
    const { bytes, at } = SOCKET_ADDRESS[this.#family];
    const name = Buffer.alloc(bytes);
    new Uint16Array(name.buffer, name.byteOffset, 1)[0] = FAMILY_NUMBER[this.#family];
    name.set(addressBytes(parsed), at);
    return Number(sendto(this.#fd, payload, payload.length, 0, name, name.length)) >= 0;
  }

  #read(): void {
    for (let count = 0; count < READ_LIMIT; count++) {
      const size = Number(
        recvfrom(this.#fd, this.#buffer, this.#buffer.length, MSG_DONTWAIT, null, null),
      );
      if (size < (this.#family === 4 ? 20 : 8)) return;
      const packet = Buffer.from(this.#buffer.subarray(0, size));
      if (this.#family === 6) {
        this.#onPacket({ source: '', payload: packet });
        continue;
      }
      this.#onPacket({
        source: packet.subarray(12, 16).join('.'),
        payload: packet.subarray((packet.readUInt8(0) & 0xf) * 4),
      });
    }
  }
}
