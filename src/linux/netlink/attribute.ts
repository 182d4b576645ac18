// Netlink attributes (type, length, value): a growing writer and a bounds-checked reader.

import { LITTLE_ENDIAN } from '../libc.ts';

const HEADER = 4;
const NESTED = 0x8000;
const TYPE_MASK = 0x3fff;
const MAX_LENGTH = 0xffff;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Rounds up to the four bytes to which netlink aligns everything. */
export function align4(length: number): number {
  return (length + 3) & ~3;
}

/**
 * Writes attributes behind an optional fixed header (struct ifinfomsg, nfgenmsg, …). `u16`, `u32`
 * and `u64` have the machine's order, as rtnetlink wants; `be16`, `be32` and `be64` network order,
 * as nfnetlink wants. An attribute or a nest over 65535 bytes is a RangeError.
 */
export class AttributeWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView;
  #length = 0;

  constructor(header?: Uint8Array) {
    this.#bytes = new Uint8Array(256);
    this.#view = new DataView(this.#bytes.buffer);
    if (header) this.raw(header);
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  u8(type: number, value: number): this {
    this.#bytes[this.#open(type, 1)] = value;
    return this;
  }

  u16(type: number, value: number): this {
    const at = this.#open(type, 2);
    this.#view.setUint16(at, value, LITTLE_ENDIAN);
    return this;
  }

  u32(type: number, value: number): this {
    const at = this.#open(type, 4);
    this.#view.setUint32(at, value, LITTLE_ENDIAN);
    return this;
  }

  u64(type: number, value: bigint): this {
    const at = this.#open(type, 8);
    this.#view.setBigUint64(at, value, LITTLE_ENDIAN);
    return this;
  }

  be16(type: number, value: number): this {
    const at = this.#open(type, 2);
    this.#view.setUint16(at, value);
    return this;
  }

  be32(type: number, value: number): this {
    const at = this.#open(type, 4);
    this.#view.setUint32(at, value);
    return this;
  }

  be64(type: number, value: bigint): this {
    const at = this.#open(type, 8);
    this.#view.setBigUint64(at, value);
    return this;
  }

  /** UTF-8 with a closing NUL; text that itself holds a NUL is a RangeError. */
  string(type: number, text: string): this {
    if (text.includes('\0')) throw new RangeError(`text ${JSON.stringify(text)} holds a NUL`);
    const data = encoder.encode(text);
    const at = this.#open(type, data.length + 1);
    this.#bytes.set(data, at);
    return this;
  }

  bytes(type: number, data: Uint8Array): this {
    const at = this.#open(type, data.length);
    this.#bytes.set(data, at);
    return this;
  }

  /** An attribute without a value: its presence says it all. */
  flag(type: number): this {
    this.#open(type, 0);
    return this;
  }

  /** An attribute whose value is what `fill` writes, with NLA_F_NESTED. */
  nested(type: number, fill: (writer: this) => void): this {
    const start = this.#open(type | NESTED, 0) - HEADER;
    fill(this);
    const length = this.#length - start;
    if (length > MAX_LENGTH) {
      throw new RangeError(`attribute ${type} has ${length} bytes; at most ${MAX_LENGTH} fit`);
    }
    this.#view.setUint16(start, length, LITTLE_ENDIAN);
    return this;
  }

  /** A nest of nests, all of `elementType`: one for each item. */
  list<T>(
    type: number,
    elementType: number,
    items: Iterable<T>,
    fill: (writer: this, item: T) => void,
  ): this {
    return this.nested(type, () => {
      for (const item of items) this.nested(elementType, () => fill(this, item));
    });
  }

  /** Bytes that are already attributes or a header; padded to four bytes. */
  raw(data: Uint8Array): this {
    this.#reserve(align4(data.length));
    this.#bytes.set(data, this.#length);
    this.#length += align4(data.length);
    return this;
  }

  /** A copy of what was written. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }

  #open(type: number, length: number): number {
    const total = HEADER + length;
    if (total > MAX_LENGTH) {
      throw new RangeError(`attribute ${type} has ${total} bytes; at most ${MAX_LENGTH} fit`);
    }
    this.#reserve(align4(total));
    const start = this.#length;
    this.#view.setUint16(start, total, LITTLE_ENDIAN);
    this.#view.setUint16(start + 2, type, LITTLE_ENDIAN);
    this.#length += align4(total);
    return start + HEADER;
  }

  #reserve(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}

/** One attribute as it lies in a message; `type` is without its flag bits. */
export interface Attribute {
  readonly type: number;
  readonly data: Uint8Array;
}

/** The attributes in order, repeats included. Stops at the first that does not fit its buffer. */
export function parseAttributeList(bytes: Uint8Array): Attribute[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found: Attribute[] = [];
  for (let at = 0; at + HEADER <= bytes.length; ) {
    const length = view.getUint16(at, LITTLE_ENDIAN);
    if (length < HEADER || at + length > bytes.length) break;
    const type = view.getUint16(at + 2, LITTLE_ENDIAN) & TYPE_MASK;
    found.push({ type, data: bytes.subarray(at + HEADER, at + length) });
    at += align4(length);
  }
  return found;
}

/** Reads attributes into a map; of repeats the last counts, as in the kernel. Never throws. */
export function parseAttributes(bytes: Uint8Array): AttributeMap {
  return new AttributeMap(parseAttributeList(bytes));
}

/** Attributes by type. Every reader answers undefined when the attribute is absent or too short. */
export class AttributeMap {
  readonly #byType = new Map<number, Uint8Array>();

  constructor(attributes: readonly Attribute[]) {
    for (const { type, data } of attributes) this.#byType.set(type, data);
  }

  has(type: number): boolean {
    return this.#byType.has(type);
  }

  types(): number[] {
    return [...this.#byType.keys()];
  }

  bytes(type: number): Uint8Array | undefined {
    return this.#byType.get(type);
  }

  u8(type: number): number | undefined {
    return this.#byType.get(type)?.[0];
  }

  u16(type: number): number | undefined {
    return this.#view(type, 2)?.getUint16(0, LITTLE_ENDIAN);
  }

  u32(type: number): number | undefined {
    return this.#view(type, 4)?.getUint32(0, LITTLE_ENDIAN);
  }

  u64(type: number): bigint | undefined {
    return this.#view(type, 8)?.getBigUint64(0, LITTLE_ENDIAN);
  }

  be16(type: number): number | undefined {
    return this.#view(type, 2)?.getUint16(0);
  }

  be32(type: number): number | undefined {
    return this.#view(type, 4)?.getUint32(0);
  }

  be64(type: number): bigint | undefined {
    return this.#view(type, 8)?.getBigUint64(0);
  }

  /** Text up to the first NUL, or to the end. */
  string(type: number): string | undefined {
    const data = this.#byType.get(type);
    if (!data) return undefined;
    const end = data.indexOf(0);
    return decoder.decode(end < 0 ? data : data.subarray(0, end));
  }

  nested(type: number): AttributeMap | undefined {
    const data = this.#byType.get(type);
    return data && parseAttributes(data);
  }

  /** The elements of a nest, in order; empty when absent. */
  list(type: number): Attribute[] {
    const data = this.#byType.get(type);
    return data ? parseAttributeList(data) : [];
  }

  #view(type: number, length: number): DataView | undefined {
    const data = this.#byType.get(type);
    if (!data || data.length < length) return undefined;
    return new DataView(data.buffer, data.byteOffset, data.length);
  }
}
