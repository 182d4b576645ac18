// Packets as people and programs write them: a protocol by name or number, ports, ICMP types; all mistakes at once.
import type { Family } from '#lib';
import { isIcmp, type Packet, PROTOCOL_NUMBERS, protocolName, type Transit } from './packet.ts';

/** What a packet is but for its ends. */
export type PacketFields = Omit<Packet, 'to' | 'from'>;

/** Each field a number or its text; null counts as absent. */
export interface WrittenPacket {
  /** Absent is TCP. */
  readonly protocol?: unknown;
  readonly port?: unknown;
  readonly sourcePort?: unknown;
  readonly icmpType?: unknown;
  readonly icmpCode?: unknown;
  readonly family?: unknown;
  /** `NODE:IN:OUT`: a node on the way, and its interfaces. */
  readonly through?: unknown;
}

export interface FieldProblem {
  readonly field: keyof WrittenPacket;
  /** Continues the field's name. */
  readonly message: string;
}

export interface ReadPacket {
  /** undefined where a problem was found. */
  readonly fields: PacketFields | undefined;
  readonly problems: readonly FieldProblem[];
}

const WITH_PORTS: readonly number[] = [
  PROTOCOL_NUMBERS.tcp,
  PROTOCOL_NUMBERS.udp,
  PROTOCOL_NUMBERS.sctp,
  PROTOCOL_NUMBERS.udplite,
];

/** The protocol's number, from a name in any case or a number from 0 to 255. */
export function readProtocol(written: unknown): number | undefined {
  if (typeof written !== 'string' && typeof written !== 'number') return undefined;
  const text = String(written).toLowerCase();
  const known = new Map<string, number>(Object.entries(PROTOCOL_NUMBERS)).get(text);
  if (known !== undefined) return known;
  return /^\d{1,3}$/.test(text) && Number(text) <= 255 ? Number(text) : undefined;
}

/** Reads and checks the fields, those too that the protocol needs or cannot have. */
export function readPacketFields(written: WrittenPacket): ReadPacket {
  const problems: FieldProblem[] = [];
  const number = (field: keyof WrittenPacket, least: number, most: number) => {
    const value = written[field];
    if (value === undefined || value === null) return undefined;
    const read = readNumber(value);
    if (read !== undefined && read >= least && read <= most) return read;
    const range = `${least} to ${most}`;
    problems.push({ field, message: `${quoted(value)} is no number from ${range}` });
    return undefined;
  };
  const protocol = readProtocol(written.protocol ?? 'tcp');
  if (protocol === undefined) {
    const names = Object.keys(PROTOCOL_NUMBERS).join(', ');
    const message = `${quoted(written.protocol)} is no protocol: use ${names} or a number from 0 to 255`;
    problems.push({ field: 'protocol', message });
  }
  const port = number('port', 1, 65535);
  const sourcePort = number('sourcePort', 1, 65535);
  const icmpType = number('icmpType', 0, 255);
  const icmpCode = number('icmpCode', 0, 255);
  const family = readFamily(written.family, problems);
  const through = readTransit(written.through, problems);
  if (protocol !== undefined) problems.push(...mismatches(written, protocol));
  if (problems.length > 0 || protocol === undefined) return { fields: undefined, problems };
  const fields = {
    protocol,
    ...(port === undefined ? {} : { port }),
    ...(sourcePort === undefined ? {} : { sourcePort }),
    ...(icmpType === undefined ? {} : { icmpType }),
    ...(icmpCode === undefined ? {} : { icmpCode }),
    ...(family === undefined ? {} : { family }),
    ...(through === undefined ? {} : { through }),
  };
  return { fields, problems };
}

function readNumber(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isInteger(value) ? value : undefined;
  return typeof value === 'string' && /^\d{1,5}$/.test(value) ? Number(value) : undefined;
}

function readFamily(value: unknown, problems: FieldProblem[]): Family | undefined {
  if (value === undefined || value === null) return undefined;
  const family = readNumber(value);
  if (family === 4 || family === 6) return family;
  problems.push({ field: 'family', message: `${quoted(value)} is neither 4 nor 6` });
  return undefined;
}

function readTransit(value: unknown, problems: FieldProblem[]): Transit | undefined {
  if (value === undefined || value === null) return undefined;
  const parts = typeof value === 'string' ? value.split(':') : [];
  const [node, inside, outside] = parts;
  if (parts.length === 3 && node && inside && outside) return { node, in: inside, out: outside };
  const message = `${quoted(value)} does not name a node and two interfaces, as node-1:eth0:eth1 does`;
  problems.push({ field: 'through', message });
  return undefined;
}

function mismatches(written: WrittenPacket, protocol: number): FieldProblem[] {
  const name = protocolName(protocol);
  const given = (field: keyof WrittenPacket) => (written[field] ?? undefined) !== undefined;
  if (WITH_PORTS.includes(protocol)) {
    return [
      ...(given('port')
        ? []
        : [{ field: 'port', message: `is missing: ${name} needs a port` } as const]),
      ...withoutTypes(given, name),
    ];
  }
  const ports = (['port', 'sourcePort'] as const).filter(given);
  const problems = ports.map((field) => ({
    field,
    message: `makes no sense: ${name} has no ports`,
  }));
  return isIcmp(protocol) ? problems : [...problems, ...withoutTypes(given, name)];
}

function withoutTypes(
  given: (field: keyof WrittenPacket) => boolean,
  name: string,
): FieldProblem[] {
  const types = (['icmpType', 'icmpCode'] as const).filter(given);
  return types.map((field) => ({ field, message: `makes no sense: ${name} has no ICMP types` }));
}

function quoted(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 60)}...` : text;
}
