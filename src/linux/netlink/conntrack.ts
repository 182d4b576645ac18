// The kernel's connection tracking: events, listing and deletion (nfnetlink_conntrack.h).

import { type Family, addressBytes, parseAddress } from '#lib';
import { addressText } from '../address-text.ts';
import { writeSysctlInNamespace } from '../sysctl.ts';
import { familyNumber, familyOf } from './address-message.ts';
import { type AttributeMap, AttributeWriter, parseAttributes } from './attribute.ts';
import { MESSAGE_FLAG, NetlinkError, type NetlinkMessage } from './message.ts';
import { NETFILTER_HEADER, SUBSYSTEM, messageType, netfilterHeader } from './netfilter.ts';
import { NETLINK_PROTOCOL, NetlinkSocket } from './socket.ts';

/** One direction of a connection. */
export interface ConntrackTuple {
  readonly family: Family;
  readonly source: string;
  readonly destination: string;
  /** IANA number. */
  readonly protocol: number;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly icmpId?: number;
  readonly icmpType?: number;
  readonly icmpCode?: number;
}

/** Packets and bytes (with IP headers) that went one way. Exact up to 2^53. */
export interface ConntrackCounter {
  readonly packets: number;
  readonly bytes: number;
}

/** A connection as the kernel tracks it. */
export interface ConntrackEntry {
  /** Stays the same for the life of the connection. */
  readonly id: number;
  /** As the first packet came. */
  readonly original: ConntrackTuple;
  /** As the answers come: differs from the reverse of `original` where addresses are translated. */
  readonly reply: ConntrackTuple;
  /** Bits of CONNTRACK_STATUS. */
  readonly status: number;
  /** State of TCP, in lower case: `established`. */
  readonly tcpState?: string;
  /** Seconds until it is forgotten without further packets; absent in `destroy` events. */
  readonly timeoutSeconds?: number;
  readonly mark?: number;
  readonly zone?: number;
  /** Absent in `new` events, and where accounting was off when the connection began. */
  readonly counters?: { readonly original: ConntrackCounter; readonly reply: ConntrackCounter };
}

export type ConntrackEventType = 'new' | 'update' | 'destroy';

export interface ConntrackEvent extends ConntrackEntry {
  readonly type: ConntrackEventType;
}

/** Bits of the status of a connection (enum ip_conntrack_status). */
export const CONNTRACK_STATUS = {
  EXPECTED: 1 << 0,
  SEEN_REPLY: 1 << 1,
  ASSURED: 1 << 2,
  CONFIRMED: 1 << 3,
  SOURCE_NAT: 1 << 4,
  DESTINATION_NAT: 1 << 5,
  DYING: 1 << 9,
} as const;

export interface ConntrackOptions {
  readonly namespace?: number;
  /** Which events to receive; none for a socket that only lists and deletes. */
  readonly events: readonly ConntrackEventType[];
  /** Size of the receive buffer for events. */
  readonly bufferBytes?: number;
}

const GROUP: Readonly<Record<ConntrackEventType, number>> = { new: 1, update: 2, destroy: 3 };
const NEW = messageType(SUBSYSTEM.CONNTRACK, 0);
const GET = messageType(SUBSYSTEM.CONNTRACK, 1);
const DELETE = messageType(SUBSYSTEM.CONNTRACK, 2);

const CTA = {
  ORIGINAL: 1,
  REPLY: 2,
  STATUS: 3,
  PROTOCOL_INFO: 4,
  TIMEOUT: 7,
  MARK: 8,
  COUNTERS_ORIGINAL: 9,
  COUNTERS_REPLY: 10,
  ID: 12,
  ZONE: 18,
} as const;
const TUPLE = { IP: 1, PROTOCOL: 2 } as const;
const IP = { 4: { SOURCE: 1, DESTINATION: 2 }, 6: { SOURCE: 3, DESTINATION: 4 } } as const;
const PROTOCOL = { NUMBER: 1, SOURCE_PORT: 2, DESTINATION_PORT: 3 } as const;
const ICMP = { 4: { ID: 4, TYPE: 5, CODE: 6 }, 6: { ID: 7, TYPE: 8, CODE: 9 } } as const;
const COUNTER = { PACKETS: 1, BYTES: 2 } as const;
const INFO_TCP = 1;
const INFO_TCP_STATE = 1;
const TCP_STATES: readonly string[] = [
  'none',
  'syn_sent',
  'syn_recv',
  'established',
  'fin_wait',
  'close_wait',
  'last_ack',
  'time_wait',
  'close',
  'syn_sent2',
];

