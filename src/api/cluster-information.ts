// ClusterInformation: what the cluster says about itself (spec 01, 1.2).
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
    {
      name: 'Version',
      type: 'string',
      path: '.spec.calicoVersion',
      priority: 0,
      description: 'The version of Calico that the cluster is running',
    },
    {
      name: 'Ready',
      type: 'boolean',
      path: '.spec.datastoreReady',
      priority: 0,
      description: 'Whether the datastore is ready for use',
    },
    {
      name: 'Types',
      type: 'string',
      path: '.spec.clusterType',
      priority: 0,
      description: 'The types associated with the cluster',
    },
  ],
  nameProblem: singletonNameProblem,
};
