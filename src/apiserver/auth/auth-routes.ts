// The paths of identity: reviews, token requests, and the discovery of who signs service-account tokens.
import type { FastifyRequest } from 'fastify';
import { serviceAccountKind } from '#api';
import { objectBody } from '../request-body.ts';
import { notAllowed } from '../request-error.ts';
import type { Resources } from '../resources.ts';
import type { AccessControl } from './access-control.ts';
import { attributesOf, type Identity, type ResourceAttributes } from './identity.ts';
import { answerReview, type ReviewKind, REVIEWS } from './reviews.ts';
import { requestToken } from './token-request.ts';

const JWKS_PATH = '/openid/v1/jwks';
const TOKEN_PATH = /^\/api\/v1\/namespaces\/([^/]+)\/serviceaccounts\/([^/]+)\/token$/;

export interface AuthContext {
  readonly access: AccessControl;
  readonly resources: Resources;
  readonly identity: Identity;
}

export interface AuthAnswer {
  readonly code: 200 | 201;
  readonly body: object;
}

/** What a request on such a path asks for; undefined: the path is another. */
export function authAttributes(path: string, method: string): ResourceAttributes | undefined {
  const token = TOKEN_PATH.exec(path);
  const verb = method === 'POST' ? 'create' : method.toLowerCase();
  if (token) {
    const [, namespace = '', name = ''] = token;
    return attributesOf(serviceAccountKind, verb, { namespace, name, subresource: 'token' });
  }
  const found = reviewAt(path);
  if (!found) return undefined;
  const { group, version, plural } = found.review;
  const rest = { subresource: '', name: '', namespace: found.namespace };
  return { verb, group, version, resource: plural, ...rest };
}

/** The answer; undefined: the path is another. Throws RequestError where it is refused. */
export async function answerAuth(
  { access, resources, identity }: AuthContext,
  path: string,
  request: FastifyRequest,
): Promise<AuthAnswer | undefined> {
  const { authentication, authorizer, keys } = access;
  const tokens = authentication.serviceAccounts;
  const attributes = authAttributes(path, request.method);
  if (attributes) {
    if (request.method !== 'POST') throw notAllowed(request.method, path);
    authorizer.require(identity, attributes);
    const body = objectBody(request);
    const { namespace, name, subresource } = attributes;
    if (subresource === 'token') {
      const context = { resources, tokens };
      return { code: 201, body: await requestToken(context, { namespace, name }, body) };
    }
    const review = reviewAt(path)?.review;
    if (!review) return undefined;
    const context = { authentication, authorizer, identity };
    return { code: 201, body: await answerReview(review, context, body, namespace) };
  }
  const document = issuerDocument(path, { issuer: tokens.issuer, host: request.host, keys });
  if (!document) return undefined;
  if (request.method !== 'GET') throw notAllowed(request.method, path);
  authorizer.require(identity, { verb: 'get', path });
  return { code: 200, body: document };
}

function reviewAt(path: string): { review: ReviewKind; namespace: string } | undefined {
  for (const review of REVIEWS) {
    const root = `/apis/${review.group}/${review.version}/`;
    if (!path.startsWith(root)) continue;
    const rest = path.slice(root.length);
    if (!review.namespaced && rest === review.plural) return { review, namespace: '' };
    const [, namespace = '', plural] = /^namespaces\/([^/]+)\/([^/]+)$/.exec(rest) ?? [];
    if (review.namespaced && plural === review.plural) return { review, namespace };
  }
  return undefined;
}

function issuerDocument(
  path: string,
  { issuer, host, keys }: { issuer: string; host: string; keys: { jwks: object } },
): object | undefined {
  if (path === JWKS_PATH) return keys.jwks;
  if (path !== '/.well-known/openid-configuration') return undefined;
  return {
    issuer,
    jwks_uri: `https://${host}${JWKS_PATH}`,
    response_types_supported: ['id_token'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['ES256'],
  };
}
