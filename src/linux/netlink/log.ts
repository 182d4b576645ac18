// Reads packets that nftables rules log to a group (linux/netfilter/nfnetlink_log.h).

import { packetLength } from '../packet.ts';
import { type AttributeMap, AttributeWriter, parseAttributes } from './attribute.ts';
import { NETFILTER_HEADER, SUBSYSTEM, messageType, netfilterHeader } from './netfilter.ts';
import { NETLINK_PROTOCOL, NetlinkSocket } from './socket.ts';

/** A packet that a rule with `log group <n>` met. */
export interface LogPacket {
  /** The prefix of the rule. */
  readonly prefix: string;
  /** Index of the interface. */
  readonly inInterface?: number;
  readonly outInterface?: number;
  /** From the IP header on, at most as many bytes as were asked for. */
  readonly payload: Uint8Array;
  /** Bytes of the whole packet with its IP header. */
  readonly length: number;
  readonly mark?: number;
  /** Milliseconds since the epoch at which the packet was received. */
  readonly timestampMs?: number;
  /** 0 prerouting, 1 input, 2 forward, 3 output, 4 postrouting. */
  readonly hook: number;
}

export interface LogReaderOptions {
  /** 0 to 65535; one reader each. */
  readonly group: number;
  readonly namespace?: number;
  /** Bytes of each packet to copy, from its IP header on. */
  readonly copyRange?: number;
  /** How many packets the kernel gathers before it sends them; it waits no longer than 0.1 s. */
  readonly queueThreshold?: number;
  /** Size of the receive buffer. */
  readonly bufferBytes?: number;
  /** Is given what `read` returns, before it returns. */
  readonly onPackets?: (packets: readonly LogPacket[]) => void;
}

const PACKET = messageType(SUBSYSTEM.LOG, 0);
const CONFIGURE = messageType(SUBSYSTEM.LOG, 1);

const CONFIG = { COMMAND: 1, MODE: 2, BUFFER: 3, TIMEOUT: 4, THRESHOLD: 5, FLAGS: 6 } as const;
const COMMAND_BIND = 1;
const COPY_PACKET = 2;
const FLAG_SEQUENCE = 1;
const DATAGRAM_BYTES = 65_536;
const TIMEOUT_HUNDREDTHS = 10;

const ATTRIBUTE = {
  HEADER: 1,
  MARK: 2,
  TIMESTAMP: 3,
  IN_INTERFACE: 4,
  OUT_INTERFACE: 5,
  PAYLOAD: 9,
  PREFIX: 10,
  SEQUENCE: 12,
} as const;

/**
 * Reads the packets of one log group. The kernel numbers them, so that those it had to drop because
 * they were not read in time are counted.
 */
export class LogReader {
  readonly #socket: NetlinkSocket;
  readonly #options: LogReaderOptions;
  #expected: number | undefined;
  #lost = 0;
  #received = 0;

  private constructor(socket: NetlinkSocket, options: LogReaderOptions) {
    this.#socket = socket;
    this.#options = options;
  }

  /** Throws NetlinkError; EPERM when another reader has the group. */
  static open(options: LogReaderOptions): LogReader {
    const { group } = options;
    if (!Number.isInteger(group) || group < 0 || group > 0xffff) {
      throw new RangeError(`log group ${group} is not between 0 and 65535`);
    }
    const socket = NetlinkSocket.open(NETLINK_PROTOCOL.NETFILTER, {
      ...(options.namespace === undefined ? {} : { namespace: options.namespace }),
      receiveBufferBytes: options.bufferBytes ?? 8 << 20,
      nonFatalOverrun: true,
    });
    try {
      socket.request({
        type: CONFIGURE,
        body: configuration(options),
        action: `cannot read log group ${group} (each has one reader; is there another?)`,
      });
      return new LogReader(socket, options);
    } catch (error) {
      socket.close();
      throw error;
    }
  }

