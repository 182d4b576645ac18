// Probes over raw sockets: an SCTP server that answers INIT chunks (RFC 9260), its client, and a ping (RFC 792).
import type { Family } from '#lib';
import { type RawPacket, RawSocket } from './raw-socket.ts';

export type RawOutcome = 'open' | 'refused' | 'silent';

const SCTP = 132;
/** Numbers of the protocol, of a request and of its answer (RFC 792, RFC 4443). */
const ICMP = {
  4: { protocol: 1, request: 8, reply: 0 },
  6: { protocol: 58, request: 128, reply: 129 },
} as const;
const CHUNK = { INIT: 1, INIT_ACK: 2, ABORT: 6 } as const;
const COMMON_HEADER = 12;

type Waiting = Map<number, (outcome: RawOutcome) => void>;

/** Answers an INIT with INIT ACK at served ports, with ABORT at others; sends INITs of its own. */
export class SctpProbe {
  readonly #served: ReadonlySet<number>;
  /** By the tag that each INIT brought. */
  readonly #waiting: Waiting = new Map();
  readonly #socket: RawSocket;
  #nextTag = 1;

  constructor(served: readonly number[]) {
    this.#served = new Set(served);
    this.#socket = new RawSocket(SCTP, (packet) => this.#receive(packet));
  }

  probe(address: string, port: number, timeoutMs: number): Promise<RawOutcome> {
    const tag = this.#nextTag++;
    const ports = { source: 32_768 + (tag % 28_000), destination: port };
    return awaitAnswer(this.#waiting, tag, timeoutMs, () =>
      this.#socket.send(address, sctpPacket(ports, 0, initChunk(CHUNK.INIT, tag))),
    );
  }

  #receive({ source, payload }: RawPacket): void {
    if (payload.length < COMMON_HEADER + 4) return;
    const type = payload.readUInt8(COMMON_HEADER);
    if (type === CHUNK.INIT_ACK || type === CHUNK.ABORT) {
      this.#waiting.get(payload.readUInt32BE(4))?.(type === CHUNK.ABORT ? 'refused' : 'open');
    }
    if (type !== CHUNK.INIT || payload.length < COMMON_HEADER + 20) return;
    const ports = { source: payload.readUInt16BE(2), destination: payload.readUInt16BE(0) };
    const tag = payload.readUInt32BE(COMMON_HEADER + 4);
    const chunk = this.#served.has(ports.source)
      ? initChunk(CHUNK.INIT_ACK, tag)
      : Buffer.from([CHUNK.ABORT, 0, 0, 4]);
    this.#socket.send(source, sctpPacket(ports, tag, chunk));
  }
}

/** Pings: the kernel answers by itself. */
export class Ping {
  /** By sequence number. */
  readonly #waiting: Waiting = new Map();
  readonly #socket: RawSocket;
  readonly #family: Family;
  #next = 1;

  /** From the network namespace that this thread is in. */
  constructor(family: Family = 4) {
    this.#family = family;
    const { protocol, reply } = ICMP[family];
    const onPacket = ({ payload }: RawPacket) => {
      if (payload.length < 8 || payload.readUInt8(0) !== reply) return;
      this.#waiting.get(payload.readUInt16BE(6))?.('open');
    };
    this.#socket = new RawSocket(protocol, onPacket, family);
  }

  probe(address: string, timeoutMs: number): Promise<RawOutcome> {
    const sequence = this.#next++;
    const message = Buffer.alloc(8);
    message.writeUInt8(ICMP[this.#family].request, 0);
    message.writeUInt16BE(process.pid & 0xffff, 4);
    message.writeUInt16BE(sequence, 6);
    // Over IPv6 the kernel writes it.
    if (this.#family === 4) message.writeUInt16BE(internetChecksum(message), 2);
    return awaitAnswer(this.#waiting, sequence, timeoutMs, () =>
      this.#socket.send(address, message),
    );
  }
}

function awaitAnswer(
  waiting: Waiting,
  key: number,
  timeoutMs: number,
  send: () => boolean,
): Promise<RawOutcome> {
  return new Promise((resolve) => {
    const finish = (outcome: RawOutcome) => {
      clearTimeout(timer);
      waiting.delete(key);
      resolve(outcome);
    };
    const timer = setTimeout(() => finish('silent'), timeoutMs);
    waiting.set(key, finish);
    if (!send()) finish('silent');
  });
}

/** INIT and INIT ACK have the same fixed part; the latter must bring a cookie. */
function initChunk(type: number, tag: number): Buffer {
  const chunk = Buffer.alloc(type === CHUNK.INIT_ACK ? 28 : 20);
  chunk.writeUInt8(type, 0);
  chunk.writeUInt16BE(chunk.length, 2);
  chunk.writeUInt32BE(tag, 4);
  chunk.writeUInt32BE(65_536, 8);
  chunk.writeUInt16BE(1, 12);
  chunk.writeUInt16BE(1, 14);
  chunk.writeUInt32BE(tag, 16);
  if (type === CHUNK.INIT_ACK) chunk.set([0, 7, 0, 8, 1, 2, 3, 4], 20);
  return chunk;
}

function sctpPacket(
  ports: { readonly source: number; readonly destination: number },
  verificationTag: number,
  chunk: Buffer,
): Buffer {
  const header = Buffer.alloc(COMMON_HEADER);
  header.writeUInt16BE(ports.source, 0);
  header.writeUInt16BE(ports.destination, 2);
  header.writeUInt32BE(verificationTag, 4);
  const packet = Buffer.concat([header, chunk]);
  packet.writeUInt32LE(crc32c(packet), 8);
  return packet;
}

/** CRC-32C as SCTP has it (RFC 9260, appendix A); conntrack drops packets whose sum is wrong. */
function crc32c(bytes: Buffer): number {
  let sum = 0xffff_ffff;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ (sum & 1 ? 0x82f6_3b78 : 0);
  }
  return (sum ^ 0xffff_ffff) >>> 0;
}

function internetChecksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
