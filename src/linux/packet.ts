// Headers of IP packets: addresses, protocol, ports and ICMP type, from possibly cut-off bytes.

import type { Family } from '#lib';
import { addressText } from './address-text.ts';

/** What identifies the connection of a packet; what its bytes do not show is absent. */
export interface PacketTuple {
  readonly family: Family;
  readonly source: string;
  readonly destination: string;
  /** IANA number; of IPv6 that of the last header that could be read. */
  readonly protocol: number;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly icmpType?: number;
  readonly icmpCode?: number;
  /** Bytes of the whole packet with its IP header, as that header says. */
  readonly length: number;
}

const V4_HEADER = 20;
const V6_HEADER = 40;
const ICMP = { 4: 1, 6: 58 } as const;
const FRAGMENT = 44;
const AUTHENTICATION = 51;
/** Hop-by-hop, routing, destination options, mobility, HIP, shim6: length in units of 8 bytes. */
const EXTENSIONS: ReadonlySet<number> = new Set([0, 43, 60, 135, 139, 140]);
const MAX_EXTENSIONS = 8;
/** TCP, UDP, DCCP, SCTP, UDP-Lite: all begin with the two ports. */
const WITH_PORTS: ReadonlySet<number> = new Set([6, 17, 33, 132, 136]);

/** Reads an IPv4 or IPv6 packet; undefined when its bytes do not hold a whole IP header. */
export function parsePacket(payload: Uint8Array): PacketTuple | undefined {
  const version = (payload[0] ?? 0) >> 4;
  if (version === 4) return parseV4(payload);
  return version === 6 ? parseV6(payload) : undefined;
}

function parseV4(bytes: Uint8Array): PacketTuple | undefined {
  const headerLength = ((bytes[0] ?? 0) & 0x0f) * 4;
  if (headerLength < V4_HEADER || bytes.length < V4_HEADER) return undefined;
  const source = addressText(4, bytes.subarray(12, 16));
  const destination = addressText(4, bytes.subarray(16, 20));
  if (source === undefined || destination === undefined) return undefined;
  const protocol = bytes[9] ?? 0;
  const fragment = be16(bytes, 6) & 0x1fff;
  return {
    family: 4,
    source,
    destination,
    protocol,
    ...(fragment === 0 ? transport(4, protocol, bytes.subarray(headerLength)) : {}),
    length: be16(bytes, 2),
  };
}

function parseV6(bytes: Uint8Array): PacketTuple | undefined {
  if (bytes.length < V6_HEADER) return undefined;
  const source = addressText(6, bytes.subarray(8, 24));
  const destination = addressText(6, bytes.subarray(24, 40));
  if (source === undefined || destination === undefined) return undefined;
  const { protocol, at } = skipExtensions(bytes);
  return {
    family: 6,
    source,
    destination,
    protocol,
    ...(at === undefined ? {} : transport(6, protocol, bytes.subarray(at))),
    length: be16(bytes, 4) + V6_HEADER,
  };
}

/** The first header that is no extension, and where it begins unless the bytes do not show it. */
function skipExtensions(bytes: Uint8Array): { protocol: number; at?: number } {
  let protocol = bytes[6] ?? 0;
  let at = V6_HEADER;
  for (let count = 0; count < MAX_EXTENSIONS; count++) {
    const isFragment = protocol === FRAGMENT;
    const isAuthentication = protocol === AUTHENTICATION;
    if (!isFragment && !isAuthentication && !EXTENSIONS.has(protocol)) return { protocol, at };
    if (at + 8 > bytes.length) return { protocol };
    const units = bytes[at + 1] ?? 0;
    const laterFragment = isFragment && be16(bytes, at + 2) >> 3 !== 0;
    protocol = bytes[at] ?? 0;
    if (laterFragment) return { protocol };
    at += isFragment ? 8 : isAuthentication ? (units + 2) * 4 : (units + 1) * 8;
  }
  return { protocol };
}

type Transport = Pick<PacketTuple, 'sourcePort' | 'destinationPort' | 'icmpType' | 'icmpCode'>;

function transport(family: Family, protocol: number, bytes: Uint8Array): Transport {
  if (WITH_PORTS.has(protocol) && bytes.length >= 4) {
    return { sourcePort: be16(bytes, 0), destinationPort: be16(bytes, 2) };
  }
  const [icmpType, icmpCode] = bytes;
  if (protocol !== ICMP[family] || icmpType === undefined || icmpCode === undefined) return {};
  return { icmpType, icmpCode };
}

function be16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

/** Bytes of the whole packet as its IP header says; without one, as many as are there. */
export function packetLength(payload: Uint8Array): number {
  const version = (payload[0] ?? 0) >> 4;
  if (version === 4 && payload.length >= V4_HEADER) return be16(payload, 2);
  if (version === 6 && payload.length >= V6_HEADER) return be16(payload, 4) + V6_HEADER;
  return payload.length;
}
