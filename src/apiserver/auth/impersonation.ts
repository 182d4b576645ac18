// Impersonation: the Impersonate-* headers of `kubectl --as`, allowed one by one.
import type { IncomingMessage } from 'node:http';
import { badRequest } from '../request-error.ts';
import type { Authorizer } from './authorization.ts';
import {
  ANONYMOUS,
  AUTHENTICATED,
  authenticated,
  type Identity,
  type ResourceAttributes,
  serviceAccountGroups,
  serviceAccountOf,
  UNAUTHENTICATED,
} from './identity.ts';

const EXTRA = 'impersonate-extra-';
const MAX_VALUES = 1000;

/** Whom the request is made as: `identity` itself without such headers. Throws a 403 or 400. */
export function impersonated(
  identity: Identity,
  request: IncomingMessage,
  authorizer: Authorizer,
): Identity {
  const headers = impersonationHeaders(request);
  if (!headers) return identity;
  const { user, uid, groups, extra } = headers;
  if (user === undefined) {
    throw badRequest('Impersonate-User must be set where other Impersonate headers are');
  }
  const require = (group: string, resource: string, rest: Partial<ResourceAttributes>): void =>
    authorizer.require(identity, {
      verb: 'impersonate',
      group,
      version: 'v1',
      resource,
      subresource: '',
      namespace: '',
      name: '',
      ...rest,
    });
  const account = serviceAccountOf(user);
  if (account) require('', 'serviceaccounts', account);
  else require('', 'users', { name: user });
  for (const name of groups) require('', 'groups', { name });
  if (uid !== undefined) require('authentication.k8s.io', 'uids', { name: uid });
  for (const [key, values] of Object.entries(extra)) {
    for (const name of values) {
      require('authentication.k8s.io', 'userextras', { subresource: key, name });
    }
  }
  const implied = account && groups.length === 0 ? serviceAccountGroups(account.namespace) : groups;
  const wanted = {
    name: user,
    groups: implied,
    ...(uid === undefined ? {} : { uid }),
    ...(Object.keys(extra).length === 0 ? {} : { extra }),
  };
  if (user === ANONYMOUS) return { ...wanted, groups: [...implied, UNAUTHENTICATED] };
  return implied.includes(AUTHENTICATED) ? wanted : authenticated(wanted);
}

interface ImpersonationHeaders {
  readonly user: string | undefined;
  readonly uid: string | undefined;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

/** Undefined where there are none. */
function impersonationHeaders(request: IncomingMessage): ImpersonationHeaders | undefined {
  const all = Object.entries(request.headersDistinct).flatMap(([name, values = []]) =>
    name.startsWith('impersonate-') ? [[name, values] as const] : [],
  );
  if (all.length === 0) return undefined;
  if (all.flatMap(([, values]) => values).length > MAX_VALUES) {
    throw badRequest(`there are more than ${MAX_VALUES} Impersonate headers`);
  }
  const values = (name: string): readonly string[] => all.find(([own]) => own === name)?.[1] ?? [];
  const extra = all.flatMap(([name, given]) =>
    name.startsWith(EXTRA) ? [[decoded(name.slice(EXTRA.length)), given] as const] : [],
  );
  return {
    user: values('impersonate-user')[0] || undefined,
    uid: values('impersonate-uid')[0] || undefined,
    groups: values('impersonate-group').filter((group) => group !== ''),
    extra: Object.fromEntries(extra),
  };
}

function decoded(key: string): string {
  try {
    return decodeURIComponent(key);
  } catch {
    return key;
  }
}
