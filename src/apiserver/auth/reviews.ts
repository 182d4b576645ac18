// Reviews: questions about who somebody is and what they may do, answered and not stored.
import type { PolicyRule } from '#api';
import { isObject } from '#lib';
import { badRequest } from '../request-error.ts';
import type { Authentication } from './authentication.ts';
import type { Authorizer } from './authorization.ts';
import {
  AUTHENTICATED,
  type Attributes,
  authenticated,
  type Identity,
  MASTERS,
} from './identity.ts';

export interface ReviewContext {
  readonly authentication: Authentication;
  readonly authorizer: Authorizer;
  /** Who asks. */
  readonly identity: Identity;
}

export interface ReviewKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly namespaced: boolean;
  readonly answer: (
    context: ReviewContext,
    spec: Spec,
    namespace: string,
  ) => Promise<{ spec?: Spec; status: unknown }> | { spec?: Spec; status: unknown };
}

type Spec = Readonly<Record<string, unknown>>;

const authentication = { group: 'authentication.k8s.io', version: 'v1', namespaced: false };
const authorization = { group: 'authorization.k8s.io', version: 'v1', namespaced: false };

function named(kind: string): Pick<ReviewKind, 'kind' | 'plural' | 'singular'> {
  const singular = kind.toLowerCase();
  return { kind, singular, plural: `${singular}s` };
}

export const REVIEWS: readonly ReviewKind[] = [
  { ...authentication, ...named('TokenReview'), answer: reviewToken },
  {
    ...authentication,
    ...named('SelfSubjectReview'),
    answer: ({ identity }) => ({ status: { userInfo: userInfo(identity) } }),
  },
  {
    ...authorization,
    ...named('SubjectAccessReview'),
    answer: ({ authorizer }, spec) => reviewAccess(authorizer, subjectOf(spec), spec),
  },
  {
    ...authorization,
    ...named('LocalSubjectAccessReview'),
    namespaced: true,
    answer: ({ authorizer }, spec, namespace) => {
      const asked = isObject(spec['resourceAttributes']) ? spec['resourceAttributes'] : {};
      if (asked['namespace'] !== namespace) {
        throw badRequest('spec.resourceAttributes.namespace must be that of the request');
      }
      return reviewAccess(authorizer, subjectOf(spec), spec);
    },
  },
  {
    ...authorization,
    ...named('SelfSubjectAccessReview'),
    answer: ({ authorizer, identity }, spec) => reviewAccess(authorizer, identity, spec),
  },
  { ...authorization, ...named('SelfSubjectRulesReview'), answer: reviewRules },
];

/** The whole answer of a review. Throws a 400 where the body is not one. */
export async function answerReview(
  review: ReviewKind,
  context: ReviewContext,
  body: unknown,
  namespace: string,
): Promise<Record<string, unknown>> {
  const { group, version, kind } = review;
  const head = { kind, apiVersion: `${group}/${version}` };
  if (!isObject(body)) throw badRequest('the body must be a JSON object');
  for (const [field, wanted] of Object.entries(head)) {
    const given = body[field] ?? wanted;
    if (given !== wanted) throw badRequest(`${field} must be "${wanted}"`);
  }
  const given = isObject(body['spec']) ? body['spec'] : {};
  const { spec = given, status } = await review.answer(context, given, namespace);
  const metadata = { creationTimestamp: null };
  return kind === 'SelfSubjectReview'
    ? { ...head, metadata, status }
    : { ...head, metadata, spec, status };
}

async function reviewToken(
  context: ReviewContext,
  spec: Spec,
): Promise<{ spec: Spec; status: unknown }> {
  const { token, audiences } = spec;
  if (typeof token !== 'string' || token === '') throw badRequest('spec.token is required');
  const wanted =
    Array.isArray(audiences) && audiences.length > 0
      ? audiences.filter((audience) => typeof audience === 'string')
      : undefined;
  const found = await context.authentication.identityOfToken(token, wanted);
  // The token is not sent back: an answer may be kept where a question is not.
  const shown = wanted ? { audiences: wanted } : {};
  if (!found) {
    const error = 'the token is not good, or not for these audiences';
    return { spec: shown, status: { authenticated: false, user: {}, error } };
  }
  const user = userInfo(authenticated(found.identity));
  return { spec: shown, status: { authenticated: true, user, audiences: found.audiences } };
}

function reviewAccess(authorizer: Authorizer, subject: Identity, spec: Spec): { status: unknown } {
  const { allowed, reason } = authorizer.decide(subject, attributesIn(spec));
  return { status: { allowed, reason } };
}

function reviewRules(
  { authorizer, identity }: ReviewContext,
  { namespace }: Spec,
): { status: unknown } {
  if (typeof namespace !== 'string' || namespace === '') {
    throw badRequest('spec.namespace is required');
  }
  const masters = identity.groups.includes(MASTERS);
  const all: PolicyRule = {
    verbs: ['*'],
    apiGroups: ['*'],
    resources: ['*'],
    nonResourceURLs: ['*'],
  };
  const rules = masters ? [all] : authorizer.policy.rulesOf(identity, namespace);
  const resourceRules = rules
    .filter((rule) => (rule.resources ?? []).length > 0)
    .map(({ verbs, apiGroups = [], resources = [], resourceNames }) => {
      return { verbs, apiGroups, resources, ...(resourceNames ? { resourceNames } : {}) };
    });
  const nonResourceRules = rules
    .filter((rule) => (rule.nonResourceURLs ?? []).length > 0)
    .map(({ verbs, nonResourceURLs = [] }) => ({ verbs, nonResourceURLs }));
  return { status: { resourceRules, nonResourceRules, incomplete: false } };
}

function attributesIn({ resourceAttributes, nonResourceAttributes }: Spec): Attributes {
  if (isObject(resourceAttributes) === isObject(nonResourceAttributes)) {
    throw badRequest('spec needs exactly one of resourceAttributes and nonResourceAttributes');
  }
  const attributes = isObject(resourceAttributes) ? resourceAttributes : nonResourceAttributes;
  const text = (name: string): string => {
    const value: unknown = isObject(attributes) ? attributes[name] : undefined;
    return typeof value === 'string' ? value : '';
  };
  if (!isObject(resourceAttributes)) return { verb: text('verb'), path: text('path') };
  return {
    verb: text('verb'),
    group: text('group'),
    version: text('version'),
    resource: text('resource'),
    subresource: text('subresource'),
    namespace: text('namespace'),
    name: text('name'),
  };
}

function subjectOf({ user, groups, uid, extra }: Spec): Identity {
  const texts = (value: unknown): string[] =>
    (Array.isArray(value) ? value : []).filter((item) => typeof item === 'string');
  const name = typeof user === 'string' ? user : '';
  const given = texts(groups);
  if (name === '' && given.length === 0) throw badRequest('spec.user or spec.groups is required');
  const values = Object.entries(isObject(extra) ? extra : {}).map(([key, value]) => [
    key,
    texts(value),
  ]);
  return {
    name,
    groups: given,
    ...(typeof uid === 'string' && uid !== '' ? { uid } : {}),
    ...(values.length > 0 ? { extra: Object.fromEntries(values) } : {}),
  };
}

/** authentication.k8s.io/v1 UserInfo. */
export function userInfo({ name, uid, groups, extra }: Identity): Record<string, unknown> {
  const sorted = groups.toSorted(
    (a, b) => Number(a === AUTHENTICATED) - Number(b === AUTHENTICATED),
  );
  return { username: name, ...(uid ? { uid } : {}), groups: sorted, ...(extra ? { extra } : {}) };
}
