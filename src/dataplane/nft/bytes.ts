// Values as the kernel compares them: hexadecimal text in network order or in the machine's own.
import { endianness } from 'node:os';
import { type Family, type Prefix, familyBits, maskPrefix, parseAddress, parsePrefix } from '#lib';
import type { Hex } from '#linux';

/** A number of `bytes` bytes, the first counting most. */
export function networkHex(value: number | bigint, bytes: number): Hex {
  return value.toString(16).padStart(bytes * 2, '0');
}

/** Four bytes in the order of this machine, as marks and connection states have. */
export function hostHex(value: number): Hex {
  const bytes = Buffer.alloc(4);
  if (endianness() === 'LE') bytes.writeUInt32LE(value >>> 0);
  else bytes.writeUInt32BE(value >>> 0);
  return bytes.toString('hex');
}

/** An interface's name as a set's key: sixteen bytes, filled up with NUL. */
export function interfaceHex(name: string): Hex {
  return Buffer.from(name).toString('hex').padEnd(32, '0');
}

/** The beginning of an interface's name, for a comparison of that many bytes. */
export function textHex(text: string): Hex {
  return Buffer.from(text).toString('hex');
}

/** Bytes of an address: 4 or 16. */
export function addressBytes(family: Family): number {
  return familyBits(family) / 8;
}

/** A prefix's first address and its mask. */
export function prefixHex(prefix: Prefix): { readonly first: Hex; readonly mask: Hex } {
  const bytes = addressBytes(prefix.family);
  const all = (1n << BigInt(familyBits(prefix.family))) - 1n;
  const mask = maskPrefix({ ...prefix, bits: all }).bits;
  return { first: networkHex(maskPrefix(prefix).bits, bytes), mask: networkHex(mask, bytes) };
}

const PROTOCOLS: Readonly<Record<string, number>> = { tcp: 6, udp: 17, sctp: 132 };

/** The parts of `192.0.2.1,tcp:80`; undefined when it is not of that form. */
export function parseIpPort(
  member: string,
): { readonly family: Family; readonly key: Hex } | undefined {
  const match = /^([^,]+),(tcp|udp|sctp):(\d{1,5})$/.exec(member);
  const address = parseAddress(match?.[1] ?? '') ?? hostAddress(match?.[1] ?? '');
  const protocol = PROTOCOLS[match?.[2] ?? ''];
  const port = Number(match?.[3]);
  if (!address || protocol === undefined || !(port <= 65_535)) return undefined;
  const bytes = addressBytes(address.family);
  const fields = [networkHex(address.bits, bytes), networkHex(protocol, 1), networkHex(port, 2)];
  const [ip = '', proto = '', service = ''] = fields;
  return { family: address.family, key: `${ip}${proto.padEnd(8, '0')}${service.padEnd(8, '0')}` };
}

function hostAddress(text: string): Prefix | undefined {
  const prefix = parsePrefix(text);
  return prefix?.length === familyBits(prefix?.family ?? 4) ? prefix : undefined;
}
