// NetworkSet and GlobalNetworkSet: labelled prefixes that selectors match (spec 01, 1.2).
import { type Static, Type } from 'typebox';
import { type KindDefinition, ObjectMeta, type Resource } from './kind.ts';

export const NetworkSetSpec = Type.Object({ nets: Type.Optional(Type.Array(Type.String())) });
export type NetworkSetSpec = Static<typeof NetworkSetSpec>;

export interface NetworkSet extends Resource {
  readonly kind: 'NetworkSet' | 'GlobalNetworkSet';
  readonly spec?: NetworkSetSpec;
}

const shared = {
  group: 'projectcalico.org',
  version: 'v3',
  hasStatus: false,
  schema: Type.Object({ metadata: ObjectMeta, spec: Type.Optional(NetworkSetSpec) }),
  columns: [],
} as const;

export const networkSetKind: KindDefinition = {
  ...shared,
  kind: 'NetworkSet',
  plural: 'networksets',
  singular: 'networkset',
  shortNames: ['netsets'],
  namespaced: true,
};

export const globalNetworkSetKind: KindDefinition = {
  ...shared,
  kind: 'GlobalNetworkSet',
  plural: 'globalnetworksets',
  singular: 'globalnetworkset',
  shortNames: [],
  namespaced: false,
};
