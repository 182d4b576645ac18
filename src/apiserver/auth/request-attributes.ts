// The attributes of a request as its method, path and query give them: for audit, limits and authorisation of paths.
import { captureAttributes, captureCall } from '../capture-routes.ts';
import { FLOWS_PATH } from '../flow-routes.ts';
import { parseResourcePath } from '../request-path.ts';
import { authAttributes } from './auth-routes.ts';
import { type Attributes, attributesOf } from './identity.ts';

const VERBS: Readonly<Record<string, string>> = {
  POST: 'create',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
};

/** What flows are to authorisation. */
export const FLOWS = {
  group: 'flows.tortie.dev',
  version: 'v1',
  resource: 'flows',
  subresource: '',
  namespace: '',
  name: '',
} as const;

/** `path` is without its query, which `query` is. */
export function requestAttributes(
  method: string,
  path: string,
  query: URLSearchParams,
): Attributes {
  if (path === FLOWS_PATH) {
    const read = isTrue(query.get('follow')) ? 'watch' : 'list';
    return { ...FLOWS, verb: method === 'POST' ? 'create' : read };
  }
  if (path.startsWith(`${FLOWS_PATH}/`)) return { ...FLOWS, verb: 'list' };
  const capture = captureCall(method, path);
  if (capture) return captureAttributes(capture);
  const own = authAttributes(path, method);
  if (own) return own;
  const resource = parseResourcePath(path);
  if (!resource) return { verb: method.toLowerCase(), path };
  const { kind, name } = resource;
  return attributesOf(kind, verbOf(method, name, isTrue(query.get('watch'))), resource);
}

/** Whether the request goes on for as long as its client wants. */
export function isLongRunning(attributes: Attributes): boolean {
  return attributes.verb === 'watch';
}

function verbOf(method: string, name: string | undefined, watch: boolean): string {
  if (method === 'GET') return watch ? 'watch' : name === undefined ? 'list' : 'get';
  if (method === 'DELETE' && name === undefined) return 'deletecollection';
  return VERBS[method] ?? method.toLowerCase();
}

function isTrue(text: string | null): boolean {
  return text === 'true' || text === '1';
}