  /** Becomes readable when there are packets. */
  get fd(): number {
    return this.#socket.fd;
  }

  /** Packets that were dropped because they were not read in time. */
  get lost(): number {
    return this.#lost;
  }

  /** Packets that were read. */
  get received(): number {
    return this.#received;
  }

  /** Messages of the kernel that these came in. */
  get datagrams(): number {
    return this.#socket.datagrams;
  }

  /** The packets that have come; does not wait. */
  read(): LogPacket[] {
    const packets: LogPacket[] = [];
    for (const message of this.#socket.receive()) {
      if (message.type !== PACKET) continue;
      const attributes = parseAttributes(message.body.subarray(NETFILTER_HEADER));
      this.#count(attributes.be32(ATTRIBUTE.SEQUENCE));
      packets.push(packetOf(attributes));
    }
    this.#received += packets.length;
    this.#options.onPackets?.(packets);
    return packets;
  }

  /** Bytes to copy of each packet from now on; `undefined`: as many as it was opened for. */
  setCopyRange(copyRange: number | undefined): void {
    const { group, copyRange: first } = this.#options;
    const body = new AttributeWriter(netfilterHeader(0, group))
      .bytes(CONFIG.MODE, copyMode(copyRange ?? first))
      .finish();
    const action = `cannot change how much of each packet log group ${group} copies`;
    this.#socket.request({ type: CONFIGURE, body, action });
  }

  close(): void {
    this.#socket.close();
  }

  #count(sequence: number | undefined): void {
    if (sequence === undefined) return;
    this.#lost += (sequence - (this.#expected ?? sequence)) >>> 0;
    this.#expected = (sequence + 1) >>> 0;
  }
}

function configuration(options: LogReaderOptions): Uint8Array {
  return new AttributeWriter(netfilterHeader(0, options.group))
    .u8(CONFIG.COMMAND, COMMAND_BIND)
    .bytes(CONFIG.MODE, copyMode(options.copyRange))
    .be32(CONFIG.BUFFER, DATAGRAM_BYTES)
    .be32(CONFIG.TIMEOUT, TIMEOUT_HUNDREDTHS)
    .be32(CONFIG.THRESHOLD, options.queueThreshold ?? 128)
    .be16(CONFIG.FLAGS, FLAG_SEQUENCE)
    .finish();
}

/** struct nfulnl_msg_config_mode. */
function copyMode(copyRange = 128): Uint8Array {
  const mode = new Uint8Array(6);
  new DataView(mode.buffer).setUint32(0, copyRange);
  mode[4] = COPY_PACKET;
  return mode;
}

function packetOf(attributes: AttributeMap): LogPacket {
  const payload = attributes.bytes(ATTRIBUTE.PAYLOAD) ?? new Uint8Array(0);
  const inInterface = attributes.be32(ATTRIBUTE.IN_INTERFACE);
  const outInterface = attributes.be32(ATTRIBUTE.OUT_INTERFACE);
  const mark = attributes.be32(ATTRIBUTE.MARK);
  const timestampMs = timestamp(attributes.bytes(ATTRIBUTE.TIMESTAMP));
  return {
    prefix: attributes.string(ATTRIBUTE.PREFIX) ?? '',
    ...(inInterface === undefined ? {} : { inInterface }),
    ...(outInterface === undefined ? {} : { outInterface }),
    payload,
    length: packetLength(payload),
    ...(mark === undefined ? {} : { mark }),
    ...(timestampMs === undefined ? {} : { timestampMs }),
    hook: attributes.bytes(ATTRIBUTE.HEADER)?.[2] ?? 0,
  };
}

/** struct nfulnl_msg_packet_timestamp: seconds and microseconds. */
function timestamp(bytes: Uint8Array | undefined): number | undefined {
  if (!bytes || bytes.length < 16) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Number(view.getBigUint64(0)) * 1000 + Number(view.getBigUint64(8)) / 1000;
}
