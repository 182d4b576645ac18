// Reads the plain match criteria of a rule: protocols, prefixes and ports.
import type { Port, Protocol } from '#api';
import { formatPrefix, maskPrefix, parsePrefix } from '#lib';
import type { PortRange } from './dataplane-update.ts';
import type { NamedPortProtocol } from './ip-set-definition.ts';

/** A criterion that cannot be understood; the rule then fails closed. */
export class InvalidMatch extends Error {}

/** IANA protocol numbers of the names that the API allows. */
const PROTOCOLS: ReadonlyMap<string, number> = new Map([
  ['icmp', 1],
  ['tcp', 6],
  ['udp', 17],
  ['icmpv6', 58],
  ['sctp', 132],
  ['udplite', 136],
]);

const PORT_PROTOCOLS: ReadonlyMap<number, NamedPortProtocol> = new Map([
  [6, 'tcp'],
  [17, 'udp'],
  [132, 'sctp'],
]);

/** A protocol name in any case, or its number. Throws InvalidMatch. */
export function parseProtocol(protocol: Protocol): number {
  const text = String(protocol);
  const number = PROTOCOLS.get(text.toLowerCase()) ?? Number(text);
  if (Number.isInteger(number) && number >= 0 && number <= 255 && text !== '') return number;
  throw new InvalidMatch(
    `protocol ${JSON.stringify(protocol)} is neither a known name nor a number`,
  );
}

/**
 * The protocol of the ports that a name stands for under a rule's protocol: TCP where the rule has none, as
 * upstream takes it; undefined for a protocol without ports.
 */
export function portProtocol(protocol: number | undefined): NamedPortProtocol | undefined {
  return PORT_PROTOCOLS.get(protocol ?? 6);
}

/** Masked prefixes; undefined where there is no condition. Throws InvalidMatch. */
export function parseNets(nets: readonly string[] | undefined): string[] | undefined {
  if (!nets || nets.length === 0) return undefined;
  return [...new Set(nets.map(maskedPrefix))];
}

function maskedPrefix(net: string): string {
  const prefix = parsePrefix(net);
  if (!prefix) throw new InvalidMatch(`${JSON.stringify(net)} is neither an address nor a prefix`);
  return formatPrefix(maskPrefix(prefix));
}

export interface ParsedPorts {
  readonly ranges: readonly PortRange[];
  readonly names: readonly string[];
}

/** Undefined where there is no condition. Throws InvalidMatch, also for numbers under a protocol without ports. */
export function parsePorts(
  ports: readonly Port[] | undefined,
  protocol: number | undefined,
): ParsedPorts | undefined {
  if (!ports || ports.length === 0) return undefined;
  const ranges: PortRange[] = [];
  const names: string[] = [];
  for (const port of ports) {
    const range = parseRange(port);
    if (range) ranges.push(range);
    else names.push(String(port));
  }
  if (ranges.length > 0 && (protocol === undefined || !PORT_PROTOCOLS.has(protocol))) {
    throw new InvalidMatch('a match on port numbers needs protocol TCP, UDP or SCTP');
  }
  return { ranges, names };
}

function parseRange(port: Port): PortRange | undefined {
  const match = /^(\d+)(?::(\d+))?$/.exec(String(port));
  if (!match) return undefined;
  const first = Number(match[1]);
  const last = Number(match[2] ?? match[1]);
  if (first < 1 || last > 65535 || first > last) {
    throw new InvalidMatch(`${JSON.stringify(port)} is no port or range of ports from 1 to 65535`);
  }
  return [first, last];
}
