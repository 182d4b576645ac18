// Comments of rules and chains as `nft` stores them: userdata of type, length and text with a NUL.

const COMMENT_TYPE = 0;
/** Bytes of a comment, without its NUL (as `nft` allows). */
const COMMENT_MAX = 127;

/** Userdata holding a comment; a longer text is cut. */
export function encodeComment(text: string): Uint8Array {
  const bytes = new TextEncoder().encode(text).subarray(0, COMMENT_MAX);
  return Uint8Array.of(COMMENT_TYPE, bytes.length + 1, ...bytes, 0);
}

/** The comment inside userdata; undefined when there is none. */
export function decodeComment(userdata: Uint8Array | undefined): string | undefined {
  for (let at = 0; userdata && at + 2 <= userdata.length; ) {
    const length = userdata[at + 1] ?? 0;
    const value = userdata.subarray(at + 2, at + 2 + length);
    if (userdata[at] === COMMENT_TYPE) return new TextDecoder().decode(value).replace(/\0.*$/s, '');
    at += 2 + length;
  }
  return undefined;
}
