// NetworkSet and GlobalNetworkSet: named lists of networks that rules select by label (spec 01, 1.2).
import { ageColumn } from './kind.ts';
import { type Static, Type } from 'typebox';
import { type KindDefinition, ObjectMeta, type Problem, type Resource } from './kind.ts';
import { fault, memberPath } from './problem.ts';

export const NetworkSetSpec = Type.Object({
  /** CIDRs or addresses; host bits may be set. */
  nets: Type.Optional(
    Type.Array(Type.String({ format: 'network' }), { crd: { 'x-kubernetes-list-type': 'set' } }),
  ),
});
export type NetworkSetSpec = Static<typeof NetworkSetSpec>;

export interface NetworkSet extends Resource {
  readonly kind: 'NetworkSet' | 'GlobalNetworkSet';
  readonly spec?: NetworkSetSpec;
}

const RESERVED_LABEL = 'projectcalico.org/namespace';

function reservedLabelProblems({ metadata }: Resource): Problem[] {
  if (!Object.hasOwn(metadata.labels ?? {}, RESERVED_LABEL)) return [];
  return [fault(memberPath('metadata.labels', RESERVED_LABEL), 'is reserved; remove the label')];
}

const shared = {
  group: 'projectcalico.org',
  version: 'v3',
  hasStatus: false,
  schema: Type.Object(
    { metadata: ObjectMeta, spec: Type.Optional(NetworkSetSpec) },
    { crd: { required: ['spec'] } },
  ),
  check: reservedLabelProblems,
} as const;

export const networkSetKind: KindDefinition = {
  ...shared,
  kind: 'NetworkSet',
  plural: 'networksets',
  singular: 'networkset',
  shortNames: ['netsets'],
  namespaced: true,
  columns: [],
};

export const globalNetworkSetKind: KindDefinition = {
  ...shared,
  kind: 'GlobalNetworkSet',
  plural: 'globalnetworksets',
  singular: 'globalnetworkset',
  shortNames: ['gns'],
  namespaced: false,
  columns: [ageColumn],
};
