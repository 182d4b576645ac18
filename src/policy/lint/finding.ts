// What a lint says: the object, the field, the reason and what to do about it.
import { compareCodePoints } from '#lib';

/** Every check, in words that stay the same: tools may filter by them. */
export type LintCheck =
  /** Earlier rules match all that the rule could match. */
  | 'shadowed-rule'
  /** The conditions of a rule or selector contradict each other. */
  | 'contradiction'
  | 'policy-selects-nothing'
  | 'selector-matches-nothing'
  | 'port-without-effect'
  /** A rule passes to later tiers, and none of them has a policy. */
  | 'pass-leads-nowhere'
  | 'allow-all'
  /** The policy only logs, and what it does not decide the tier denies. */
  | 'log-only'
  | 'unknown-tier'
  | 'cuts-dns'
  | 'cuts-api-server'
  | 'locks-node-out'
  /** A part of a policy has no meaning and was left out. */
  | 'not-understood';

/** An error is almost surely a mistake; a warning may be meant. */
export type Severity = 'error' | 'warning';

export interface Finding {
  readonly check: LintCheck;
  readonly severity: Severity;
  /** `NetworkPolicy shop/web`. */
  readonly object: string;
  /** Field path as its author wrote it, such as `spec.ingress[0]`. */
  readonly path: string;
  readonly reason: string;
  readonly advice: string;
}

/** Errors first, then by object and field. */
export function compareFindings(a: Finding, b: Finding): number {
  if (a.severity !== b.severity) return a.severity === 'error' ? -1 : 1;
  return compareCodePoints(sortKey(a), sortKey(b));
}

function sortKey({ object, path, check }: Finding): string {
  return [object, path.replaceAll(/\d+/g, (digits) => digits.padStart(6, '0')), check].join('\n');
}
