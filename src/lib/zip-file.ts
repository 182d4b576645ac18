// Writes and reads ZIP files whose members are stored as they are (APPNOTE.TXT 6.3), piece by piece.

const SIGNATURE = {
  MEMBER: 0x04034b50,
  DESCRIPTOR: 0x08074b50,
  DIRECTORY: 0x02014b50,
  END: 0x06054b50,
} as const;
const VERSION = 20;
/** Sizes follow the data, names are UTF-8. */
const FLAGS = 0x0808;
const SIZE_MAX = 0xffff_ffff;
const MEMBERS_MAX = 0xffff;
const END_BYTES = 22;
const COMMENT_MAX = 0xffff;
/** 1980-01-01, for files that say nothing of their time. */
const NO_DATE = 0x21;
/** Made by Unix; read and written by the owner alone. */
const MADE_BY = (3 << 8) | VERSION;
const FILE_MODE = 0o100600;

interface Member {
  readonly name: Uint8Array;
  readonly at: number;
  crc: number;
  size: number;
}

/** Makes the bytes of a ZIP file, to be sent as they come. Throws RangeError beyond 4 GiB or 65,535 members. */
export class ZipWriter {
  readonly #members: Member[] = [];
  #open: Member | undefined;
  #at = 0;

  /** Begins a member; the one before must have ended. */
  begin(name: string): Uint8Array {
    if (this.#open) throw new RangeError('the member before has not ended');
    const member = { name: new TextEncoder().encode(name), at: this.#at, crc: 0, size: 0 };
    this.#members.push(member);
    this.#open = member;
    if (this.#members.length > MEMBERS_MAX) throw new RangeError('too many members');
    const bytes = new Uint8Array(30 + member.name.length);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, SIGNATURE.MEMBER, true);
    view.setUint16(4, VERSION, true);
    view.setUint16(6, FLAGS, true);
    view.setUint16(12, NO_DATE, true);
    view.setUint16(26, member.name.length, true);
    bytes.set(member.name, 30);
    return this.#sent(bytes);
  }

  /** More of the member that is open. */
  add(bytes: Uint8Array): Uint8Array {
    const member = this.#open;
    if (!member) throw new RangeError('no member is open');
    member.crc = crc32(bytes, member.crc);
    member.size += bytes.length;
    return this.#sent(bytes);
  }

  end(): Uint8Array {
    const member = this.#open;
    if (!member) throw new RangeError('no member is open');
    this.#open = undefined;
    const bytes = new Uint8Array(16);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, SIGNATURE.DESCRIPTOR, true);
    setSizes(view, 4, member);
    return this.#sent(bytes);
  }

  /** The directory, which ends the file. */
  finish(): Uint8Array {
    const entries = this.#members.map(directoryEntry);
    const size = entries.reduce((sum, entry) => sum + entry.length, 0);
    const bytes = new Uint8Array(size + END_BYTES);
    let at = 0;
    for (const entry of entries) {
      bytes.set(entry, at);
      at += entry.length;
    }
    const view = new DataView(bytes.buffer, size);
    view.setUint32(0, SIGNATURE.END, true);
    view.setUint16(8, entries.length, true);
    view.setUint16(10, entries.length, true);
    view.setUint32(12, size, true);
    view.setUint32(16, this.#at, true);
    return this.#sent(bytes);
  }

  #sent(bytes: Uint8Array): Uint8Array {
    this.#at += bytes.length;
    if (this.#at > SIZE_MAX) throw new RangeError('a ZIP file has at most 4 GiB');
    return bytes;
  }
}

export interface ZipMember {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** The members of a file as `ZipWriter` makes it. Throws RangeError for anything else, and for damaged members. */
export function readZip(file: Uint8Array): ZipMember[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const end = findEnd(view);
  const members: ZipMember[] = [];
  let at = view.getUint32(end + 16, true);
  for (let count = view.getUint16(end + 10, true); count > 0; count--) {
    if (at + 46 > end || view.getUint32(at, true) !== SIGNATURE.DIRECTORY) throw damaged();
    const nameLength = view.getUint16(at + 28, true);
    const rest = view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
    const name = new TextDecoder().decode(file.subarray(at + 46, at + 46 + nameLength));
    members.push({ name, bytes: memberBytes(file, view, at, end) });
    at += 46 + nameLength + rest;
  }
  return members;
}

function memberBytes(file: Uint8Array, view: DataView, entry: number, end: number): Uint8Array {
  if (view.getUint16(entry + 10, true) !== 0) throw new RangeError('a member is compressed');
  const crc = view.getUint32(entry + 16, true);
  const size = view.getUint32(entry + 24, true);
  const at = view.getUint32(entry + 42, true);
  if (at + 30 > end || view.getUint32(at, true) !== SIGNATURE.MEMBER) throw damaged();
  const from = at + 30 + view.getUint16(at + 26, true) + view.getUint16(at + 28, true);
  if (from + size > end) throw damaged();
  const bytes = file.subarray(from, from + size);
  if (crc32(bytes, 0) !== crc) throw damaged();
  return bytes;
}

function findEnd(view: DataView): number {
  const first = Math.max(0, view.byteLength - END_BYTES - COMMENT_MAX);
  for (let at = view.byteLength - END_BYTES; at >= first; at--) {
    if (view.getUint32(at, true) === SIGNATURE.END) return at;
  }
  throw damaged();
}

function directoryEntry(member: Member): Uint8Array {
  const bytes = new Uint8Array(46 + member.name.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, SIGNATURE.DIRECTORY, true);
  view.setUint16(4, MADE_BY, true);
  view.setUint16(6, VERSION, true);
  view.setUint16(8, FLAGS, true);
  view.setUint16(14, NO_DATE, true);
  setSizes(view, 16, member);
  view.setUint16(28, member.name.length, true);
  view.setUint32(38, FILE_MODE * 0x10000, true);
  view.setUint32(42, member.at, true);
  bytes.set(member.name, 46);
  return bytes;
}

/** Checksum, size as stored, size. */
function setSizes(view: DataView, at: number, { crc, size }: Member): void {
  view.setUint32(at, crc, true);
  view.setUint32(at + 4, size, true);
  view.setUint32(at + 8, size, true);
}

function damaged(): RangeError {
  return new RangeError('this is no whole ZIP file');
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

/** CRC-32 as ZIP and Ethernet have it, going on from `crc`. */
function crc32(bytes: Uint8Array, crc: number): number {
  let value = ~crc;
  for (const byte of bytes) value = (CRC_TABLE[(value ^ byte) & 0xff] ?? 0) ^ (value >>> 8);
  return ~value >>> 0;
}
