// The Kubernetes kinds that policy reads, with the fields that policy, the agent and the lab use.
import { type Static, Type } from 'typebox';
import {
  keptAccountFields,
  keptContainerFields,
  keptNamespaceFields,
  keptNamespaceStatusFields,
  keptNodeFields,
  keptNodeStatusFields,
  keptPodFields,
  keptPodStatusFields,
  keptServiceFields,
  keptServicePortFields,
  keptServiceStatusFields,
  keptSliceEndpointFields,
} from './kept-fields.ts';
import { type KindDefinition, ObjectMeta, type Resource } from './kind.ts';

/** Kubernetes objects carry many fields that we only keep: unknown ones pass through. */
const open = { additionalProperties: true } as const;
const Anything = Type.Record(Type.String(), Type.Unknown());

export const ContainerPort = Type.Object(
  {
    name: Type.Optional(Type.String()),
    containerPort: Type.Integer({ minimum: 1, maximum: 65535 }),
    protocol: Type.Optional(Type.Enum(['TCP', 'UDP', 'SCTP'])),
    hostPort: Type.Optional(Type.Integer()),
    hostIP: Type.Optional(Type.String()),
  },
  open,
);
export type ContainerPort = Static<typeof ContainerPort>;

export const Container = Type.Object(
  {
    name: Type.String(),
    image: Type.Optional(Type.String()),
    command: Type.Optional(Type.Array(Type.String())),
    args: Type.Optional(Type.Array(Type.String())),
    workingDir: Type.Optional(Type.String()),
    env: Type.Optional(
      Type.Array(
        Type.Object(
          {
            name: Type.String(),
            value: Type.Optional(Type.String()),
            valueFrom: Type.Optional(Anything),
          },
          open,
        ),
      ),
    ),
    ports: Type.Optional(Type.Array(ContainerPort)),
    ...keptContainerFields,
  },
  open,
);
export type Container = Static<typeof Container>;

export const PodSpec = Type.Object(
  {
    nodeName: Type.Optional(Type.String()),
    hostNetwork: Type.Optional(Type.Boolean()),
    serviceAccountName: Type.Optional(Type.String()),
    containers: Type.Array(Container),
    initContainers: Type.Optional(Type.Array(Container)),
    ephemeralContainers: Type.Optional(Type.Array(Container)),
    ...keptPodFields,
  },
  open,
);

export const PodStatus = Type.Object(
  {
    phase: Type.Optional(Type.String()),
    podIP: Type.Optional(Type.String()),
    podIPs: Type.Optional(Type.Array(Type.Object({ ip: Type.String() }, open))),
    hostIP: Type.Optional(Type.String()),
    hostIPs: Type.Optional(Type.Array(Type.Object({ ip: Type.String() }, open))),
    startTime: Type.Optional(Type.String()),
    conditions: Type.Optional(Type.Array(Anything)),
    containerStatuses: Type.Optional(Type.Array(Anything)),
    reason: Type.Optional(Type.String()),
    message: Type.Optional(Type.String()),
    ...keptPodStatusFields,
  },
  open,
);

export interface Namespace extends Resource {
  readonly kind: 'Namespace';
}

export interface Pod extends Resource {
  readonly kind: 'Pod';
  readonly spec: Static<typeof PodSpec>;
  readonly status?: Static<typeof PodStatus>;
}

export const NodeSpec = Type.Object(
  {
    podCIDR: Type.Optional(Type.String()),
    podCIDRs: Type.Optional(Type.Array(Type.String())),
    ...keptNodeFields,
  },
  open,
);

export const NodeStatus = Type.Object(
  {
    addresses: Type.Optional(
      Type.Array(Type.Object({ type: Type.String(), address: Type.String() }, open)),
    ),
    conditions: Type.Optional(Type.Array(Anything)),
    ...keptNodeStatusFields,
  },
  open,
);

/** core/v1 Node. Calico's own Node kind is `projectcalico.org/v3` and has a definition of its own. */
export interface KubernetesNode extends Resource {
  readonly kind: 'Node';
  readonly spec?: Static<typeof NodeSpec>;
  readonly status?: Static<typeof NodeStatus>;
}

export const ServiceSpec = Type.Object(
  {
    clusterIP: Type.Optional(Type.String()),
    clusterIPs: Type.Optional(Type.Array(Type.String())),
    externalIPs: Type.Optional(Type.Array(Type.String())),
    selector: Type.Optional(Type.Record(Type.String(), Type.String())),
    ports: Type.Optional(
      Type.Array(
        Type.Object(
          {
            name: Type.Optional(Type.String()),
            port: Type.Integer(),
            protocol: Type.Optional(Type.String()),
            targetPort: Type.Optional(Type.Union([Type.Integer(), Type.String()])),
            ...keptServicePortFields,
          },
          open,
        ),
      ),
    ),
    ...keptServiceFields,
  },
  open,
);

