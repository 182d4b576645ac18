// What a watch request asks for: where it begins, what it sees, how long it lasts.
import type { KindDefinition } from '#api';
import { type ObjectSelector, objectSelector } from './object-selector.ts';
import type { Representation } from './representation.ts';
import { badRequest, invalidOption } from './request-error.ts';

type Query = Readonly<Record<string, string | undefined>>;

export interface WatchRequest {
  readonly kind: KindDefinition;
  /** Undefined: all namespaces, or a cluster-wide kind. */
  readonly namespace: string | undefined;
  /** Undefined: the whole collection. */
  readonly name: string | undefined;
  readonly selector: ObjectSelector | undefined;
  /** Events after this revision; undefined: what is there comes first, or `skipsInitial`. */
  readonly from: number | undefined;
  /** What is there must be as of this revision at least. */
  readonly notOlderThan: number;
  /** Begins with what changes from now on. */
  readonly skipsInitial: boolean;
  /** A bookmark says where what was there ends. */
  readonly marksInitialEnd: boolean;
  readonly bookmarks: boolean;
  readonly timeoutMs: number;
  readonly representation: Representation;
}

/** Seconds that a watch lasts where the client does not say; spread, so that they do not end at once. */
const WATCH_SECONDS = 1800;
const MAX_SECONDS = 86_400;

/** Throws 400 and 422, as Kubernetes does for parameters that do not go together. */
export function watchRequest(
  { kind, namespace, name }: Pick<WatchRequest, 'kind' | 'namespace' | 'name'>,
  query: Query,
  representation: Representation,
): WatchRequest {
  const { labelSelector, fieldSelector, resourceVersion: version = '' } = query;
  if (!/^\d{0,16}$/.test(version)) {
    throw badRequest(`resourceVersion "${version.slice(0, 40)}" is not one of ours`);
  }
  const sendInitial = flagOf(query, 'sendInitialEvents');
  checkMatch(sendInitial, query['resourceVersionMatch'] ?? '');
  const begins = version === '' || version === '0';
  const fields = [fieldSelector, name && `metadata.name=${name}`].filter(Boolean).join(',');
  return {
    kind,
    namespace,
    name,
    selector: objectSelector(kind, { labelSelector, fieldSelector: fields }),
    from: begins || sendInitial ? undefined : Number(version),
    notOlderThan: sendInitial ? Number(version) : 0,
    skipsInitial: begins && sendInitial === false,
    marksInitialEnd: sendInitial === true,
    bookmarks: flagOf(query, 'allowWatchBookmarks') ?? false,
    timeoutMs: timeoutSeconds(query['timeoutSeconds']) * 1000,
    representation,
  };
}

function checkMatch(sendInitial: boolean | undefined, match: string): void {
  if (sendInitial === undefined) {
    if (match === '') return;
    const why = 'is forbidden for watch unless sendInitialEvents is provided';
    throw invalidOption('resourceVersionMatch', why);
  }
  if (match === 'NotOlderThan') return;
  throw invalidOption('resourceVersionMatch', 'sendInitialEvents needs NotOlderThan');
}

function timeoutSeconds(text: string | undefined): number {
  if (text !== undefined && text !== '' && !/^\d{1,15}$/.test(text)) {
    throw badRequest(`timeoutSeconds "${text.slice(0, 40)}" is not a whole number of seconds`);
  }
  return Math.min(Number(text) || WATCH_SECONDS * (1 + Math.random()), MAX_SECONDS);
}

/** Undefined where it is not given. */
function flagOf(query: Query, name: string): boolean | undefined {
  const text = query[name];
  if (text === undefined || text === '') return undefined;
  return text === 'true' || text === '1';
}
