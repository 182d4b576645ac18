// Rules that can never match because earlier ones take all that they could match. Only what is provable is reported.
import type { Direction } from '../explanation.ts';
import type { Finding } from './finding.ts';
import { DIRECTIONS, type PolicyView, type RuleView, type TierView } from './policy-view.ts';
import { covers } from './rule-cover.ts';
import { implies } from './selector-implication.ts';

interface Shadow {
  readonly policy: PolicyView;
  readonly rule: RuleView;
}

/** Rules of enforced policies, in the order that packets meet them. */
export function shadowedRules(tiers: readonly TierView[]): Finding[] {
  const findings: Finding[] = [];
  for (const direction of DIRECTIONS) {
    const earlier = new EarlierPolicies(direction);
    for (const tier of tiers) {
      for (const policy of tier.policies) {
        if (!policy.directions.includes(direction)) continue;
        findings.push(...policyFindings(policy, direction, earlier));
        if (!policy.staged) earlier.add(policy);
      }
      earlier.endTier();
    }
  }
  return findings;
}

function policyFindings(
  policy: PolicyView,
  direction: Direction,
  earlier: EarlierPolicies,
): Finding[] {
  const rules = policy.rules[direction];
  const candidates = earlier.before(policy);
  const byIndex = Map.groupBy(rules, ({ index }) => index);
  return [...byIndex].flatMap(([index, parts]) => {
    // Of what the author wrote as one rule, every part must be shadowed.
    const shadows = parts.map((part) => {
      const own = rules.find((it) => it.index < index && stops(it) && covers(it, part));
      if (own) return { policy, rule: own };
      return candidates.find((it) => covers(it.rule, part));
    });
    const [first] = shadows;
    const [part] = parts;
    if (!first || !part || shadows.includes(undefined)) return [];
    return [shadowFinding(policy, part, first)];
  });
}

function stops({ rule }: RuleView): boolean {
  return rule.action !== 'Log';
}

function shadowFinding(policy: PolicyView, { path, index, rule }: RuleView, by: Shadow): Finding {
  const where = by.policy === policy ? '' : ` of ${by.policy.name} in tier ${by.policy.tier}`;
  const cover = `rule ${by.rule.index} ${by.rule.rule.action}${where}`;
  const clash = by.rule.rule.action !== rule.action;
  return {
    check: 'shadowed-rule',
    severity: clash ? 'error' : 'warning',
    object: policy.name,
    path,
    reason: `rule ${index} ${rule.action} never matches: ${cover} comes first and matches all that it could match`,
    advice: clash
      ? `put it before that rule, or narrow that rule, or delete it`
      : `delete it, or narrow that rule if the two were to differ`,
  };
}

/** What stands before a policy: rules that decide, by the namespace of their policy, so that few are compared. */
class EarlierPolicies {
  readonly #direction: Direction;
  /** Empty is the key of policies without namespace. */
  readonly #shadows = new Map<string, Shadow[]>();
  /** Rules of the tier under way; those after a Pass count for this tier only. */
  #tier: (Shadow & { readonly afterPass: boolean })[] = [];
  #passSeen = false;

  constructor(direction: Direction) {
    this.#direction = direction;
  }

  add(policy: PolicyView): void {
    for (const rule of policy.rules[this.#direction]) {
      if (stops(rule)) this.#tier.push({ policy, rule, afterPass: this.#passSeen });
      if (rule.rule.action === 'Pass') this.#passSeen = true;
    }
  }

  /**
   * Within the tier any rule takes its packets from the later ones. From a later tier only Allow and Deny do, and only
   * where no Pass came before them, which might have handed the packet on.
   */
  endTier(): void {
    for (const { policy, rule, afterPass } of this.#tier) {
      if (afterPass || rule.rule.action === 'Pass') continue;
      const key = policy.ref.namespace ?? '';
      const list = this.#shadows.get(key);
      if (list) list.push({ policy, rule });
      else this.#shadows.set(key, [{ policy, rule }]);
    }
    this.#tier = [];
    this.#passSeen = false;
  }

  /** Earlier rules of policies that apply wherever the policy does. */
  before(policy: PolicyView): Shadow[] {
    const { namespace } = policy.ref;
    const keys = namespace === null ? [''] : ['', namespace];
    const tiers = keys.flatMap((key) => this.#shadows.get(key) ?? []);
    const same = this.#tier.filter(
      (it) => it.policy.ref.namespace === null || it.policy.ref.namespace === namespace,
    );
    const applies = new Map<PolicyView, boolean>();
    return [...tiers, ...same].filter((it) => {
      const known = applies.get(it.policy) ?? appliesWherever(it.policy, policy);
      applies.set(it.policy, known);
      return known;
    });
  }
}

/** Forwarded traffic meets fewer policies, so a policy for it needs another one for it. */
function appliesWherever(earlier: PolicyView, later: PolicyView): boolean {
  if (earlier.stage !== later.stage) return false;
  if (later.onForward && !earlier.onForward) return false;
  return implies(later.selection, earlier.selection);
}
