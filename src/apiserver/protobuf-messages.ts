// Which field of a protobuf message is which of an object: what kubectl sends (generated.proto of k8s.io/api).

/**
 * `text` and `number` are left out where empty or 0, `integer` is not; `texts` is a list, `map` of texts by
 * text, `bytes-map` of base64 by text; `number-or-text` is intstr.IntOrString; `time` and `micro-time` are
 * RFC 3339 in seconds and microseconds.
 */
export type ScalarForm =
  | 'text'
  | 'texts'
  | 'number'
  | 'integer'
  | 'boolean'
  | 'map'
  | 'bytes-map'
  | 'time'
  | 'micro-time'
  | 'number-or-text'
  | 'metadata';
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

const ObjectReference: Message = {
  1: ['kind', 'text'],
  2: ['namespace', 'text'],
  3: ['name', 'text'],
  4: ['uid', 'text'],
  5: ['apiVersion', 'text'],
  6: ['resourceVersion', 'text'],
  7: ['fieldPath', 'text'],
};

const EventSource: Message = { 1: ['component', 'text'], 2: ['host', 'text'] };
const EventSeries: Message = { 1: ['count', 'number'], 2: ['lastObservedTime', 'micro-time'] };

const Event: Message = {
  1: ['metadata', 'metadata'],
  2: ['involvedObject', ObjectReference],
  3: ['reason', 'text'],
  4: ['message', 'text'],
  5: ['source', EventSource],
  6: ['firstTimestamp', 'time'],
  7: ['lastTimestamp', 'time'],
  8: ['count', 'number'],
  9: ['type', 'text'],
  10: ['eventTime', 'micro-time'],
  11: ['series', EventSeries],
  12: ['action', 'text'],
  13: ['related', ObjectReference],
  14: ['reportingComponent', 'text'],
  15: ['reportingInstance', 'text'],
};

const EventsEvent: Message = {
  1: ['metadata', 'metadata'],
  2: ['eventTime', 'micro-time'],
  3: ['series', EventSeries],
  4: ['reportingController', 'text'],
  5: ['reportingInstance', 'text'],
  6: ['action', 'text'],
  7: ['reason', 'text'],
  8: ['regarding', ObjectReference],
  9: ['related', ObjectReference],
  10: ['note', 'text'],
  11: ['type', 'text'],
  12: ['deprecatedSource', EventSource],
  13: ['deprecatedFirstTimestamp', 'time'],
  14: ['deprecatedLastTimestamp', 'time'],
  15: ['deprecatedCount', 'number'],
};

const ConfigMap: Message = {
  1: ['metadata', 'metadata'],
  2: ['data', 'map'],
  3: ['binaryData', 'bytes-map'],
  4: ['immutable', 'boolean'],
};

const Secret: Message = {
  1: ['metadata', 'metadata'],
  2: ['data', 'bytes-map'],
  3: ['type', 'text'],
  4: ['stringData', 'map'],
  5: ['immutable', 'boolean'],
};

const ServicePort: Message = {
  1: ['name', 'text'],
  2: ['protocol', 'text'],
  3: ['port', 'number'],
  4: ['targetPort', 'number-or-text'],
  5: ['nodePort', 'number'],
  6: ['appProtocol', 'text'],
};

const ServiceSpec: Message = {
  1: ['ports', [ServicePort]],
  2: ['selector', 'map'],
  3: ['clusterIP', 'text'],
  4: ['type', 'text'],
  5: ['externalIPs', 'texts'],
  7: ['sessionAffinity', 'text'],
  8: ['loadBalancerIP', 'text'],
  9: ['loadBalancerSourceRanges', 'texts'],
  10: ['externalName', 'text'],
  11: ['externalTrafficPolicy', 'text'],
  17: ['ipFamilyPolicy', 'text'],
  18: ['clusterIPs', 'texts'],
  19: ['ipFamilies', 'texts'],
};

const LeaseSpec: Message = {
  1: ['holderIdentity', 'text'],
  2: ['leaseDurationSeconds', 'number'],
  3: ['acquireTime', 'micro-time'],
  4: ['renewTime', 'micro-time'],
  5: ['leaseTransitions', 'integer'],
  6: ['strategy', 'text'],
  7: ['preferredHolder', 'text'],
};

const Preconditions: Message = { 1: ['uid', 'text'], 2: ['resourceVersion', 'text'] };

/** Of any version. */
export const DELETE_OPTIONS: Message = {
  1: ['gracePeriodSeconds', 'integer'],
  2: ['preconditions', Preconditions],
  3: ['orphanDependents', 'boolean'],
  4: ['propagationPolicy', 'text'],
  5: ['dryRun', 'texts'],
};

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
  ['v1 ConfigMap', ConfigMap],
  ['v1 Secret', Secret],
  ['v1 Service', { 1: metadata, 2: ['spec', ServiceSpec] }],
  ['v1 Event', Event],
  ['events.k8s.io/v1 Event', EventsEvent],
  ['coordination.k8s.io/v1 Lease', { 1: metadata, 2: ['spec', LeaseSpec] }],
  ['rbac.authorization.k8s.io/v1 Role', Role],
  [
    'rbac.authorization.k8s.io/v1 ClusterRole',
    { ...Role, 3: ['aggregationRule', AggregationRule] },
  ],
  ['rbac.authorization.k8s.io/v1 RoleBinding', Binding],
  ['rbac.authorization.k8s.io/v1 ClusterRoleBinding', Binding],
]);
