// Policies as lint looks at them: every kind in one shape, in order, with its selectors still readable.
import { BUILT_IN_TIERS, defaultTypes, type GlobalNetworkPolicySpec, type Rule } from '#api';
import { compareCodePoints } from '#lib';
import { type Selector, selectorOf } from '#selector';
import { type Direction, formatPolicyRef, type PolicyRef } from '../explanation.ts';
import { type PolicySource, policySources } from '../policy-sources.ts';
import { type EntitySelection, entitySelection, policySelection } from '../scoped-selector.ts';
import type { LabelCondition } from '../scoped-selector.ts';
import type { Stage } from '../world-policies.ts';
import type { WorldProblem } from '../world-problem.ts';
import type { ResourcesByKind } from '../world-resources.ts';

export const DIRECTIONS = ['ingress', 'egress'] as const;
export const SIDES = ['source', 'destination'] as const;
export type Side = (typeof SIDES)[number];

/** One Calico rule. Several have one index where their author's rule became several. */
export interface RuleView {
  /** As the author counts, from 0. */
  readonly index: number;
  /** `spec.ingress[0]`. */
  readonly path: string;
  readonly rule: Rule;
  readonly source: EntitySelection;
  readonly destination: EntitySelection;
}

export interface PolicyView {
  readonly ref: PolicyRef;
  /** `NetworkPolicy shop/web`. */
  readonly name: string;
  readonly tier: string;
  readonly order: number;
  readonly staged: boolean;
  readonly stage: Stage;
  /** Whether it is also asked about traffic that a host forwards. */
  readonly onForward: boolean;
  readonly directions: readonly Direction[];
  readonly spec: GlobalNetworkPolicySpec;
  readonly conditions: readonly LabelCondition[];
  /** All conditions at once. */
  readonly selection: Selector;
  readonly rules: Readonly<Record<Direction, readonly RuleView[]>>;
}

export interface TierView {
  readonly name: string;
  readonly defaultAction: 'Deny' | 'Pass';
  /** Whether anybody made it. */
  readonly exists: boolean;
  /** In order of evaluation, staged ones included. */
  readonly policies: readonly PolicyView[];
}

/** Every tier in order of evaluation. The resources must be ones that `buildWorld` takes. */
export function viewTiers(resources: ResourcesByKind): {
  readonly tiers: TierView[];
  readonly problems: WorldProblem[];
} {
  const problems: WorldProblem[] = [];
  const policies = policySources(resources, (problem) => problems.push(problem)).map(viewPolicy);
  const known = new Map(
    [...BUILT_IN_TIERS, ...resources['projectcalico.org Tier']].map((it) => [it.metadata.name, it]),
  );
  const missing = new Set(policies.map(({ tier }) => tier).filter((name) => !known.has(name)));
  const made = [...known.values()].map(({ metadata: { name }, spec }) => ({
    name,
    order: spec?.order ?? Infinity,
    defaultAction: spec?.defaultAction ?? ('Deny' as const),
    exists: true,
  }));
  made.sort((a, b) => compareOrders(a.order, b.order) || compareCodePoints(a.name, b.name));
  const unmade = [...missing]
    .sort(compareCodePoints)
    .map((name) => ({ name, defaultAction: 'Deny' as const, exists: false }));
  const byTier = Map.groupBy(policies.sort(comparePolicies), ({ tier }) => tier);
  const tiers = [...made, ...unmade].map(({ name, defaultAction, exists }) => ({
    name,
    defaultAction,
    exists,
    policies: byTier.get(name) ?? [],
  }));
  return { tiers, problems };
}

function viewPolicy(source: PolicySource): PolicyView {
  const { ref, staged } = source;
  const spec: GlobalNetworkPolicySpec = source.spec ?? {};
  const namespace = ref.namespace ?? undefined;
  const conditions = policySelection(spec, namespace);
  const rules = (direction: Direction) =>
    (spec[direction] ?? []).map((rule, position): RuleView => {
      const index = source.indexes?.[direction][position] ?? position;
      return {
        index,
        path: `spec.${direction}[${index}]`,
        rule,
        source: entitySelection(rule.source ?? {}, namespace),
        destination: entitySelection(rule.destination ?? {}, namespace),
      };
    });
  return {
    ref,
    name: formatPolicyRef(ref),
    tier: spec.tier ?? 'default',
    order: spec.order ?? Infinity,
    staged,
    stage: spec.doNotTrack ? 'untracked' : spec.preDNAT ? 'preDnat' : 'normal',
    onForward: spec.applyOnForward === true,
    directions:
      source.directions ??
      defaultTypes(spec).map((type) => (type === 'Ingress' ? 'ingress' : 'egress')),
    spec,
    conditions,
    selection: conjunction(conditions),
    rules: { ingress: rules('ingress'), egress: rules('egress') },
  };
}

/** One selector for all conditions. */
export function conjunction(conditions: readonly LabelCondition[]): Selector {
  const [first, ...rest] = conditions.map(({ selector }) => selector.tree);
  if (first === undefined) return selectorOf({ kind: 'all' });
  return selectorOf(rest.length === 0 ? first : { kind: 'and', operands: [first, ...rest] });
}

/** As `world-policies.ts` sorts them; its test holds the two together. */
function comparePolicies(a: PolicyView, b: PolicyView): number {
  return compareOrders(a.order, b.order) || compareCodePoints(tieKey(a.ref), tieKey(b.ref));
}

function tieKey(ref: PolicyRef): string {
  return `${ref.name}/${ref.namespace ?? ''}/${ref.kind}`;
}

function compareOrders(a: number, b: number): number {
  return a === b ? 0 : a < b ? -1 : 1;
}

/** Whether the policy's author writes Calico's own language, so that Calico's field names mean something to them. */
export function isCalico({ ref }: PolicyView): boolean {
  return !ref.kind.includes('Kubernetes') && ref.kind !== 'ClusterNetworkPolicy';
}

/** The field of a rule that says who: `source.selector` of Calico's, `from` or `to` of the others. */
export function peerPath(policy: PolicyView, rule: RuleView, side: Side, field: string): string {
  if (isCalico(policy)) return `${rule.path}.${side}.${field}`;
  if (field === 'ports') return `${rule.path}.ports`;
  return `${rule.path}.${side === 'source' ? 'from' : 'to'}`;
}
