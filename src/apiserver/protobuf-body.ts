// Request bodies in Kubernetes' protobuf, as far as kubectl sends nothing else: metadata alone, roles, reviews, tokens.
import { isObject } from '#lib';
import { DELETE_OPTIONS, type FieldForm, type Message, MESSAGES } from './protobuf-messages.ts';
import { badRequest, RequestError } from './request-error.ts';

export const PROTOBUF = 'application/vnd.kubernetes.protobuf';

/** One field of a message: a number, or bytes that hold a text or another message. */
type Field = { readonly number: number } & (
  | { readonly varint: bigint }
  | { readonly bytes: Buffer }
);

/** What begins every such body (k8s.io/apimachinery, the protobuf serializer). */
const MAGIC = Buffer.from('k8s\0');

/** Fields of metav1.ObjectMeta that hold a text (generated.proto of k8s.io/apimachinery). */
const TEXTS: Readonly<Record<number, string>> = {
  1: 'name',
  2: 'generateName',
  3: 'namespace',
  5: 'uid',
  6: 'resourceVersion',
};
const MAPS: Readonly<Record<number, string>> = { 11: 'labels', 12: 'annotations' };
const FINALIZERS = 14;
/** The end of the year 9999, in milliseconds since 1970. */
const MAX_TIME = 253_402_300_799_000;

/** The object of a body. Throws 400 where it is broken, 415 where it holds what `MESSAGES` does not have. */
export function protobufObject(body: Buffer): Record<string, unknown> {
  if (!body.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw badRequest('the body is not protobuf of Kubernetes: it does not begin with "k8s\\0"');
  }
  // runtime.Unknown: 1 is a TypeMeta, 2 the object, 3 its encoding, 4 its content type.
  const envelope = fieldsOf(body.subarray(MAGIC.length));
  const type = fieldsOf(lastBytes(envelope, 1));
  const apiVersion = text(lastBytes(type, 1));
  const kind = text(lastBytes(type, 2));
  const message = kind === 'DeleteOptions' ? DELETE_OPTIONS : MESSAGES.get(`${apiVersion} ${kind}`);
  if (!message || lastBytes(envelope, 3).length > 0) {
    throw unsupported(`${apiVersion} ${kind}`.slice(0, 100));
  }
  const fields = fieldsOf(lastBytes(envelope, 2));
  return { apiVersion, kind, metadata: {}, ...messageOf(fields, message, kind) };
}

/** The fields by name; `what` is for messages of what cannot be read. */
function messageOf(
  fields: readonly Field[],
  message: Message,
  what: string,
): Record<string, unknown> {
  const object = new Map<string, unknown>();
  for (const field of fields) {
    const known = message[field.number];
    if (known) addField(object, field, known);
    else if (!isEmptyMessage(field)) throw unsupported(`field ${field.number} of a ${what}`);
  }
  return Object.fromEntries(object);
}

function addField(
  object: Map<string, unknown>,
  field: Field,
  [name, form]: readonly [string, FieldForm],
): void {
  if (form === 'number' || form === 'integer' || form === 'boolean') {
    if ('bytes' in field) throw broken();
    const number = Number(BigInt.asIntN(64, field.varint));
    if (form === 'boolean') object.set(name, number !== 0);
    else if (number !== 0 || form === 'integer') object.set(name, number);
    return;
  }
  if (!('bytes' in field)) throw broken();
  const { bytes } = field;
  const list = (item: unknown): void => {
    const known = object.get(name);
    object.set(name, [...(Array.isArray(known) ? (known as unknown[]) : []), item]);
  };
  if (form === 'texts') list(text(bytes));
  else if (form === 'map') addEntry(object, name, bytes, text);
  else if (form === 'bytes-map') addEntry(object, name, bytes, base64);
  else if (form === 'number-or-text') object.set(name, numberOrText(fieldsOf(bytes)));
  else if (form === 'time' || form === 'micro-time') {
    const time = timeText(fieldsOf(bytes), form === 'time' ? 0 : 6);
    if (time !== undefined) object.set(name, time);
  } else if (form === 'metadata') object.set(name, metadataOf(fieldsOf(bytes)));
  else if (form === 'text') {
    if (bytes.length > 0) object.set(name, text(bytes));
  } else if (isRepeated(form)) list(messageOf(fieldsOf(bytes), form[0], name));
  else object.set(name, messageOf(fieldsOf(bytes), form, name));
}

function isRepeated(form: Message | readonly [Message]): form is readonly [Message] {
  return Array.isArray(form);
}

