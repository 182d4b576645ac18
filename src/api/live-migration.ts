// LiveMigration: a virtual machine that moves from one endpoint to another (spec 01, 1.2; spec 22).
import { type Static, Type } from 'typebox';
import { type KindDefinition, ObjectMeta, type Problem, type Resource } from './kind.ts';
import { fault } from './problem.ts';
import { SelectorText } from './rule.ts';

const workload = {
  /** The node; `k8s` workloads are found without it, since their IDs say their namespace. */
  hostname: Type.Optional(Type.String({ maxLength: 253 })),
  orchestratorID: Type.String({ minLength: 1 }),
  /** For `k8s`, `namespace/pod`. */
  workloadID: Type.String({ minLength: 1 }),
};
const Workload = Type.Object(workload);
const Endpoint = Type.Object({ ...workload, endpointID: Type.String({ minLength: 1 }) });

export const LiveMigrationSpec = Type.Object({
  source: Type.Optional(
    Type.Object({
      /** All its endpoints. */
      workload: Type.Optional(Workload),
      workloadEndpoint: Type.Optional(Endpoint),
    }),
  ),
  target: Type.Optional(
    Type.Object({
      workloadEndpoint: Type.Optional(Endpoint),
      /** Of endpoints by their labels, those that they inherit included; of every namespace. */
      selector: Type.Optional(SelectorText),
    }),
  ),
});
export type LiveMigrationSpec = Static<typeof LiveMigrationSpec>;

export interface LiveMigration extends Resource {
  readonly kind: 'LiveMigration';
  readonly spec: LiveMigrationSpec;
}

/** In Kubernetes it follows from KubeVirt's VirtualMachineInstanceMigration; elsewhere drivers write it. */
export const liveMigrationKind: KindDefinition = {
  group: 'projectcalico.org',
  version: 'v3',
  kind: 'LiveMigration',
  plural: 'livemigrations',
  singular: 'livemigration',
  shortNames: [],
  namespaced: true,
  hasStatus: false,
  schema: Type.Object({ metadata: ObjectMeta, spec: LiveMigrationSpec }),
  columns: [],
  check: (resource) => migrationProblems((resource as LiveMigration).spec),
};

function migrationProblems({ source = {}, target = {} }: LiveMigrationSpec): Problem[] {
  const problems: Problem[] = [];
  if (!source.workload === !source.workloadEndpoint) {
    problems.push(fault('spec.source', 'needs one of workload and workloadEndpoint'));
  }
  if (!target.selector === !target.workloadEndpoint) {
    problems.push(fault('spec.target', 'needs one of selector and workloadEndpoint'));
  }
  return problems;
}
