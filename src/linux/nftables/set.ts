// nftables sets and maps, to verdicts or to values: definitions and elements, to and from netlink attributes.
import type { Attribute, AttributeMap, AttributeWriter } from '../netlink/attribute.ts';
import { parseAttributes } from '../netlink/attribute.ts';
import { type Hex, type Verdict, writeValue, writeVerdict } from './expressions/register.ts';

/** Type of one field of a set's key. */
export type FieldType =
  | 'nf_proto'
  | 'ipv4_addr'
  | 'ipv6_addr'
  | 'inet_proto'
  | 'inet_service'
  | 'icmp_type'
  | 'icmpv6_type'
  | 'mark'
  | 'ifname';

/** Numbers by which `nft` knows the type, and bytes of a value. */
const FIELD: Readonly<Record<FieldType, { readonly type: number; readonly bytes: number }>> = {
  nf_proto: { type: 2, bytes: 1 },
  ipv4_addr: { type: 7, bytes: 4 },
  ipv6_addr: { type: 8, bytes: 16 },
  inet_proto: { type: 12, bytes: 1 },
  inet_service: { type: 13, bytes: 2 },
  icmp_type: { type: 14, bytes: 1 },
  mark: { type: 19, bytes: 4 },
  icmpv6_type: { type: 29, bytes: 1 },
  ifname: { type: 41, bytes: 16 },
};

/**
 * `key` of several fields is a concatenation, each field padded to four bytes. An `interval` set
 * holds half-open ranges: a start and an end element each. `verdicts`: a map from key to verdict; `data`: a map
 * from key to a value of these fields.
 */
export interface SetType {
  readonly key: readonly FieldType[];
  readonly interval?: boolean;
  readonly verdicts?: boolean;
  readonly data?: readonly FieldType[];
}

export interface SetElement {
  readonly key: Hex;
  /** The first value after a range, in interval sets; a range without one goes to the very end. */
  readonly intervalEnd?: boolean;
  readonly verdict?: Verdict;
  /** The value that a map has for the key. */
  readonly data?: Hex;
}

/** A set that belongs to one rule. */
export interface SetContent {
  readonly type: SetType;
  readonly elements: readonly SetElement[];
}

const SET = { FLAGS: 3, KEY_TYPE: 4, KEY_LENGTH: 5, DATA_TYPE: 6, ID: 10, USERDATA: 13 } as const;
export const SET_FLAG = { ANONYMOUS: 1, CONSTANT: 2, INTERVAL: 4, MAP: 8 } as const;
const DATA_LENGTH = 7;
const VERDICT_TYPE = 0xffffff00;
const CONCATENATION_BITS = 6;

const ELEMENT = { KEY: 1, DATA: 2, FLAGS: 3 } as const;
const ELEMENT_INTERVAL_END = 1;
const DATA = { VALUE: 1, VERDICT: 2 } as const;
const VERDICT = { CODE: 1, CHAIN: 2 } as const;

/** Bytes of a key. */
export function keyLength(type: SetType): number {
  return lengthOf(type.key);
}

/** Each field of a concatenation is padded to four bytes. */
function lengthOf(fields: readonly FieldType[]): number {
  const lengths = fields.map((field) => FIELD[field].bytes);
  const [only] = lengths;
  if (lengths.length === 1 && only !== undefined) return only;
  return lengths.reduce((sum, length) => sum + Math.ceil(length / 4) * 4, 0);
}

function keyTypeNumber(type: SetType): number {
  return typeNumber(type.key);
}

function typeNumber(fields: readonly FieldType[]): number {
  return fields.reduce((number, field) => (number << CONCATENATION_BITS) | FIELD[field].type, 0);
}

function setFlags(type: SetType): number {
  return (type.interval ? SET_FLAG.INTERVAL : 0) | (type.verdicts || type.data ? SET_FLAG.MAP : 0);
}

