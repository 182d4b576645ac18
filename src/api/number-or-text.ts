// Calico's types that are written as a number or as text: AS numbers, ports, protocols, DSCP marks.
import { PROTOCOL_NAMES } from './rule.ts';

const AS_MAX = 0xffffffff;
const PORT_MAX = 65_535;
const PORT_NAME = /^[a-zA-Z0-9_.-]{1,128}$/;

/** 32 bits; text may be `high.low` in two halves of 16 bits. Undefined for anything else. */
export function readAsNumber(value: unknown): number | undefined {
  if (typeof value === 'number') return whole(value, AS_MAX);
  if (typeof value !== 'string') return undefined;
  const parts = value.split('.');
  if (parts.length > 2) return undefined;
  const [high, low] = parts.map((part) => digits(part, parts.length === 2 ? 0xffff : AS_MAX));
  if (parts.length === 1) return high;
  return high === undefined || low === undefined ? undefined : high * 0x1_0000 + low;
}

/** A number, a range `first:last`, or a name. Undefined for anything else. */
export function readPort(value: unknown): number | string | undefined {
  if (typeof value === 'number') return whole(value, PORT_MAX);
  if (typeof value !== 'string') return undefined;
  if (/^\d+$/.test(value)) return digits(value, PORT_MAX);
  const range = /^(\d+):(\d+)$/.exec(value);
  if (!range) return portName(value);
  const first = digits(range[1] ?? '', PORT_MAX);
  const last = digits(range[2] ?? '', PORT_MAX);
  if (first === undefined || last === undefined || first > last) return undefined;
  return first === last ? first : value;
}

/** A port's name as it is; undefined for what cannot be one. */
export function portName(text: string): string | undefined {
  return PORT_NAME.test(text) ? text : undefined;
}

/** A number of 8 bits, or a name; known names as Calico spells them, others as they are. */
export function readProtocol(value: unknown): number | string | undefined {
  if (typeof value === 'number') return whole(value, 255);
  if (typeof value !== 'string') return undefined;
  const known = PROTOCOL_NAMES.find((name) => name.toLowerCase() === value.toLowerCase());
  return known ?? digits(value, 255) ?? value;
}

const WITH_PORTS: readonly (number | string)[] = ['TCP', 'UDP', 'SCTP', 6, 17, 132];

/** Whether packets of the protocol have ports that rules can match. */
export function protocolHasPorts(protocol: number | string): boolean {
  return WITH_PORTS.includes(protocol);
}

/** Differentiated services code points by name (RFC 2474, RFC 2597, RFC 3246). */
const DSCP_VALUES: ReadonlyMap<string, number> = new Map([
  ['DF', 0],
  ['BE', 0],
  ['EF', 46],
  ...[0, 1, 2, 3, 4, 5, 6].map((selector) => [`CS${selector}`, selector * 8] as const),
  ...[1, 2, 3, 4].flatMap((group) =>
    [1, 2, 3].map((drop) => [`AF${group}${drop}`, group * 8 + drop * 2] as const),
  ),
]);

/** A number of 8 bits, or a name in capitals; others as they are. `isDscp` tells whether it is one. */
export function readDscp(value: unknown): number | string | undefined {
  if (typeof value === 'number') return whole(value, 255);
  if (typeof value !== 'string') return undefined;
  const upper = value.toUpperCase();
  return DSCP_VALUES.has(upper) ? upper : (digits(value, 255) ?? value);
}

export function isDscp(value: number | string): boolean {
  if (typeof value === 'string') return DSCP_VALUES.has(value);
  return whole(value, 63) !== undefined;
}

/** The six bits of a mark that `isDscp`. */
export function dscpNumber(value: number | string): number | undefined {
  return typeof value === 'string' ? DSCP_VALUES.get(value) : whole(value, 63);
}

function whole(value: number, maximum: number): number | undefined {
  return Number.isInteger(value) && value >= 0 && value <= maximum ? value : undefined;
}

function digits(text: string, maximum: number): number | undefined {
  return /^\d{1,10}$/.test(text) ? whole(Number(text), maximum) : undefined;
}
