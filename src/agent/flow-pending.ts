// What would become of a connection if the staged policies were enforced (spec 12: pending policies).
import { BUILT_IN_TIERS, type Resource, type Tier } from '#api';
import {
  type DataplaneState,
  type EndpointTier,
  parsePolicyKey,
  policyKey,
  type PolicyId,
} from '#calc/dataplane-update';
import type { SyncerUpdate } from '#datastore/syncer';
import { connectionKey, type ConnectionReport, type PolicyHit, type PolicyTrigger } from '#flows';
import { type JudgedPacket, packetOf, ruleMatches } from './flow-rule-match.ts';

/** What is staged for: kinds of staged policies, and of those that they replace. */
const REPLACES: ReadonlyMap<string, PolicyId['kind']> = new Map([
  ['StagedNetworkPolicy', 'NetworkPolicy'],
  ['StagedGlobalNetworkPolicy', 'GlobalNetworkPolicy'],
  ['StagedKubernetesNetworkPolicy', 'KubernetesNetworkPolicy'],
]);

/** Whose policy decides: a workload, or a host endpoint for what is its host's own. */
interface Judge {
  readonly ingress: readonly EndpointTier[];
  readonly egress: readonly EndpointTier[];
  readonly profiles: readonly string[];
}

/** Connections whose first trace is remembered. */
const FIRST_MAX = 65_536;

type TierDefault = 'Deny' | 'Pass';

/**
 * Walks the desired state of this host as the kernel does, with staged policies in the place of those that
 * they replace. Decided anew at each report, unless it is fixed: policies and sets are those of now.
 */
