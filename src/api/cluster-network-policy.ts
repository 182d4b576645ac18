// policy.networking.k8s.io/v1alpha2 ClusterNetworkPolicy: the administrators' policy of Kubernetes itself.
import { type Static, Type } from 'typebox';
import { enforcedClusterPolicy } from './conversion/enforced-cluster-policy.ts';
import { type KindDefinition, ObjectMeta, type Resource } from './kind.ts';
import { LabelSelector } from './kubernetes-network-policy.ts';

const LIST_MAX = 25;
const PortNumber = Type.Integer({ minimum: 1, maximum: 65535 });
const one = { minProperties: 1, maxProperties: 1 } as const;
const some = { minItems: 1, maxItems: LIST_MAX } as const;

const Transport = Type.Object({
  /** Absent means every port. */
  destinationPort: Type.Optional(
    Type.Object(
      {
        number: Type.Optional(PortNumber),
        range: Type.Optional(Type.Object({ start: PortNumber, end: PortNumber })),
      },
      one,
    ),
  ),
});

const ClusterPolicyProtocol = Type.Object(
  {
    tcp: Type.Optional(Transport),
    udp: Type.Optional(Transport),
    sctp: Type.Optional(Transport),
    destinationNamedPort: Type.Optional(Type.String()),
  },
  one,
);
export type ClusterPolicyProtocol = Static<typeof ClusterPolicyProtocol>;

const NamespacedPods = Type.Object({
  /** Absent or empty means every namespace. */
  namespaceSelector: Type.Optional(LabelSelector),
  podSelector: LabelSelector,
});

const Subject = Type.Object(
  { namespaces: Type.Optional(LabelSelector), pods: Type.Optional(NamespacedPods) },
  one,
);
export type ClusterPolicySubject = Static<typeof Subject>;

const EgressPeer = Type.Object(
  {
    namespaces: Type.Optional(LabelSelector),
    pods: Type.Optional(NamespacedPods),
    networks: Type.Optional(Type.Array(Type.String(), { ...some, uniqueItems: true })),
    /** The addresses of the Nodes with these labels (experimental channel). */
    nodes: Type.Optional(LabelSelector),
  },
  one,
);
export type ClusterPolicyPeer = Static<typeof EgressPeer>;

const ruleFields = {
  name: Type.Optional(Type.String({ maxLength: 100 })),
  action: Type.Enum(['Accept', 'Deny', 'Pass']),
  protocols: Type.Optional(Type.Array(ClusterPolicyProtocol, some)),
};
const IngressRule = Type.Object({ ...ruleFields, from: Type.Array(Subject, some) });
const EgressRule = Type.Object({ ...ruleFields, to: Type.Array(EgressPeer, some) });

export const ClusterNetworkPolicySpec = Type.Object({
  tier: Type.Enum(['Admin', 'Baseline']),
  /** Lower comes first. */
  priority: Type.Integer({ minimum: 0, maximum: 1000 }),
  subject: Subject,
  ingress: Type.Optional(Type.Array(IngressRule, { maxItems: LIST_MAX })),
  egress: Type.Optional(Type.Array(EgressRule, { maxItems: LIST_MAX })),
});

export interface ClusterNetworkPolicy extends Resource {
  readonly kind: 'ClusterNetworkPolicy';
  readonly spec: Static<typeof ClusterNetworkPolicySpec>;
}

export const clusterNetworkPolicyKind: KindDefinition = {
  group: 'policy.networking.k8s.io',
  version: 'v1alpha2',
  kind: 'ClusterNetworkPolicy',
  plural: 'clusternetworkpolicies',
  singular: 'clusternetworkpolicy',
  // `cnp`, the CRD's own short name, is taken by Calico's NetworkPolicy.
  shortNames: [],
  namespaced: false,
  hasStatus: true,
  schema: Type.Object({
    metadata: ObjectMeta,
    spec: ClusterNetworkPolicySpec,
    status: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  }),
  columns: [
    { name: 'Tier', type: 'string', path: '.spec.tier', priority: 0 },
    { name: 'Priority', type: 'string', path: '.spec.priority', priority: 0 },
  ],
  // What the conversion could not read would not be enforced as written.
  check: (resource) => enforcedClusterPolicy(resource as ClusterNetworkPolicy, []).problems,
};
