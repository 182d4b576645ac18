// Distinguished encoding of ASN.1 (X.690), the part that certificates need.

/** An encoded element. */
export type Der = Buffer;

function element(tag: number, content: Uint8Array): Der {
  const { length } = content;
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), content]);
  const hex = length.toString(16);
  const bytes = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
  return Buffer.concat([Buffer.from([tag, 0x80 | bytes.length]), bytes, content]);
}

export function sequence(...elements: readonly Der[]): Der {
  return element(0x30, Buffer.concat(elements));
}

export function setOf(only: Der): Der {
  return element(0x31, only);
}

/** An unsigned whole number in network order. */
export function integer(bytes: Uint8Array): Der {
  const negative = ((bytes[0] ?? 0) & 0x80) !== 0;
  return element(0x02, negative ? Buffer.concat([Buffer.from([0]), bytes]) : bytes);
}

export function boolean(value: boolean): Der {
  return element(0x01, Buffer.from([value ? 0xff : 0]));
}

export function octetString(content: Uint8Array): Der {
  return element(0x04, content);
}

/** `unused`: how many bits at the end do not count. */
export function bitString(content: Uint8Array, unused = 0): Der {
  return element(0x03, Buffer.concat([Buffer.from([unused]), content]));
}

export function utf8String(text: string): Der {
  return element(0x0c, Buffer.from(text));
}

/** Such as `2.5.29.17`. */
export function objectIdentifier(text: string): Der {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number);
  const bytes = [first * 40 + second, ...rest].flatMap((arc) => {
    const groups = [arc & 0x7f];
    for (let left = arc >> 7; left > 0; left >>= 7) groups.unshift((left & 0x7f) | 0x80);
    return groups;
  });
  return element(0x06, Buffer.from(bytes));
}

/** UTCTime before 2050, GeneralizedTime from then on (RFC 5280, 4.1.2.5). */
export function time(milliseconds: number): Der {
  const text = new Date(milliseconds).toISOString().replaceAll(/[-:T]|\.\d+/g, '');
  const early = Number(text.slice(0, 4)) < 2050;
  return early ? element(0x17, Buffer.from(text.slice(2))) : element(0x18, Buffer.from(text));
}

/** `[number]` around an element. */
export function explicit(number: number, content: Der): Der {
  return element(0xa0 | number, content);
}

/** `[number]` in place of the tag of a primitive element. */
export function implicit(number: number, content: Uint8Array): Der {
  return element(0x80 | number, content);
}
