// What policy decided about captured packets, from the policy log: which of them, or their connection's first.
import { type LogPacket, type PacketTuple, parsePacket } from '#linux';
import { loggedVerdict, type LoggedVerdict } from './verdict-comment.ts';

/** What the log said of one packet, or of the first one of a connection. */
interface Decision {
  readonly atMs: number;
  denied: LoggedVerdict | undefined;
  readonly allowed: Partial<Record<LoggedVerdict['direction'], string>>;
}

/** How long a packet and its message in the log may be apart. */
const FRESH_MS = 10_000;
const FRESH_MAX = 16_384;
const CONNECTIONS_MAX = 65_536;
const TCP = 6;
const UDP = 17;
const IPV6_HEADER = 40;
const SYN_AND_ACK = 0x12;
const SYN = 0x02;

/**
 * A denied packet has a message of its own in the log, so has the first packet of a connection that is allowed:
 * these are known exactly. What follows on a connection is let through as its first packet was, without a
 * message: its verdict is told by the connection. Of others nothing is said.
 */
export class PacketVerdicts {
  /** By what of a packet stays the same on its way, destination NAT included. */
  readonly #fresh = new Map<string, Decision>();
  /** By both ends, as they were seen from either. */
  readonly #connections = new Map<string, Decision>();

  /** Messages of the log, in their order. */
  onLogged(packets: readonly LogPacket[], nowMs: number): void {
    for (const { prefix, payload } of packets) {
      const logged = loggedVerdict(prefix);
      const tuple = logged && parsePacket(payload);
      if (!logged || !tuple) continue;
      const decision = this.#decisionOf(fingerprint(payload, tuple), nowMs);
      if (logged.verdict === 'deny') decision.denied = logged;
      else {
        decision.allowed[logged.direction] = logged.by;
        // The same bytes were sent again, and policy has changed.
        if (decision.denied?.direction === logged.direction) decision.denied = undefined;
      }
      this.#follow(connectionKey(payload, tuple), decision);
    }
    this.onTime(nowMs);
  }

  /** The log had messages that nobody read: what is known of connections may be old. */
  onUnseen(): void {
    this.#connections.clear();
  }

  /** Of a packet from its IP header on; undefined where nothing is known. */
  commentOf(packet: Uint8Array): string | undefined {
    const tuple = parsePacket(packet);
    if (!tuple) return undefined;
    const own = this.#fresh.size > 0 ? this.#fresh.get(fingerprint(packet, tuple)) : undefined;
    if (own?.denied) return `verdict=deny by ${own.denied.by}`;
    const key = connectionKey(packet, tuple);
    if (own) {
      // Before NAT it goes by other addresses than in the log.
      this.#follow(key, own);
      return `verdict=allow by ${textOf(own)}`;
    }
    if (beginsConnection(packet, tuple)) return undefined;
    const known = this.#connections.get(key);
    return known && `verdict=allow (established) by ${textOf(known)}`;
  }

  #decisionOf(print: string, nowMs: number): Decision {
    const found = this.#fresh.get(print);
    if (found) return found;
    const decision: Decision = { atMs: nowMs, denied: undefined, allowed: {} };
    this.#fresh.set(print, decision);
    return decision;
  }

  /** A connection is as its last decision says; one that is denied is none. */
  #follow(key: string, decision: Decision): void {
    this.#connections.delete(key);
    if (decision.denied === undefined) this.#connections.set(key, decision);
  }

  /** Every so often: forgets messages whose packets have come, or will not. */
  onTime(nowMs: number): void {
    for (const [print, { atMs }] of this.#fresh) {
      if (nowMs - atMs < FRESH_MS && this.#fresh.size <= FRESH_MAX) break;
      this.#fresh.delete(print);
    }
    for (const key of this.#connections.keys()) {
      if (this.#connections.size <= CONNECTIONS_MAX) break;
      this.#connections.delete(key);
    }
  }
}

function textOf({ allowed: { egress, ingress } }: Decision): string {
  return [egress, ingress].filter((text) => text !== undefined).join('; ');
}

function transportStart(packet: Uint8Array, { family }: PacketTuple): number {
  return family === 4 ? ((packet[0] ?? 0) & 0x0f) * 4 : IPV6_HEADER;
}

/** Source, identification, length and place in the stream: neither a router nor destination NAT changes them. */
function fingerprint(packet: Uint8Array, tuple: PacketTuple): string {
  const { family, protocol, source, sourcePort, length } = tuple;
  const identification = family === 4 ? be32(packet, 4) >>> 16 : be32(packet, 0);
  const at = transportStart(packet, tuple);
  // After the ports: UDP's length without the checksum, what ICMP has of identity, TCP's two numbers.
  const place = protocol === UDP ? be32(packet, at + 4) >>> 16 : be32(packet, at + 4);
  const more = protocol === TCP ? be32(packet, at + 8) : 0;
  return `${protocol}|${source}|${sourcePort}|${length}|${identification}|${place}|${more}`;
}

/** The same for both ways. An echo request and its answer share their identifier. */
function connectionKey(packet: Uint8Array, tuple: PacketTuple): string {
  const { protocol, source, destination, sourcePort, destinationPort } = tuple;
  if (sourcePort === undefined || destinationPort === undefined) {
    const identifier = be32(packet, transportStart(packet, tuple) + 4) >>> 16;
    const isFirst = source < destination;
    const ends = isFirst ? `${source}|${destination}` : `${destination}|${source}`;
    return `${protocol}|${identifier}|${ends}`;
  }
  const isFirst =
    sourcePort === destinationPort ? source < destination : sourcePort < destinationPort;
  return isFirst
    ? `${protocol}|${source}|${sourcePort}|${destination}|${destinationPort}`
    : `${protocol}|${destination}|${destinationPort}|${source}|${sourcePort}`;
}

/** Bytes that are not there are 0. */
function be32(bytes: Uint8Array, at: number): number {
  const high = ((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16);
  return (high | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)) >>> 0;
}

function beginsConnection(packet: Uint8Array, tuple: PacketTuple): boolean {
  if (tuple.protocol !== TCP) return false;
  return ((packet[transportStart(packet, tuple) + 13] ?? 0) & SYN_AND_ACK) === SYN;
}
