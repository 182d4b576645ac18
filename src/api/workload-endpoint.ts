// WorkloadEndpoint: a pod as policy sees it (spec 01, 1.2). Derived from pods, never stored.
import { type Static, Type } from 'typebox';
import { type KindDefinition, ObjectMeta, type Resource } from './kind.ts';
import { Protocol } from './rule.ts';

export const WorkloadEndpointPort = Type.Object({
  /** Empty for a port that only has a host port. */
  name: Type.String(),
  protocol: Protocol,
  port: Type.Integer({ minimum: 1, maximum: 65535 }),
  hostPort: Type.Optional(Type.Integer({ minimum: 0, maximum: 65535 })),
  hostIP: Type.Optional(Type.String()),
});
export type WorkloadEndpointPort = Static<typeof WorkloadEndpointPort>;

export const WorkloadEndpointSpec = Type.Object({
  orchestrator: Type.Optional(Type.String()),
  workload: Type.Optional(Type.String()),
  /** Absent while the pod is not scheduled. */
  node: Type.Optional(Type.String()),
  containerID: Type.Optional(Type.String()),
  pod: Type.Optional(Type.String()),
  endpoint: Type.Optional(Type.String()),
  serviceAccountName: Type.Optional(Type.String()),
  /** Host prefixes (/32, /128); absent while the pod has no address, or no more. */
  ipNetworks: Type.Optional(Type.Array(Type.String())),
  ipNATs: Type.Optional(
    Type.Array(Type.Object({ internalIP: Type.String(), externalIP: Type.String() })),
  ),
  ipv4Gateway: Type.Optional(Type.String()),
  ipv6Gateway: Type.Optional(Type.String()),
  profiles: Type.Optional(Type.Array(Type.String())),
  interfaceName: Type.Optional(Type.String()),
  mac: Type.Optional(Type.String()),
  ports: Type.Optional(Type.Array(WorkloadEndpointPort)),
  allowSpoofedSourcePrefixes: Type.Optional(Type.Array(Type.String())),
});
export type WorkloadEndpointSpec = Static<typeof WorkloadEndpointSpec>;

export interface WorkloadEndpoint extends Resource {
  readonly kind: 'WorkloadEndpoint';
  readonly spec: WorkloadEndpointSpec;
}

export const workloadEndpointKind: KindDefinition = {
  group: 'projectcalico.org',
  version: 'v3',
  kind: 'WorkloadEndpoint',
  plural: 'workloadendpoints',
  singular: 'workloadendpoint',
  shortNames: ['wep', 'weps'],
  namespaced: true,
  hasStatus: false,
  schema: Type.Object({ metadata: ObjectMeta, spec: WorkloadEndpointSpec }),
  columns: [
    { name: 'Node', type: 'string', path: '.spec.node', priority: 0 },
    { name: 'Networks', type: 'string', path: '.spec.ipNetworks', priority: 0 },
    { name: 'Interface', type: 'string', path: '.spec.interfaceName', priority: 0 },
  ],
};
