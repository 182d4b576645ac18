// Values as JSON text in large blocks of memory outside the heap: a million of them cost what they weigh.

/** What the versions of a collection share. */
export interface Place {
  readonly kind: string;
  readonly namespace: string;
}

/** One revision of one key. What it is of stays; where its text lies, the arena may change. */
export class Version {
  readonly place: Place;
  readonly name: string;
  readonly revision: number;
  /** Undefined: it was deleted. */
  block: Block | undefined;
  offset = 0;
  /** Bytes of text. */
  length = 0;
  /** Whether the store still needs it. */
  needed = true;

  constructor(place: Place, name: string, revision: number) {
    this.place = place;
    this.name = name;
    this.revision = revision;
  }
}

/** Nothing in it is overwritten, so that whoever still holds a version can read it. */
export interface Block {
  readonly bytes: Buffer;
  used: number;
  /** Bytes that are still needed. */
  live: number;
  /** All that were put in it, also those that have moved or are not needed any more. */
  versions: Version[];
}

const BLOCK_BYTES = 1 << 20;
/** UTF-8 has at most so many bytes for a UTF-16 code unit. */
const BYTES_A_UNIT = 3;

export class ValueArena {
  #current: Block = blockOf(Buffer.allocUnsafeSlow(BLOCK_BYTES));

  /** Puts the text with the version. */
  put(version: Version, text: string): void {
    const { bytes, used } = this.#current;
    // It is only measured where it might not fit.
    const fits = text.length * BYTES_A_UNIT <= bytes.length - used;
    const block = fits ? this.#current : this.#blockFor(Buffer.byteLength(text));
    append(version, block, block.bytes.write(text, block.used));
  }

  /** As `put`, for versions whose texts lie one after the other in `bytes`; their lengths are set. */
  adopt(versions: readonly Version[], bytes: Buffer): void {
    const block = blockOf(bytes);
    for (const version of versions) append(version, block, version.length);
  }

  /** The store needs this version no more; who holds it can still read it. */
  release(version: Version): void {
    const { block } = version;
    if (!block || !version.needed) return;
    version.needed = false;
    block.live -= version.length;
    if (block !== this.#current && block.live * 2 < block.used) this.#vacate(block);
  }

  /** What is left in it moves together, and its memory is given back. */
  #vacate(block: Block): void {
    const { versions } = block;
    block.versions = [];
    block.live = 0;
    for (const version of versions) {
      if (!version.needed || version.block !== block) continue;
      const { offset, length } = version;
      const target = this.#blockFor(length);
      block.bytes.copy(target.bytes, target.used, offset, offset + length);
      append(version, target, length);
    }
  }

  #blockFor(length: number): Block {
    const full = this.#current;
    if (full.used + length <= full.bytes.length) return full;
    // What would fill much of a block gets its own, so that the rest of this one is not lost.
    if (length > BLOCK_BYTES / 4) return blockOf(Buffer.allocUnsafeSlow(length));
    this.#current = blockOf(Buffer.allocUnsafeSlow(BLOCK_BYTES));
    if (full.live * 2 < full.used) this.#vacate(full);
    return this.#current;
  }
}

/** The JSON text of a version that is no deletion. */
export function textOf({ block, offset, length }: Version): string {
  return block ? block.bytes.toString('utf8', offset, offset + length) : '';
}

function append(version: Version, block: Block, length: number): void {
  version.block = block;
  version.offset = block.used;
  version.length = length;
  block.used += length;
  block.live += length;
  block.versions.push(version);
}

function blockOf(bytes: Buffer): Block {
  return { bytes, used: 0, live: 0, versions: [] };
}
