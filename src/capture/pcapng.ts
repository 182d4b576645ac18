// Encodes pcapng blocks: section header, interface descriptions, packets and interface statistics.

/** Values of the registry of link types that the kernel's interfaces and its packet log have. */
export const LINK_TYPE = { ETHERNET: 1, RAW_IP: 101 } as const;

export interface CaptureInterface {
  readonly linkType: number;
  /** As the node calls it. */
  readonly name: string;
  /** Whose it is. */
  readonly description: string;
}

export interface CapturedPacket {
  /** Nanoseconds since the epoch. */
  readonly timestampNs: bigint;
  /** The bytes that were kept. */
  readonly data: Uint8Array;
  /** Bytes that the packet had on the interface. */
  readonly length: number;
  /** As the interface saw it. */
  readonly direction?: 'inbound' | 'outbound' | undefined;
  readonly comment?: string | undefined;
}

/** More of a packet than this is never kept. */
export const SNAP_LENGTH = 262_144;

const BLOCK = { SECTION: 0x0a0d0d0a, INTERFACE: 1, STATISTICS: 5, PACKET: 6 } as const;
const BYTE_ORDER = 0x1a2b3c4d;
const OPTION = { COMMENT: 1, OS: 3, APPLICATION: 4 } as const;
const INTERFACE_OPTION = { NAME: 2, DESCRIPTION: 3, RESOLUTION: 9 } as const;
const STATISTICS_OPTION = { RECEIVED: 4, DROPPED: 5 } as const;
const PACKET_FLAGS = 2;
const DIRECTION = { inbound: 1, outbound: 2 } as const;
/** Timestamps count in units of 10 to the power of minus this. */
const RESOLUTION = 9;
const TEXT_MAX = 4096;
/** Type and length before the body, the length again after it. */
const FRAME = 12;
const PACKET_HEAD = 20;

/** The block that a file begins with; times, names and sizes follow little-endian. */
export function sectionHeader(application: string, os: string): Uint8Array {
  const head = new Uint8Array(16);
  const view = new DataView(head.buffer);
  view.setUint32(0, BYTE_ORDER, true);
  view.setUint16(4, 1, true);
  // How long the section is, is not known while it is written.
  view.setBigInt64(8, -1n, true);
  return block(BLOCK.SECTION, [
    head,
    textOption(OPTION.OS, os),
    textOption(OPTION.APPLICATION, application),
    END_OF_OPTIONS,
  ]);
}

/** Describes the next interface of the section: the first has number 0. */
export function interfaceDescription(described: CaptureInterface): Uint8Array {
  const head = new Uint8Array(8);
  const view = new DataView(head.buffer);
  view.setUint16(0, described.linkType, true);
  view.setUint32(4, SNAP_LENGTH, true);
  return block(BLOCK.INTERFACE, [
    head,
    textOption(INTERFACE_OPTION.NAME, described.name),
    textOption(INTERFACE_OPTION.DESCRIPTION, described.description),
    option(INTERFACE_OPTION.RESOLUTION, Uint8Array.of(RESOLUTION)),
    END_OF_OPTIONS,
  ]);
}

/** An enhanced packet block. The packet's bytes are copied. */
export function packetBlock(interfaceNumber: number, packet: CapturedPacket): Uint8Array {
  const { data, length, direction, comment, timestampNs } = packet;
  const head = new Uint8Array(PACKET_HEAD);
  const view = new DataView(head.buffer);
  view.setUint32(0, interfaceNumber, true);
  setTimestamp(view, 4, timestampNs);
  view.setUint32(12, data.length, true);
  view.setUint32(16, Math.max(length, data.length), true);
  const options: Uint8Array[] = [];
  if (comment !== undefined) options.push(textOption(OPTION.COMMENT, comment));
  if (direction) options.push(option(PACKET_FLAGS, little32(DIRECTION[direction])));
  if (options.length > 0) options.push(END_OF_OPTIONS);
  return block(BLOCK.PACKET, [head, data, ...options]);
}

/** How many packets an interface had, and how many of them were lost before they could be written. */
export function interfaceStatistics(
  interfaceNumber: number,
  statistics: { readonly timestampNs: bigint; readonly received: number; readonly dropped: number },
): Uint8Array {
  const head = new Uint8Array(12);
  const view = new DataView(head.buffer);
  view.setUint32(0, interfaceNumber, true);
  setTimestamp(view, 4, statistics.timestampNs);
  return block(BLOCK.STATISTICS, [
    head,
    option(STATISTICS_OPTION.RECEIVED, little64(statistics.received)),
    option(STATISTICS_OPTION.DROPPED, little64(statistics.dropped)),
    END_OF_OPTIONS,
  ]);
}

const END_OF_OPTIONS = new Uint8Array(4);

/** Parts are padded to 32 bits each, as the format has it of data and of every option. */
function block(type: number, parts: readonly Uint8Array[]): Uint8Array {
  const total = parts.reduce((sum, part) => sum + padded(part.length), FRAME);
  const bytes = new Uint8Array(total);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  view.setUint32(4, total, true);
  let at = 8;
  for (const part of parts) {
    bytes.set(part, at);
    at += padded(part.length);
  }
  view.setUint32(at, total, true);
  return bytes;
}

function option(code: number, value: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + padded(value.length));
  const view = new DataView(bytes.buffer);
  view.setUint16(0, code, true);
  view.setUint16(2, value.length, true);
  bytes.set(value, 4);
  return bytes;
}

function textOption(code: number, text: string): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length <= TEXT_MAX) return option(code, bytes);
  // Cut between characters: what follows one begins with the bits 10.
  let end = TEXT_MAX;
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return option(code, bytes.subarray(0, end));
}

function setTimestamp(view: DataView, at: number, timestampNs: bigint): void {
  view.setUint32(at, Number(timestampNs >> 32n), true);
  view.setUint32(at + 4, Number(timestampNs & 0xffff_ffffn), true);
}

function little32(value: number): Uint8Array {
  return new Uint8Array([value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, value >>> 24]);
}

function little64(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
  return bytes;
}

function padded(length: number): number {
  return (length + 3) & ~3;
}
