// The question: a packet between two parties, and the same packet once its addresses are known.
import type { Address, Family } from '#lib';

/**
 * Who sends or receives: a pod, a host itself, or an address. The address of a pod or host means that pod or host,
 * by that address of its own.
 */
export type Party =
  | { readonly type: 'workload'; readonly namespace: string; readonly name: string }
  | { readonly type: 'node'; readonly name: string }
  | { readonly type: 'address'; readonly address: string };

/** The first packet of a connection; answers follow the connection and are never judged. */
export interface Packet {
  readonly from: Party;
  readonly to: Party;
  /** IP protocol number. */
  readonly protocol: number;
  /** Absent stands for an ephemeral port, `EPHEMERAL_PORT`. */
  readonly sourcePort?: number;
  /** Destination port; absent, no rule with destination ports matches. */
  readonly port?: number;
  /** Absent stands for an echo request. */
  readonly icmpType?: number;
  readonly icmpCode?: number;
  /** Absent: the family of an address given, else IPv4 where both parties have it, else IPv6. */
  readonly family?: Family;
  /** Asks of a node on the way, and of nobody else. */
  readonly through?: Transit;
}

/** The interfaces by which a packet enters and leaves a node that is neither of its ends. */
export interface Transit {
  readonly node: string;
  readonly in: string;
  readonly out: string;
}

/** First port of the dynamic range (RFC 6335), for packets whose source port nobody named. */
export const EPHEMERAL_PORT = 49152;

export const PROTOCOL_NUMBERS = {
  icmp: 1,
  tcp: 6,
  udp: 17,
  icmpv6: 58,
  sctp: 132,
  udplite: 136,
} as const;

const PROTOCOL_NAMES: ReadonlyMap<number, string> = new Map([
  [1, 'ICMP'],
  [4, 'IPIP'],
  [6, 'TCP'],
  [17, 'UDP'],
  [58, 'ICMPv6'],
  [132, 'SCTP'],
  [136, 'UDPLite'],
]);

/** `TCP`, or `protocol 253`. */
export function protocolName(protocol: number): string {
  return PROTOCOL_NAMES.get(protocol) ?? `protocol ${protocol}`;
}

export function isIcmp(protocol: number): boolean {
  return protocol === PROTOCOL_NUMBERS.icmp || protocol === PROTOCOL_NUMBERS.icmpv6;
}

/** One end of a packet on the wire. */
export interface End {
  readonly address: Address;
  readonly port: number | undefined;
  /** For people: `shop/web`, `node:one` or the address. */
  readonly name: string;
}

/** A packet as rules see it: after destination NAT unless a stage says otherwise. */
export interface Traffic {
  readonly family: Family;
  readonly protocol: number;
  readonly source: End;
  readonly destination: End;
  /** Only for ICMP and ICMPv6. */
  readonly icmp?: { readonly type: number; readonly code: number };
}
