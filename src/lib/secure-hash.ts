// SHA-1 and SHA-224 (RFC 3174, RFC 6234) without a crypto module, for names that must agree with Calico's.

// RFC 6234, 5.1: the first 32 bits of the fractional parts of the cube roots of the first 64 primes.
const SHA2_ROUND = new Uint32Array([
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
]);

const SHA224_START = new Uint32Array([
  0xc1059ed8, 0x367cd507, 0x3070dd17, 0xf70e5939, 0xffc00b31, 0x68581511, 0x64f98fa7, 0xbefa4fa4,
]);
const SHA1_START = new Uint32Array([0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0]);

/** SHA-224 of `bytes`: 28 bytes. */
export function sha224(bytes: Uint8Array): Uint8Array {
  const state = SHA224_START.slice();
  for (const block of blocksOf(bytes)) sha2Block(state, block);
  return bigEndian(state.subarray(0, 7));
}

/** SHA-1 of a text's UTF-8 as 40 lower-case hex digits. For names only: SHA-1 is no security. */
export function sha1Hex(text: string): string {
  const state = SHA1_START.slice();
  for (const block of blocksOf(new TextEncoder().encode(text))) sha1Block(state, block);
  return [...bigEndian(state)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Unpadded base64url (RFC 4648, 5). */
export function base64Url(bytes: Uint8Array): string {
  const plain = btoa(String.fromCharCode(...bytes));
  return plain.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

/** The padded message as blocks of sixteen 32-bit words; both hashes pad alike. */
function* blocksOf(bytes: Uint8Array): Generator<Uint32Array> {
  const padded = new Uint8Array(Math.ceil((bytes.length + 9) / 64) * 64);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setBigUint64(padded.length - 8, BigInt(bytes.length) * 8n);
  for (let start = 0; start < padded.length; start += 64) {
    yield Uint32Array.from({ length: 16 }, (_, word) => view.getUint32(start + word * 4));
  }
}

function sha2Block(state: Uint32Array, block: Uint32Array): void {
  const words = new Uint32Array(64);
  words.set(block);
  for (let t = 16; t < 64; t++) {
    const w15 = at(words, t - 15);
    const w2 = at(words, t - 2);
    const s0 = rotateRight(w15, 7) ^ rotateRight(w15, 18) ^ (w15 >>> 3);
    const s1 = rotateRight(w2, 17) ^ rotateRight(w2, 19) ^ (w2 >>> 10);
    words[t] = at(words, t - 16) + s0 + at(words, t - 7) + s1;
  }
  let [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = state;
  for (let t = 0; t < 64; t++) {
    const sigma1 = rotateRight(e, 6) ^ rotateRight(e, 11) ^ rotateRight(e, 25);
    const choice = (e & f) ^ (~e & g);
    const t1 = (h + sigma1 + choice + at(SHA2_ROUND, t) + at(words, t)) | 0;
    const sigma0 = rotateRight(a, 2) ^ rotateRight(a, 13) ^ rotateRight(a, 22);
    const majority = (a & b) ^ (a & c) ^ (b & c);
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + t1) | 0, c, b, a, (t1 + sigma0 + majority) | 0];
  }
  addInto(state, [a, b, c, d, e, f, g, h]);
}

function sha1Block(state: Uint32Array, block: Uint32Array): void {
  const words = new Uint32Array(80);
  words.set(block);
  for (let t = 16; t < 80; t++) {
    const mixed = at(words, t - 3) ^ at(words, t - 8) ^ at(words, t - 14) ^ at(words, t - 16);
    words[t] = rotateRight(mixed, 31);
  }
  let [a = 0, b = 0, c = 0, d = 0, e = 0] = state;
  for (let t = 0; t < 80; t++) {
    const sum = rotateRight(a, 27) + sha1Round(t, b, c, d) + e + at(words, t);
    [e, d, c, b, a] = [d, c, rotateRight(b, 2), a, sum | 0];
  }
  addInto(state, [a, b, c, d, e]);
}

/** The round's function of b, c and d plus its constant (RFC 3174, 5). */
function sha1Round(t: number, b: number, c: number, d: number): number {
  if (t < 20) return ((b & c) | (~b & d)) + 0x5a827999;
  if (t < 40) return (b ^ c ^ d) + 0x6ed9eba1;
  if (t < 60) return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
  return (b ^ c ^ d) + 0xca62c1d6;
}

function addInto(state: Uint32Array, values: readonly number[]): void {
  for (const [index, value] of values.entries()) state[index] = at(state, index) + value;
}

function rotateRight(value: number, bits: number): number {
  return (value >>> bits) | (value << (32 - bits));
}

function at(words: Uint32Array, index: number): number {
  return words[index] ?? 0;
}

function bigEndian(words: Uint32Array): Uint8Array {
  const bytes = new Uint8Array(words.length * 4);
  const view = new DataView(bytes.buffer);
  for (const [index, word] of words.entries()) view.setUint32(index * 4, word);
  return bytes;
}
