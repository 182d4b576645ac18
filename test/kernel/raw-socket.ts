// Raw IPv4 sockets for protocols that Node.js, or this kernel, has no sockets of: SCTP and ICMP.
import koffi from 'koffi';

const AF_INET = 2;
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
  readonly source: string;
  /** What follows the IPv4 header. */
  readonly payload: Buffer;
}

/** Receives every packet of its IP protocol that arrives in this process's network namespace. */
export class RawSocket {
  readonly #fd: number;
  readonly #buffer = Buffer.allocUnsafe(2_048);
  readonly #onPacket: (packet: RawPacket) => void;

  /** Needs CAP_NET_RAW. */
  constructor(protocol: number, onPacket: (packet: RawPacket) => void) {
    this.#fd = Number(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, protocol));
    if (this.#fd < 0) throw new Error(`cannot open a raw socket: errno ${koffi.errno()}`);
    this.#onPacket = onPacket;
    setInterval(() => this.#read(), LOOK_MS).unref();
  }

  /** The kernel writes the IP header. False where it refuses to send. */
  send(address: string, payload: Buffer): boolean {
    const name = Buffer.alloc(16);
    new Uint16Array(name.buffer, name.byteOffset, 1)[0] = AF_INET;
    name.set(address.split('.').map(Number), 4);
    return Number(sendto(this.#fd, payload, payload.length, 0, name, name.length)) >= 0;
  }

  #read(): void {
    for (let count = 0; count < READ_LIMIT; count++) {
      const size = Number(
        recvfrom(this.#fd, this.#buffer, this.#buffer.length, MSG_DONTWAIT, null, null),
      );
      if (size < 20) return;
      const packet = Buffer.from(this.#buffer.subarray(0, size));
      this.#onPacket({
        source: packet.subarray(12, 16).join('.'),
        payload: packet.subarray((packet.readUInt8(0) & 0xf) * 4),
      });
    }
  }
}
