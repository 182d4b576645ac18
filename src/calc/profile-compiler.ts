// The rules of a profile; of one that is missing too.
import type { DataplanePolicy } from './dataplane-update.ts';
import type { IpSetDefinition } from './ip-set-definition.ts';
import type { ProfileSource } from './model.ts';
import { type CalcProblem, ProblemLog } from './problem-log.ts';
import { scanRules } from './rule-scanner.ts';

export interface CompiledProfile {
  readonly policy: DataplanePolicy;
  readonly ipSets: ReadonlyMap<string, IpSetDefinition>;
  readonly problems: readonly CalcProblem[];
}

export function compileProfile(
  name: string,
  { ingress, egress }: Pick<ProfileSource, 'ingress' | 'egress'>,
): CompiledProfile {
  const problems = new ProblemLog(`Profile ${name}`);
  const ipSets = new Map<string, IpSetDefinition>();
  const context = { namespace: null, problems, ipSets };
  const policy: DataplanePolicy = {
    id: { kind: 'Profile', namespace: null, name },
    tier: '',
    ingress: scanRules(ingress, 'spec.ingress', context),
    egress: scanRules(egress, 'spec.egress', context),
  };
  return { policy, ipSets, problems: problems.problems };
}

/** A stand-in that denies everything. */
export function missingProfile(name: string): DataplanePolicy {
  const end = { ipSets: [], notIpSets: [] };
  const deny = [{ action: 'Deny', index: 0, source: end, destination: end }] as const;
  return { id: { kind: 'Profile', namespace: null, name }, tier: '', ingress: deny, egress: deny };
}
