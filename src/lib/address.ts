// IPv4 and IPv6 addresses and prefixes as values: parsing, text and bytes.

/** IP version. Every function that depends on it takes it as a parameter or finds it in its value. */
export type Family = 4 | 6;

/** An address; `bits` is its value in network order, 32 or 128 bits wide. */
export interface Address {
  readonly family: Family;
  readonly bits: bigint;
}

/** A prefix; host bits may be set until `maskPrefix` clears them. */
export interface Prefix {
  readonly family: Family;
  readonly bits: bigint;
  readonly length: number;
}

export const FAMILIES: readonly Family[] = [4, 6];

/** Address width in bits: 32 or 128. */
export function familyBits(family: Family): number {
  return family === 4 ? 32 : 128;
}

/** Reads `192.0.2.1` or `2001:db8::1` (RFC 4291 text, no zone); undefined when it is neither. */
export function parseAddress(text: string): Address | undefined {
  if (text.includes(':')) {
    const bits = parseV6(text);
    return bits === undefined ? undefined : { family: 6, bits };
  }
  const bits = parseV4(text);
  return bits === undefined ? undefined : { family: 4, bits };
}

function parseV4(text: string): bigint | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (!match) return undefined;
  let bits = 0n;
  for (const part of match.slice(1)) {
    if (part.length > 1 && part.startsWith('0')) return undefined;
    const value = Number(part);
    if (value > 255) return undefined;
    bits = (bits << 8n) | BigInt(value);
  }
  return bits;
}

function parseV6(text: string): bigint | undefined {
  if (text.length > 45) return undefined;
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = parseGroups(halves[0] ?? '', halves.length === 1);
  const tail = halves.length === 2 ? parseGroups(halves[1] ?? '', true) : [];
  if (!head || !tail) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const groups = [...head, ...Array.from({ length: missing }, () => 0), ...tail];
  return groups.reduce((bits, group) => (bits << 16n) | BigInt(group), 0n);
}

function parseGroups(text: string, v4Allowed: boolean): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [index, part] of parts.entries()) {
    if (part.includes('.')) {
      const v4 = v4Allowed && index === parts.length - 1 ? parseV4(part) : undefined;
      if (v4 === undefined) return undefined;
      groups.push(Number(v4 >> 16n), Number(v4 & 0xffffn));
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) groups.push(Number.parseInt(part, 16));
    else return undefined;
  }
  return groups;
}

/** Canonical text; IPv6 by RFC 5952. */
export function formatAddress(address: Address): string {
  if (address.family === 4) {
    return [24n, 16n, 8n, 0n].map((shift) => String((address.bits >> shift) & 0xffn)).join('.');
  }
  const groups: number[] = [];
  for (let shift = 112n; shift >= 0n; shift -= 16n) {
    groups.push(Number((address.bits >> shift) & 0xffffn));
  }
  const run = longestZeroRun(groups);
  const hex = (part: number[]) => part.map((group) => group.toString(16)).join(':');
  if (run.length < 2) return hex(groups);
  return `${hex(groups.slice(0, run.start))}::${hex(groups.slice(run.start + run.length))}`;
}

function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  return best;
}

/** Reads `10.0.0.0/8`; a bare address counts as its host prefix. Host bits are kept. */
export function parsePrefix(text: string): Prefix | undefined {
  const slash = text.indexOf('/');
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash));
  if (!address) return undefined;
  const width = familyBits(address.family);
  if (slash < 0) return { ...address, length: width };
  const lengthText = text.slice(slash + 1);
  if (!/^(0|[1-9]\d{0,2})$/.test(lengthText) || Number(lengthText) > width) return undefined;
  return { ...address, length: Number(lengthText) };
}

/** `10.0.0.0/8`, with whatever host bits the value has. */
export function formatPrefix(prefix: Prefix): string {
  return `${formatAddress(prefix)}/${prefix.length}`;
}

/** The prefix with its host bits cleared. */
export function maskPrefix(prefix: Prefix): Prefix {
  const hostBits = BigInt(familyBits(prefix.family) - prefix.length);
  return { ...prefix, bits: (prefix.bits >> hostBits) << hostBits };
}

/** Whether the address lies in the prefix; never across families. */
export function prefixContains(prefix: Prefix, address: Address): boolean {
  if (prefix.family !== address.family) return false;
  const hostBits = BigInt(familyBits(prefix.family) - prefix.length);
  return prefix.bits >> hostBits === address.bits >> hostBits;
}

/** The host prefix of an address: /32 or /128. */
export function hostPrefix(address: Address): Prefix {
  return { family: address.family, bits: address.bits, length: familyBits(address.family) };
}

/** 4 or 16 bytes in network order. */
export function addressBytes(address: Address): Uint8Array {
  const bytes = new Uint8Array(familyBits(address.family) / 8);
  let rest = address.bits;
  for (let index = bytes.length - 1; index >= 0; index--) {
    bytes[index] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return bytes;
}

/** The inverse of `addressBytes`; undefined unless 4 or 16 bytes long. */
export function addressFromBytes(bytes: Uint8Array): Address | undefined {
  if (bytes.length !== 4 && bytes.length !== 16) return undefined;
  let bits = 0n;
  for (const byte of bytes) bits = (bits << 8n) | BigInt(byte);
  return { family: bytes.length === 4 ? 4 : 6, bits };
}
