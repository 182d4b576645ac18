// Compiles one policy: whom it selects, and its rules for the dataplane.
import { defaultTypes, type GlobalNetworkPolicy, type NetworkPolicy, type Rule } from '#api';
import { type Selector, SelectorError } from '#selector';
import type { DataplanePolicy, DataplaneRule, Direction, PolicyId } from './dataplane-update.ts';
import type { IpSetDefinition } from './ip-set-definition.ts';
import { type CalcProblem, ProblemLog } from './problem-log.ts';
import { scanRules } from './rule-scanner.ts';
import { type PolicyScope, policySelector } from './selector-scope.ts';

/** When a policy is met (spec 10); the first two are stages of host endpoints alone. */
export type PolicyStage = 'untracked' | 'pre-dnat' | 'normal';

export interface CompiledPolicy {
  readonly id: PolicyId;
  readonly tier: string;
  readonly order: number | null;
  readonly selector: Selector;
  readonly directions: readonly Direction[];
  readonly stage: PolicyStage;
  /** Of the normal stage: also for packets that only pass through the host. */
  readonly onForward: boolean;
  /** Programmed whether an endpoint uses it or not (performance hint). */
  readonly always: boolean;
  /** Some rule asks for what only the application layer can tell. */
  readonly applicationLayer: boolean;
  readonly rules: DataplanePolicy;
  /** Every set that the rules refer to. */
  readonly ipSets: ReadonlyMap<string, IpSetDefinition>;
  readonly problems: readonly CalcProblem[];
}

/** `kind namespace/name`. */
export function problemKey({ kind, namespace, name }: PolicyId): string {
  return `${kind} ${namespace === null ? '' : `${namespace}/`}${name}`;
}

/** Works on a policy of any kind once it is converted to Calico's own. */
export function compilePolicy(
  policy: NetworkPolicy | GlobalNetworkPolicy,
  id: PolicyId,
): CompiledPolicy {
  const { spec } = policy;
  const problems = new ProblemLog(problemKey(id));
  const ipSets = new Map<string, IpSetDefinition>();
  const context = { namespace: id.namespace, problems, ipSets };
  const types = defaultTypes(spec);
  const stage = stageOf(policy);
  const directions = (['ingress', 'egress'] as const).filter(
    (direction) =>
      types.includes(direction === 'ingress' ? 'Ingress' : 'Egress') &&
      !(stage === 'pre-dnat' && direction === 'egress'),
  );
  const { selector, broken } = selectorFailClosed(spec, id.namespace, problems);
  const rulesOf = (direction: Direction): DataplaneRule[] => {
    if (!directions.includes(direction)) return [];
    const rules = scanRules(spec[direction] ?? [], `spec.${direction}`, context);
    return broken ? rules.filter((rule) => rule.action === 'Deny') : rules;
  };
  const tier = spec.tier || 'default';
  return {
    id,
    tier,
    order: spec.order ?? null,
    selector,
    directions,
    stage,
    onForward: 'applyOnForward' in spec && spec.applyOnForward === true,
    applicationLayer: [...(spec.ingress ?? []), ...(spec.egress ?? [])].some(isOfApplicationLayer),
    always: (spec.performanceHints ?? []).includes('AssumeNeededOnEveryNode'),
    rules: {
      id,
      tier,
      ...(isStaged(id) && { staged: true }),
      ingress: rulesOf('ingress'),
      egress: rulesOf('egress'),
    },
    ipSets,
    problems: problems.problems,
  };
}

/** Upstream tells the application layer of service accounts too, beside the sets of their pods' addresses. */
function isOfApplicationLayer({ http, source, destination }: Rule): boolean {
  return [http, source?.serviceAccounts, destination?.serviceAccounts].some(Boolean);
}

/** Whether policies of its kind are weighed but decide nothing. */
export function isStaged({ kind }: PolicyId): boolean {
  return kind.startsWith('Staged');
}

function stageOf({ spec }: NetworkPolicy | GlobalNetworkPolicy): PolicyStage {
  if ('doNotTrack' in spec && spec.doNotTrack === true) return 'untracked';
  return 'preDNAT' in spec && spec.preDNAT === true ? 'pre-dnat' : 'normal';
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
