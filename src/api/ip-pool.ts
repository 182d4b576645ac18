// IPPool, and the IPAM block and handle objects in upstream's format (spec 01, 1.2; spec 05).
import { type Static, Type } from 'typebox';
import { type KindDefinition, ObjectMeta, type Resource } from './kind.ts';

const Mode = Type.Enum(['Never', 'Always', 'CrossSubnet']);

export const IPPoolSpec = Type.Object({
  cidr: Type.String(),
  vxlanMode: Type.Optional(Mode),
  ipipMode: Type.Optional(Mode),
  natOutgoing: Type.Optional(Type.Boolean()),
  disabled: Type.Optional(Type.Boolean()),
  disableBGPExport: Type.Optional(Type.Boolean()),
  blockSize: Type.Optional(Type.Integer()),
  nodeSelector: Type.Optional(Type.String()),
  namespaceSelector: Type.Optional(Type.String()),
  allowedUses: Type.Optional(Type.Array(Type.Enum(['Workload', 'Tunnel', 'LoadBalancer']))),
  assignmentMode: Type.Optional(Type.Enum(['Automatic', 'Manual'])),
});

export interface IPPool extends Resource {
  readonly kind: 'IPPool';
  readonly spec: Static<typeof IPPoolSpec>;
}

const AllocationAttribute = Type.Object({
  handle_id: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  secondary: Type.Optional(Type.Union([Type.Record(Type.String(), Type.String()), Type.Null()])),
});

export const IPAMBlockSpec = Type.Object({
  cidr: Type.String(),
  /** `host:<node>`. */
  affinity: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  /** Index into `attributes` by ordinal within the block; null is free. */
  allocations: Type.Array(Type.Union([Type.Integer(), Type.Null()])),
  /** Free ordinals, in the order they will be handed out. */
  unallocated: Type.Array(Type.Integer()),
  attributes: Type.Array(AllocationAttribute),
  sequenceNumber: Type.Optional(Type.Integer()),
  sequenceNumberForAllocation: Type.Optional(Type.Record(Type.String(), Type.Integer())),
  deleted: Type.Optional(Type.Boolean()),
});

/** Named after its prefix: `10.65.0.0/26` is `10-65-0-0-26`. */
export interface IPAMBlock extends Resource {
  readonly kind: 'IPAMBlock';
  readonly spec: Static<typeof IPAMBlockSpec>;
}

const calico = { group: 'projectcalico.org', version: 'v3', shortNames: [] } as const;

export const ipPoolKind: KindDefinition = {
  ...calico,
  kind: 'IPPool',
  plural: 'ippools',
  singular: 'ippool',
  namespaced: false,
  hasStatus: true,
  schema: Type.Object({
    metadata: ObjectMeta,
    spec: IPPoolSpec,
    status: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  }),
  columns: [
    { name: 'CIDR', type: 'string', path: '.spec.cidr', priority: 0 },
    { name: 'Selector', type: 'string', path: '.spec.nodeSelector', priority: 0 },
  ],
  defaults: (resource) => {
    const pool = resource as IPPool;
    const spec = {
      vxlanMode: 'Never',
      ipipMode: 'Never',
      nodeSelector: 'all()',
      blockSize: pool.spec.cidr.includes(':') ? 122 : 26,
      allowedUses: ['Workload', 'Tunnel'],
      assignmentMode: 'Automatic',
      ...pool.spec,
    };
    return { ...pool, spec } as Resource;
  },
};

export const ipamBlockKind: KindDefinition = {
  ...calico,
  kind: 'IPAMBlock',
  plural: 'ipamblocks',
  singular: 'ipamblock',
  namespaced: false,
  hasStatus: false,
  schema: Type.Object({ metadata: ObjectMeta, spec: IPAMBlockSpec }),
  columns: [
    { name: 'CIDR', type: 'string', path: '.spec.cidr', priority: 0 },
    { name: 'Affinity', type: 'string', path: '.spec.affinity', priority: 0 },
  ],
};
