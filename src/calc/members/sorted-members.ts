// Prefixes in the order of their addresses, so that those within a prefix lie side by side.
import { familyBits, type Prefix } from '#lib';

const CHUNK_MAX = 512;

/** A text that sorts by family, address and length; the member's own text follows. */
function sortText(prefix: Prefix, member: string): string {
  return `${addressText(prefix, prefix.bits)}${String(prefix.length).padStart(3, '0')} ${member}`;
}

function addressText({ family }: Pick<Prefix, 'family'>, bits: bigint): string {
  return `${family}${bits.toString(16).padStart(familyBits(family) / 4, '0')}`;
}

/** What sorts after every member within the prefix, and before all that follow it. */
function endText(prefix: Prefix): string {
  const hostBits = BigInt(familyBits(prefix.family) - prefix.length);
  return `${addressText(prefix, prefix.bits | ((1n << hostBits) - 1n))}~`;
}

/** A sorted list in chunks: an insertion moves a chunk, not all. */
export class SortedMembers {
  readonly #chunks: string[][] = [[]];

  add(prefix: Prefix, member: string): void {
    const text = sortText(prefix, member);
    const at = this.#chunkOf(text);
    const chunk = this.#chunks[at];
    if (!chunk) return;
    chunk.splice(lowerBound(chunk, text), 0, text);
    if (chunk.length > CHUNK_MAX) this.#chunks.splice(at + 1, 0, chunk.splice(CHUNK_MAX / 2));
  }

  delete(prefix: Prefix, member: string): void {
    const text = sortText(prefix, member);
    const at = this.#chunkOf(text);
    const chunk = this.#chunks[at];
    const index = chunk ? lowerBound(chunk, text) : 0;
    if (chunk?.[index] !== text) return;
    chunk.splice(index, 1);
    if (chunk.length === 0 && this.#chunks.length > 1) this.#chunks.splice(at, 1);
  }

  /** The members within the prefix, without itself; a wider one comes before what it contains. */
  within(prefix: Prefix, member: string): string[] {
    const own = sortText(prefix, member);
    const end = endText(prefix);
    const found: string[] = [];
    for (let at = this.#chunkOf(own); at < this.#chunks.length; at++) {
      const chunk = this.#chunks[at] ?? [];
      for (let index = lowerBound(chunk, own); index < chunk.length; index++) {
        const text = chunk[index] ?? '';
        if (text > end) return found;
        if (text !== own) found.push(text.slice(text.indexOf(' ') + 1));
      }
    }
    return found;
  }

  /** The last chunk that does not begin after the text. */
  #chunkOf(text: string): number {
    let low = 0;
    let high = this.#chunks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#chunks[middle]?.[0] ?? '') <= text) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

/** The first index whose text is not before the given one. */
function lowerBound(sorted: readonly string[], text: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? '') < text) low = middle + 1;
    else high = middle;
  }
  return low;
}
