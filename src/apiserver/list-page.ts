// Which part of a collection, at which revision, a list request asks for: limit, continue, resourceVersion.
import { isObject } from '#lib';
import type { StoredValue, StoreList } from '#datastore';
import { badRequest, gone, invalidOption, tooLargeRevision } from './request-error.ts';

type Query = Readonly<Record<string, string | undefined>>;

interface Position {
  readonly namespace: string;
  readonly name: string;
}

export interface PageRequest {
  /** Items at most; undefined: all. */
  readonly limit: number | undefined;
  /** The revision to list at; undefined: the newest. */
  readonly at: number | undefined;
  /** Only what comes after it. */
  readonly after: Position | undefined;
}

/** metav1.ListMeta. */
export interface ListMetadata {
  readonly resourceVersion: string;
  readonly continue?: string;
  readonly remainingItemCount?: number;
}

/** Names and namespaces have 253 characters at most. */
const MAX_TOKEN = 1024;
const REVISION = /^\d{1,16}$/;

/**
 * Reads `limit`, `continue`, `resourceVersion` and `resourceVersionMatch` as Kubernetes defines them.
 * `newest` is the store's revision. Throws 400 or 422, and 504 for a revision that is still to come.
 */
export function pageRequest(query: Query, newest: number): PageRequest {
  const limit = limitOf(query['limit']);
  const { resourceVersion: version = '', resourceVersionMatch: match = '' } = query;
  const token = query['continue'] ?? '';
  if (token !== '') {
    if (match !== '') throw invalidOption('resourceVersionMatch', 'is not allowed with continue');
    if (version !== '' && version !== '0') {
      throw badRequest('resourceVersion is not allowed with continue, which has its own');
    }
    return { limit, ...readToken(token) };
  }
  if (!['', 'Exact', 'NotOlderThan'].includes(match)) {
    throw invalidOption(
      'resourceVersionMatch',
      `"${match.slice(0, 40)}" is not allowed: use Exact or NotOlderThan`,
    );
  }
  if (match !== '' && version === '') {
    throw invalidOption('resourceVersionMatch', 'needs a resourceVersion');
  }
  if (match === 'Exact' && version === '0') {
    throw invalidOption('resourceVersionMatch', 'Exact needs a resourceVersion above 0');
  }
  const revision = knownRevision(version, newest);
  // Before there was resourceVersionMatch, a limit made the version an exact one.
  const exact = match === 'Exact' || (match === '' && limit !== undefined && revision !== 0);
  return { limit, at: exact ? revision : undefined, after: undefined };
}

/** A `resourceVersion` as a number, undefined where it is empty. Throws 400 and 504. */
export function knownRevision(text: string | undefined, newest: number): number | undefined {
  if (text === undefined || text === '') return undefined;
  if (!REVISION.test(text)) {
    throw badRequest(`resourceVersion "${text.slice(0, 40)}" is not one of ours`);
  }
  const revision = Number(text);
  if (revision > newest) throw tooLargeRevision(revision, newest);
  return revision;
}

/** The 410 for a list whose revision the store does not keep any more. */
export function expiredList(query: Query): Error {
  return query['continue']
    ? gone(
        'the continue token is too old: what the list began with is not kept any more; ' +
          'list again without continue',
      )
    : gone(
        `resourceVersion ${query['resourceVersion']} is too old and not kept any more; ` +
          'list again without it',
      );
}

/** Cuts the page out of the whole list; `counted`: nothing was selected, so that the rest is known. */
export function pageOf(
  list: StoreList,
  { limit, after }: PageRequest,
  counted: boolean,
): { items: readonly StoredValue[]; metadata: ListMetadata } {
  const resourceVersion = String(list.revision);
  const rest = after ? list.items.slice(firstAfter(list.items, after)) : list.items;
  const last = limit === undefined ? undefined : rest[limit - 1];
  if (limit === undefined || !last || rest.length === limit) {
    return { items: rest, metadata: { resourceVersion } };
  }
  const metadata = {
    resourceVersion,
    continue: tokenOf(list.revision, last.key),
    ...(counted ? { remainingItemCount: rest.length - limit } : {}),
  };
  return { items: rest.slice(0, limit), metadata };
}

function limitOf(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined;
  if (!/^\d{1,15}$/.test(text)) {
    throw badRequest(`limit "${text.slice(0, 40)}" is not a number of items; 0 is without a limit`);
  }
  return Number(text) || undefined;
}

function tokenOf(revision: number, { namespace, name }: Position): string {
  return Buffer.from(JSON.stringify({ v: 1, rv: revision, namespace, name })).toString('base64url');
}

function readToken(token: string): { at: number; after: Position } {
  const value = token.length > MAX_TOKEN ? undefined : parseToken(token);
  if (isObject(value) && value['v'] === 1) {
    const { rv, namespace, name } = value;
    const texts = typeof namespace === 'string' && typeof name === 'string';
    if (texts && Number.isSafeInteger(rv)) return { at: Number(rv), after: { namespace, name } };
  }
  throw badRequest('the continue token is not one of ours; list again without continue');
}

function parseToken(token: string): unknown {
  try {
    return JSON.parse(Buffer.from(token, 'base64url').toString('utf8'));
  } catch {
    return undefined;
  }
}

/** By bisection: the list is in the order of `namespace/name`. */
function firstAfter(items: readonly StoredValue[], { namespace, name }: Position): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const key = items[middle]?.key;
    const after =
      key &&
      (key.namespace === namespace ? key.name > name : `${key.namespace}/` > `${namespace}/`);
    if (after) high = middle;
    else low = middle + 1;
  }
  return low;
}
