// The door of api: every resource kind with its schema, type, defaults and checks.
export * from './agent-status.ts';
export type { Condition } from './conditions.ts';
export {
  enforcedKey,
  enforcementOf,
  isEnforcedKind,
  kindKey,
  type NodeEnforcement,
} from './enforcement.ts';
export * from './packet-capture.ts';
export * from './pending-change.ts';
export { checkDelete, checkUpdate } from './change-check.ts';
export * from './cluster-network-policy.ts';
export { clusterPolicyToCalico, type ConvertedClusterPolicy } from './conversion/cluster-policy.ts';
export { enforcedClusterPolicy } from './conversion/enforced-cluster-policy.ts';
export {
  type ConvertedPolicy,
  kubernetesPolicyToCalico,
  kubernetesPolicyTypes,
} from './conversion/kubernetes-policy.ts';
export { isMirroredNode, mirroredNode } from './conversion/mirrored-node.ts';
export { namespaceProfileName, namespaceToProfile } from './conversion/namespace-profile.ts';
export { ownLabels } from './conversion/own-labels.ts';
export {
  isFinishedPod,
  podInterfaceName,
  podProblems,
  podToWorkloadEndpoint,
} from './conversion/pod-endpoint.ts';
export {
  serviceAccountProfileName,
  serviceAccountToProfile,
} from './conversion/service-account-profile.ts';
export { simplifyPorts } from './conversion/simplify-ports.ts';
export { crdOf, type CustomResourceDefinition, type StructuralSchema } from './crd.ts';
export { parseDuration } from './duration.ts';
export * from './felix-configuration.ts';
export * from './host-endpoint.ts';
export * from './ip-pool.ts';
export * from './kind.ts';
export * from './live-migration.ts';
export * from './kinds.ts';
export * from './kubernetes.ts';
export * from './kubernetes-event.ts';
export * from './kubernetes-objects.ts';
export { parseKubernetesYaml } from './kubernetes-yaml.ts';
export * from './kubernetes-network-policy.ts';
export * from './network-set.ts';
export * from './policy.ts';
export * from './rbac.ts';
export * from './rule.ts';
export * from './workload-endpoint.ts';
export {
  loadManifests,
  type ManifestProblem,
  type Manifests,
} from './load-manifests.ts';
export * from './number-or-text.ts';
export { objectMetaSchema, type OpenApiSchema, openApiSchema } from './open-api.ts';
export { parametersInConfiguration } from './parameters/configuration-parameters.ts';
export { ENTERPRISE_PARAMETERS } from './parameters/enterprise-parameters.ts';
export {
  effectOf,
  type ParameterEffect,
  withoutEffect,
} from './parameters/parameter-effects.ts';
export type { Parameter, ParameterTrait, ParameterValue } from './parameters/parameter.ts';
export { defaultValue } from './parameters/parameter.ts';
export {
  AGENT_PARAMETERS,
  openStackActive,
  type ParameterProblem,
  type ParameterSource,
  parametersInEnvironment,
  parametersInFile,
  type ResolvedParameters,
  resolveParameters,
} from './parameters/resolve-parameters.ts';
export { type ValidatedResource, validateResource } from './validate-resource.ts';
export * from './bgp-configuration.ts';
export * from './bgp-filter.ts';
export * from './bgp-peer.ts';
export * from './calico-node-status.ts';
export * from './cluster-information.ts';
export * from './ipam-block.ts';
export * from './ipam-configuration.ts';
export * from './kube-controllers-configuration.ts';
export * from './staged-policy.ts';
export * from './calico-node.ts';