export class PendingJudge {
  readonly #defaults = new Map<string, TierDefault>(
    BUILT_IN_TIERS.map(({ metadata, spec }) => [metadata.name, spec.defaultAction ?? 'Deny']),
  );
  /** What staged policies replace or remove, by the staged one's key. */
  readonly #replaced = new Map<string, string>();
  #gone: ReadonlySet<string> = new Set();
  /** Undefined is for tiers in which nothing is staged. */
  #prepared = new WeakMap<readonly EndpointTier[], { readonly tiers?: EndpointTier[] }>();
  #state: DataplaneState | undefined;
  #isFixed = false;
  /** First traces, while `setFixed`. */
  readonly #first = new Map<string, readonly PolicyHit[] | undefined>();
  readonly #judges = new Map<string, Judge>();
  /** How often staged policies were weighed, for flows that are new and for those that go on. */
  readonly evaluations = { new: 0, ongoing: 0 };

  /** Takes in tiers and staged policies; ignores the rest. */
  onUpdates(updates: readonly SyncerUpdate[]): void {
    for (const { kind, key, resource } of updates) {
      const replaces = REPLACES.get(kind.kind);
      if (kind.group !== 'projectcalico.org') continue;
      if (replaces) this.#setStaged(`${kind.kind} ${key}`, replaces, resource);
      else if (kind.kind === 'Tier') this.#setTier(key, resource as Tier | undefined);
    }
  }

  readonly #tierNames = new Map<string, string>();

  #setTier(key: string, tier: Tier | undefined): void {
    const name = tier?.metadata.name ?? this.#tierNames.get(key);
    if (name === undefined) return;
    if (tier) this.#tierNames.set(key, name);
    const builtIn = BUILT_IN_TIERS.find(({ metadata }) => metadata.name === name);
    const action = (tier ?? builtIn)?.spec.defaultAction ?? 'Deny';
    this.#defaults.set(name, action);
    this.#prepared = new WeakMap();
  }

  #setStaged(key: string, kind: PolicyId['kind'], resource: Resource | undefined): void {
    const { spec } = (resource ?? {}) as { spec?: { stagedAction?: string } };
    const action = spec?.stagedAction ?? 'Set';
    if (resource && (action === 'Set' || action === 'Delete')) {
      const { namespace = null, name } = resource.metadata;
      const scope = kind === 'GlobalNetworkPolicy' ? null : namespace;
      this.#replaced.set(key, policyKey({ kind, namespace: scope, name }));
    } else this.#replaced.delete(key);
    this.#gone = new Set(this.#replaced.values());
    this.#prepared = new WeakMap();
  }

  onState(state: DataplaneState): void {
    const before = this.#state;
    this.#state = state;
    const { endpoints, hostEndpoints } = state;
    if (before?.endpoints === endpoints && before.hostEndpoints === hostEndpoints) return;
    this.#judges.clear();
    for (const { addresses, normal, profiles } of hostEndpoints.values()) {
      for (const address of addresses) this.#judges.set(address, { ...normal, profiles });
    }
    for (const endpoint of endpoints.values()) {
      for (const prefix of endpoint.addresses) {
        this.#judges.set(prefix.split('/')[0] ?? prefix, endpoint);
      }
    }
  }

  /** Whether a connection keeps the trace that it had first (`flowLogsPolicyEvaluationMode: None`). */
  setFixed(isFixed: boolean): void {
    this.#isFixed = isFixed;
    if (!isFixed) this.#first.clear();
  }

  /** The trace; undefined where no staged policy concerns this end. */
  pendingOf(report: ConnectionReport): readonly PolicyHit[] | undefined {
    if (!this.#isFixed) return this.#judge(report);
    const key = `${report.direction} ${connectionKey(report.tuple)}`;
    const { live, completed } = report.connections;
    const isNew = report.previousTime === undefined || !this.#first.has(key);
    const trace = isNew ? this.#judge(report) : this.#first.get(key);
    if (live === 0 && completed > 0) this.#first.delete(key);
    else if (isNew) {
      if (this.#first.size >= FIRST_MAX) this.#first.clear();
      this.#first.set(key, trace);
    }
    return trace;
  }

  /** The first policy of a tier that the reporting end is under; enforced, or of those that are or are staged. */
  triggerOf(report: ConnectionReport, tier: string, staged: boolean): PolicyTrigger | undefined {
    const enforced = this.#judgeOf(report)?.[report.direction];
    const tiers = (staged && enforced && this.#tiersOf(enforced)) || enforced;
    const keys = tiers?.find(({ name }) => name === tier)?.policies ?? [];
    return keys.map(parsePolicyKey).find(({ kind }) => staged || !REPLACES.has(kind));
  }

  #judgeOf({ direction, tuple }: ConnectionReport): Judge | undefined {
    return this.#judges.get(direction === 'egress' ? tuple.source : tuple.destination);
  }

  #judge(report: ConnectionReport): PolicyHit[] | undefined {
    const { direction } = report;
    const judge = this.#judgeOf(report);
    const tiers = judge && this.#tiersOf(judge[direction]);
    const packet = tiers && packetOf(report);
    if (!judge || !tiers || !packet || !this.#state) return undefined;
    this.evaluations[report.previousTime === undefined ? 'new' : 'ongoing']++;
    const walk = new PendingWalk(this.#state, packet, report);
    return walk.run(tiers, judge.profiles);
  }

  #tiersOf(tiers: readonly EndpointTier[]): readonly EndpointTier[] | undefined {
    let prepared = this.#prepared.get(tiers);
    if (!prepared) {
      prepared = this.#prepare(tiers);
      this.#prepared.set(tiers, prepared);
    }
    return prepared.tiers;
  }

  #prepare(tiers: readonly EndpointTier[]): { tiers?: EndpointTier[] } {
    const isStaged = (key: string) => parsePolicyKey(key).kind.startsWith('Staged');
    const isConcerned = (key: string) => isStaged(key) || this.#gone.has(key);
    if (!tiers.some(({ policies }) => policies.some(isConcerned))) return {};
    const left = tiers.map(({ name, policies }) => ({
      name,
      defaultAction: this.#defaults.get(name) ?? 'Deny',
      policies: policies.filter((key) => !this.#gone.has(key)),
    }));
    return { tiers: left.filter(({ policies }) => policies.length > 0) };
  }
}

/** One way through policy. */
class PendingWalk {
  readonly #state: DataplaneState;
  readonly #packet: JudgedPacket;
  readonly #report: ConnectionReport;
  readonly #hits: PolicyHit[] = [];

  constructor(state: DataplaneState, packet: JudgedPacket, report: ConnectionReport) {
    this.#state = state;
    this.#packet = packet;
    this.#report = report;
  }

  run(tiers: readonly EndpointTier[], profiles: readonly string[]): PolicyHit[] {
    for (const tier of tiers) {
      if (this.#tier(tier) !== 'pass') return this.#hits;
    }
    for (const key of profiles) {
      const outcome = this.#policy(key, null);
      if (outcome === 'allow' || outcome === 'deny') return this.#hits;
    }
    this.#default(null, 'deny');
    return this.#hits;
  }

  #tier({ name, policies, defaultAction }: EndpointTier): PolicyHit['action'] {
    for (const key of policies) {
      const outcome = this.#policy(key, name);
      if (outcome !== undefined) return outcome;
    }
    return this.#default(name, defaultAction === 'Deny' ? 'deny' : 'pass');
  }

  #default(tier: string | null, action: PolicyHit['action']): PolicyHit['action'] {
    const { direction } = this.#report;
    const nobody = { kind: null, namespace: null, name: null };
    this.#hits.push({ direction, tier, ...nobody, rule: -1, action });
    return action;
  }

  /** Undefined where none of its rules fits. */
  #policy(key: string, tier: string | null): PolicyHit['action'] | undefined {
    const { direction, verdict } = this.#report;
    const policy = this.#state.policies.get(key);
    const { kind, namespace, name } = parsePolicyKey(key);
    const decide = (rule: number, action: PolicyHit['action']) => {
      this.#hits.push({ direction, tier, kind, namespace, name, rule, action });
      return action;
    };
    if (!policy) return decide(-2, 'deny');
    for (const rule of policy[direction]) {
      if (rule.action === 'Log') continue;
      const match = ruleMatches(rule, this.#packet, this.#state.ipSets);
      if (match === 'unknown') return decide(-2, verdict);
      if (match) return decide(rule.index, ACTIONS[rule.action]);
    }
    return undefined;
  }
}

const ACTIONS = { Allow: 'allow', Deny: 'deny', Pass: 'pass' } as const;
