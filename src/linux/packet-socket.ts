// Reads what passes an interface from a ring that the kernel fills (linux/if_packet.h, TPACKET_V3).

import type { BpfInstruction } from './bpf-program.ts';
import { bpfBytes } from './bpf-program.ts';
import {
  addressOf,
  ERRNO,
  libc,
  libcOrThrow,
  LITTLE_ENDIAN,
  mapShared,
  SystemError,
} from './libc.ts';
import { withNamespace } from './namespace.ts';

/** A frame of an interface, from its link header on. */
export interface Frame {
  /** Nanoseconds since the epoch. */
  readonly timestampNs: bigint;
  /** A copy. */
  readonly data: Uint8Array;
  /** Bytes on the interface; more than `data` where that was cut. */
  readonly length: number;
  /** Whether the host sent it through the interface. */
  readonly isOutgoing: boolean;
}

export interface PacketSocketOptions {
  readonly interfaceName: string;
  /** Runs in the kernel before a frame takes room; all are kept without one. */
  readonly filter?: readonly BpfInstruction[] | undefined;
  readonly namespace?: number;
  /** Size of the ring; a multiple of 128 KiB. Frames that find it full are lost, and counted. */
  readonly ringBytes?: number;
}

const AF_PACKET = 17;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const SOL_SOCKET = 1;
const SO_ERROR = 4;
const SO_ATTACH_FILTER = 26;
const SOL_PACKET = 263;
const PACKET_RX_RING = 5;
const PACKET_STATISTICS = 6;
const PACKET_VERSION = 10;
const TPACKET_V3 = 2;
const ETH_P_ALL = 0x0003;
const PACKET_OUTGOING = 4;
const SIOCGIFINDEX = 0x8933;
const INTERFACE_NAME_MAX = 15;

const BLOCK_BYTES = 128 * 1024;
const DEFAULT_RING_BYTES = 16 * BLOCK_BYTES;
const FRAME_BYTES = 2048;
/** A block is handed over after this long even when it is not full; reading may pause until all blocks are. */
const RETIRE_MS = 100;
const STATUS_USER = 1;
/** BPF_RET: how many bytes to keep. */
const RETURN = 0x06;

/** Milliseconds after which every frame that was taken can be read. */
export const PACKET_HANDOVER_MS = 2 * RETIRE_MS;

/** Places in struct tpacket_block_desc and struct tpacket3_hdr. */
const BLOCK = { STATUS: 8, COUNT: 12, FIRST: 16 } as const;
const FRAME = { NEXT: 0, SECONDS: 4, NANOSECONDS: 8, KEPT: 12, LENGTH: 16, MAC: 24 } as const;
/** struct sockaddr_ll follows the header; its sll_pkttype. */
const PACKET_TYPE = 48 + 10;

/** The index of an interface in this thread's namespace; undefined where there is none of the name. */
function interfaceIndex(socket: number, name: string): number | undefined {
  const request = new Uint8Array(40);
  request.set(new TextEncoder().encode(name));
  const result = libc('ioctl', socket, SIOCGIFINDEX, request);
  if (result === -ERRNO.ENODEV) return undefined;
  if (result < 0)
    throw new SystemError(`cannot look for interface ${JSON.stringify(name)}`, -result);
  return new DataView(request.buffer).getInt32(16, LITTLE_ENDIAN);
}

/** An open packet socket on one interface; it sees what goes in and out there. */
export class PacketSocket {
  readonly interfaceIndex: number;
  readonly #fd: number;
  readonly #name: string;
  readonly #map: ReturnType<typeof mapShared>;
  readonly #view: DataView;
  readonly #words: Int32Array;
  readonly #blocks: number;
  #next = 0;
  #received = 0;
  #lost = 0;
  #closed = false;

  private constructor(fd: number, index: number, options: PacketSocketOptions) {
    this.#fd = fd;
    this.#name = options.interfaceName;
    this.interfaceIndex = index;
    const action = `cannot capture on interface ${JSON.stringify(this.#name)}`;
    this.#blocks = Math.max(2, Math.floor((options.ringBytes ?? DEFAULT_RING_BYTES) / BLOCK_BYTES));
    setOption(action, fd, PACKET_VERSION, Int32Array.of(TPACKET_V3));
    if (options.filter) attach(action, fd, options.filter);
    setOption(
      action,
      fd,
      PACKET_RX_RING,
      Uint32Array.of(
        BLOCK_BYTES,
        this.#blocks,
        FRAME_BYTES,
        (BLOCK_BYTES / FRAME_BYTES) * this.#blocks,
        RETIRE_MS,
        0,
        0,
      ),
    );
    this.#map = mapShared(action, fd, BLOCK_BYTES * this.#blocks);
    this.#view = new DataView(this.#map.bytes);
    this.#words = new Int32Array(this.#map.bytes);
    // Only now do frames come: all that do went through the filter.
    const name = linkAddress(index);
    try {
      libcOrThrow(action, 'bind', fd, name, name.length);
    } catch (error) {
      this.#map.unmap();
      throw error;
    }
  }

