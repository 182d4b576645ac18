// Every policy that may apply to workloads, of whatever kind, compiled once for each resource.
import type { GlobalNetworkPolicy, NetworkPolicy } from '#api';
import type { ClusterInputs } from './cluster-inputs.ts';
import {
  type CompiledSource,
  compileClusterPolicy,
  compileKubernetesPolicy,
} from './kubernetes-policies.ts';
import { type CompiledPolicy, compilePolicy } from './policy-compiler.ts';
import type { CalcProblem } from './problem-log.ts';
import { memoize } from './shared-values.ts';

export interface ActiveRules {
  /** In no particular order. */
  readonly policies: readonly CompiledPolicy[];
  readonly problems: readonly CalcProblem[];
}

export class ActiveRulesCalculator {
  readonly #namespaced = memoize(compileNamespacedPolicy);
  readonly #global = memoize(compileGlobalPolicy);
  readonly #kubernetes = memoize(compileKubernetesPolicy);
  readonly #cluster = memoize(compileClusterPolicy);

  rules(inputs: ClusterInputs): ActiveRules {
    const compiled = [
      ...inputs.list('projectcalico.org/NetworkPolicy').map(this.#namespaced),
      // Untracked and pre-DNAT policies are for host endpoints alone.
      ...inputs
        .list('projectcalico.org/GlobalNetworkPolicy')
        .filter(({ spec }) => !spec.doNotTrack && !spec.preDNAT)
        .map(this.#global),
      ...inputs.list('networking.k8s.io/NetworkPolicy').map(this.#kubernetes),
      ...inputs.list('policy.networking.k8s.io/ClusterNetworkPolicy').map(this.#cluster),
    ];
    return {
      policies: compiled.flatMap(({ policy }) => (policy ? [policy] : [])),
      problems: compiled.flatMap(({ problems }) => problems),
    };
  }
}

function compileNamespacedPolicy(source: NetworkPolicy): CompiledSource {
  const { name, namespace = '' } = source.metadata;
  const policy = compilePolicy(source, { kind: 'NetworkPolicy', namespace, name });
  return { policy, problems: policy.problems };
}

function compileGlobalPolicy(source: GlobalNetworkPolicy): CompiledSource {
  const { name } = source.metadata;
  const policy = compilePolicy(source, { kind: 'GlobalNetworkPolicy', namespace: null, name });
  return { policy, problems: policy.problems };
}
