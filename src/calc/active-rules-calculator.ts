// Every policy that may apply to workloads, of whatever kind, compiled once for each resource.
import type {
  ClusterNetworkPolicy,
  GlobalNetworkPolicy,
  KubernetesNode,
  NetworkPolicy,
} from '#api';
import { jsonEqual } from '#lib';
import type { ClusterInputs } from './cluster-inputs.ts';
import {
  type CompiledSource,
  compileClusterPolicy,
  compileKubernetesPolicy,
  namesNodes,
} from './kubernetes-policies.ts';
import { type CompiledPolicy, compilePolicy } from './policy-compiler.ts';
import type { CalcProblem } from './problem-log.ts';
import { memoize, share } from './shared-values.ts';

export interface ActiveRules {
  /** In no particular order. */
  readonly policies: readonly CompiledPolicy[];
  readonly problems: readonly CalcProblem[];
}

export class ActiveRulesCalculator {
  readonly #namespaced = memoize(compileNamespacedPolicy);
  readonly #global = memoize(compileGlobalPolicy);
  readonly #kubernetes = memoize(compileKubernetesPolicy);
  readonly #cluster = memoize((source: ClusterNetworkPolicy) => compileClusterPolicy(source, []));
  #nodes: readonly KubernetesNode[] = [];
  #clusterWithNodes = memoize(this.#compileWithNodes(this.#nodes));

  rules(inputs: ClusterInputs): ActiveRules {
    const compiled = [
      ...inputs.list('projectcalico.org/NetworkPolicy').map(this.#namespaced),
      // Untracked and pre-DNAT policies are for host endpoints alone.
      ...inputs
        .list('projectcalico.org/GlobalNetworkPolicy')
        .filter(({ spec }) => !spec.doNotTrack && !spec.preDNAT)
        .map(this.#global),
      ...inputs.list('networking.k8s.io/NetworkPolicy').map(this.#kubernetes),
      ...this.#clusterPolicies(inputs),
    ];
    return {
      policies: compiled.flatMap(({ policy }) => (policy ? [policy] : [])),
      problems: compiled.flatMap(({ problems }) => problems),
    };
  }

  #clusterPolicies(inputs: ClusterInputs): CompiledSource[] {
    const policies = inputs.list('policy.networking.k8s.io/ClusterNetworkPolicy');
    if (policies.some(namesNodes)) {
      const nodes = share(this.#nodes, inputs.list('/Node').map(asPeer), jsonEqual);
      if (nodes !== this.#nodes) this.#clusterWithNodes = memoize(this.#compileWithNodes(nodes));
      this.#nodes = nodes;
    }
    return policies.map((policy) =>
      namesNodes(policy) ? this.#clusterWithNodes(policy) : this.#cluster(policy),
    );
  }

  #compileWithNodes(nodes: readonly KubernetesNode[]) {
    return (source: ClusterNetworkPolicy) => compileClusterPolicy(source, nodes);
  }
}

/** A node as far as it is a peer of policies: heartbeats in its status change nothing. */
function asPeer({ apiVersion, metadata, status }: KubernetesNode): KubernetesNode {
  const { name, labels } = metadata;
  return {
    apiVersion,
    kind: 'Node',
    metadata: { name, ...(labels && { labels }) },
    status: { ...(status?.addresses && { addresses: status.addresses }) },
  };
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
