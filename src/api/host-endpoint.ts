// HostEndpoint and Profile (spec 01, 1.2; spec 10).
import { type Static, Type } from 'typebox';
import { type KindDefinition, ObjectMeta, type Resource } from './kind.ts';
import { Protocol, Rule } from './rule.ts';

export const EndpointPort = Type.Object({
  name: Type.String(),
  protocol: Protocol,
  port: Type.Integer(),
});
export type EndpointPort = Static<typeof EndpointPort>;

export const HostEndpointSpec = Type.Object({
  node: Type.Optional(Type.String()),
  interfaceName: Type.Optional(Type.String()),
  expectedIPs: Type.Optional(Type.Array(Type.String())),
  profiles: Type.Optional(Type.Array(Type.String())),
  ports: Type.Optional(Type.Array(EndpointPort)),
});

export interface HostEndpoint extends Resource {
  readonly kind: 'HostEndpoint';
  readonly spec: Static<typeof HostEndpointSpec>;
}

export const ProfileSpec = Type.Object({
  ingress: Type.Optional(Type.Array(Rule)),
  egress: Type.Optional(Type.Array(Rule)),
  labelsToApply: Type.Optional(Type.Record(Type.String(), Type.String())),
});

export interface Profile extends Resource {
  readonly kind: 'Profile';
  readonly spec: Static<typeof ProfileSpec>;
}

const calico = {
  group: 'projectcalico.org',
  version: 'v3',
  namespaced: false,
  hasStatus: false,
} as const;

export const hostEndpointKind: KindDefinition = {
  ...calico,
  kind: 'HostEndpoint',
  plural: 'hostendpoints',
  singular: 'hostendpoint',
  shortNames: ['hep', 'heps'],
  schema: Type.Object({ metadata: ObjectMeta, spec: HostEndpointSpec }),
  columns: [
    { name: 'Node', type: 'string', path: '.spec.node', priority: 0 },
    { name: 'Interface', type: 'string', path: '.spec.interfaceName', priority: 0 },
  ],
};

export const profileKind: KindDefinition = {
  ...calico,
  kind: 'Profile',
  plural: 'profiles',
  singular: 'profile',
  shortNames: [],
  schema: Type.Object({ metadata: ObjectMeta, spec: ProfileSpec }),
  columns: [],
};
