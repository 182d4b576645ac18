// Policies of every kind, read from resources: whose they are, and how each is compiled.
import type {
  ClusterNetworkPolicy,
  GlobalNetworkPolicy,
  KubernetesNetworkPolicy,
  KubernetesNode,
  NetworkPolicy,
  Resource,
} from '#api';
import type { CompilePolicy } from './active-rules.ts';
import type { PolicyId } from './dataplane-update.ts';
import {
  type CompiledSource,
  compileClusterPolicy,
  compileKubernetesPolicy,
} from './kubernetes-policies.ts';
import { compilePolicy } from './policy-compiler.ts';

/** Kinds of resources that are policies, with what their identity calls them. */
export const POLICY_KINDS: ReadonlyMap<string, PolicyId['kind']> = new Map([
  ['projectcalico.org/NetworkPolicy', 'NetworkPolicy'],
  ['projectcalico.org/GlobalNetworkPolicy', 'GlobalNetworkPolicy'],
  ['networking.k8s.io/NetworkPolicy', 'KubernetesNetworkPolicy'],
  ['policy.networking.k8s.io/ClusterNetworkPolicy', 'ClusterNetworkPolicy'],
  ['projectcalico.org/StagedNetworkPolicy', 'StagedNetworkPolicy'],
  ['projectcalico.org/StagedGlobalNetworkPolicy', 'StagedGlobalNetworkPolicy'],
  ['projectcalico.org/StagedKubernetesNetworkPolicy', 'StagedKubernetesNetworkPolicy'],
]);

const GLOBAL_KINDS: readonly PolicyId['kind'][] = [
  'GlobalNetworkPolicy',
  'StagedGlobalNetworkPolicy',
  'ClusterNetworkPolicy',
];

export function policyIdOf(kind: PolicyId['kind'], { metadata }: Resource): PolicyId {
  const isGlobal = GLOBAL_KINDS.includes(kind);
  return { kind, namespace: isGlobal ? null : (metadata.namespace ?? ''), name: metadata.name };
}

/**
 * Keeps of the resource its specification alone. Undefined for a staged policy that would not add or replace rules
 * (Delete, Learn, Ignore): there is nothing of it to weigh. `nodes` is asked at each compilation.
 */
export function policyCompiler(
  id: PolicyId,
  resource: Resource,
  nodes: () => readonly KubernetesNode[],
): CompilePolicy | undefined {
  const { spec } = resource as { readonly spec?: { readonly stagedAction?: string } };
  if ((spec?.stagedAction ?? 'Set') !== 'Set') return undefined;
  const { namespace, name } = resource.metadata;
  const metadata = { name, ...(namespace !== undefined && { namespace }) };
  const kept = { apiVersion: resource.apiVersion, kind: resource.kind, metadata, spec };
  switch (id.kind) {
    case 'KubernetesNetworkPolicy':
    case 'StagedKubernetesNetworkPolicy':
      return () => compileKubernetesPolicy(kept as KubernetesNetworkPolicy, id);
    case 'ClusterNetworkPolicy':
      return () => compileClusterPolicy(kept as ClusterNetworkPolicy, nodes());
    default:
      return () => compileCalicoPolicy(kept as NetworkPolicy | GlobalNetworkPolicy, id);
  }
}

function compileCalicoPolicy(
  source: NetworkPolicy | GlobalNetworkPolicy,
  id: PolicyId,
): CompiledSource {
  const policy = compilePolicy(source, id);
  return { policy, problems: policy.problems };
}
