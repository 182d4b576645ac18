// What a policy's place in its tier does to it: Pass that leads nowhere, Log that denies, tiers nobody made.
import { closestName } from '#lib';
import type { Direction } from '../explanation.ts';
import { conditionsHold } from '../scoped-selector.ts';
import type { LabelledObject } from '../world-objects.ts';
import type { Finding } from './finding.ts';
import type { PolicyView, TierView } from './policy-view.ts';
import { implies } from './selector-implication.ts';

/** `endpoints` empty means that none were given: then only what holds for any is reported. */
export function orderFindings(
  tiers: readonly TierView[],
  endpoints: readonly LabelledObject[],
): Finding[] {
  const names = tiers.filter(({ exists }) => exists).map(({ name }) => name);
  return tiers.flatMap((tier, position) => {
    const later = tiers.slice(position + 1).flatMap(({ policies }) => policies);
    return tier.policies.flatMap((policy) => [
      ...(tier.exists ? [] : [unknownTier(policy, names)]),
      ...(policy.staged || policy.stage !== 'normal'
        ? []
        : policy.directions.flatMap((direction) => [
            ...idlePasses(policy, direction, { later, endpoints }),
            ...logOnly(policy, direction, { tier, endpoints }),
          ])),
    ]);
  });
}

function unknownTier({ name, tier }: PolicyView, known: readonly string[]): Finding {
  const near = closestName(tier, known);
  return {
    check: 'unknown-tier',
    severity: 'error',
    object: name,
    path: 'spec.tier',
    reason: `there is no tier ${JSON.stringify(tier)}: the policy comes last, and what it leaves open is denied`,
    advice:
      near === undefined ? `add the tier, or use ${known.join(', ')}` : `did you mean ${near}?`,
  };
}

function applies(policy: PolicyView, direction: Direction, endpoint: LabelledObject): boolean {
  return (
    !policy.staged &&
    policy.stage === 'normal' &&
    policy.directions.includes(direction) &&
    conditionsHold(policy.conditions, endpoint.labels)
  );
}

const PROFILES = 'profiles decide what it passes, which allow pods everything and hosts nothing';

interface After {
  readonly later: readonly PolicyView[];
  readonly endpoints: readonly LabelledObject[];
}

function idlePasses(
  policy: PolicyView,
  direction: Direction,
  { later, endpoints }: After,
): Finding[] {
  const passes = policy.rules[direction].filter(({ rule }) => rule.action === 'Pass');
  if (passes.length === 0) return [];
  const candidates = later.filter(
    (it) => !it.staged && it.stage === 'normal' && it.directions.includes(direction),
  );
  const own = endpoints.filter(({ labels }) => conditionsHold(policy.conditions, labels));
  const leads =
    endpoints.length === 0
      ? candidates.length > 0
      : own.length === 0 ||
        own.some((it) => candidates.some((next) => applies(next, direction, it)));
  if (leads) return [];
  const whose = candidates.length === 0 ? '' : ' for what it selects';
  const indexes = new Set<number>();
  return passes.flatMap(({ path, index }) => {
    if (indexes.has(index)) return [];
    indexes.add(index);
    return [
      {
        check: 'pass-leads-nowhere',
        severity: 'warning',
        object: policy.name,
        path: `${path}.action`,
        reason: `no tier after ${policy.tier} has an ${direction} policy${whose}: ${PROFILES}`,
        advice: 'write Allow or Deny, or add the policy in a later tier that is to decide',
      },
    ];
  });
}

interface Place {
  readonly tier: TierView;
  readonly endpoints: readonly LabelledObject[];
}

function logOnly(policy: PolicyView, direction: Direction, { tier, endpoints }: Place): Finding[] {
  const rules = policy.rules[direction];
  if (rules.length === 0 || tier.defaultAction === 'Pass') return [];
  if (rules.some(({ rule }) => rule.action !== 'Log')) return [];
  const others = tier.policies.filter((it) => it !== policy);
  const isAlone = (endpoint: LabelledObject) =>
    applies(policy, direction, endpoint) && !others.some((it) => applies(it, direction, endpoint));
  const companion = others.some(
    (it) =>
      !it.staged &&
      it.stage === 'normal' &&
      it.directions.includes(direction) &&
      implies(policy.selection, it.selection),
  );
  if (companion || (endpoints.length > 0 && !endpoints.some(isAlone))) return [];
  return [
    {
      check: 'log-only',
      severity: 'error',
      object: policy.name,
      path: `spec.${direction}`,
      reason: `it only logs, and yet all ${direction} is denied: tier ${tier.name} denies what no policy decides`,
      advice:
        'end it with a rule {action: Pass} or {action: Allow}, or give the tier defaultAction Pass',
    },
  ];
}
