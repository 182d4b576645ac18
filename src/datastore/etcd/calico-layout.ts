// Where a stored object is in etcd, and in which form: Calico's keys and JSON (spec 01), and a prefix of our own.
import { createHash } from 'node:crypto';
import { isObject } from '#lib';
import type { StoredObject, StoreKey } from '../store.ts';
import type { KeyValue } from './etcd-messages.ts';
import { IPAM_FORMS, type IpamForm } from './ipam-layout.ts';

/** Everything of Calico's and of ours. */
export const ROOT = '/calico/';
/** `<plural>/<name>` or `<plural>/<namespace>/<name>`. */
const RESOURCES = '/calico/resources/v3/projectcalico.org/';
/** What Calico has no key for: `<kind>/<namespace, or nothing>/<name>`. */
const OWN = '/calico/tortie/v1/';
/** A key that is written where a revision of ours is needed. */
export const FENCE = '/calico/tortie/fence';
const GROUP = '.projectcalico.org';

export interface Placed {
  readonly key: StoreKey;
  readonly value: StoredObject;
  /** The value's JSON, where it is as it is kept. */
  readonly text: string | undefined;
}

/**
 * The etcd key of an object, undefined where that needs the value, and it is absent. An object of
 * address management that is not named as Calico names it stands among our own.
 */
export function etcdKeyOf(key: StoreKey, value?: StoredObject): string | undefined {
  const form = IPAM_FORMS.get(key.kind);
  if (form) {
    if (value === undefined) return undefined;
    const path = form.pathOf(value);
    const isOurs = path === undefined || form.nameOf(path) !== key.name;
    return isOurs ? ownKey(key) : path;
  }
  if (!key.kind.endsWith(GROUP)) return ownKey(key);
  const plural = key.kind.slice(0, -GROUP.length);
  const place = key.namespace === '' ? [plural] : [plural, key.namespace];
  return RESOURCES + [...place, key.name].map(escapeSegment).join('/');
}

/** Which object an etcd key is of; undefined: of none that is served. */
export function storeKeyOf(etcdKey: string): StoreKey | undefined {
  if (etcdKey.startsWith(RESOURCES)) {
    const [plural = '', ...rest] = segmentsOf(etcdKey, RESOURCES);
    const kind = plural + GROUP;
    if (IPAM_FORMS.has(kind) || rest.includes('')) return undefined;
    const [first = '', second] = rest;
    if (rest.length === 1) return { kind, namespace: '', name: first };
    return rest.length === 2 ? { kind, namespace: first, name: second ?? '' } : undefined;
  }
  if (etcdKey.startsWith(OWN)) {
    const [kind = '', namespace = '', name = '', ...more] = segmentsOf(etcdKey, OWN);
    return kind && name && more.length === 0 ? { kind, namespace, name } : undefined;
  }
  for (const [kind, form] of IPAM_FORMS) {
    const name = form.nameOf(etcdKey);
    if (name !== undefined) return { kind, namespace: '', name };
  }
  return undefined;
}

/** The text under `etcdKey`. */
export function encodeValue(etcdKey: string, key: StoreKey, value: StoredObject): string {
  const form = formAt(etcdKey, key);
  return JSON.stringify(form ? form.encode(value) : value);
}

/**
 * The object that a key and its value are; undefined for keys of no object. Throws an Error that says
 * what is wrong with the value.
 */
export function decodeValue(pair: KeyValue): Placed | undefined {
  const key = storeKeyOf(pair.key);
  if (!key) return undefined;
  const raw: unknown = JSON.parse(pair.value);
  if (!isObject(raw)) throw new Error('it is not a JSON object');
  const form = formAt(pair.key, key);
  const object = form ? form.decode(pair.key, key.name, raw) : raw;
  const value = pair.key.startsWith(OWN) ? object : completed(pair, key, object);
  return { key, value, text: value === raw ? pair.value : undefined };
}

/** With what other writers may leave out, and every object of ours has; the same at each reading. */
function completed(pair: KeyValue, key: StoreKey, value: StoredObject): StoredObject {
  const metadata = isObject(value['metadata']) ? value['metadata'] : {};
  const { uid = derivedUid(pair) } = metadata;
  const place = key.namespace === '' ? {} : { namespace: key.namespace };
  const known: StoredObject = { name: key.name, ...place, uid };
  const isComplete = Object.entries(known).every(([field, held]) => metadata[field] === held);
  return isComplete ? value : { ...value, metadata: { ...metadata, ...known } };
}

function derivedUid({ key, createRevision }: KeyValue): string {
  const hash = createHash('sha256').update(`${createRevision} ${key}`).digest('hex');
  // In the form of a version 8 UUID (RFC 9562).
  const parts = [hash.slice(0, 8), hash.slice(8, 12), `8${hash.slice(13, 16)}`];
  return [...parts, `8${hash.slice(17, 20)}`, hash.slice(20, 32)].join('-');
}

function formAt(etcdKey: string, key: StoreKey): IpamForm | undefined {
  return etcdKey.startsWith(OWN) ? undefined : IPAM_FORMS.get(key.kind);
}

function ownKey({ kind, namespace, name }: StoreKey): string {
  return OWN + [kind, namespace, name].map(escapeSegment).join('/');
}

function segmentsOf(etcdKey: string, prefix: string): string[] {
  return etcdKey.slice(prefix.length).split('/').map(unescapeSegment);
}

/** As Calico does: what would end a segment is written `%2f`. */
function escapeSegment(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('/', '%2f');
}

function unescapeSegment(text: string): string {
  return text.replaceAll(/%2f/gi, '/').replaceAll('%25', '%');
}
