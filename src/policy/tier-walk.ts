// The order of evaluation: tiers, policies, rules, profiles (spec 02, 2.2 and 2.3).
import { type Direction, formatPolicyRef, type Outcome } from './explanation.ts';
import type { PolicyRef, Step } from './explanation.ts';
import type { Traffic } from './packet.ts';
import { type MatchRule, type Mismatch, mismatches } from './rule-match.ts';

export interface WalkPolicy {
  readonly ref: PolicyRef;
  readonly rules: readonly MatchRule[];
  /** Why the policy does not apply to the endpoint in this direction; absent where it does. */
  readonly excluded?: { readonly outcome: 'not-selected' | 'staged'; readonly reason: string };
}

export interface WalkTier {
  readonly name: string;
  readonly defaultAction: 'Deny' | 'Pass';
  /** In order. A tier in which no policy applies takes no part. */
  readonly policies: readonly WalkPolicy[];
}

export interface WalkProfile {
  readonly name: string;
  /** A profile that does not exist denies (spec 02, 2.2: missing profile). */
  readonly rules: readonly MatchRule[] | 'missing';
}

/** `none`: nothing decided. */
export interface Decision {
  readonly verdict: 'allow' | 'deny' | 'none';
  readonly tier: string | null;
  readonly policy: PolicyRef | null;
  readonly rule: number;
}

export const UNDECIDED: Decision = { verdict: 'none', tier: null, policy: null, rule: -1 };

/** A rule that was passed over, with the conditions that failed. */
export interface NearMiss {
  readonly rule: MatchRule;
  readonly failed: readonly Mismatch[];
}

/** A step, with what `formatExplanation` needs to say how near each rule was. */
export interface TraceStep extends Step {
  readonly nearMisses: readonly NearMiss[];
}

export interface Walk {
  readonly direction: Direction;
  readonly traffic: Traffic;
  readonly record: (step: TraceStep) => void;
}

/** Adds a step without rules. */
export function note(
  walk: Walk,
  tier: string | null,
  outcome: Outcome,
  reason: string,
  policy: PolicyRef | null = null,
): void {
  const { direction } = walk;
  walk.record({ direction, tier, policy, rule: -1, outcome, reason, nearMisses: [] });
}

/** Walks the tiers in order until a rule or a default action decides. */
export function walkTiers(tiers: readonly WalkTier[], walk: Walk): Decision {
  for (const tier of tiers) {
    const decision = walkTier(tier, walk);
    if (decision.verdict !== 'none') return decision;
  }
  return UNDECIDED;
}

function walkTier(tier: WalkTier, walk: Walk): Decision {
  let applied = 0;
  for (const policy of tier.policies) {
    if (policy.excluded) {
      note(walk, tier.name, policy.excluded.outcome, policy.excluded.reason, policy.ref);
      continue;
    }
    applied++;
    const result = walkPolicy(tier.name, policy, walk);
    if (result === 'pass') return UNDECIDED;
    if (result) return result;
  }
  if (applied === 0) {
    if (tier.policies.length > 0) {
      const reason = `no policy of tier ${tier.name} applies, so the tier takes no part`;
      note(walk, tier.name, 'not-selected', reason);
    }
    return UNDECIDED;
  }
  const count = applied === 1 ? 'the one policy' : `the ${applied} policies`;
  const because = `${count} of tier ${tier.name} that applied did not decide`;
  if (tier.defaultAction === 'Pass') {
    note(walk, tier.name, 'default-pass', `${because}: the tier's default action is Pass`);
    return UNDECIDED;
  }
  note(walk, tier.name, 'default-deny', `${because}: the tier's default action is Deny`);
  return { verdict: 'deny', tier: tier.name, policy: null, rule: -1 };
}

function walkPolicy(tier: string, policy: WalkPolicy, walk: Walk): Decision | 'pass' | undefined {
  const nearMisses: NearMiss[] = [];
  const step = { direction: walk.direction, tier, policy: policy.ref };
  for (const rule of policy.rules) {
    const failed = mismatches(rule, walk.traffic);
    if (failed.length > 0) {
      nearMisses.push({ rule, failed });
      continue;
    }
    const { index } = rule;
    const outcome = OUTCOMES[rule.action];
    const reason = matchReason(rule, outcome === 'log' ? [] : nearMisses);
    walk.record({ ...step, rule: index, outcome, reason, nearMisses: [...nearMisses] });
    if (outcome === 'pass') return 'pass';
    if (outcome !== 'log') return { verdict: outcome, tier, policy: policy.ref, rule: index };
  }
  const reason =
    policy.rules.length === 0
      ? `${formatPolicyRef(policy.ref)} applies and has no ${walk.direction} rule`
      : `no rule matches: ${missesText(nearMisses)}`;
  walk.record({ ...step, rule: -1, outcome: 'no-match', reason, nearMisses });
  return undefined;
}

const OUTCOMES = { Allow: 'allow', Deny: 'deny', Pass: 'pass', Log: 'log' } as const;

function matchReason(rule: MatchRule, passedOver: readonly NearMiss[]): string {
  const matched = `rule ${rule.index} ${rule.action} matches`;
  return passedOver.length === 0 ? matched : `${matched}, after ${missesText(passedOver)}`;
}

const MISSES_SHOWN = 10;

/** `rule 1 Allow: destination port 8080 is not in 80,443`, several joined by semicolons. */
function missesText(misses: readonly NearMiss[]): string {
  const texts = misses
    .slice(0, MISSES_SHOWN)
    .map(({ rule, failed }) => `rule ${rule.index} ${rule.action}: ${failedText(failed)}`);
  const rest = misses.length - texts.length;
  return rest > 0 ? `${texts.join('; ')}; and ${rest} more` : texts.join('; ');
}

export function failedText(failed: readonly Mismatch[]): string {
  return failed.map((mismatch) => mismatch.text).join(' and ');
}

/** Walks an endpoint's profiles; `none` where no rule of any decides. */
export function walkProfiles(profiles: readonly WalkProfile[], walk: Walk): Decision {
  for (const profile of profiles) {
    if (profile.rules === 'missing') {
      note(walk, null, 'deny', `profile ${profile.name} does not exist, which denies`);
      return { ...UNDECIDED, verdict: 'deny' };
    }
    const rule = profile.rules.find(
      (it) => it.action !== 'Log' && mismatches(it, walk.traffic).length === 0,
    );
    if (!rule) continue;
    const reason = `rule ${rule.index} ${rule.action} of profile ${profile.name} matches`;
    note(walk, null, OUTCOMES[rule.action], reason);
    // To the next profile.
    if (rule.action === 'Pass') continue;
    const verdict = rule.action === 'Allow' ? 'allow' : 'deny';
    return { ...UNDECIDED, verdict };
  }
  return UNDECIDED;
}