/** Writes the attributes that say what the set is; the caller has written table and name. */
export function writeSetType(
  writer: AttributeWriter,
  type: SetType,
  id: number,
  extraFlags: number,
): void {
  writer.be32(SET.FLAGS, setFlags(type) | extraFlags);
  writer.be32(SET.KEY_TYPE, keyTypeNumber(type)).be32(SET.KEY_LENGTH, keyLength(type));
  if (type.verdicts) writer.be32(SET.DATA_TYPE, VERDICT_TYPE).be32(DATA_LENGTH, 0);
  if (type.data) {
    writer.be32(SET.DATA_TYPE, typeNumber(type.data)).be32(DATA_LENGTH, lengthOf(type.data));
  }
  writer.be32(SET.ID, id);
  writer.bytes(SET.USERDATA, keyByteOrder(type));
}

/** Userdata by which `nft` prints keys aright: byte order 1 is the host's, 2 the network's. */
function keyByteOrder(type: SetType): Uint8Array {
  const order = type.key[0] === 'ifname' || type.key[0] === 'mark' ? 1 : 2;
  return Uint8Array.of(0, 4, ...new Uint8Array(Uint32Array.of(order).buffer));
}

/** What a set is, as the kernel's numbers; equal exactly for sets that can stand for one another. */
export function setSignature(type: SetType): string {
  const key = `${setFlags(type)}/${keyTypeNumber(type)}/${keyLength(type)}`;
  return type.data ? `${key}/${typeNumber(type.data)}` : key;
}

/** The signature of a set read from the kernel. */
export function readSetSignature(attributes: AttributeMap): string {
  const flags = (attributes.be32(SET.FLAGS) ?? 0) & ~SET_FLAG.CONSTANT;
  const key = `${flags}/${attributes.be32(SET.KEY_TYPE) ?? 0}/${attributes.be32(SET.KEY_LENGTH) ?? 0}`;
  const data = (flags & SET_FLAG.MAP) === 0 ? VERDICT_TYPE : attributes.be32(SET.DATA_TYPE);
  return data === undefined || data === VERDICT_TYPE ? key : `${key}/${data}`;
}

/** Whether a set read from the kernel belongs to one rule. */
export function isAnonymous(attributes: AttributeMap): boolean {
  return ((attributes.be32(SET.FLAGS) ?? 0) & SET_FLAG.ANONYMOUS) !== 0;
}

export function writeElement(writer: AttributeWriter, element: SetElement): void {
  writeValue(writer, ELEMENT.KEY, element.key);
  if (element.intervalEnd) writer.be32(ELEMENT.FLAGS, ELEMENT_INTERVAL_END);
  if (element.verdict) writeVerdict(writer, ELEMENT.DATA, element.verdict);
  if (element.data !== undefined) writeValue(writer, ELEMENT.DATA, element.data);
}

/** Reads one element of a list; undefined when it has no key (a catch-all element). */
export function readElement(attribute: Attribute): SetElement | undefined {
  const attributes = parseAttributes(attribute.data);
  const key = attributes.nested(ELEMENT.KEY)?.bytes(DATA.VALUE);
  if (!key) return undefined;
  const flags = attributes.be32(ELEMENT.FLAGS) ?? 0;
  const held = attributes.nested(ELEMENT.DATA);
  const verdict = readVerdict(held?.nested(DATA.VERDICT));
  const data = held?.bytes(DATA.VALUE);
  return {
    key: Buffer.from(key).toString('hex'),
    ...((flags & ELEMENT_INTERVAL_END) !== 0 && { intervalEnd: true }),
    ...(verdict && { verdict }),
    ...(data && { data: Buffer.from(data).toString('hex') }),
  };
}

function readVerdict(attributes: AttributeMap | undefined): Verdict | undefined {
  const code = attributes?.be32(VERDICT.CODE);
  if (attributes === undefined || code === undefined) return undefined;
  const chain = attributes.string(VERDICT.CHAIN) ?? '';
  switch (code | 0) {
    case 0:
      return { kind: 'drop' };
    case 1:
      return { kind: 'accept' };
    case -3:
      return { kind: 'jump', chain };
    case -4:
      return { kind: 'goto', chain };
    case -5:
      return { kind: 'return' };
    default:
      return undefined;
  }
}
