// The stages at a host endpoint, in order: untracked, pre-DNAT, then forward or normal (spec 10).
import { type Decision, note, UNDECIDED, type Walk, walkProfiles, walkTiers } from './tier-walk.ts';
import type { WalkProfile, WalkTier } from './tier-walk.ts';

/** What applies to one host endpoint in one direction, by stage. */
export interface HostPolicy {
  /** `HostEndpoint one-eth0`, for people. */
  readonly name: string;
  readonly untracked: readonly WalkTier[];
  /** Empty for egress. */
  readonly preDnat: readonly WalkTier[];
  readonly forward: readonly WalkTier[];
  readonly normal: readonly WalkTier[];
  readonly profiles: readonly WalkProfile[];
  /** Whether a failsafe port spares this packet from policy. */
  readonly failsafe: boolean;
  /** Whether untracked policy spares it, as what may be the answer of a failsafe port. */
  readonly failsafeAnswer: boolean;
}

/**
 * Where the packet is bound: the host itself, through it, or from a local pod to the host, which
 * passes the pre-DNAT stage only (its fate is `defaultEndpointToHostAction`).
 */
export type HostRoute = 'host' | 'forward' | 'workload-to-host';

/**
 * Ingress at a host endpoint. `before` is the packet before destination NAT, which pre-DNAT policy
 * sees. An Allow of an early stage skips the later ones of this endpoint; `none` means that nothing here
 * stops forwarded traffic.
 */
export function walkHostIngress(
  policy: HostPolicy,
  walk: Walk,
  before: Walk,
  route: HostRoute,
): Decision {
  const untracked = walkUntracked(policy, before);
  if (untracked.verdict !== 'none') return untracked;
  if (!policy.failsafe) {
    const decision = walkTiers(passing(policy.preDnat), before);
    if (decision.verdict !== 'none') return decision;
  }
  if (route === 'workload-to-host') return UNDECIDED;
  return route === 'forward' ? walkTiers(policy.forward, walk) : walkNormal(policy, walk);
}

/** Egress at a host endpoint, of the host's own traffic or of what is forwarded. */
export function walkHostEgress(
  policy: HostPolicy,
  walk: Walk,
  route: 'host' | 'forward',
): Decision {
  if (route === 'forward') return walkTiers(policy.forward, walk);
  const untracked = walkUntracked(policy, walk);
  return untracked.verdict === 'none' ? walkNormal(policy, walk) : untracked;
}

function walkUntracked({ untracked, failsafe, failsafeAnswer }: HostPolicy, walk: Walk): Decision {
  return failsafe || failsafeAnswer ? UNDECIDED : walkTiers(passing(untracked), walk);
}

function walkNormal(policy: HostPolicy, walk: Walk): Decision {
  if (policy.failsafe) {
    note(walk, null, 'failsafe', `the port is a failsafe port, which ${policy.name} always allows`);
    return { ...UNDECIDED, verdict: 'allow' };
  }
  const decision = walkTiers(policy.normal, walk);
  if (decision.verdict !== 'none') return decision;
  const byProfile = walkProfiles(policy.profiles, walk);
  if (byProfile.verdict !== 'none') return byProfile;
  note(walk, null, 'deny', `neither policy nor profile of ${policy.name} allows it`);
  return { ...UNDECIDED, verdict: 'deny' };
}

/** Untracked and pre-DNAT tiers never deny by default (spec 02, 2.3). */
function passing(tiers: readonly WalkTier[]): WalkTier[] {
  return tiers.map((tier) => ({ ...tier, defaultAction: 'Pass' }));
}
