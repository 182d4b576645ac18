// The text of addresses as the kernel gives them, straight from their bytes: this is the hot path.

import type { Family } from '#lib';

/** Text of 4 or 16 bytes, IPv6 by RFC 5952; undefined when they have not the width of the family. */
export function addressText(family: Family, bytes: Uint8Array | undefined): string | undefined {
  if (!bytes || bytes.length !== (family === 4 ? 4 : 16)) return undefined;
  return family === 4 ? `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}` : textOfV6(bytes);
}

function textOfV6(bytes: Uint8Array): string {
  const run = longestZeroRun(bytes);
  let text = '';
  for (let group = 0; group < 8; group++) {
    if (group === run.start) {
      text += '::';
      group += run.length - 1;
      continue;
    }
    if (group > 0 && group !== run.start + run.length) text += ':';
    text += groupAt(bytes, group).toString(16);
  }
  return text;
}

/** The first of the longest runs of two or more zero groups; `start` is -1 without one. */
function longestZeroRun(bytes: Uint8Array): { start: number; length: number } {
  const best = { start: -1, length: 1 };
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (start + length < 8 && groupAt(bytes, start + length) === 0) length++;
    if (length > best.length) Object.assign(best, { start, length });
    start += length;
  }
  return best.start < 0 ? { start: -1, length: 0 } : best;
}

function groupAt(bytes: Uint8Array, group: number): number {
  return ((bytes[group * 2] ?? 0) << 8) | (bytes[group * 2 + 1] ?? 0);
}
