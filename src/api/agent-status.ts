// AgentStatus: what one node's agent enforces right now; named after the node, written by the agent alone.
import { type Static, Type } from 'typebox';
import { type KindDefinition, ObjectMeta, type Resource } from './kind.ts';

export const AgentStatusStatus = Type.Object(
  {
    /** Whether the newest known state is what the kernel holds. */
    ready: Type.Optional(Type.Boolean()),
    endpointCount: Type.Optional(Type.Integer({ minimum: 0 })),
    hostEndpointCount: Type.Optional(Type.Integer({ minimum: 0 })),
    policyCount: Type.Optional(Type.Integer({ minimum: 0 })),
    /** Writes to the kernel since the agent started. */
    kernelWrites: Type.Optional(Type.Integer({ minimum: 0 })),
    /** RFC 3339. */
    lastAppliedTime: Type.Optional(Type.String()),
    /** Those of this node; `enforced`: on its interface, with all its policy in the kernel. */
    hostEndpoints: Type.Optional(
      Type.Array(
        Type.Object({
          name: Type.String(),
          /** `*` for all interfaces; absent where none was found. */
          interfaceName: Type.Optional(Type.String()),
          enforced: Type.Boolean(),
          error: Type.Optional(Type.String()),
        }),
      ),
    ),
    /** By kind, as `NetworkPolicy.projectcalico.org`: the newest revision that is applied. */
    appliedRevisions: Type.Optional(Type.Record(Type.String(), Type.String())),
    /** Policies that some endpoint of the node needs and that are not all in its kernel. */
    refusedPolicies: Type.Optional(
      Type.Array(Type.Object({ key: Type.String(), message: Type.String() })),
    ),
    errors: Type.Optional(Type.Array(Type.String())),
    /** What others changed in the kernel and the agent undid, since it started. */
    repairs: Type.Optional(
      Type.Object({
        count: Type.Integer({ minimum: 0 }),
        /** RFC 3339. */
        lastTime: Type.String(),
        last: Type.Array(Type.String()),
        lastOpenMs: Type.Optional(Type.Integer({ minimum: 0 })),
      }),
    ),
  },
  { additionalProperties: true },
);
export type AgentStatusStatus = Static<typeof AgentStatusStatus>;

export interface AgentStatus extends Resource {
  readonly kind: 'AgentStatus';
  readonly status?: AgentStatusStatus;
}

export const agentStatusKind: KindDefinition = {
  group: 'tortie.dev',
  version: 'v1',
  kind: 'AgentStatus',
  plural: 'agentstatuses',
  singular: 'agentstatus',
  shortNames: ['as'],
  namespaced: false,
  hasStatus: true,
  schema: Type.Object({ metadata: ObjectMeta, status: Type.Optional(AgentStatusStatus) }),
  columns: [
    { name: 'Ready', type: 'boolean', path: '.status.ready', priority: 0 },
    { name: 'Endpoints', type: 'integer', path: '.status.endpointCount', priority: 0 },
    { name: 'HostEndpoints', type: 'integer', path: '.status.hostEndpointCount', priority: 1 },
    { name: 'Policies', type: 'integer', path: '.status.policyCount', priority: 0 },
    { name: 'KernelWrites', type: 'integer', path: '.status.kernelWrites', priority: 0 },
    { name: 'Applied', type: 'date', path: '.status.lastAppliedTime', priority: 0 },
  ],
};
