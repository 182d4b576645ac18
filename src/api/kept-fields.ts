// Fields of Kubernetes' own kinds that are kept and published, and that nothing here reads.
import { type TOptional, type TSchema, Type } from 'typebox';

const Anything = Type.Record(Type.String(), Type.Unknown());
const List = Type.Array(Anything);

/** The same optional schema under several names. */
function each<const Name extends string, Schema extends TSchema>(
  schema: Schema,
  ...names: readonly Name[]
): Record<Name, TOptional<Schema>> {
  const entries = names.map((name) => [name, Type.Optional(schema)]);
  return Object.fromEntries(entries) as Record<Name, TOptional<Schema>>;
}

export const keptContainerFields = {
  ...each(Type.Boolean(), 'stdin', 'stdinOnce', 'tty'),
  ...each(
    Type.String(),
    'imagePullPolicy',
    'restartPolicy',
    'terminationMessagePath',
    'terminationMessagePolicy',
  ),
  ...each(
    Anything,
    'lifecycle',
    'livenessProbe',
    'readinessProbe',
    'resources',
    'securityContext',
    'startupProbe',
  ),
  ...each(List, 'envFrom', 'resizePolicy', 'volumeDevices', 'volumeMounts'),
};

export const keptPodFields = {
  ...each(
    Type.Boolean(),
    'automountServiceAccountToken',
    'enableServiceLinks',
    'hostIPC',
    'hostPID',
    'hostUsers',
    'setHostnameAsFQDN',
    'shareProcessNamespace',
  ),
  ...each(Type.Integer(), 'activeDeadlineSeconds', 'priority', 'terminationGracePeriodSeconds'),
  ...each(
    Type.String(),
    'dnsPolicy',
    'hostname',
    'preemptionPolicy',
    'priorityClassName',
    'restartPolicy',
    'runtimeClassName',
    'schedulerName',
    'serviceAccount',
    'subdomain',
  ),
  ...each(
    Anything,
    'affinity',
    'dnsConfig',
    'nodeSelector',
    'os',
    'overhead',
    'resources',
    'securityContext',
  ),
  ...each(
    List,
    'hostAliases',
    'imagePullSecrets',
    'readinessGates',
    'resourceClaims',
    'schedulingGates',
    'tolerations',
    'topologySpreadConstraints',
    'volumes',
  ),
};

export const keptPodStatusFields = {
  ...each(Type.String(), 'nominatedNodeName', 'qosClass', 'resize'),
  ...each(Type.Integer(), 'observedGeneration'),
  ...each(List, 'ephemeralContainerStatuses', 'initContainerStatuses', 'resourceClaimStatuses'),
};

export const keptNodeFields = {
  ...each(Type.String(), 'externalID', 'providerID'),
  ...each(Type.Boolean(), 'unschedulable'),
  ...each(Anything, 'configSource'),
  ...each(List, 'taints'),
};

export const keptNodeStatusFields = {
  ...each(Type.String(), 'phase'),
  ...each(Anything, 'allocatable', 'capacity', 'config', 'daemonEndpoints', 'features', 'nodeInfo'),
  ...each(List, 'images', 'runtimeHandlers', 'volumesAttached'),
  ...each(Type.Array(Type.String()), 'volumesInUse'),
};

export const keptServiceFields = {
  ...each(Type.Boolean(), 'allocateLoadBalancerNodePorts', 'publishNotReadyAddresses'),
  ...each(Type.Integer(), 'healthCheckNodePort'),
  ...each(
    Type.String(),
    'externalName',
    'externalTrafficPolicy',
    'internalTrafficPolicy',
    'ipFamilyPolicy',
    'loadBalancerClass',
    'loadBalancerIP',
    'sessionAffinity',
    'trafficDistribution',
    'type',
  ),
  ...each(Anything, 'sessionAffinityConfig'),
  ...each(Type.Array(Type.String()), 'ipFamilies', 'loadBalancerSourceRanges'),
};

export const keptServicePortFields = {
  ...each(Type.String(), 'appProtocol'),
  ...each(Type.Integer(), 'nodePort'),
};

export const keptServiceStatusFields = {
  ...each(List, 'conditions'),
  ...each(Anything, 'loadBalancer'),
};

export const keptSliceEndpointFields = {
  ...each(Type.String(), 'hostname', 'nodeName', 'zone'),
  ...each(Anything, 'conditions', 'deprecatedTopology', 'hints', 'targetRef'),
};

export const keptNamespaceFields = { ...each(Type.Array(Type.String()), 'finalizers') };

export const keptNamespaceStatusFields = {
  ...each(List, 'conditions'),
  ...each(Type.String(), 'phase'),
};

export const keptAccountFields = {
  ...each(Type.Boolean(), 'automountServiceAccountToken'),
  ...each(List, 'imagePullSecrets', 'secrets'),
};
