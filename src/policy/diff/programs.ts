// What decides one half of a packet at one endpoint, shared by all endpoints where it is the same.
import type { Direction, PolicyRef } from '../explanation.ts';
import { formatPolicyRef } from '../explanation.ts';
import { Identities } from './set-atoms.ts';
import { atomsOf, type SymbolicRule } from './symbolic-rule.ts';

export interface PolicyProgram {
  readonly identity: number;
  readonly ref: PolicyRef;
  readonly rules: readonly SymbolicRule[];
}

/** Only tiers and policies that apply. */
export interface TierProgram {
  readonly name: string;
  readonly defaultAction: 'Deny' | 'Pass';
  readonly policies: readonly PolicyProgram[];
}

export type ProfileProgram = readonly SymbolicRule[] | 'missing';

export interface Failsafe {
  readonly protocol: number;
  readonly port: number;
  /** Atom that the remote end must have. */
  readonly net?: number;
}

/** One host endpoint in one direction, by stage. */
export interface HostProgram {
  readonly identity: number;
  readonly failsafes: readonly Failsafe[];
  /** Whose answers untracked policy spares: those of the other direction. */
  readonly answers: readonly Failsafe[];
  readonly untracked: readonly TierProgram[];
  readonly preDnat: readonly TierProgram[];
  readonly forward: readonly TierProgram[];
  readonly normal: readonly TierProgram[];
  readonly profiles: readonly ProfileProgram[];
}

/** The agent's settings that pods feel. */
export interface PodSettings {
  readonly dropToHost: boolean;
  /** Closed unless pods may send it. */
  readonly closedVxlanPort: number | undefined;
  readonly ipipClosed: boolean;
}

export interface Judge {
  readonly identity: number;
  readonly direction: Direction;
  readonly kind: 'pod' | 'host' | 'outside';
  readonly tiers: readonly TierProgram[];
  readonly profiles: readonly ProfileProgram[];
  /** Ingress of the `*` host endpoint of the pod's node; for egress of pods only. */
  readonly wildcard?: HostProgram;
  /** The host endpoint of the interface to other hosts. */
  readonly main?: HostProgram;
  readonly settings?: PodSettings;
  /** Atoms that its rules ask of the endpoint itself, and of its peer. */
  readonly ownAtoms: readonly number[];
  readonly peerAtoms: readonly number[];
}

export type JudgeContent = Omit<Judge, 'identity' | 'ownAtoms' | 'peerAtoms'>;

/** Programs and judges of both worlds; equal ones are one object. */
export class ProgramTable {
  readonly #policyIdentities = new Identities();
  readonly #policies: PolicyProgram[] = [];
  readonly #hostIdentities = new Identities();
  readonly #hosts: HostProgram[] = [];
  readonly #judgeIdentities = new Identities();
  readonly #judges: Judge[] = [];

  policy(ref: PolicyRef, rules: readonly SymbolicRule[]): PolicyProgram {
    const identity = this.#policyIdentities.of(`${formatPolicyRef(ref)}|${rulesKey(rules)}`);
    return (this.#policies[identity] ??= { identity, ref, rules });
  }

  host(content: Omit<HostProgram, 'identity'>): HostProgram {
    const { failsafes, answers, untracked, preDnat, forward, normal, profiles } = content;
    const tiers = [untracked, preDnat, forward, normal].map(tiersKey).join('#');
    const ports = JSON.stringify([failsafes, answers]);
    const key = `${ports}#${tiers}#${profilesKey(profiles)}`;
    const identity = this.#hostIdentities.of(key);
    return (this.#hosts[identity] ??= { ...content, identity });
  }

  judge(content: JudgeContent): Judge {
    const { direction, kind, tiers, profiles, wildcard, main, settings } = content;
    const host = `${wildcard?.identity ?? ''}#${main?.identity ?? ''}#${JSON.stringify(settings)}`;
    const key = `${direction}#${kind}#${tiersKey(tiers)}#${profilesKey(profiles)}#${host}`;
    const identity = this.#judgeIdentities.of(key);
    return (this.#judges[identity] ??= { ...content, identity, ...judgeAtoms(content) });
  }

  get judges(): readonly Judge[] {
    return this.#judges;
  }
}

function rulesKey(rules: readonly SymbolicRule[]): string {
  return rules.map((rule) => rule.identity).join(',');
}

function tiersKey(tiers: readonly TierProgram[]): string {
  return tiers
    .map(({ name, defaultAction, policies }) => {
      const list = policies.map((policy) => policy.identity).join(',');
      return `${name}:${defaultAction}:${list}`;
    })
    .join(';');
}

function profilesKey(profiles: readonly ProfileProgram[]): string {
  return profiles.map((rules) => (rules === 'missing' ? rules : rulesKey(rules))).join(';');
}

type AtomLists = Pick<Judge, 'ownAtoms' | 'peerAtoms'>;

function judgeAtoms({ direction, tiers, profiles, wildcard, main }: JudgeContent): AtomLists {
  const own = new Set<number>();
  const peer = new Set<number>();
  const [sources, destinations] = direction === 'egress' ? [own, peer] : [peer, own];
  const addRules = (rules: readonly SymbolicRule[]) => {
    for (const { source, destination } of rules) {
      for (const atom of atomsOf(source)) sources.add(atom);
      for (const atom of atomsOf(destination)) destinations.add(atom);
    }
  };
  const addTiers = (list: readonly TierProgram[]) => {
    for (const tier of list) for (const policy of tier.policies) addRules(policy.rules);
  };
  const addProfiles = (list: readonly ProfileProgram[]) => {
    for (const rules of list) if (rules !== 'missing') addRules(rules);
  };
  const addHost = (host: HostProgram | undefined, remote: Set<number>) => {
    if (!host) return;
    for (const list of [host.untracked, host.preDnat, host.forward, host.normal]) addTiers(list);
    addProfiles(host.profiles);
    for (const { net } of [...host.failsafes, ...host.answers]) {
      if (net !== undefined) remote.add(net);
    }
  };
  addTiers(tiers);
  addProfiles(profiles);
  addHost(wildcard, sources);
  addHost(main, direction === 'egress' ? destinations : sources);
  return { ownAtoms: [...own], peerAtoms: [...peer] };
}
