// Every policy of whatever kind as one shape: who wrote it, its Calico spec and its author's rule indexes.
import { enforcedClusterPolicy, kubernetesPolicyToCalico } from '#api';
import type {
  ClusterNetworkPolicy,
  GlobalNetworkPolicy,
  KubernetesNetworkPolicy,
  NetworkPolicy,
  Problem,
  Resource,
} from '#api';
import { type Direction, formatPolicyRef, type PolicyRef } from './explanation.ts';
import type { WorldProblem } from './world-problem.ts';
import { namespaceOf, type ResourcesByKind } from './world-resources.ts';

type Spec = GlobalNetworkPolicy['spec'];
type RuleIndexes = Readonly<Record<Direction, readonly number[]>>;
type Report = (problem: WorldProblem) => void;

/** One policy as it was written, with where its rules come from. */
export interface PolicySource {
  readonly ref: PolicyRef;
  readonly spec: Spec;
  readonly staged: boolean;
  /** Where the types of the spec do not say it. */
  readonly directions?: readonly Direction[];
  /** Index that the author gave to each compiled rule; absent where they are the same. */
  readonly indexes?: RuleIndexes;
}

/** Every policy; conversions that leave something out report it and go on. */
export function policySources(resources: ResourcesByKind, report: Report): PolicySource[] {
  const kubernetes = (staged: boolean) => (policy: KubernetesNetworkPolicy) =>
    kubernetesSource(policy, staged, report);
  return [
    ...resources['projectcalico.org NetworkPolicy'].map((it) => calicoSource(it, false)),
    ...resources['projectcalico.org GlobalNetworkPolicy'].map((it) => calicoSource(it, false)),
    ...resources['networking.k8s.io NetworkPolicy'].map(kubernetes(false)),
    ...resources['policy.networking.k8s.io ClusterNetworkPolicy'].flatMap(
      (it) => clusterSource(it, resources, report) ?? [],
    ),
    ...resources['projectcalico.org StagedNetworkPolicy'].map((it) => calicoSource(it, true)),
    ...resources['projectcalico.org StagedGlobalNetworkPolicy'].map((it) => calicoSource(it, true)),
    ...resources['projectcalico.org StagedKubernetesNetworkPolicy'].map(kubernetes(true)),
  ];
}

function calicoSource(
  policy: NetworkPolicy | (Resource & { readonly spec: Spec }),
  staged: boolean,
): PolicySource {
  const { name } = policy.metadata;
  const global = policy.kind.endsWith('GlobalNetworkPolicy');
  const ref: PolicyRef = global
    ? { kind: `${staged ? 'Staged' : ''}GlobalNetworkPolicy`, namespace: null, name }
    : {
        kind: `${staged ? 'Staged' : ''}NetworkPolicy`,
        namespace: namespaceOf(policy),
        name,
      };
  return { ref, spec: policy.spec ?? {}, staged };
}

/**
 * One rule of a Kubernetes policy becomes several; each keeps the index of the rule it came from. A rule that
 * cannot be converted is left out (fail closed), which is a problem to report and no reason to stop.
 */
function kubernetesSource(
  policy: KubernetesNetworkPolicy,
  staged: boolean,
  report: Report,
): PolicySource {
  const ref: PolicyRef = {
    kind: `${staged ? 'Staged' : ''}KubernetesNetworkPolicy`,
    namespace: namespaceOf(policy),
    name: policy.metadata.name,
  };
  const written = { ...policy, spec: policy.spec ?? {} };
  const convert = (spec: KubernetesNetworkPolicy['spec']) =>
    kubernetesPolicyToCalico({ ...written, spec });
  const { policy: converted, problems } = convert(written.spec);
  reportConversion(ref, problems, report);
  const indexes = authorIndexes(
    written.spec,
    (direction, rule) => convert({ ...written.spec, [direction]: [rule] }).policy.spec,
  );
  return { ref, spec: converted.spec, staged, indexes };
}

/** A policy whose tier or subject makes no sense is none. It applies where it has rules. */
function clusterSource(
  policy: ClusterNetworkPolicy,
  resources: ResourcesByKind,
  report: Report,
): PolicySource | undefined {
  const ref: PolicyRef = {
    kind: 'ClusterNetworkPolicy',
    namespace: null,
    name: policy.metadata.name,
  };
  const nodes = resources['core Node'];
  const convert = (spec: ClusterNetworkPolicy['spec']) => {
    const { policy: converted, problems } = enforcedClusterPolicy({ ...policy, spec }, nodes);
    return { spec: converted?.spec, problems };
  };
  const { spec, problems } = convert(policy.spec);
  reportConversion(ref, problems, report);
  if (!spec) return undefined;
  const directions = (['ingress', 'egress'] as const).filter(
    (direction) => (spec[direction] ?? []).length > 0,
  );
  const indexes = authorIndexes(
    policy.spec,
    (direction, rule) => convert({ ...policy.spec, [direction]: [rule] }).spec ?? {},
  );
  return { ref, spec, staged: false, directions, indexes };
}

function reportConversion(ref: PolicyRef, problems: readonly Problem[], report: Report): void {
  for (const { path, message } of problems) {
    report({ resource: formatPolicyRef(ref), path, message, fatal: false });
  }
}

/** Converts each rule alone and counts what it became. */
function authorIndexes(
  spec: Readonly<Partial<Record<Direction, readonly unknown[]>>>,
  convertAlone: (direction: Direction, rule: unknown) => Spec,
): RuleIndexes {
  const indexesOf = (direction: Direction) =>
    (spec[direction] ?? []).flatMap((rule, index) =>
      (convertAlone(direction, rule)[direction] ?? []).map(() => index),
    );
  return { ingress: indexesOf('ingress'), egress: indexesOf('egress') };
}
