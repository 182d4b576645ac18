// ClusterInformation and CalicoNodeStatus: what the cluster says about itself (spec 01, 1.2).
import { type Static, Type } from 'typebox';
import { type KindDefinition, ObjectMeta, type Resource } from './kind.ts';
import { singletonNameProblem } from './name-check.ts';

export const ClusterInformationSpec = Type.Object({
  clusterGUID: Type.Optional(Type.String()),
  /** Comma-separated kinds of cluster. */
  clusterType: Type.Optional(Type.String()),
  calicoVersion: Type.Optional(Type.String()),
  /** False makes every component wait. */
  datastoreReady: Type.Optional(Type.Boolean()),
  variant: Type.Optional(Type.String()),
});

export interface ClusterInformation extends Resource {
  readonly kind: 'ClusterInformation';
  readonly spec: Static<typeof ClusterInformationSpec>;
}

export const CalicoNodeStatusSpec = Type.Object({
  node: Type.String({ minLength: 1 }),
  classes: Type.Array(Type.Enum(['Agent', 'BGP', 'Routes']), { uniqueItems: true }),
  /** 0 stops the updates. */
  updatePeriodSeconds: Type.Integer({ minimum: 0, maximum: 86_400 }),
});

export interface CalicoNodeStatus extends Resource {
  readonly kind: 'CalicoNodeStatus';
  readonly spec: Static<typeof CalicoNodeStatusSpec>;
  readonly status?: Readonly<Record<string, unknown>>;
}

const calico = { group: 'projectcalico.org', version: 'v3', namespaced: false } as const;

export const clusterInformationKind: KindDefinition = {
  ...calico,
  kind: 'ClusterInformation',
  plural: 'clusterinformations',
  singular: 'clusterinformation',
  shortNames: ['clusterinfo', 'clusterinfos'],
  hasStatus: false,
  schema: Type.Object({ metadata: ObjectMeta, spec: ClusterInformationSpec }),
  columns: [
    { name: 'Version', type: 'string', path: '.spec.calicoVersion', priority: 0 },
    { name: 'Ready', type: 'boolean', path: '.spec.datastoreReady', priority: 0 },
    { name: 'Types', type: 'string', path: '.spec.clusterType', priority: 0 },
  ],
  nameProblem: singletonNameProblem,
};

export const calicoNodeStatusKind: KindDefinition = {
  ...calico,
  kind: 'CalicoNodeStatus',
  plural: 'caliconodestatuses',
  singular: 'caliconodestatus',
  shortNames: [],
  hasStatus: true,
  schema: Type.Object({
    metadata: ObjectMeta,
    spec: CalicoNodeStatusSpec,
    status: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  }),
  columns: [
    { name: 'Node', type: 'string', path: '.spec.node', priority: 0 },
    { name: 'Classes', type: 'string', path: '.spec.classes', priority: 0 },
  ],
};
