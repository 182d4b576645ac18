// CalicoNodeStatus: what routing on one node looks like, asked for and answered (spec 01, 1.2).
import { type Static, Type } from 'typebox';
import { type KindDefinition, ObjectMeta, type Resource } from './kind.ts';

const Text = Type.Optional(Type.String());

const Bird = Type.Optional(
  Type.Object({
    state: Type.Optional(Type.Enum(['Ready', 'NotReady'])),
    version: Text,
    routerID: Text,
    lastBootTime: Text,
    lastReconfigurationTime: Text,
  }),
);

const Peers = Type.Optional(
  Type.Array(
    Type.Object({
      peerIP: Text,
      type: Type.Optional(Type.Enum(['NodeMesh', 'NodePeer', 'GlobalPeer'])),
      state: Type.Optional(
        Type.Enum(['Idle', 'Connect', 'Active', 'OpenSent', 'OpenConfirm', 'Established', 'Close']),
      ),
      since: Text,
    }),
  ),
);

const Routes = Type.Optional(
  Type.Array(
    Type.Object({
      /** FIB: in the kernel; RIB: known to the routing daemon alone. */
      type: Type.Optional(Type.Enum(['FIB', 'RIB'])),
      destination: Text,
      gateway: Text,
      interface: Text,
      learnedFrom: Type.Optional(
        Type.Object({
          sourceType: Type.Optional(
            Type.Enum(['Kernel', 'Static', 'Direct', 'NodeMesh', 'BGPPeer']),
          ),
          peerIP: Text,
        }),
      ),
    }),
  ),
);

export const CalicoNodeStatusStatus = Type.Object({
  /** RFC 3339; null before the first answer. */
  lastUpdated: Type.Optional(
    Type.Union([Type.String(), Type.Null()], { crd: { format: 'date-time', nullable: true } }),
  ),
  agent: Type.Optional(Type.Object({ birdV4: Bird, birdV6: Bird })),
  bgp: Type.Optional(
    Type.Object({
      numberEstablishedV4: Type.Integer(),
      numberEstablishedV6: Type.Integer(),
      numberNotEstablishedV4: Type.Integer(),
      numberNotEstablishedV6: Type.Integer(),
      peersV4: Peers,
      peersV6: Peers,
    }),
  ),
  routes: Type.Optional(Type.Object({ routesV4: Routes, routesV6: Routes })),
});

export const CalicoNodeStatusSpec = Type.Object({
  node: Type.String({ minLength: 1 }),
  classes: Type.Array(Type.Enum(['Agent', 'BGP', 'Routes']), { uniqueItems: true }),
  /** 0 stops the updates. */
  updatePeriodSeconds: Type.Integer({
    minimum: 0,
    maximum: 86_400,
    crd: { format: 'int32' },
  }),
});

export interface CalicoNodeStatus extends Resource {
  readonly kind: 'CalicoNodeStatus';
  readonly spec: Static<typeof CalicoNodeStatusSpec>;
  readonly status?: Static<typeof CalicoNodeStatusStatus>;
}

export const calicoNodeStatusKind: KindDefinition = {
  group: 'projectcalico.org',
  version: 'v3',
  namespaced: false,
  kind: 'CalicoNodeStatus',
  plural: 'caliconodestatuses',
  singular: 'caliconodestatus',
  shortNames: [],
  hasStatus: true,
  schema: Type.Object({
    metadata: ObjectMeta,
    spec: CalicoNodeStatusSpec,
    status: Type.Optional(CalicoNodeStatusStatus),
  }),
  columns: [
    {
      name: 'Node',
      type: 'string',
      path: '.spec.node',
      priority: 0,
      description: 'The name of the node',
    },
    {
      name: 'Classes',
      type: 'string',
      path: '.spec.classes',
      priority: 0,
      description: 'The types of information to monitor for this calico/node',
    },
  ],
};
