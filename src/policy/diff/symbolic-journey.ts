// What each half says about every packet between two parties at once: the journey of one packet over sets of packets.
import type { Half, Verdict } from '../explanation.ts';
import { NEIGHBOUR_DISCOVERY } from '../journey.ts';
import { HOST_DISCOVERY } from '../world-settings.ts';
import { PROTOCOL_NUMBERS } from '../packet.ts';
import type {
  Failsafe,
  HostProgram,
  Judge,
  PodSettings,
  ProfileProgram,
  TierProgram,
} from './programs.ts';
import type { End, RuleMatcher, SymbolicRule } from './symbolic-rule.ts';
import { ICMP_CODES, type PortConditions, type TrafficSpace } from './traffic-space.ts';

/** Two parties of which rules and hosts are known. */
export interface Way {
  readonly source: End;
  readonly destination: End;
  readonly destinationKind: 'pod' | 'host' | 'outside';
  readonly sourceKind: 'pod' | 'host' | 'outside';
  /** Whether the destination is an address that only exists on the pod's own link. */
  readonly linkScoped: boolean;
  /** Whether both are on one known host, or one is the host of the other. */
  readonly sameNode: boolean;
}

/** Some packets and what decides them. */
export interface Decided {
  readonly half: Half;
  readonly packets: number;
}

const UNCONDITIONAL: PortConditions = {
  sourcePorts: [],
  notSourcePorts: [],
  ports: [],
  notPorts: [],
};

/** By no policy. */
function plain(verdict: Verdict): Half {
  return { verdict, tier: null, policy: null, rule: -1 };
}

interface Walked {
  readonly decided: Decided[];
  readonly rest: number;
}

/** Judges ways. What it returns covers every packet, each once. */
export class SymbolicJourney {
  readonly #space: TrafficSpace;
  readonly #matcher: RuleMatcher;
  readonly #neighbourDiscovery: number;
  readonly #hostDiscovery: number;
  readonly #ipip: number;

  constructor(space: TrafficSpace, matcher: RuleMatcher) {
    this.#space = space;
    this.#matcher = matcher;
    this.#neighbourDiscovery = this.#ofTypes(NEIGHBOUR_DISCOVERY);
    this.#hostDiscovery = this.#ofTypes(HOST_DISCOVERY);
    this.#ipip = this.#of(4, UNCONDITIONAL);
  }