/**
 * Connection tracking of one namespace. Events tell of connections that begin after it is opened;
 * those that were there before are in `dump`, and may end without an event. The kernel looks for
 * connections that are over up to a minute late; a dump makes it end them, with events, at once.
 */
export class ConntrackSocket {
  readonly #events: NetlinkSocket;
  readonly #requests: NetlinkSocket;

  private constructor(events: NetlinkSocket, requests: NetlinkSocket) {
    this.#events = events;
    this.#requests = requests;
  }

  static open(options: ConntrackOptions): ConntrackSocket {
    const where = options.namespace === undefined ? {} : { namespace: options.namespace };
    const events = NetlinkSocket.open(NETLINK_PROTOCOL.NETFILTER, {
      ...where,
      groups: options.events.map((type) => GROUP[type]),
      receiveBufferBytes: options.bufferBytes ?? 16 << 20,
    });
    try {
      const requests = NetlinkSocket.open(NETLINK_PROTOCOL.NETFILTER, where);
      return new ConntrackSocket(events, requests);
    } catch (error) {
      events.close();
      throw error;
    }
  }

  /** Becomes readable when there are events. */
  get fd(): number {
    return this.#events.fd;
  }

  /** How often events were lost because they were not read in time; how many is not known. */
  get lost(): number {
    return this.#events.overruns;
  }

  /** The events that have come, in order; does not wait. */
  events(): ConntrackEvent[] {
    const events: ConntrackEvent[] = [];
    for (const message of this.#events.receive()) {
      const type = eventType(message);
      const entry = type && parseConntrackEntry(message.body);
      if (entry) events.push({ ...entry, type });
    }
    return events;
  }

  /** All connections of both families. Blocks some 2 ms for each thousand. */
  dump(): ConntrackEntry[] {
    const messages = this.#requests.dump({
      type: GET,
      body: netfilterHeader(0),
      action: 'cannot list connections',
    });
    return messages
      .map(({ body }) => parseConntrackEntry(body))
      .filter((entry) => entry !== undefined);
  }

  /** Makes the kernel forget exactly this connection; false when it had done so already. */
  delete(entry: Pick<ConntrackEntry, 'id' | 'original' | 'zone'>): boolean {
    const { original, zone } = entry;
    const writer = new AttributeWriter(netfilterHeader(familyNumber(original.family)));
    writeTuple(writer, original);
    writer.be32(CTA.ID, entry.id);
    if (zone !== undefined) writer.be16(CTA.ZONE, zone);
    const action = `cannot delete connection ${original.source} to ${original.destination}`;
    try {
      this.#requests.request({ type: DELETE, body: writer.finish(), action });
      return true;
    } catch (error) {
      if (error instanceof NetlinkError && error.code === 'ENOENT') return false;
      throw error;
    }
  }

  close(): void {
    this.#events.close();
    this.#requests.close();
  }
}

/** Lets the kernel count packets and bytes of the connections that begin from now on. */
export function enableConntrackAccounting(namespace: number): void {
  writeSysctlInNamespace(namespace, 'net/netfilter/nf_conntrack_acct', 1);
}

function eventType(message: NetlinkMessage): ConntrackEventType | undefined {
  if (message.type === DELETE) return 'destroy';
  if (message.type !== NEW) return undefined;
  return message.flags & MESSAGE_FLAG.CREATE ? 'new' : 'update';
}

