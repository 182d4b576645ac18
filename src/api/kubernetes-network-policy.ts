// networking.k8s.io/v1 NetworkPolicy, and the label selectors that Kubernetes' policies are written with.
import { type Static, Type } from 'typebox';
import { kubernetesPolicyToCalico, kubernetesPolicyTypes } from './conversion/kubernetes-policy.ts';
import { directionCautions } from './policy-caution.ts';
import { type KindDefinition, ObjectMeta, type Resource } from './kind.ts';

export const LabelSelector = Type.Object(
  {
    matchLabels: Type.Optional(Type.Record(Type.String(), Type.String())),
    matchExpressions: Type.Optional(
      Type.Array(
        Type.Object({
          key: Type.String(),
          operator: Type.Enum(['In', 'NotIn', 'Exists', 'DoesNotExist']),
          values: Type.Optional(Type.Array(Type.String())),
        }),
      ),
    ),
  },
  { crd: { 'x-kubernetes-map-type': 'atomic' } },
);
export type LabelSelector = Static<typeof LabelSelector>;

const PolicyPeer = Type.Object({
  podSelector: Type.Optional(LabelSelector),
  namespaceSelector: Type.Optional(LabelSelector),
  ipBlock: Type.Optional(
    Type.Object({ cidr: Type.String(), except: Type.Optional(Type.Array(Type.String())) }),
  ),
});
export type PolicyPeer = Static<typeof PolicyPeer>;

const PolicyPort = Type.Object({
  protocol: Type.Optional(Type.String()),
  port: Type.Optional(Type.Union([Type.Integer(), Type.String()])),
  endPort: Type.Optional(Type.Integer({ crd: { format: 'int32' } })),
});
export type PolicyPort = Static<typeof PolicyPort>;

export const KubernetesNetworkPolicySpec = Type.Object({
  podSelector: Type.Optional(LabelSelector),
  policyTypes: Type.Optional(
    Type.Array(Type.Enum(['Ingress', 'Egress']), {
      crd: { 'x-kubernetes-list-type': 'set', minItems: 1, maxItems: 2 },
    }),
  ),
  ingress: Type.Optional(
    Type.Array(
      Type.Object({
        from: Type.Optional(Type.Array(PolicyPeer)),
        ports: Type.Optional(Type.Array(PolicyPort)),
      }),
    ),
  ),
  egress: Type.Optional(
    Type.Array(
      Type.Object({
        to: Type.Optional(Type.Array(PolicyPeer)),
        ports: Type.Optional(Type.Array(PolicyPort)),
      }),
    ),
  ),
});

/** networking.k8s.io/v1 NetworkPolicy. */
export interface KubernetesNetworkPolicy extends Resource {
  readonly kind: 'NetworkPolicy';
  readonly spec: Static<typeof KubernetesNetworkPolicySpec>;
}

export const kubernetesNetworkPolicyKind: KindDefinition = {
  group: 'networking.k8s.io',
  version: 'v1',
  kind: 'NetworkPolicy',
  plural: 'networkpolicies',
  singular: 'networkpolicy',
  shortNames: ['netpol'],
  namespaced: true,
  // Kubernetes has none any more; the condition `Enforced` is there.
  hasStatus: true,
  schema: Type.Object({
    metadata: ObjectMeta,
    spec: KubernetesNetworkPolicySpec,
    status: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  }),
  columns: [{ name: 'Pod-Selector', type: 'string', path: '.spec.podSelector', priority: 0 }],
  defaults: (resource) => {
    const policy = resource as KubernetesNetworkPolicy;
    const policyTypes = [...kubernetesPolicyTypes(policy.spec)];
    return { ...policy, spec: { ...policy.spec, policyTypes } } as Resource;
  },
  check: (resource) => {
    const policy = resource as KubernetesNetworkPolicy;
    const { ingress = [], egress = [], policyTypes } = policy.spec;
    const typesPath = 'spec.policyTypes';
    const ingressNames = { direction: 'ingress', type: 'Ingress', typesPath };
    const egressNames = { direction: 'egress', type: 'Egress', typesPath };
    return [
      // What the conversion could not read is what Kubernetes refuses.
      ...kubernetesPolicyToCalico(policy).problems,
      ...directionCautions(ingress.length, policyTypes, ingressNames),
      ...directionCautions(egress.length, policyTypes, egressNames),
    ];
  },
};
