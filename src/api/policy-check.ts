// Rules for policies and tiers that no schema can say (spec 01, 1.3).
import type { Problem, Resource } from './kind.ts';
import type { GlobalNetworkPolicySpec, NetworkPolicySpec } from './policy.ts';
import { fault, quoted } from './problem.ts';
import { policyCautions } from './policy-caution.ts';
import { ruleProblems } from './rule-check.ts';
import { isSubdomain } from './formats.ts';

const NAME_MAX = 253;
const LABEL = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const POLICY_NAME = new RegExp(`^${LABEL}(\\.${LABEL})?$`);
/** Names of policies that other systems' policies became. */
const FOREIGN = /^(knp|ossg)\.default\.(.+)$/;
const TIER_NAME = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

/** A name, or a tier's and a name. */
export function globalPolicyNameProblem(name: string): string | undefined {
  if (name.length <= NAME_MAX && POLICY_NAME.test(name)) return undefined;
  return `${quoted(name)} is no policy's name: use a-z, 0-9 and "-", at most one "." and ${NAME_MAX} characters`;
}

/** As for global policies; converted policies keep their longer names. */
export function policyNameProblem(name: string): string | undefined {
  const foreign = FOREIGN.exec(name)?.[2];
  if (foreign !== undefined && name.length <= NAME_MAX && isSubdomain(foreign)) return undefined;
  return globalPolicyNameProblem(name);
}

export function tierNameProblem(name: string): string | undefined {
  return TIER_NAME.test(name)
    ? undefined
    : `${quoted(name)} is no tier's name: use at most 63 of a-z, 0-9 and "-"`;
}

/** Every rule of a policy, and what its fields forbid each other. */
export function policyProblems(
  policy: Resource & { readonly spec: NetworkPolicySpec },
  namespaced: boolean,
): Problem[] {
  const rules = (['ingress', 'egress'] as const).flatMap((direction) =>
    (policy.spec[direction] ?? []).flatMap((rule, index) =>
      ruleProblems(rule, { path: `spec.${direction}[${index}]`, direction, namespaced }),
    ),
  );
  return [...rules, ...policyCautions(policy.spec)];
}

/** `doNotTrack`, `preDNAT` and `applyOnForward` beside each other and the rules. */
export function hostPolicyProblems(spec: GlobalNetworkPolicySpec): Problem[] {
  const problems: Problem[] = [];
  if (spec.preDNAT && spec.doNotTrack) {
    problems.push(fault('spec.preDNAT', 'excludes doNotTrack; use a policy for each'));
  }
  for (const field of ['preDNAT', 'doNotTrack'] as const) {
    if (spec[field] && !spec.applyOnForward) {
      problems.push(fault(`spec.${field}`, 'needs applyOnForward: true'));
    }
  }
  if (spec.preDNAT && spec.egress && spec.egress.length > 0) {
    problems.push(fault('spec.egress', 'a preDNAT policy has no egress rules; remove them'));
  }
  if (spec.preDNAT && spec.types?.includes('Egress')) {
    problems.push(fault('spec.types', 'a preDNAT policy cannot have the type Egress; remove it'));
  }
  return problems;
}
