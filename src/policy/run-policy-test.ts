// Judges the assertions of a PolicyTest in a world: what held, what did not, and why.
import { evaluate } from './evaluate.ts';
import { type Explanation, formatPolicyRef, type Half } from './explanation.ts';
import { formatExplanation } from './format-explanation.ts';
import { parseParty, PartyError } from './party.ts';
import type { Assertion, Decider } from './policy-test.ts';
import type { World } from './world.ts';

export interface AssertionResult {
  readonly assertion: Assertion;
  /** `web/front -> shop/cart, tcp/8080: allow`. */
  readonly title: string;
  /** Absent where it holds; else what was expected and found, in one line. */
  readonly failure?: string;
  /** The whole explanation of a failure; absent where nothing could be judged. */
  readonly explanation?: string;
}

/** Judges one assertion. A party that does not exist is a failure. */
export function checkAssertion(world: World, assertion: Assertion): AssertionResult {
  const { name, from, to, traffic, expect, packet } = assertion;
  const question = `${from} -> ${to}, ${traffic}: ${expect}`;
  const title = name === undefined ? question : `${name}: ${question}`;
  try {
    const whole = { ...packet, from: parseParty(world, from), to: parseParty(world, to) };
    const found = evaluate(world, whole);
    const failure = failureOf(assertion, found);
    if (failure === undefined) return { assertion, title };
    return { assertion, title, failure, explanation: formatExplanation(found, whole, world) };
  } catch (error) {
    if (!(error instanceof PartyError)) throw error;
    return { assertion, title, failure: error.message };
  }
}

function failureOf({ expect, pending, by }: Assertion, found: Explanation): string | undefined {
  if (found.verdict !== expect) return `expected ${expect}, but it is ${found.verdict}`;
  const wouldBe = (found.pending ?? found).verdict;
  if (pending !== undefined && wouldBe !== pending) {
    return `expected ${pending} if staged policies were enforced, but it would be ${wouldBe}`;
  }
  if (!by) return undefined;
  const halves = (['egress', 'ingress'] as const)
    .filter((direction) => by.direction === undefined || by.direction === direction)
    .map((direction) => ({ direction, half: found[direction] }))
    .filter(({ half }) => half.verdict === expect);
  if (halves.some(({ half }) => isDecidedBy(half, by))) return undefined;
  const deciders = halves.map(({ direction, half }) => `${direction} by ${deciderText(half)}`);
  const actual = deciders.length === 0 ? `no ${by.direction} decides so` : deciders.join(' and ');
  return `it is ${expect}, but not by ${wantedText(by)}: ${actual}`;
}

function isDecidedBy(half: Half, { tier, policy, rule }: Decider): boolean {
  if (tier !== undefined && tier !== half.tier) return false;
  if (rule !== undefined && rule !== half.rule) return false;
  if (policy === undefined) return true;
  if (policy === null || half.policy === null) return policy === half.policy;
  const full = formatPolicyRef(half.policy);
  return policy === full || policy === full.slice(full.indexOf(' ') + 1);
}

function deciderText({ tier, policy, rule }: Half): string {
  if (tier === null) return 'no policy';
  if (policy === null) return `the default action of tier ${tier}`;
  return `rule ${rule} of ${formatPolicyRef(policy)} in tier ${tier}`;
}

function wantedText({ tier, policy, rule }: Decider): string {
  const parts = [
    ...(rule === undefined ? [] : [`rule ${rule}`]),
    ...(policy === undefined ? [] : [policy === null ? 'a default action' : `policy ${policy}`]),
    ...(tier === undefined ? [] : [tier === null ? 'no tier' : `tier ${tier}`]),
  ];
  return parts.length === 0 ? 'that half' : parts.join(' of ');
}