  /** ICMPv6 of these types. */
  #ofTypes(types: readonly number[]): number {
    return types.reduce((sum, type) => {
      const icmp = [type * ICMP_CODES, type * ICMP_CODES + ICMP_CODES - 1] as const;
      return this.#space.or(sum, this.#of(PROTOCOL_NUMBERS.icmpv6, { ...UNCONDITIONAL, icmp }));
    }, 0);
  }

  #of(protocol: number, conditions: PortConditions): number {
    return this.#space.where([protocol], (it) => (it === protocol ? conditions : undefined));
  }

  #ofPort(protocol: number, port: number): number {
    return this.#of(protocol, { ...UNCONDITIONAL, ports: [[[port, port]]] });
  }

  judge(judge: Judge, way: Way): readonly Decided[] {
    const { all } = this.#space;
    if (judge.kind === 'outside') return [{ half: plain('allow'), packets: all }];
    if (judge.kind === 'pod') {
      return judge.direction === 'egress'
        ? this.#podEgress(judge, way)
        : this.#podIngress(judge, way);
    }
    const { main, direction } = judge;
    const other = direction === 'egress' ? way.destinationKind : way.sourceKind;
    if (!main || (other === 'pod' && way.sameNode)) return this.#rest(all, plain('allow'));
    const { decided, rest } =
      direction === 'egress'
        ? this.#hostEgress(main, all, way, 'host')
        : this.#hostIngress(main, all, way, 'host');
    return [...decided, ...this.#rest(rest, plain('allow'))];
  }

  #rest(packets: number, half: Half): Decided[] {
    return packets === 0 ? [] : [{ half, packets }];
  }

  #podEgress(judge: Judge, way: Way): Decided[] {
    const { wildcard, settings, main } = judge;
    const ownHost =
      way.destinationKind === 'outside'
        ? way.linkScoped
        : way.destinationKind === 'host' && way.sameNode;
    const decided: Decided[] = [];
    let rest = this.#space.all;
    if (wildcard) {
      const entered = this.#hostIngress(wildcard, rest, way, ownHost ? 'workload' : 'forward');
      for (const it of entered.decided) if (it.half.verdict === 'deny') decided.push(it);
      rest = decided.reduce((left, { packets }) => this.#space.minus(left, packets), rest);
    }
    if (ownHost) rest = this.#take(decided, rest, this.#neighbourDiscovery, plain('allow'));
    rest = this.#take(decided, rest, this.#encapsulation(settings), plain('deny'));
    for (const own of this.#podPolicy(judge, rest, way)) {
      const leavesHost = !ownHost && !(way.destinationKind === 'pod' && way.sameNode);
      if (own.half.verdict === 'deny') decided.push(own);
      else if (ownHost && settings?.dropToHost) {
        decided.push({ half: plain('deny'), packets: own.packets });
      } else if (!leavesHost || !main) decided.push(own);
      else decided.push(...this.#leave(main, own, way));
    }
    return decided;
  }

  /** Out through the host endpoint, whose denial counts and whose allowance leaves the pod's decision. */
  #leave(main: HostProgram, own: Decided, way: Way): Decided[] {
    const left = this.#hostEgress(main, own.packets, way, 'forward');
    const denied = left.decided.filter(({ half }) => half.verdict === 'deny');
    const rest = denied.reduce((it, { packets }) => this.#space.minus(it, packets), own.packets);
    return [...denied, ...this.#rest(rest, own.half)];
  }

  /** Decides part of the rest, and returns what is left. */
  #take(decided: Decided[], rest: number, part: number, half: Half): number {
    decided.push(...this.#rest(this.#space.and(rest, part), half));
    return this.#space.minus(rest, part);
  }

  #encapsulation(settings: PodSettings | undefined): number {
    if (!settings) return 0;
    const { closedVxlanPort: port, ipipClosed } = settings;
    const vxlan = port === undefined ? 0 : this.#ofPort(PROTOCOL_NUMBERS.udp, port);
    return ipipClosed ? this.#space.or(vxlan, this.#ipip) : vxlan;
  }

  #podIngress(judge: Judge, way: Way): Decided[] {
    const { main } = judge;
    const { all } = this.#space;
    if (way.sameNode) {
      if (way.sourceKind === 'host') return this.#rest(all, plain('allow'));
      return this.#podPolicy(judge, all, way);
    }
    if (!main) return this.#podPolicy(judge, all, way);
    const entered = this.#hostIngress(main, all, way, 'forward');
    const denied = entered.decided.filter(({ half }) => half.verdict === 'deny');
    const rest = denied.reduce((left, { packets }) => this.#space.minus(left, packets), all);
    return [...denied, ...this.#podPolicy(judge, rest, way)];
  }

  #podPolicy({ tiers, profiles }: Judge, packets: number, way: Way): Decided[] {
    const walked = this.#walkTiers(tiers, packets, way);
    return [...walked.decided, ...this.#finish(profiles, walked.rest, way)];
  }

  /** Profiles, and what none of them allows is denied. */
  #finish(profiles: readonly ProfileProgram[], packets: number, way: Way): Decided[] {
    const { decided, rest } = this.#walkProfiles(profiles, packets, way);
    return [...decided, ...this.#rest(rest, plain('deny'))];
  }

  #hostIngress(
    host: HostProgram,
    packets: number,
    way: Way,
    route: 'host' | 'forward' | 'workload',
  ): Walked {
    const failsafe = this.#space.and(packets, this.#failsafe(host, way.source));
    const untracked = this.#untracked(host, packets, failsafe, way.source, way);
    const preDnat = this.#walkPassing(
      host.preDnat,
      this.#space.minus(untracked.rest, failsafe),
      way,
    );
    const decided = [...untracked.decided, ...preDnat.decided];
    const rest = this.#space.or(failsafe, preDnat.rest);
    if (route === 'workload') return { decided, rest };
    if (route === 'forward') {
      const forward = this.#walkTiers(host.forward, rest, way);
      return { decided: [...decided, ...forward.decided], rest: forward.rest };
    }
    return { decided: [...decided, ...this.#normal(host, failsafe, rest, way)], rest: 0 };
  }

  #hostEgress(host: HostProgram, packets: number, way: Way, route: 'host' | 'forward'): Walked {
    if (route === 'forward') return this.#walkTiers(host.forward, packets, way);
    const failsafe = this.#space.and(packets, this.#failsafe(host, way.destination));
    const { decided, rest } = this.#untracked(host, packets, failsafe, way.destination, way);
    return { decided: [...decided, ...this.#normal(host, failsafe, rest, way)], rest: 0 };
  }

  /** Spares failsafe ports, and what may be their answers. */
  #untracked(host: HostProgram, packets: number, failsafe: number, remote: End, way: Way): Walked {
    if (host.untracked.length === 0) return { decided: [], rest: packets };
    const answers = this.#ofRemote(host.answers, remote, ({ protocol, port }) =>
      this.#of(protocol, { ...UNCONDITIONAL, sourcePorts: [[[port, port]]] }),
    );
    const spared = this.#space.and(packets, this.#space.or(failsafe, answers));
    const { decided, rest } = this.#walkPassing(
      host.untracked,
      this.#space.minus(packets, spared),
      way,
    );
    return { decided, rest: this.#space.or(spared, rest) };
  }

  #normal(host: HostProgram, failsafe: number, packets: number, way: Way): Decided[] {
    const decided = this.#rest(failsafe, plain('allow'));
    const walked = this.#walkTiers(host.normal, this.#space.minus(packets, failsafe), way);
    return [...decided, ...walked.decided, ...this.#finish(host.profiles, walked.rest, way)];
  }

  #failsafe({ failsafes }: HostProgram, remote: End): number {
    const ports = this.#ofRemote(failsafes, remote, ({ protocol, port }) =>
      this.#ofPort(protocol, port),
    );
    return remote.family === 6 ? this.#space.or(ports, this.#hostDiscovery) : ports;
  }

  #ofRemote(
    failsafes: readonly Failsafe[],
    remote: End,
    packetsOf: (failsafe: Failsafe) => number,
  ): number {
    return failsafes
      .filter(({ net }) => net === undefined || remote.atoms.has(net))
      .reduce((sum, failsafe) => this.#space.or(sum, packetsOf(failsafe)), 0);
  }

  /** Untracked and pre-DNAT tiers never deny by default. */
  #walkPassing(tiers: readonly TierProgram[], packets: number, way: Way): Walked {
    const passing = tiers.map((tier) => ({ ...tier, defaultAction: 'Pass' as const }));
    return this.#walkTiers(passing, packets, way);
  }

  #walkTiers(tiers: readonly TierProgram[], packets: number, way: Way): Walked {
    const decided: Decided[] = [];
    let rest = packets;
    for (const tier of tiers) {
      if (rest === 0) break;
      rest = this.#walkTier(tier, rest, way, decided);
    }
    return { decided, rest };
  }

  /** Returns what the tier passes on. */
  #walkTier(tier: TierProgram, packets: number, way: Way, decided: Decided[]): number {
    let rest = packets;
    let passed = 0;
    for (const { ref: policy, rules } of tier.policies) {
      for (const rule of rules) {
        if (rule.action === 'Log') continue;
        const matched = this.#space.and(rest, this.#matched(rule, way));
        if (matched === 0) continue;
        rest = this.#space.minus(rest, matched);
        if (rule.action === 'Pass') passed = this.#space.or(passed, matched);
        else {
          const verdict = rule.action === 'Allow' ? 'allow' : 'deny';
          const half = { verdict, tier: tier.name, policy, rule: rule.index } as const;
          decided.push({ half, packets: matched });
        }
        if (rest === 0) return passed;
      }
    }
    if (tier.defaultAction === 'Pass') return this.#space.or(passed, rest);
    decided.push(...this.#rest(rest, { ...plain('deny'), tier: tier.name }));
    return passed;
  }

  #walkProfiles(profiles: readonly ProfileProgram[], packets: number, way: Way): Walked {
    const decided: Decided[] = [];
    let rest = packets;
    for (const rules of profiles) {
      if (rules === 'missing') {
        return { decided: [...decided, ...this.#rest(rest, plain('deny'))], rest: 0 };
      }
      let passed = 0;
      for (const rule of rules) {
        if (rule.action === 'Log') continue;
        const matched = this.#matched(rule, way);
        if (rule.action === 'Pass') {
          passed = this.#space.or(passed, this.#space.and(rest, matched));
          rest = this.#space.minus(rest, matched);
          continue;
        }
        const half = plain(rule.action === 'Allow' ? 'allow' : 'deny');
        rest = this.#take(decided, rest, matched, half);
      }
      rest = this.#space.or(passed, rest);
    }
    return { decided, rest };
  }

  #matched(rule: SymbolicRule, way: Way): number {
    return this.#matcher.matches(rule, way.source, way.destination);
  }
}
