// IPAMConfiguration and IPReservation: how addresses are handed out, and which never are (spec 01, 1.2; spec 05).
import { type Static, Type } from 'typebox';
import { type KindDefinition, ObjectMeta, type Resource } from './kind.ts';
import { singletonNameProblem } from './name-check.ts';

export const IPAMConfigurationSpec = Type.Object(
  {
    /** Whether a node may only use addresses of its own blocks. */
    strictAffinity: Type.Optional(Type.Boolean({ crd: { default: false } })),
    /** 0 means Calico's own limit. */
    maxBlocksPerHost: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 1_000_000, crd: { format: 'int32', default: 0 } }),
    ),
    autoAllocateBlocks: Type.Optional(Type.Boolean({ crd: { default: true } })),
    kubeVirtVMAddressPersistence: Type.Optional(Type.Enum(['Enabled', 'Disabled'])),
    /** Seconds that a released address rests. */
    ipCooldownSeconds: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 1200, crd: { format: 'int32' } }),
    ),
  },
  { crd: { required: ['autoAllocateBlocks', 'strictAffinity'] } },
);

export interface IPAMConfiguration extends Resource {
  readonly kind: 'IPAMConfiguration';
  readonly spec: Static<typeof IPAMConfigurationSpec>;
}

export const IPReservationSpec = Type.Object({
  /** CIDRs or addresses that are never assigned automatically. */
  reservedCIDRs: Type.Optional(
    Type.Array(Type.String({ format: 'masked-network', crd: { format: 'cidr' } }), {
      uniqueItems: true,
    }),
  ),
});

export interface IPReservation extends Resource {
  readonly kind: 'IPReservation';
  readonly spec: Static<typeof IPReservationSpec>;
}

const calico = {
  group: 'projectcalico.org',
  version: 'v3',
  namespaced: false,
  hasStatus: false,
} as const;

export const ipamConfigurationKind: KindDefinition = {
  ...calico,
  kind: 'IPAMConfiguration',
  plural: 'ipamconfigurations',
  singular: 'ipamconfiguration',
  shortNames: ['ipamconfig', 'ipamconfigs'],
  schema: Type.Object({ metadata: ObjectMeta, spec: IPAMConfigurationSpec }),
  columns: [
    {
      name: 'StrictAffinity',
      type: 'boolean',
      path: '.spec.strictAffinity',
      priority: 0,
      description: 'Whether borrowing IP addresses is allowed',
    },
    {
      name: 'MaxBlocksPerHost',
      type: 'integer',
      path: '.spec.maxBlocksPerHost',
      priority: 0,
      description: 'The max number of blocks that can be affine to each host',
    },
    {
      name: 'AutoAllocateBlocks',
      type: 'boolean',
      path: '.spec.autoAllocateBlocks',
      priority: 0,
      description: 'Whether or not to auto allocate blocks to hosts',
    },
  ],
  nameProblem: singletonNameProblem,
  defaults: (resource) => {
    const configuration = resource as IPAMConfiguration;
    const defaults = { strictAffinity: false, maxBlocksPerHost: 0, autoAllocateBlocks: true };
    return { ...configuration, spec: { ...defaults, ...configuration.spec } } as Resource;
  },
};

export const ipReservationKind: KindDefinition = {
  ...calico,
  kind: 'IPReservation',
  plural: 'ipreservations',
  singular: 'ipreservation',
  shortNames: [],
  schema: Type.Object({ metadata: ObjectMeta, spec: IPReservationSpec }),
  columns: [],
};
