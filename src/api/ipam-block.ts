// IPAMBlock, IPAMHandle and BlockAffinity: who holds which addresses, in Calico's format (spec 05).
import { type Static, Type } from 'typebox';
import { type KindDefinition, ObjectMeta, type Problem, type Resource } from './kind.ts';
import { fault } from './problem.ts';

const Cidr = Type.String({ format: 'network', crd: { format: 'cidr' } });

const AllocationAttribute = Type.Object({
  handle_id: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  secondary: Type.Optional(Type.Union([Type.Record(Type.String(), Type.String()), Type.Null()])),
  alternateOwnerAttrs: Type.Optional(Type.Record(Type.String(), Type.String())),
  /** RFC 3339; set while an address rests after its release. */
  releasedAt: Type.Optional(Type.String({ crd: { format: 'date-time' } })),
});

export const IPAMBlockSpec = Type.Object(
  {
    cidr: Cidr,
    /** `host:<node>` or `virtual:<name>`. */
    affinity: Type.Optional(
      Type.Union([Type.String(), Type.Null()], {
        crd: { pattern: '^(host|virtual):[a-zA-Z0-9\\.\\-_]+$' },
      }),
    ),
    affinityClaimTime: Type.Optional(Type.String({ crd: { format: 'date-time' } })),
    /** Index into `attributes` by ordinal within the block; null is free. */
    allocations: Type.Array(Type.Union([Type.Integer(), Type.Null()], { crd: { nullable: true } })),
    /** Free ordinals, in the order they will be handed out. */
    unallocated: Type.Array(Type.Integer()),
    attributes: Type.Array(AllocationAttribute),
    sequenceNumber: Type.Optional(Type.Integer({ crd: { format: 'int64', default: 0 } })),
    sequenceNumberForAllocation: Type.Optional(
      Type.Record(Type.String(), Type.Integer({ crd: { format: 'int64' } })),
    ),
    strictAffinity: Type.Optional(Type.Boolean()),
    deleted: Type.Optional(Type.Boolean()),
  },
  { crd: { required: ['allocations', 'attributes', 'cidr', 'strictAffinity', 'unallocated'] } },
);

/** Named after its prefix: `10.65.0.0/26` is `10-65-0-0-26`. */
export interface IPAMBlock extends Resource {
  readonly kind: 'IPAMBlock';
  readonly spec: Static<typeof IPAMBlockSpec>;
}

export const IPAMHandleSpec = Type.Object({
  handleID: Type.String(),
  /** Count of the handle's addresses by block CIDR. */
  block: Type.Record(Type.String(), Type.Integer()),
  deleted: Type.Optional(Type.Boolean()),
});

export interface IPAMHandle extends Resource {
  readonly kind: 'IPAMHandle';
  readonly spec: Static<typeof IPAMHandleSpec>;
}

export const BlockAffinitySpec = Type.Object(
  {
    state: Type.Enum(['', 'confirmed', 'pending', 'pendingDeletion']),
    node: Type.String(),
    /** `host` or `virtual`; absent means host. */
    type: Type.Optional(Type.String()),
    cidr: Cidr,
    deleted: Type.Optional(Type.Boolean({ crd: { default: false } })),
  },
  { crd: { required: ['cidr', 'deleted', 'node', 'state'] } },
);

export interface BlockAffinity extends Resource {
  readonly kind: 'BlockAffinity';
  readonly spec: Static<typeof BlockAffinitySpec>;
}

const calico = {
  group: 'projectcalico.org',
  version: 'v3',
  namespaced: false,
  hasStatus: false,
} as const;

export const ipamBlockKind: KindDefinition = {
  ...calico,
  kind: 'IPAMBlock',
  plural: 'ipamblocks',
  singular: 'ipamblock',
  shortNames: [],
  schema: Type.Object({ metadata: ObjectMeta, spec: IPAMBlockSpec }),
  columns: [
    {
      name: 'CIDR',
      type: 'string',
      path: '.spec.cidr',
      priority: 0,
      description: 'The block CIDR',
    },
    {
      name: 'Affinity',
      type: 'string',
      path: '.spec.affinity',
      priority: 0,
      description: 'The block affinity',
    },
    {
      name: 'ClaimTime',
      type: 'date',
      path: '.spec.affinityClaimTime',
      priority: 0,
      description: 'The time at which affinity was claimed',
    },
  ],
};

export const ipamHandleKind: KindDefinition = {
  ...calico,
  kind: 'IPAMHandle',
  plural: 'ipamhandles',
  singular: 'ipamhandle',
  shortNames: [],
  schema: Type.Object({ metadata: ObjectMeta, spec: IPAMHandleSpec }),
  columns: [
    {
      name: 'ID',
      type: 'string',
      path: '.spec.handleID',
      priority: 0,
      description: 'The handle ID',
    },
  ],
};

export const blockAffinityKind: KindDefinition = {
  ...calico,
  kind: 'BlockAffinity',
  plural: 'blockaffinities',
  singular: 'blockaffinity',
  shortNames: ['affinity', 'affinities'],
  schema: Type.Object({ metadata: ObjectMeta, spec: BlockAffinitySpec }),
  columns: [
    {
      name: 'CIDR',
      type: 'string',
      path: '.spec.cidr',
      priority: 0,
      description: 'The block CIDR',
    },
    {
      name: 'Node',
      type: 'string',
      path: '.spec.node',
      priority: 0,
      description: 'The node the block is affine to',
    },
    {
      name: 'Type',
      type: 'string',
      path: '.spec.type',
      priority: 0,
      description: 'The type of block affinity',
    },
  ],
  check: (resource) => deletedProblems(resource as BlockAffinity),
};

function deletedProblems({ spec }: BlockAffinity): Problem[] {
  if (!spec.deleted) return [];
  return [fault('spec.deleted', 'is set by address management alone; delete the resource')];
}