/** Reads a message about a connection; undefined when it is malformed or not IP. */
export function parseConntrackEntry(body: Uint8Array): ConntrackEntry | undefined {
  const attributes = parseAttributes(body.subarray(NETFILTER_HEADER));
  const family = familyOf(body[0]);
  const original = family && parseTuple(family, attributes.nested(CTA.ORIGINAL));
  const reply = family && parseTuple(family, attributes.nested(CTA.REPLY));
  const id = attributes.be32(CTA.ID);
  if (!original || !reply || id === undefined) return undefined;
  const tcp = attributes.nested(CTA.PROTOCOL_INFO)?.nested(INFO_TCP)?.u8(INFO_TCP_STATE);
  const tcpState = tcp === undefined ? undefined : TCP_STATES[tcp];
  const timeoutSeconds = attributes.be32(CTA.TIMEOUT);
  const mark = attributes.be32(CTA.MARK);
  const zone = attributes.be16(CTA.ZONE);
  const counters = parseCounters(attributes);
  return {
    id,
    original,
    reply,
    status: attributes.be32(CTA.STATUS) ?? 0,
    ...(tcpState === undefined ? {} : { tcpState }),
    ...(timeoutSeconds === undefined ? {} : { timeoutSeconds }),
    ...(mark === undefined ? {} : { mark }),
    ...(zone === undefined ? {} : { zone }),
    ...(counters === undefined ? {} : { counters }),
  };
}

function parseCounters(attributes: AttributeMap): ConntrackEntry['counters'] {
  const original = parseCounter(attributes.nested(CTA.COUNTERS_ORIGINAL));
  const reply = parseCounter(attributes.nested(CTA.COUNTERS_REPLY));
  return original && reply && { original, reply };
}

function parseCounter(attributes: AttributeMap | undefined): ConntrackCounter | undefined {
  const packets = attributes?.be64(COUNTER.PACKETS);
  const bytes = attributes?.be64(COUNTER.BYTES);
  if (packets === undefined || bytes === undefined) return undefined;
  return { packets: Number(packets), bytes: Number(bytes) };
}

function parseTuple(family: Family, tuple: AttributeMap | undefined): ConntrackTuple | undefined {
  const ip = tuple?.nested(TUPLE.IP);
  const part = tuple?.nested(TUPLE.PROTOCOL);
  const source = addressText(family, ip?.bytes(IP[family].SOURCE));
  const destination = addressText(family, ip?.bytes(IP[family].DESTINATION));
  const protocol = part?.u8(PROTOCOL.NUMBER);
  if (source === undefined || destination === undefined || protocol === undefined) return undefined;
  const sourcePort = part?.be16(PROTOCOL.SOURCE_PORT);
  const destinationPort = part?.be16(PROTOCOL.DESTINATION_PORT);
  const icmpId = part?.be16(ICMP[family].ID);
  const icmpType = part?.u8(ICMP[family].TYPE);
  const icmpCode = part?.u8(ICMP[family].CODE);
  return {
    family,
    source,
    destination,
    protocol,
    ...(sourcePort === undefined ? {} : { sourcePort }),
    ...(destinationPort === undefined ? {} : { destinationPort }),
    ...(icmpId === undefined ? {} : { icmpId }),
    ...(icmpType === undefined ? {} : { icmpType }),
    ...(icmpCode === undefined ? {} : { icmpCode }),
  };
}

function writeTuple(writer: AttributeWriter, tuple: ConntrackTuple): void {
  const { family } = tuple;
  writer.nested(CTA.ORIGINAL, () => {
    writer.nested(TUPLE.IP, () => {
      writer.bytes(IP[family].SOURCE, bytesOf(tuple.source));
      writer.bytes(IP[family].DESTINATION, bytesOf(tuple.destination));
    });
    writer.nested(TUPLE.PROTOCOL, () => {
      writer.u8(PROTOCOL.NUMBER, tuple.protocol);
      if (tuple.sourcePort !== undefined) writer.be16(PROTOCOL.SOURCE_PORT, tuple.sourcePort);
      if (tuple.destinationPort !== undefined) {
        writer.be16(PROTOCOL.DESTINATION_PORT, tuple.destinationPort);
      }
      if (tuple.icmpId !== undefined) writer.be16(ICMP[family].ID, tuple.icmpId);
      if (tuple.icmpType !== undefined) writer.u8(ICMP[family].TYPE, tuple.icmpType);
      if (tuple.icmpCode !== undefined) writer.u8(ICMP[family].CODE, tuple.icmpCode);
    });
  });
}

function bytesOf(text: string): Uint8Array {
  const address = parseAddress(text);
  if (!address) throw new RangeError(`${JSON.stringify(text)} is not an IP address`);
  return addressBytes(address);
}
