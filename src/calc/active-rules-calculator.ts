// Compiles every policy that may apply to workloads: whom it selects, and its rules for the dataplane.
import {
  defaultTypes,
  type GlobalNetworkPolicy,
  type KubernetesNetworkPolicy,
  kubernetesPolicyToCalico,
  type NetworkPolicy,
} from '#api';
import { type Selector, SelectorError } from '#selector';
import type { ClusterInputs } from './cluster-inputs.ts';
import type { DataplanePolicy, DataplaneRule, Direction, PolicyId } from './dataplane-update.ts';
import type { IpSetDefinition } from './ip-set-definition.ts';
import { type CalcProblem, ProblemLog } from './problem-log.ts';
import { scanRules } from './rule-scanner.ts';
import { type PolicyScope, policySelector } from './selector-scope.ts';
import { memoize } from './shared-values.ts';

export interface CompiledPolicy {
  readonly id: PolicyId;
  readonly tier: string;
  readonly order: number | null;
  readonly selector: Selector;
  readonly directions: readonly Direction[];
  readonly rules: DataplanePolicy;
  /** Every set that the rules refer to. */
  readonly ipSets: ReadonlyMap<string, IpSetDefinition>;
  readonly problems: readonly CalcProblem[];
}

/** Compiles each resource once; the policies come in no particular order. */
export class ActiveRulesCalculator {
  readonly #compileNamespaced = memoize((policy: NetworkPolicy) =>
    compile(policy, idOf('NetworkPolicy', policy)),
  );
  readonly #compileGlobal = memoize((policy: GlobalNetworkPolicy) =>
    compile(policy, { kind: 'GlobalNetworkPolicy', namespace: null, name: policy.metadata.name }),
  );
  readonly #compileKubernetes = memoize(compileKubernetes);

  policies(inputs: ClusterInputs): CompiledPolicy[] {
    return [
      ...inputs.list('projectcalico.org/NetworkPolicy').map(this.#compileNamespaced),
      // Untracked and pre-DNAT policies are for host endpoints alone.
      ...inputs
        .list('projectcalico.org/GlobalNetworkPolicy')
        .filter(({ spec }) => !spec.doNotTrack && !spec.preDNAT)
        .map(this.#compileGlobal),
      ...inputs.list('networking.k8s.io/NetworkPolicy').map(this.#compileKubernetes),
    ];
  }
}

function idOf(
  kind: 'NetworkPolicy' | 'KubernetesNetworkPolicy',
  { metadata }: NetworkPolicy | KubernetesNetworkPolicy,
): PolicyId {
  return { kind, namespace: metadata.namespace ?? '', name: metadata.name };
}

function compileKubernetes(source: KubernetesNetworkPolicy): CompiledPolicy {
  const { policy, problems } = kubernetesPolicyToCalico(source);
  const id = idOf('KubernetesNetworkPolicy', source);
  const compiled = compile(policy, id);
  const key = problemKey(id);
  const converted = problems.map(({ path, message }) => ({ key, message: `${path}: ${message}` }));
  const rules = {
    ...compiled.rules,
    ingress: withAuthorsIndexes(compiled.rules.ingress, authorsIndexes(source, 'ingress')),
    egress: withAuthorsIndexes(compiled.rules.egress, authorsIndexes(source, 'egress')),
  };
  return { ...compiled, rules, problems: [...converted, ...compiled.problems] };
}

/** For each converted rule, the index of the rule that it came from: one becomes one a peer and protocol. */
function authorsIndexes(source: KubernetesNetworkPolicy, direction: Direction): number[] {
  return (source.spec[direction] ?? []).flatMap((rule, index) => {
    const single = { ...source, spec: { ...source.spec, [direction]: [rule] } };
    const { policy } = kubernetesPolicyToCalico(single);
    return (policy.spec[direction] ?? []).map(() => index);
  });
}

function withAuthorsIndexes(
  rules: readonly DataplaneRule[],
  indexes: readonly number[],
): DataplaneRule[] {
  return rules.map((rule) => ({ ...rule, index: indexes[rule.index] ?? rule.index }));
}

function problemKey({ kind, namespace, name }: PolicyId): string {
  return `${kind} ${namespace === null ? '' : `${namespace}/`}${name}`;
}

function compile(policy: NetworkPolicy | GlobalNetworkPolicy, id: PolicyId): CompiledPolicy {
  const { spec } = policy;
  const problems = new ProblemLog(problemKey(id));
  const ipSets = new Map<string, IpSetDefinition>();
  const context = { namespace: id.namespace, problems, ipSets };
  const types = defaultTypes(spec);
  const directions = (['ingress', 'egress'] as const).filter((direction) =>
    types.includes(direction === 'ingress' ? 'Ingress' : 'Egress'),
  );
  const { selector, broken } = selectorFailClosed(spec, id.namespace, problems);
  const rulesOf = (direction: Direction): DataplaneRule[] => {
    if (!directions.includes(direction)) return [];
    const rules = scanRules(spec[direction] ?? [], `spec.${direction}`, context);
    return broken ? rules.filter((rule) => rule.action === 'Deny') : rules;
  };
  const tier = spec.tier ?? 'default';
  return {
    id,
    tier,
    order: spec.order ?? null,
    selector,
    directions,
    rules: { id, tier, ingress: rulesOf('ingress'), egress: rulesOf('egress') },
    ipSets,
    problems: problems.problems,
  };
}

/**
 * A policy whose own selector cannot be read applies to everything that it might: its namespace, or for a
 * global policy every workload that the selectors which can be read leave. It keeps only its denials.
 */
function selectorFailClosed(
  scope: PolicyScope,
  namespace: string | null,
  problems: ProblemLog,
): { readonly selector: Selector; readonly broken: boolean } {
  const readable: Record<string, string> = {};
  let broken = false;
  for (const field of ['selector', 'namespaceSelector', 'serviceAccountSelector'] as const) {
    const text = scope[field];
    if (!text) continue;
    try {
      policySelector({ [field]: text }, namespace);
      readable[field] = text;
    } catch (error) {
      if (!(error instanceof SelectorError)) throw error;
      problems.add(`spec.${field}`, error.message);
      broken = true;
    }
  }
  return { selector: policySelector(readable, namespace), broken };
}
