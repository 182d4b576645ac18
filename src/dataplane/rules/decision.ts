// Decisions as chains of their own: log, count, verdict. Whatever finds a rule leads to its decision.
import { type DenyAction, type Direction, policyKey } from '#calc/dataplane-update';
import { ACCEPT, type Action, COUNT, DROP, RETURN } from './action.ts';
import type { Chain } from './chain.ts';
import { LOG_GROUP, type LogPrefixes, type PrefixOwner, type RuleHit } from './log-prefix.ts';
import { PASS_MARK } from './mark.ts';
import { shortHash } from './names.ts';

/** What decisions are rendered with. */
export interface DecisionContext {
  readonly prefixes: LogPrefixes;
  readonly denyAction: DenyAction;
}

/**
 * The chain of one decision. It keeps its name and its counter as long as rule and action stay, however
 * the rules around it are found. A staged rule's chain counts, and returns.
 */
export function decisionChain(hit: RuleHit, owner: PrefixOwner, context: DecisionContext): Chain {
  const prefix = context.prefixes.prefixOf(hit, owner);
  const log: Action = { action: 'log-packet', group: LOG_GROUP[hit.direction], prefix };
  const actions = [log, COUNT, ...verdictOf(hit, context.denyAction)];
  const who = hit.policy ? policyKey(hit.policy) : `end of ${hit.tier ?? 'policy'}`;
  const comment = `${who} ${hit.direction}${hit.policy ? ` rule ${hit.rule}` : ''}`;
  return { name: `d-${shortHash(prefix)}`, comment, rules: [{ matches: [], actions }] };
}

function verdictOf(hit: RuleHit, denyAction: DenyAction): readonly Action[] {
  if (hit.staged) return [RETURN];
  switch (hit.action) {
    case 'Allow':
      return [ACCEPT];
    case 'Deny':
      return denials(denyAction);
    case 'Pass':
      // A tier that passes at its end is left by returning; a policy must tell its tier.
      return hit.policy ? [{ action: 'set-mark', bit: PASS_MARK }, RETURN] : [RETURN];
    default:
      return hit.action satisfies never;
  }
}

const DENIAL_LOG: Action = { action: 'log-kernel', prefix: 'calico-drop: ' };

/** What becomes of a denied packet. */
export function denials(denyAction: DenyAction): readonly Action[] {
  const logs = denyAction.startsWith('LogAnd') ? [DENIAL_LOG] : [];
  if (denyAction.endsWith('Accept')) return [...logs, ACCEPT];
  return [...logs, denyAction.endsWith('Drop') ? DROP : { action: 'reject' }];
}

/** The chain of what happens where no rule decided. */
export function defaultDecision(
  where: { readonly direction: Direction; readonly tier: string | null },
  action: 'Deny' | 'Pass',
  owner: 'T' | 'N' | 'U',
  context: DecisionContext,
): Chain {
  return decisionChain({ ...where, action, policy: null, rule: -1 }, owner, context);
}