export interface Service extends Resource {
  readonly kind: 'Service';
  readonly spec?: Static<typeof ServiceSpec>;
  readonly status?: unknown;
}

const EndpointSliceFields = {
  addressType: Type.Optional(Type.String()),
  endpoints: Type.Optional(
    Type.Union([
      Type.Null(),
      Type.Array(
        Type.Object({ addresses: Type.Array(Type.String()), ...keptSliceEndpointFields }, open),
      ),
    ]),
  ),
  ports: Type.Optional(
    Type.Union([
      Type.Null(),
      Type.Array(
        Type.Object(
          {
            name: Type.Optional(Type.String()),
            port: Type.Optional(Type.Union([Type.Integer(), Type.Null()])),
            protocol: Type.Optional(Type.String()),
            appProtocol: Type.Optional(Type.String()),
          },
          open,
        ),
      ),
    ]),
  ),
};
const EndpointSliceBody = Type.Object(EndpointSliceFields);

/** discovery.k8s.io/v1; the Service is named by the label `kubernetes.io/service-name`. */
export interface EndpointSlice extends Resource, Static<typeof EndpointSliceBody> {
  readonly kind: 'EndpointSlice';
}

export interface ServiceAccount extends Resource {
  readonly kind: 'ServiceAccount';
}

const core = { group: '', version: 'v1' } as const;

export const namespaceKind: KindDefinition = {
  ...core,
  kind: 'Namespace',
  plural: 'namespaces',
  singular: 'namespace',
  shortNames: ['ns'],
  namespaced: false,
  hasStatus: true,
  schema: Type.Object({
    metadata: ObjectMeta,
    spec: Type.Optional(Type.Object(keptNamespaceFields, open)),
    status: Type.Optional(Type.Object(keptNamespaceStatusFields, open)),
  }),
  columns: [{ name: 'Status', type: 'string', path: '.status.phase', priority: 0 }],
  // As in Kubernetes 1.22+: the namespace's own name is one of its labels.
  defaults: (resource) => ({
    ...resource,
    metadata: {
      ...resource.metadata,
      labels: {
        ...resource.metadata.labels,
        'kubernetes.io/metadata.name': resource.metadata.name,
      },
    },
  }),
};

export const podKind: KindDefinition = {
  ...core,
  kind: 'Pod',
  plural: 'pods',
  categories: ['all'],
  singular: 'pod',
  shortNames: ['po'],
  namespaced: true,
  hasStatus: true,
  schema: Type.Object({ metadata: ObjectMeta, spec: PodSpec, status: Type.Optional(PodStatus) }),
  columns: [
    { name: 'Status', type: 'string', path: '.status.phase', priority: 0 },
    { name: 'IP', type: 'string', path: '.status.podIP', priority: 0 },
    { name: 'Node', type: 'string', path: '.spec.nodeName', priority: 0 },
  ],
};

export const nodeKind: KindDefinition = {
  ...core,
  kind: 'Node',
  plural: 'nodes',
  singular: 'node',
  shortNames: ['no'],
  namespaced: false,
  hasStatus: true,
  schema: Type.Object({
    metadata: ObjectMeta,
    spec: Type.Optional(NodeSpec),
    status: Type.Optional(NodeStatus),
  }),
  columns: [],
};

export const serviceKind: KindDefinition = {
  ...core,
  kind: 'Service',
  plural: 'services',
  categories: ['all'],
  singular: 'service',
  shortNames: ['svc'],
  namespaced: true,
  hasStatus: true,
  schema: Type.Object({
    metadata: ObjectMeta,
    spec: Type.Optional(ServiceSpec),
    status: Type.Optional(Type.Object(keptServiceStatusFields, open)),
  }),
  columns: [{ name: 'Cluster-IP', type: 'string', path: '.spec.clusterIP', priority: 0 }],
};

export const endpointSliceKind: KindDefinition = {
  group: 'discovery.k8s.io',
  version: 'v1',
  kind: 'EndpointSlice',
  plural: 'endpointslices',
  singular: 'endpointslice',
  shortNames: [],
  namespaced: true,
  hasStatus: false,
  schema: Type.Object({ metadata: ObjectMeta, ...EndpointSliceFields }),
  columns: [{ name: 'AddressType', type: 'string', path: '.addressType', priority: 0 }],
};

export const serviceAccountKind: KindDefinition = {
  ...core,
  kind: 'ServiceAccount',
  plural: 'serviceaccounts',
  singular: 'serviceaccount',
  shortNames: ['sa'],
  namespaced: true,
  hasStatus: false,
  schema: Type.Object({ metadata: ObjectMeta, ...keptAccountFields }, open),
  columns: [],
};
