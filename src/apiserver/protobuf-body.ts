// Request bodies in Kubernetes' protobuf, as far as `kubectl create` needs them: objects that are metadata alone.
import { isObject } from '#lib';
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
/** Kinds whose message has its metadata in field 1. What else they hold must be empty. */
const KINDS = new Set(['v1 Namespace', 'v1 ServiceAccount']);

/** The object of a body. Throws 400 where it is broken, 415 where it holds more than metadata. */
export function protobufObject(body: Buffer): Record<string, unknown> {
  if (!body.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw badRequest('the body is not protobuf of Kubernetes: it does not begin with "k8s\\0"');
  }
  // runtime.Unknown: 1 is a TypeMeta, 2 the object, 3 its encoding, 4 its content type.
  const envelope = fieldsOf(body.subarray(MAGIC.length));
  const type = fieldsOf(lastBytes(envelope, 1));
  const apiVersion = text(lastBytes(type, 1));
  const kind = text(lastBytes(type, 2));
  if (!KINDS.has(`${apiVersion} ${kind}`) || lastBytes(envelope, 3).length > 0) {
    throw unsupported(`${apiVersion} ${kind}`.slice(0, 100));
  }
  const object = fieldsOf(lastBytes(envelope, 2));
  const rest = object.filter(({ number }) => number !== 1);
  if (!rest.every(isEmptyMessage)) throw unsupported(`a ${kind} with more than its metadata`);
  return { apiVersion, kind, metadata: metadataOf(fieldsOf(lastBytes(object, 1))) };
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
    else if (map !== undefined) {
      const entry = fieldsOf(field.bytes);
      const known = metadata.get(map);
      const added = [text(lastBytes(entry, 1)), text(lastBytes(entry, 2))];
      const entries = [...Object.entries(isObject(known) ? known : {}), added];
      metadata.set(map, Object.fromEntries(entries));
    } else if (field.number === FINALIZERS) finalizers.push(text(field.bytes));
    else throw unsupported(`field ${field.number} of metadata`);
  }
  if (finalizers.length > 0) metadata.set('finalizers', finalizers);
  return Object.fromEntries(metadata);
}

/** Zero, an empty text, or a message without fields: what a client sends of fields that are not set. */
function isEmpty(field: Field): boolean {
  return 'varint' in field ? field.varint === 0n : field.bytes.length === 0;
}

/** An empty message, or one of empty fields: clients send an empty `status.phase`. */
function isEmptyMessage(field: Field): boolean {
  if (isEmpty(field) || 'varint' in field) return isEmpty(field);
  return fieldsOf(field.bytes).every(isEmpty);
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
