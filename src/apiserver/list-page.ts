// Which part of a collection, at which revision, a list request asks for: limit, continue, resourceVersion.
import { isObject } from '#lib';
import type { StoredValue, StorePosition } from '#datastore';
import type { ResourcePage } from './resources.ts';
import { badRequest, gone, invalidOption, tooLargeRevision } from './request-error.ts';

type Query = Readonly<Record<string, string | undefined>>;

export interface PageRequest {
  /** Items at most; undefined: all. */
  readonly limit: number | undefined;
  /** The revision to list at; undefined: the newest. */
  readonly at: number | undefined;
  /** Only what comes after it. */
  readonly after: StorePosition | undefined;
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
  if (query['sendInitialEvents'] !== undefined) {
    throw invalidOption('sendInitialEvents', 'is forbidden for list');
  }
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

/**
 * The 410 for a list whose revision the store does not keep any more. With a continue token the answer has
 * another one: it goes on at the same place, of what is there then.
 */
export function expiredList(query: Query): Error {
  const { continue: token, resourceVersion } = query;
  if (!token) {
    const version = `resourceVersion ${resourceVersion}`;
    return gone(`${version} is too old and not kept any more; list again without it`);
  }
  const { after } = readToken(token);
  const message =
    'the continue token is too old for a consistent list; list again without continue, or go on with ' +
    'the token of this answer: the rest is then as it is now, and not as the list began';
  return gone(message, tokenOf(INCONSISTENT, after));
}

/** The page with what its list says of the rest; `counted`: nothing was selected, so that it is known. */
export function pageOf(
  { items, revision, rest }: ResourcePage,
  counted: boolean,
): { items: readonly StoredValue[]; metadata: ListMetadata } {
  const resourceVersion = String(revision);
  if (!rest) return { items, metadata: { resourceVersion } };
  const metadata = {
    resourceVersion,
    continue: tokenOf(revision, rest.after),
    ...(counted ? { remainingItemCount: rest.count } : {}),
  };
  return { items, metadata };
}

function limitOf(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined;
  if (!/^\d{1,15}$/.test(text)) {
    throw badRequest(`limit "${text.slice(0, 40)}" is not a number of items; 0 is without a limit`);
  }
  return Number(text) || undefined;
}

/** In a token: of what is there when it is used. */
const INCONSISTENT = -1;

function tokenOf(revision: number, { namespace, name }: StorePosition): string {
  return Buffer.from(JSON.stringify({ v: 1, rv: revision, namespace, name })).toString('base64url');
}

function readToken(token: string): { at: number | undefined; after: StorePosition } {
  const value = token.length > MAX_TOKEN ? undefined : parseToken(token);
  if (isObject(value) && value['v'] === 1) {
    const { rv, namespace, name } = value;
    const texts = typeof namespace === 'string' && typeof name === 'string';
    if (texts && typeof rv === 'number' && Number.isSafeInteger(rv)) {
      return { at: rv === INCONSISTENT ? undefined : rv, after: { namespace, name } };
    }
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