  /** Undefined where there is no such interface. Throws SystemError. Needs CAP_NET_RAW. */
  static open(options: PacketSocketOptions): PacketSocket | undefined {
    const name = JSON.stringify(options.interfaceName);
    if (options.interfaceName === '' || options.interfaceName.length > INTERFACE_NAME_MAX) {
      throw new RangeError(`${name} is no name of an interface`);
    }
    const action = `cannot open a packet socket for ${name}`;
    const create = () => libcOrThrow(action, 'socket', AF_PACKET, SOCK_RAW_CLOEXEC, 0);
    const fd =
      options.namespace === undefined ? create() : withNamespace(options.namespace, create);
    try {
      const index = interfaceIndex(fd, options.interfaceName);
      if (index !== undefined) return new PacketSocket(fd, index, options);
    } catch (error) {
      libc('close', fd);
      throw error;
    }
    libc('close', fd);
    return undefined;
  }

  /** To wait on; throws once the socket is closed. */
  get fd(): number {
    if (this.#closed) throw new Error('the packet socket is closed');
    return this.#fd;
  }

  /** Whether the interface still is the one that was opened: one that was made anew has another index. */
  isCurrent(): boolean {
    return interfaceIndex(this.fd, this.#name) === this.interfaceIndex;
  }

  /** Frames that passed the filter, those that were lost among them. */
  get received(): number {
    this.#count();
    return this.#received;
  }

  /** Frames that passed the filter and found no room. */
  get lost(): number {
    this.#count();
    return this.#lost;
  }

  /** What can be read without waiting: at most the blocks of one round of the ring. */
  read(): Frame[] {
    const frames: Frame[] = [];
    this.#clearError();
    for (let round = 0; round < this.#blocks; round++) {
      const start = this.#next * BLOCK_BYTES;
      const status = (start + BLOCK.STATUS) / 4;
      if ((Atomics.load(this.#words, status) & STATUS_USER) === 0) break;
      this.#readBlock(start, frames);
      Atomics.store(this.#words, status, 0);
      this.#next = (this.#next + 1) % this.#blocks;
    }
    return frames;
  }

  /** Takes no more frames. Those that it has can be read within `PACKET_HANDOVER_MS`. */
  refuse(): void {
    const nothing = [{ code: RETURN, jumpTrue: 0, jumpFalse: 0, k: 0 }];
    attach(`cannot end the capture on ${JSON.stringify(this.#name)}`, this.fd, nothing);
  }

  close(): void {
    if (this.#closed) return;
    this.#count();
    this.#closed = true;
    this.#map.unmap();
    libc('close', this.#fd);
  }

  #readBlock(start: number, frames: Frame[]): void {
    const view = this.#view;
    const count = view.getUint32(start + BLOCK.COUNT, LITTLE_ENDIAN);
    let at = start + view.getUint32(start + BLOCK.FIRST, LITTLE_ENDIAN);
    for (let index = 0; index < count; index++) {
      const kept = view.getUint32(at + FRAME.KEPT, LITTLE_ENDIAN);
      const data = at + view.getUint16(at + FRAME.MAC, LITTLE_ENDIAN);
      const seconds = view.getUint32(at + FRAME.SECONDS, LITTLE_ENDIAN);
      const nanoseconds = view.getUint32(at + FRAME.NANOSECONDS, LITTLE_ENDIAN);
      frames.push({
        timestampNs: BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds),
        data: new Uint8Array(this.#map.bytes.slice(data, data + kept)),
        length: view.getUint32(at + FRAME.LENGTH, LITTLE_ENDIAN),
        isOutgoing: view.getUint8(at + PACKET_TYPE) === PACKET_OUTGOING,
      });
      at += view.getUint32(at + FRAME.NEXT, LITTLE_ENDIAN);
    }
  }

  /** An interface that goes down leaves an error, which would keep the descriptor readable. */
  #clearError(): void {
    const value = new Uint8Array(4);
    const size = Uint32Array.of(4);
    libc('getsockopt', this.fd, SOL_SOCKET, SO_ERROR, value, new Uint8Array(size.buffer));
  }

  /** struct tpacket_stats_v3; reading sets it back. */
  #count(): void {
    if (this.#closed) return;
    const counts = new Uint32Array(3);
    const size = Uint32Array.of(counts.byteLength);
    const result = libc(
      'getsockopt',
      this.#fd,
      SOL_PACKET,
      PACKET_STATISTICS,
      new Uint8Array(counts.buffer),
      new Uint8Array(size.buffer),
    );
    if (result < 0) return;
    this.#received += counts[0] ?? 0;
    this.#lost += counts[1] ?? 0;
  }
}

function setOption(
  action: string,
  fd: number,
  option: number,
  value: Int32Array | Uint32Array,
): void {
  const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  libcOrThrow(action, 'setsockopt', fd, SOL_PACKET, option, bytes, bytes.length);
}

/** struct sock_fprog: how many instructions, and where they are. */
function attach(action: string, fd: number, filter: readonly BpfInstruction[]): void {
  const instructions = bpfBytes(filter);
  const program = new Uint8Array(16);
  const view = new DataView(program.buffer);
  view.setUint16(0, filter.length, LITTLE_ENDIAN);
  view.setBigUint64(8, addressOf(instructions), LITTLE_ENDIAN);
  libcOrThrow(action, 'setsockopt', fd, SOL_SOCKET, SO_ATTACH_FILTER, program, program.length);
}

/** struct sockaddr_ll: every protocol, one interface. */
function linkAddress(index: number): Uint8Array {
  const bytes = new Uint8Array(20);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_PACKET, LITTLE_ENDIAN);
  // In network order, as the only one of these fields.
  view.setUint16(2, ETH_P_ALL);
  view.setInt32(4, index, LITTLE_ENDIAN);
  return bytes;
}
