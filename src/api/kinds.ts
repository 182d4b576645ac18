// The table of every resource kind, and how to find one.
import { agentStatusKind } from './agent-status.ts';
import { pendingChangeKind } from './pending-change.ts';
import { bgpConfigurationKind } from './bgp-configuration.ts';
import { bgpFilterKind } from './bgp-filter.ts';
import { bgpPeerKind } from './bgp-peer.ts';
import { calicoNodeKind } from './calico-node.ts';
import { calicoNodeStatusKind } from './calico-node-status.ts';
import { clusterInformationKind } from './cluster-information.ts';
import { clusterNetworkPolicyKind } from './cluster-network-policy.ts';
import { felixConfigurationKind } from './felix-configuration.ts';
import { hostEndpointKind, profileKind } from './host-endpoint.ts';
import { ipPoolKind } from './ip-pool.ts';
import { blockAffinityKind, ipamBlockKind, ipamHandleKind } from './ipam-block.ts';
import { ipamConfigurationKind, ipReservationKind } from './ipam-configuration.ts';
import { kubeControllersConfigurationKind } from './kube-controllers-configuration.ts';
import { apiVersionOf, type KindDefinition } from './kind.ts';
import {
  endpointSliceKind,
  namespaceKind,
  nodeKind,
  podKind,
  serviceAccountKind,
  serviceKind,
} from './kubernetes.ts';
import { eventKind, eventsEventKind } from './kubernetes-event.ts';
import { configMapKind, leaseKind, secretKind } from './kubernetes-objects.ts';
import { kubernetesNetworkPolicyKind } from './kubernetes-network-policy.ts';
import { globalNetworkSetKind, networkSetKind } from './network-set.ts';
import { liveMigrationKind } from './live-migration.ts';
import { packetCaptureKind } from './packet-capture.ts';
import { globalNetworkPolicyKind, networkPolicyKind, tierKind } from './policy.ts';
import { clusterRoleBindingKind, clusterRoleKind, roleBindingKind, roleKind } from './rbac.ts';
import {
  stagedGlobalNetworkPolicyKind,
  stagedKubernetesNetworkPolicyKind,
  stagedNetworkPolicyKind,
} from './staged-policy.ts';
import { workloadEndpointKind } from './workload-endpoint.ts';

export const KINDS: readonly KindDefinition[] = [
  namespaceKind,
  podKind,
  nodeKind,
  serviceKind,
  serviceAccountKind,
  endpointSliceKind,
  kubernetesNetworkPolicyKind,
  clusterNetworkPolicyKind,
  tierKind,
  networkPolicyKind,
  globalNetworkPolicyKind,
  stagedNetworkPolicyKind,
  stagedGlobalNetworkPolicyKind,
  stagedKubernetesNetworkPolicyKind,
  networkSetKind,
  globalNetworkSetKind,
  hostEndpointKind,
  profileKind,
  ipPoolKind,
  ipReservationKind,
  ipamConfigurationKind,
  ipamBlockKind,
  ipamHandleKind,
  blockAffinityKind,
  bgpConfigurationKind,
  bgpPeerKind,
  bgpFilterKind,
  kubeControllersConfigurationKind,
  clusterInformationKind,
  calicoNodeStatusKind,
  felixConfigurationKind,
  packetCaptureKind,
  agentStatusKind,
  pendingChangeKind,
  roleKind,
  roleBindingKind,
  clusterRoleKind,
  clusterRoleBindingKind,
];

/** Kinds whose objects follow from others in Kubernetes, where they are no custom resources. */
export const DERIVED_KINDS: readonly KindDefinition[] = [
  workloadEndpointKind,
  calicoNodeKind,
  liveMigrationKind,
];

/** Kinds that no verdict depends on, served because clients and workloads use them. */
const AUXILIARY_KINDS: readonly KindDefinition[] = [
  eventKind,
  eventsEventKind,
  leaseKind,
  configMapKind,
  secretKind,
];

/** What Tortie's own server stores: without Kubernetes, endpoints and nodes are objects of their own. */
export const SERVED_KINDS: readonly KindDefinition[] = [
  ...KINDS,
  ...DERIVED_KINDS,
  ...AUXILIARY_KINDS,
];

const byKind = new Map(SERVED_KINDS.map((kind) => [`${apiVersionOf(kind)} ${kind.kind}`, kind]));

/** The definition of `apiVersion` and `kind` as a manifest writes them. */
export function kindOf(apiVersion: string, kind: string): KindDefinition | undefined {
  return byKind.get(`${apiVersion} ${kind}`);
}
