// FelixConfiguration: the agent's parameters. This slice knows those that its dataplane acts on.
import { type Static, Type } from 'typebox';
import { type KindDefinition, ObjectMeta, type Resource } from './kind.ts';

export const FelixConfigurationSpec = Type.Object(
  {
    /** What happens to traffic from a pod to its own host once egress policy allowed it. */
    defaultEndpointToHostAction: Type.Optional(Type.Enum(['Drop', 'Return', 'Accept'])),
    logPrefix: Type.Optional(Type.String()),
  },
  { additionalProperties: true },
);
export type FelixConfigurationSpec = Static<typeof FelixConfigurationSpec>;

export interface FelixConfiguration extends Resource {
  readonly kind: 'FelixConfiguration';
  readonly spec: FelixConfigurationSpec;
}

export const felixConfigurationKind: KindDefinition = {
  group: 'projectcalico.org',
  version: 'v3',
  kind: 'FelixConfiguration',
  plural: 'felixconfigurations',
  singular: 'felixconfiguration',
  shortNames: ['felixconfig', 'felixconfigs'],
  namespaced: false,
  hasStatus: false,
  schema: Type.Object({ metadata: ObjectMeta, spec: FelixConfigurationSpec }),
  columns: [],
};