/** 1 says which: 0 is the number in 2, 1 the text in 3. */
function numberOrText(fields: readonly Field[]): number | string {
  const [type = 0n, number = 0n] = [1, 2].map((wanted) => {
    const field = fields.findLast((candidate) => candidate.number === wanted);
    return field && 'varint' in field ? field.varint : undefined;
  });
  return type === 0n ? Number(BigInt.asIntN(32, number)) : text(lastBytes(fields, 3));
}

function base64(bytes: Buffer): string {
  return bytes.toString('base64');
}

/** metav1.Time: 1 is seconds since 1970, 2 nanoseconds; undefined where it is not set. */
function timeText(fields: readonly Field[], digits: number): string | undefined {
  const [seconds = 0n, nanos = 0n] = [1, 2].map((number) => {
    const field = fields.findLast((candidate) => candidate.number === number);
    return field && 'varint' in field ? BigInt.asIntN(64, field.varint) : undefined;
  });
  if (seconds === 0n && nanos === 0n) return undefined;
  const milliseconds = Number(seconds) * 1000;
  if (Math.abs(milliseconds) > MAX_TIME || nanos < 0n || nanos >= 1_000_000_000n) throw broken();
  const whole = new Date(milliseconds).toISOString().slice(0, -5);
  const fraction = digits === 0 ? '' : `.${String(nanos).padStart(9, '0').slice(0, digits)}`;
  return `${whole}${fraction}Z`;
}

/** One entry of a map. */
function addEntry(
  object: Map<string, unknown>,
  name: string,
  bytes: Buffer,
  read: (value: Buffer) => string,
): void {
  const entry = fieldsOf(bytes);
  const known = object.get(name);
  const added = [text(lastBytes(entry, 1)), read(lastBytes(entry, 2))];
  object.set(name, Object.fromEntries([...Object.entries(isObject(known) ? known : {}), added]));
}

function metadataOf(fields: readonly Field[]): Record<string, unknown> {
  const metadata = new Map<string, unknown>();
  const finalizers: string[] = [];
  for (const field of fields) {
    const name = TEXTS[field.number];
    const map = MAPS[field.number];
    if (isEmpty(field)) continue;
    if (!('bytes' in field)) throw unsupported(`field ${field.number} of metadata`);
    if (name !== undefined) metadata.set(name, text(field.bytes));
    else if (map !== undefined) addEntry(metadata, map, field.bytes, text);
    else if (field.number === FINALIZERS) finalizers.push(text(field.bytes));
    else throw unsupported(`field ${field.number} of metadata`);
  }
  if (finalizers.length > 0) metadata.set('finalizers', finalizers);
  return Object.fromEntries(metadata);
}

/** Zero, an empty text, or a message without fields: what a client sends of fields that are not set. */
function isEmpty(field: Field): boolean {
  return 'varint' in field ? field.varint === 0n : field.bytes.length === 0;
}

/** An empty message, or one of empty fields: clients send an empty `status.phase`, `status.userInfo.uid`. */
function isEmptyMessage(field: Field, levels = 3): boolean {
  if (isEmpty(field) || 'varint' in field || levels === 0) return isEmpty(field);
  try {
    return fieldsOf(field.bytes).every((member) => isEmptyMessage(member, levels - 1));
  } catch {
    // It is a text.
    return false;
  }
}

/** The fields of a message in their order (protobuf's wire format). */
function fieldsOf(message: Buffer): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = message[at++];
      if (byte === undefined) break;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw broken();
  };
  while (at < message.length) {
    const tag = Number(varint());
    const number = Math.floor(tag / 8);
    if (tag % 8 === 0) fields.push({ number, varint: varint() });
    else if (tag % 8 === 2) {
      const length = Number(varint());
      if (length > message.length - at) throw broken();
      fields.push({ number, bytes: message.subarray(at, at + length) });
      at += length;
    } else throw broken();
  }
  return fields;
}

/** Of a field that is there several times, the last; empty where there is none. */
function lastBytes(fields: readonly Field[], number: number): Buffer {
  const field = fields.findLast((candidate) => candidate.number === number);
  return field && 'bytes' in field ? field.bytes : Buffer.alloc(0);
}

function text(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw broken();
  }
}

function broken(): RequestError {
  return badRequest('the body is not protobuf: it ends early or holds what no message can');
}

function unsupported(what: string): RequestError {
  const message = `content type "${PROTOBUF}" is not supported for ${what}; send application/json`;
  return new RequestError(415, 'UnsupportedMediaType', message);
}
