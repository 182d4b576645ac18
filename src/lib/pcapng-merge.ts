// Several pcapng streams as one: blocks as they come, interfaces numbered anew (draft-ietf-opsawg-pcapng).

const BLOCK = { SECTION: 0x0a0d0d0a, INTERFACE: 1, NAMES: 4, STATISTICS: 5, PACKET: 6 } as const;
const BYTE_ORDER = 0x1a2b3c4d;
/** Type and length before the body, the length again after it. */
const FRAME = 12;
const BLOCK_MAX = 16 * 1024 * 1024;

/** What has come of one stream. */
interface Origin {
  /** Numbers of its interfaces in the merged stream, in its own order. */
  interfaces: number[];
  rest: Uint8Array;
}

/**
 * Takes streams of whole sections in pieces of any size, little-endian as their writers here make them. What
 * describes an interface that another stream, or another section, has described alike is not told again.
 */
export class PcapngMerge {
  readonly #origins = new Map<string, Origin>();
  readonly #interfaces = new Map<string, number>();
  #begun = false;

  /** What is to be written for a piece of one stream. Throws RangeError where it is none. */
  add(name: string, piece: Uint8Array): Uint8Array[] {
    const origin = this.#origins.get(name) ?? { interfaces: [], rest: new Uint8Array(0) };
    this.#origins.set(name, origin);
    const bytes = origin.rest.length > 0 ? joined(origin.rest, piece) : piece;
    const told: Uint8Array[] = [];
    let at = 0;
    for (let next = blockAt(bytes, at); next; next = blockAt(bytes, at)) {
      at += next.length;
      const block = this.#merged(origin, next);
      if (block) told.push(block);
    }
    origin.rest = bytes.slice(at);
    return told;
  }

  #merged(origin: Origin, block: Uint8Array): Uint8Array | undefined {
    switch (viewOf(block).getUint32(0, true)) {
      case BLOCK.SECTION:
        origin.interfaces = [];
        if (this.#begun) return undefined;
        this.#begun = true;
        return block;
      case BLOCK.INTERFACE:
        return this.#described(origin, block);
      case BLOCK.PACKET:
      case BLOCK.STATISTICS:
        return renumbered(origin, block);
      default:
        return block;
    }
  }

  #described(origin: Origin, block: Uint8Array): Uint8Array | undefined {
    const text = Array.from(block, (byte) => String.fromCharCode(byte)).join('');
    const known = this.#interfaces.get(text);
    const number = known ?? this.#interfaces.size;
    this.#interfaces.set(text, number);
    origin.interfaces.push(number);
    return known === undefined ? block : undefined;
  }
}

/** A block that tells nothing, to show that a stream lives. */
export function emptyPcapngBlock(): Uint8Array {
  const bytes = new Uint8Array(FRAME + 4);
  const view = viewOf(bytes);
  view.setUint32(0, BLOCK.NAMES, true);
  view.setUint32(4, bytes.length, true);
  view.setUint32(12, bytes.length, true);
  return bytes;
}

/**
 * How many bytes at the beginning are whole blocks, and how many of these describe the section and its interfaces
 * before the first packet. Throws RangeError where no block begins.
 */
export function measurePcapng(bytes: Uint8Array): { whole: number; head: number } {
  let [at, head] = [0, 0];
  for (let next = blockAt(bytes, at); next; next = blockAt(bytes, at)) {
    const type = viewOf(next).getUint32(0, true);
    const isHead = type === BLOCK.SECTION || type === BLOCK.INTERFACE;
    if (isHead && head === at) head += next.length;
    at += next.length;
  }
  return { whole: at, head };
}

/** The block that begins there; undefined while it is not whole. */
function blockAt(bytes: Uint8Array, at: number): Uint8Array | undefined {
  if (bytes.length - at < FRAME) return undefined;
  const view = viewOf(bytes);
  const length = view.getUint32(at + 4, true);
  const isSection = view.getUint32(at, true) === BLOCK.SECTION;
  const isOrdered = !isSection || view.getUint32(at + 8, true) === BYTE_ORDER;
  if (length < FRAME || length % 4 !== 0 || length > BLOCK_MAX || !isOrdered) {
    throw new RangeError(`no pcapng block of this machine's order begins at byte ${at}`);
  }
  return at + length <= bytes.length ? bytes.subarray(at, at + length) : undefined;
}

/** Interfaces come first in the body of what is about one. */
function renumbered({ interfaces }: Origin, block: Uint8Array): Uint8Array {
  const own = viewOf(block).getUint32(8, true);
  const number = interfaces[own];
  if (number === undefined) throw new RangeError(`pcapng interface ${own} was not described`);
  const copy = block.slice();
  viewOf(copy).setUint32(8, number, true);
  return copy;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function joined(one: Uint8Array, other: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(one.length + other.length);
  bytes.set(one);
  bytes.set(other, one.length);
  return bytes;
}
