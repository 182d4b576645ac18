// Compiles Kubernetes' own policies by way of the Calico policies that mean the same (spec 02, 2.2).
import {
  type ClusterNetworkPolicy,
  enforcedClusterPolicy,
  type GlobalNetworkPolicy,
  type KubernetesNetworkPolicy,
  type KubernetesNode,
  kubernetesPolicyToCalico,
  type NetworkPolicy,
  type Problem,
} from '#api';
import type { DataplaneRule, Direction, PolicyId } from './dataplane-update.ts';
import { type CompiledPolicy, compilePolicy, problemKey } from './policy-compiler.ts';
import type { CalcProblem } from './problem-log.ts';

export interface CompiledSource {
  /** Undefined where the policy as a whole makes no sense. */
  readonly policy: CompiledPolicy | undefined;
  readonly problems: readonly CalcProblem[];
}

/** `id`: of the policy, or of the staged one of that form. */
export function compileKubernetesPolicy(
  source: KubernetesNetworkPolicy,
  id: PolicyId,
): CompiledSource {
  return compileConverted(source, id, (spec) => kubernetesPolicyToCalico({ ...source, spec }));
}

/** Whether what the policy means depends on the Nodes that there are. */
export function namesNodes({ spec }: ClusterNetworkPolicy): boolean {
  return (spec.egress ?? []).some(({ to }) => to.some((peer) => peer.nodes !== undefined));
}

/** Of `nodes` labels and addresses count. */
export function compileClusterPolicy(
  source: ClusterNetworkPolicy,
  nodes: readonly KubernetesNode[],
): CompiledSource {
  const { name } = source.metadata;
  return compileConverted(source, { kind: 'ClusterNetworkPolicy', namespace: null, name }, (spec) =>
    enforcedClusterPolicy({ ...source, spec }, nodes),
  );
}

interface Converted {
  readonly policy: NetworkPolicy | GlobalNetworkPolicy | undefined;
  readonly problems: readonly Problem[];
}

type RuleLists = Readonly<Partial<Record<Direction, readonly object[] | undefined>>>;

function compileConverted<S extends RuleLists>(
  source: { readonly spec: S },
  id: PolicyId,
  convert: (spec: S) => Converted,
): CompiledSource {
  const key = problemKey(id);
  const { policy, problems } = convert(source.spec);
  const converted = problems.map(({ path, message }) => ({ key, message: `${path}: ${message}` }));
  if (!policy) return { policy: undefined, problems: converted };
  const compiled = compilePolicy(policy, id);
  const withAuthorsIndexes = (direction: Direction): DataplaneRule[] => {
    const indexes = authorsIndexes(source.spec, direction, convert);
    return compiled.rules[direction].map((rule) => ({
      ...rule,
      index: indexes[rule.index] ?? rule.index,
    }));
  };
  const rules = {
    ...compiled.rules,
    ingress: withAuthorsIndexes('ingress'),
    egress: withAuthorsIndexes('egress'),
  };
  return {
    // Without rules converted there are no types, and it applies to nothing.
    policy: { ...compiled, rules, directions: policy.spec.types ? compiled.directions : [] },
    problems: [...converted, ...compiled.problems],
  };
}

/** For each converted rule, the index of the rule that it came from: one becomes one a peer and protocol. */
function authorsIndexes<S extends RuleLists>(
  spec: S,
  direction: Direction,
  convert: (spec: S) => Converted,
): number[] {
  return (spec[direction] ?? []).flatMap((rule, index) => {
    const { policy } = convert({ ...spec, [direction]: [rule] });
    return (policy?.spec[direction] ?? []).map(() => index);
  });
}
