// Netlink messages (RFC 3549, linux/netlink.h): encoding, splitting a datagram, and errors.

import { align4, parseAttributes } from './attribute.ts';
import { LITTLE_ENDIAN, SystemError } from '../libc.ts';

/** Length of struct nlmsghdr. */
export const MESSAGE_HEADER = 16;

/** Flags of struct nlmsghdr. The meaning of 0x100 and up depends on the kind of message. */
export const MESSAGE_FLAG = {
  REQUEST: 0x1,
  MULTI: 0x2,
  ACK: 0x4,
  DUMP_INTERRUPTED: 0x10,
  REPLACE: 0x100,
  EXCL: 0x200,
  CREATE: 0x400,
  APPEND: 0x800,
  DUMP: 0x300,
  CAPPED: 0x100,
  ACK_ATTRIBUTES: 0x200,
} as const;

/** Types of control messages; all below 16. */
export const CONTROL_TYPE = { ERROR: 2, DONE: 3, OVERRUN: 4 } as const;

/** What to ask of the kernel; `action` begins the text of the error when it refuses. */
export interface NetlinkRequest {
  readonly type: number;
  readonly flags?: number;
  readonly body: Uint8Array;
  readonly action?: string;
}

/** What the kernel said; `body` is a view of memory that nothing else writes to. */
export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** Of an answer or a notification: the port of the socket whose request it is about; 0 is the kernel. */
  readonly port: number;
  readonly body: Uint8Array;
}

/** The kernel refused a request; `index` is the place of the failing message in a batch. */
export class NetlinkError extends SystemError {
  readonly index: number | undefined;
  /** What else it refused of the same batch. */
  readonly others: NetlinkError[] = [];

  constructor(action: string, errno: number, options: { detail?: string; index?: number } = {}) {
    super(action, errno, options.detail);
    this.name = 'NetlinkError';
    this.index = options.index;
  }
}

/** Total size of the encoded requests. */
export function encodedLength(requests: readonly NetlinkRequest[]): number {
  return requests.reduce((sum, { body }) => sum + MESSAGE_HEADER + align4(body.length), 0);
}

/** Encodes requests one after the other; their sequence numbers count up from `sequence`. */
export function encodeMessages(
  requests: readonly NetlinkRequest[],
  sequence: number,
  flags: number,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(encodedLength(requests));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [index, request] of requests.entries()) {
    view.setUint32(at, MESSAGE_HEADER + request.body.length, LITTLE_ENDIAN);
    view.setUint16(at + 4, request.type, LITTLE_ENDIAN);
    view.setUint16(at + 6, flags | (request.flags ?? 0), LITTLE_ENDIAN);
    view.setUint32(at + 8, (sequence + index) >>> 0, LITTLE_ENDIAN);
    bytes.set(request.body, at + MESSAGE_HEADER);
    at += MESSAGE_HEADER + align4(request.body.length);
  }
  return bytes;
}

/** Splits a datagram; stops at the first message that does not fit. Bodies are views of `bytes`. */
export function parseMessages(bytes: Uint8Array): NetlinkMessage[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const messages: NetlinkMessage[] = [];
  for (let at = 0; at + MESSAGE_HEADER <= bytes.length; ) {
    const length = view.getUint32(at, LITTLE_ENDIAN);
    if (length < MESSAGE_HEADER || length > bytes.length - at) break;
    messages.push({
      type: view.getUint16(at + 4, LITTLE_ENDIAN),
      flags: view.getUint16(at + 6, LITTLE_ENDIAN),
      sequence: view.getUint32(at + 8, LITTLE_ENDIAN),
      port: view.getUint32(at + 12, LITTLE_ENDIAN),
      body: bytes.subarray(at + MESSAGE_HEADER, at + length),
    });
    at += align4(length);
  }
  return messages;
}

/** What an ERROR or DONE message says: errno 0 is an acknowledgement. */
export interface Acknowledgement {
  readonly errno: number;
  readonly detail?: string;
}

/** Reads an ERROR or DONE message with its extended acknowledgement. */
export function parseAcknowledgement(message: NetlinkMessage): Acknowledgement {
  const { body } = message;
  if (body.length < 4) return { errno: 0 };
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const errno = Math.abs(view.getInt32(0, LITTLE_ENDIAN));
  if (!(message.flags & MESSAGE_FLAG.ACK_ATTRIBUTES)) return { errno };
  const detail = extendedText(body.subarray(attributesStart(message, view)));
  return detail ? { errno, detail } : { errno };
}

function attributesStart(message: NetlinkMessage, view: DataView): number {
  if (message.type === CONTROL_TYPE.DONE) return 4;
  if (message.flags & MESSAGE_FLAG.CAPPED) return 4 + MESSAGE_HEADER;
  if (view.byteLength < 4 + MESSAGE_HEADER) return view.byteLength;
  return Math.min(4 + align4(view.getUint32(4, LITTLE_ENDIAN)), view.byteLength);
}

const EXTENDED = { TEXT: 1, OFFSET: 2, MISSING_TYPE: 5 } as const;

function extendedText(bytes: Uint8Array): string {
  const attributes = parseAttributes(bytes);
  const parts: string[] = [];
  const text = attributes.string(EXTENDED.TEXT);
  if (text) parts.push(text);
  const offset = attributes.u32(EXTENDED.OFFSET);
  if (offset !== undefined) parts.push(`at byte ${offset} of the message`);
  const missing = attributes.u32(EXTENDED.MISSING_TYPE);
  if (missing !== undefined) parts.push(`attribute ${missing} is missing`);
  return parts.join(', ');
}
