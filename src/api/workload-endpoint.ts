// WorkloadEndpoint: a pod as policy sees it (spec 01, 1.2). Derived from pods, never stored.
import { familyBits, parseAddress, parsePrefix } from '#lib';
import { type Static, Type } from 'typebox';
import { type KindDefinition, ObjectMeta, type Problem, type Resource } from './kind.ts';
import { fault, quoted } from './problem.ts';

const Address = Type.String({ format: 'address' });

export const WorkloadEndpointPort = Type.Object({
  /** Empty for a port that only has a host port. */
  name: Type.String(),
  protocol: Type.Enum(['TCP', 'UDP', 'SCTP']),
  port: Type.Integer({ minimum: 1, maximum: 65535 }),
  hostPort: Type.Optional(Type.Integer({ minimum: 0, maximum: 65535 })),
  hostIP: Type.Optional(Type.String({ format: 'optional-address' })),
});
export type WorkloadEndpointPort = Static<typeof WorkloadEndpointPort>;

/** Limits by name: `ingress` or `egress` with `Bandwidth`, `Burst`, `PacketRate` and so on; and `dscp`. */
export const QosControls = Type.Record(Type.String(), Type.Union([Type.Number(), Type.String()]));
export type QosControls = Static<typeof QosControls>;

export const WorkloadEndpointSpec = Type.Object({
  orchestrator: Type.Optional(Type.String()),
  workload: Type.Optional(Type.String()),
  /** Absent while the pod is not scheduled. */
  node: Type.Optional(Type.String()),
  containerID: Type.Optional(Type.String({ pattern: '^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?$' })),
  pod: Type.Optional(Type.String()),
  endpoint: Type.Optional(Type.String()),
  serviceAccountName: Type.Optional(Type.String()),
  /** Host prefixes (/32, /128); absent while the pod has no address, or no more. */
  ipNetworks: Type.Optional(Type.Array(Type.String())),
  ipNATs: Type.Optional(Type.Array(Type.Object({ internalIP: Address, externalIP: Address }))),
  ipv4Gateway: Type.Optional(Type.String()),
  ipv6Gateway: Type.Optional(Type.String()),
  profiles: Type.Optional(Type.Array(Type.String())),
  interfaceName: Type.Optional(Type.String({ pattern: '^[a-zA-Z0-9_.-]{1,15}$' })),
  mac: Type.Optional(Type.String()),
  ports: Type.Optional(Type.Array(WorkloadEndpointPort)),
  allowSpoofedSourcePrefixes: Type.Optional(Type.Array(Type.String({ format: 'network' }))),
  qosControls: Type.Optional(QosControls),
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
  check: (resource) => endpointProblems((resource as WorkloadEndpoint).spec),
};

function endpointProblems(spec: WorkloadEndpointSpec): Problem[] {
  const problems: Problem[] = [];
  if (!spec.interfaceName) problems.push(fault('spec.interfaceName', 'is required'));
  const networks = (spec.ipNetworks ?? []).map(parsePrefix);
  for (const [index, network] of networks.entries()) {
    if (network?.length === familyBits(network?.family ?? 4)) continue;
    const message = `${quoted(spec.ipNetworks?.[index])} is no single address`;
    problems.push(fault(`spec.ipNetworks[${index}]`, message));
  }
  for (const [index, { internalIP, externalIP }] of (spec.ipNATs ?? []).entries()) {
    const path = `spec.ipNATs[${index}]`;
    const internal = parseAddress(internalIP);
    if (internal?.family !== parseAddress(externalIP)?.family) {
      problems.push(fault(path, 'mixes IPv4 and IPv6; use addresses of one version'));
    }
    const own = networks.some((network) => network && network.bits === internal?.bits);
    if (!own) problems.push(fault(`${path}.internalIP`, "is none of the endpoint's ipNetworks"));
  }
  for (const [index, port] of (spec.ports ?? []).entries()) {
    if (port.name !== '' || port.hostPort) continue;
    problems.push(fault(`spec.ports[${index}].name`, 'is required where there is no hostPort'));
  }
  return problems;
}
