// Profiles by name: of namespaces (kns.), of service accounts (ksa.) and those written as resources.
import { namespaceToProfile, type Profile, serviceAccountToProfile } from '#api';
import type { ClusterInputs } from './cluster-inputs.ts';
import type { DataplanePolicy } from './dataplane-update.ts';
import type { IpSetDefinition } from './ip-set-definition.ts';
import { type CalcProblem, ProblemLog } from './problem-log.ts';
import { scanRules } from './rule-scanner.ts';
import { memoize } from './shared-values.ts';

export interface CompiledProfile {
  readonly policy: DataplanePolicy;
  readonly ipSets: ReadonlyMap<string, IpSetDefinition>;
  readonly problems: readonly CalcProblem[];
}

export class ProfileDecoder {
  readonly #ofNamespace = memoize(namespaceToProfile);
  readonly #ofServiceAccount = memoize(serviceAccountToProfile);
  readonly #compile = memoize(compileProfile);

  /** Those of namespaces and accounts win over resources of their name: users do not own these names. */
  profiles(inputs: ClusterInputs): ReadonlyMap<string, Profile> {
    const profiles = [
      ...inputs.list('projectcalico.org/Profile'),
      ...inputs.list('/Namespace').map(this.#ofNamespace),
      ...inputs.list('/ServiceAccount').map(this.#ofServiceAccount),
    ];
    return new Map(profiles.map((profile) => [profile.metadata.name, profile]));
  }

  /** Without a profile: a stand-in that denies everything. */
  compile(name: string, profile: Profile | undefined): CompiledProfile {
    return profile ? this.#compile(profile) : missingProfile(name);
  }
}

function compileProfile(profile: Profile): CompiledProfile {
  const { name } = profile.metadata;
  const problems = new ProblemLog(`Profile ${name}`);
  const ipSets = new Map<string, IpSetDefinition>();
  const context = { namespace: null, problems, ipSets };
  const policy: DataplanePolicy = {
    id: { kind: 'Profile', namespace: null, name },
    tier: '',
    ingress: scanRules(profile.spec.ingress ?? [], 'spec.ingress', context),
    egress: scanRules(profile.spec.egress ?? [], 'spec.egress', context),
  };
  return { policy, ipSets, problems: problems.problems };
}

function missingProfile(name: string): CompiledProfile {
  const end = { ipSets: [], notIpSets: [] };
  const deny = [{ action: 'Deny', index: 0, source: end, destination: end }] as const;
  const id = { kind: 'Profile', namespace: null, name } as const;
  return {
    policy: { id, tier: '', ingress: deny, egress: deny },
    ipSets: new Map(),
    problems: [],
  };
}
