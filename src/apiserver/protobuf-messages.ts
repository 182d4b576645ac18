// Which field of a protobuf message is which of an object: what kubectl sends (generated.proto of k8s.io/api).

/** `text` and `number` are left out where empty or 0, `texts` is a list, `map` of texts by text. */
export type ScalarForm = 'text' | 'texts' | 'number' | 'map' | 'metadata';
/** A message in brackets is a list of such. */
export type FieldForm = ScalarForm | Message | readonly [Message];

/** Field numbers with names and forms. */
export interface Message {
  readonly [number: number]: readonly [name: string, form: FieldForm];
}

const ResourceAttributes: Message = {
  1: ['namespace', 'text'],
  2: ['verb', 'text'],
  3: ['group', 'text'],
  4: ['version', 'text'],
  5: ['resource', 'text'],
  6: ['subresource', 'text'],
  7: ['name', 'text'],
};

const NonResourceAttributes: Message = { 1: ['path', 'text'], 2: ['verb', 'text'] };

const SelfSubjectAccessReviewSpec: Message = {
  1: ['resourceAttributes', ResourceAttributes],
  2: ['nonResourceAttributes', NonResourceAttributes],
};

const SubjectAccessReviewSpec: Message = {
  ...SelfSubjectAccessReviewSpec,
  3: ['user', 'text'],
  4: ['groups', 'texts'],
  6: ['uid', 'text'],
};

const BoundObjectReference: Message = {
  1: ['kind', 'text'],
  2: ['apiVersion', 'text'],
  3: ['name', 'text'],
  4: ['uid', 'text'],
};

const TokenRequestSpec: Message = {
  1: ['audiences', 'texts'],
  3: ['boundObjectRef', BoundObjectReference],
  4: ['expirationSeconds', 'number'],
};

const TokenReviewSpec: Message = { 1: ['token', 'text'], 2: ['audiences', 'texts'] };

const PolicyRule: Message = {
  1: ['verbs', 'texts'],
  2: ['apiGroups', 'texts'],
  3: ['resources', 'texts'],
  4: ['resourceNames', 'texts'],
  5: ['nonResourceURLs', 'texts'],
};

const Subject: Message = {
  1: ['kind', 'text'],
  2: ['apiGroup', 'text'],
  3: ['name', 'text'],
  4: ['namespace', 'text'],
};

const RoleRef: Message = { 1: ['apiGroup', 'text'], 2: ['kind', 'text'], 3: ['name', 'text'] };

const LabelSelectorRequirement: Message = {
  1: ['key', 'text'],
  2: ['operator', 'text'],
  3: ['values', 'texts'],
};
const LabelSelector: Message = {
  1: ['matchLabels', 'map'],
  2: ['matchExpressions', [LabelSelectorRequirement]],
};
const AggregationRule: Message = { 1: ['clusterRoleSelectors', [LabelSelector]] };

const metadata = ['metadata', 'metadata'] as const;
const Role: Message = { 1: metadata, 2: ['rules', [PolicyRule]] };
const Binding: Message = { 1: metadata, 2: ['subjects', [Subject]], 3: ['roleRef', RoleRef] };

/** By `apiVersion kind`. */
export const MESSAGES: ReadonlyMap<string, Message> = new Map([
  ['v1 Namespace', { 1: metadata }],
  ['v1 ServiceAccount', { 1: metadata }],
  ['authentication.k8s.io/v1 SelfSubjectReview', { 1: metadata }],
  ['authentication.k8s.io/v1 TokenReview', { 1: metadata, 2: ['spec', TokenReviewSpec] }],
  ['authentication.k8s.io/v1 TokenRequest', { 1: metadata, 2: ['spec', TokenRequestSpec] }],
  [
    'authorization.k8s.io/v1 SelfSubjectAccessReview',
    { 1: metadata, 2: ['spec', SelfSubjectAccessReviewSpec] },
  ],
  [
    'authorization.k8s.io/v1 SubjectAccessReview',
    { 1: metadata, 2: ['spec', SubjectAccessReviewSpec] },
  ],
  [
    'authorization.k8s.io/v1 LocalSubjectAccessReview',
    { 1: metadata, 2: ['spec', SubjectAccessReviewSpec] },
  ],
  [
    'authorization.k8s.io/v1 SelfSubjectRulesReview',
    { 1: metadata, 2: ['spec', { 1: ['namespace', 'text'] }] },
  ],
  ['rbac.authorization.k8s.io/v1 Role', Role],
  [
    'rbac.authorization.k8s.io/v1 ClusterRole',
    { ...Role, 3: ['aggregationRule', AggregationRule] },
  ],
  ['rbac.authorization.k8s.io/v1 RoleBinding', Binding],
  ['rbac.authorization.k8s.io/v1 ClusterRoleBinding', Binding],
]);
