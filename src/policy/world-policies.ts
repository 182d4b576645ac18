// Policies and tiers of the world in evaluation order, and which of them apply to an endpoint.
import { BUILT_IN_TIERS, defaultTypes, type GlobalNetworkPolicy, type Tier } from '#api';
import { compareCodePoints } from '#lib';
import { SelectorError } from '#selector';
import { type Direction, formatPolicyRef, type PolicyRef } from './explanation.ts';
import type { MatchRule } from './rule-match.ts';
import { compileRules } from './rule-compilation.ts';
import { type LabelCondition, labelDifferences, policySelection } from './scoped-selector.ts';
import type { WalkPolicy, WalkTier } from './tier-walk.ts';
import type { AddressBook, LabelledObject } from './world-objects.ts';
import { type PolicySource, policySources } from './policy-sources.ts';
import type { ResourcesByKind } from './world-resources.ts';
import type { WorldProblem } from './world-problem.ts';

/** Where in a packet's way a policy stands. Workloads know only `normal`. */
export type Stage = 'untracked' | 'preDnat' | 'forward' | 'normal';

export interface WorldPolicy {
  readonly ref: PolicyRef;
  readonly tier: string;
  /** Infinity where none is given. */
  readonly order: number;
  readonly stages: readonly Stage[];
  readonly directions: readonly Direction[];
  readonly selection: readonly LabelCondition[];
  readonly staged: boolean;
  readonly ingress: readonly MatchRule[];
  readonly egress: readonly MatchRule[];
}

export interface WorldTier {
  readonly name: string;
  readonly defaultAction: 'Deny' | 'Pass';
  readonly policies: readonly WorldPolicy[];
}

/** Every tier and policy, compiled and sorted. */
export class PolicyTable {
  readonly #tiers: readonly WorldTier[];

  constructor(
    resources: ResourcesByKind,
    book: AddressBook,
    report: (problem: WorldProblem) => void,
  ) {
    const policies = compilePolicies(resources, book, report);
    this.#tiers = sortTiers(resources['projectcalico.org Tier'], policies);
  }

  /** In order, with their policies in order. */
  get tiers(): readonly WorldTier[] {
    return this.#tiers;
  }

  /** What applies to the endpoint in one direction and stage; the rest with the reason why not. */
  tiersFor(endpoint: LabelledObject, direction: Direction, stage: Stage): WalkTier[] {
    return this.#tiers.map(({ name, defaultAction, policies }) => ({
      name,
      defaultAction,
      policies: policies
        .filter((policy) => policy.stages.includes(stage))
        .map((policy) => walkPolicy(policy, endpoint, direction)),
    }));
  }
}

function walkPolicy(
  policy: WorldPolicy,
  endpoint: LabelledObject,
  direction: Direction,
): WalkPolicy {
  const { ref } = policy;
  const rules = policy[direction];
  const reason = exclusion(policy, endpoint, direction);
  if (reason !== undefined) return { ref, rules, excluded: { outcome: 'not-selected', reason } };
  if (policy.staged) {
    const staged = `${formatPolicyRef(ref)} is staged: it is reported and never enforced`;
    return { ref, rules, excluded: { outcome: 'staged', reason: staged } };
  }
  return { ref, rules };
}

function exclusion(
  policy: WorldPolicy,
  endpoint: LabelledObject,
  direction: Direction,
): string | undefined {
  const failing = policy.selection.find(({ selector }) => !selector.evaluate(endpoint.labels));
  if (failing) {
    const lacks = labelDifferences(failing.selector.tree, endpoint.labels);
    const detail = lacks.length === 0 ? '' : ` (${lacks.join(', ')})`;
    return `${endpoint.name} is not ${failing.text}${detail}`;
  }
  if (!policy.directions.includes(direction)) return `its types do not include ${direction}`;
  return undefined;
}

/** By order, none last; ties by name. A tier that a policy names and nobody made comes last and denies. */
function sortTiers(given: readonly Tier[], policies: readonly WorldPolicy[]): WorldTier[] {
  const known = new Map([...BUILT_IN_TIERS, ...given].map((tier) => [tier.metadata.name, tier]));
  const tiers = [...known.values()].map((tier) => ({
    name: tier.metadata.name,
    order: tier.spec?.order ?? Infinity,
    defaultAction: tier.spec?.defaultAction ?? ('Deny' as const),
  }));
  tiers.sort((a, b) => compareOrders(a.order, b.order) || compareCodePoints(a.name, b.name));
  const names = new Set(policies.map((policy) => policy.tier).filter((name) => !known.has(name)));
  const missing = [...names].sort(compareCodePoints);
  return [...tiers, ...missing.map((name) => ({ name, defaultAction: 'Deny' as const }))].map(
    ({ name, defaultAction }) => ({
      name,
      defaultAction,
      policies: policies.filter((policy) => policy.tier === name).sort(comparePolicies),
    }),
  );
}

function comparePolicies(a: WorldPolicy, b: WorldPolicy): number {
  return compareOrders(a.order, b.order) || compareCodePoints(tieKey(a.ref), tieKey(b.ref));
}

/** Compared as a whole, so that `a-b` sorts before `a` (spec 02, 2.5). */
function tieKey(ref: PolicyRef): string {
  return `${ref.name}/${ref.namespace ?? ''}/${ref.kind}`;
}

function compareOrders(a: number, b: number): number {
  return a === b ? 0 : a < b ? -1 : 1;
}

function compilePolicies(
  resources: ResourcesByKind,
  book: AddressBook,
  report: (problem: WorldProblem) => void,
): WorldPolicy[] {
  return policySources(resources, report).flatMap((source) => {
    const policy = compilePolicy(source, book, report);
    return policy ? [policy] : [];
  });
}

function compilePolicy(
  source: PolicySource,
  book: AddressBook,
  report: (problem: WorldProblem) => void,
): WorldPolicy | undefined {
  const { ref, staged, indexes } = source;
  const spec = source.spec ?? {};
  const resource = formatPolicyRef(ref);
  const fatal = (path: string, message: string) => {
    report({ resource, path, message, fatal: true });
  };
  const namespace = ref.namespace ?? undefined;
  const compile = (direction: Direction) =>
    compileRules(spec[direction] ?? [], `spec.${direction}`, {
      book,
      namespace,
      report: fatal,
    }).map((rule) => ({ ...rule, index: indexes?.[direction][rule.index] ?? rule.index }));
  const rules = { ingress: compile('ingress'), egress: compile('egress') };
  const selection = readSelection(spec, namespace, fatal);
  if (!selection) return undefined;
  return {
    ref,
    tier: spec.tier || 'default',
    order: spec.order ?? Infinity,
    stages: stagesOf(spec),
    directions:
      source.directions ??
      defaultTypes(spec).map((type) => (type === 'Ingress' ? 'ingress' : 'egress')),
    selection,
    staged,
    ...rules,
  };
}

function readSelection(
  spec: GlobalNetworkPolicy['spec'],
  namespace: string | undefined,
  report: (path: string, message: string) => void,
): LabelCondition[] | undefined {
  try {
    return policySelection(spec, namespace);
  } catch (error) {
    if (!(error instanceof SelectorError)) throw error;
    report('spec', error.message);
    return undefined;
  }
}

function stagesOf(spec: GlobalNetworkPolicy['spec']): Stage[] {
  if (spec.doNotTrack) return ['untracked'];
  if (spec.preDNAT) return ['preDnat'];
  return spec.applyOnForward ? ['normal', 'forward'] : ['normal'];
}
