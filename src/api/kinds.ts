// The table of every resource kind, and how to find one.
import { felixConfigurationKind } from './felix-configuration.ts';
import { hostEndpointKind, profileKind } from './host-endpoint.ts';
import { ipamBlockKind, ipPoolKind } from './ip-pool.ts';
import { apiVersionOf, type KindDefinition } from './kind.ts';
import {
  endpointSliceKind,
  kubernetesNetworkPolicyKind,
  namespaceKind,
  nodeKind,
  podKind,
  serviceAccountKind,
  serviceKind,
} from './kubernetes.ts';
import { globalNetworkSetKind, networkSetKind } from './network-set.ts';
import { globalNetworkPolicyKind, networkPolicyKind, tierKind } from './policy.ts';

export const KINDS: readonly KindDefinition[] = [
  namespaceKind,
  podKind,
  nodeKind,
  serviceKind,
  serviceAccountKind,
  endpointSliceKind,
  kubernetesNetworkPolicyKind,
  tierKind,
  networkPolicyKind,
  globalNetworkPolicyKind,
  networkSetKind,
  globalNetworkSetKind,
  hostEndpointKind,
  profileKind,
  ipPoolKind,
  ipamBlockKind,
  felixConfigurationKind,
];

const byKind = new Map(KINDS.map((kind) => [`${apiVersionOf(kind)} ${kind.kind}`, kind]));

/** The definition of `apiVersion` and `kind` as a manifest writes them. */
export function kindOf(apiVersion: string, kind: string): KindDefinition | undefined {
  return byKind.get(`${apiVersion} ${kind}`);
}
