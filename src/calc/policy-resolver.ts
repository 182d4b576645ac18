// Which policies apply to this host's endpoints, kept while endpoints, policies and tiers change.
import { jsonEqual } from '#lib';
import type { Selector } from '#selector';
import { type HostEndpoint, type LocalEndpoint, policyKey } from './dataplane-update.ts';
import { LabelIndex } from './labels/label-index.ts';
import { MigrationBook, namesWorkload } from './migration-book.ts';
import type { HostInterface, Labels, MigrationSource, TierSource, Workload } from './model.ts';
import { TierOrder } from './policy-order.ts';
import { type AppliedPolicy, hostTiers, workloadTiers } from './resolved-tiers.ts';
import { SnapshotMap } from './snapshot-map.ts';

/** A policy that may come to apply. */
export interface SelectingPolicy extends AppliedPolicy {
  readonly selector: Selector;
}

interface PolicyEntry {
  policy: SelectingPolicy;
  readonly endpoints: Set<EndpointEntry>;
}

/** The endpoints that a migration's selector makes its targets. */
interface TargetEntry {
  readonly migration: string;
  readonly endpoints: Set<EndpointEntry>;
}

type LocalObject =
  | { readonly kind: 'workload'; readonly object: Workload }
  | { readonly kind: 'host'; readonly object: HostInterface };

interface EndpointEntry {
  readonly key: string;
  local: LocalObject;
  readonly matches: Set<PolicyEntry>;
  readonly targetOf: Set<TargetEntry>;
  /** As of the last time; nearly sorted is quickly sorted. */
  order: PolicyEntry[];
  /** Keys of the policies and profiles that its last result names. */
  uses: ReadonlySet<string>;
}

/** Told which policies and profiles (by `policyKey`) endpoints begin and cease to use. */
export interface UseListener {
  onUse(key: string): void;
  onUnuse(key: string): void;
}

/** What endpoints may do beyond policy. */
export interface EndpointOptions {
  readonly allowedSources: boolean;
  readonly floatingAddresses: boolean;
}

const NO_USES: ReadonlySet<string> = new Set();

export class PolicyResolver {
  readonly #listener: UseListener;
  readonly #tiers = new TierOrder();
  readonly #policies = new Map<string, PolicyEntry>();
  readonly #migrations = new MigrationBook();
  readonly #targets = new Map<string, TargetEntry>();
  readonly #entries = new Map<string, EndpointEntry>();
  readonly #unresolved = new Set<EndpointEntry>();
  readonly #workloads = new SnapshotMap<LocalEndpoint>(jsonEqual);
  readonly #hosts = new SnapshotMap<HostEndpoint>(jsonEqual);
  #options: EndpointOptions = { allowedSources: false, floatingAddresses: false };
  readonly #index = new LabelIndex<PolicyEntry | TargetEntry, Workload | HostInterface>({
    onMatch: (selecting, _, key) => this.#match(selecting, key),
    onMismatch: (selecting, _, key) => this.#mismatch(selecting, key),
    onReplace: () => undefined,
  });

  constructor(listener: UseListener) {
    this.#listener = listener;
  }

  setProfile(name: string, labels: Labels | undefined): void {
    this.#index.setProfile(name, labels);
  }

  setTier(name: string, tier: TierSource | undefined): void {
    if (!this.#tiers.setTier(name, tier)) return;
    for (const entry of this.#entries.values()) {
      if (entry.order.some(({ policy }) => policy.tier === name)) this.#unresolved.add(entry);
    }
  }

  setOptions(options: EndpointOptions): void {
    if (jsonEqual(this.#options, options)) return;
    this.#options = options;
    for (const entry of this.#entries.values()) this.#unresolved.add(entry);
  }

  setPolicy(key: string, policy: SelectingPolicy | undefined): void {
    const entry = this.#policies.get(key);
    if (entry && policy && entry.policy.selector.text === policy.selector.text) {
      const before = entry.policy;
      entry.policy = policy;
      if (isPlacedAs(before, policy)) return;
      for (const endpoint of entry.endpoints) this.#unresolved.add(endpoint);
      return;
    }
    if (entry) {
      this.#index.deleteSelector(key);
      for (const endpoint of entry.endpoints) {
        endpoint.matches.delete(entry);
        this.#unresolved.add(endpoint);
      }
      this.#policies.delete(key);
    }
    if (!policy) return;
    const added: PolicyEntry = { policy, endpoints: new Set() };
    this.#policies.set(key, added);
    this.#index.addSelector({ id: key, selector: policy.selector, data: added });
  }

  setMigration(key: string, migration: MigrationSource | undefined): void {
    const before = this.#migrations.get(key);
    this.#migrations.set(key, migration);
    for (const entry of this.#entries.values()) {
      const { kind, object } = entry.local;
      if (kind !== 'workload') continue;
      const isNamed = [before, migration].some((it) => it && namesWorkload(it, object));
      if (isNamed) this.#unresolved.add(entry);
    }
    const selector = migration?.targetSelector;
    if (before?.targetSelector?.text === selector?.text) return;
    const id = `migration ${key}`;
    this.#index.deleteSelector(id);
    const known = this.#targets.get(key);
    for (const endpoint of known?.endpoints ?? []) {
      if (known) endpoint.targetOf.delete(known);
      this.#unresolved.add(endpoint);
    }
    this.#targets.delete(key);
    if (!selector) return;
    const added: TargetEntry = { migration: key, endpoints: new Set() };
    this.#targets.set(key, added);
    this.#index.addSelector({ id, selector, data: added });
  }

  /** Sets a workload of this host, or takes it away. */
  setWorkload(id: string, object: Workload | undefined): void {
    this.#setLocal(`workload ${id}`, object && { kind: 'workload', object });
  }

  /** Sets a host endpoint of this host, or takes it away. */
  setHostInterface(id: string, object: HostInterface | undefined): void {
    this.#setLocal(`host ${id}`, object && { kind: 'host', object });
  }

  /** Works out anew what has changed. */
  settle(): void {
    for (const entry of this.#unresolved) this.#resolve(entry);
    this.#unresolved.clear();
  }

  workloads(): ReadonlyMap<string, LocalEndpoint> {
    return this.#workloads.snapshot();
  }

  hosts(): ReadonlyMap<string, HostEndpoint> {
    return this.#hosts.snapshot();
  }

  #setLocal(key: string, local: LocalObject | undefined): void {
    const entry = this.#entries.get(key);
    if (local && entry) entry.local = local;
    else if (local) {
      this.#entries.set(key, {
        key,
        local,
        matches: new Set(),
        targetOf: new Set(),
        order: [],
        uses: NO_USES,
      });
    }
    this.#index.setObject(key, local?.object);
    if (local) {
      const present = this.#entries.get(key);
      if (present) this.#unresolved.add(present);
    } else if (entry) this.#remove(entry);
  }

  #remove(entry: EndpointEntry): void {
    this.#entries.delete(entry.key);
    this.#unresolved.delete(entry);
    const { kind, object } = entry.local;
    if (kind === 'workload') this.#workloads.delete(object.id);
    else this.#hosts.delete(object.id);
    for (const key of entry.uses) this.#listener.onUnuse(key);
  }

  #match(selecting: PolicyEntry | TargetEntry, key: string): void {
    const entry = this.#entries.get(key);
    if (!entry) return;
    selecting.endpoints.add(entry);
    if ('migration' in selecting) entry.targetOf.add(selecting);
    else entry.matches.add(selecting);
    this.#unresolved.add(entry);
  }

  #mismatch(selecting: PolicyEntry | TargetEntry, key: string): void {
    const entry = this.#entries.get(key);
    if (!entry) return;
    selecting.endpoints.delete(entry);
    if ('migration' in selecting) entry.targetOf.delete(selecting);
    else entry.matches.delete(selecting);
    this.#unresolved.add(entry);
  }

  #resolve(entry: EndpointEntry): void {
    const known = new Set(entry.order);
    entry.order = entry.order.filter((policy) => entry.matches.has(policy));
    for (const policy of entry.matches) if (!known.has(policy)) entry.order.push(policy);
    entry.order.sort((a, b) => this.#tiers.compare(a.policy, b.policy));
    const policies = entry.order.map(({ policy }) => policy);
    const { local } = entry;
    const profiles = local.object.profiles.map(profileKey);
    const uses =
      local.kind === 'workload'
        ? this.#resolveWorkload(local.object, entry.targetOf.size > 0, policies, profiles)
        : this.#resolveHost(local.object, policies, profiles);
    for (const key of uses) if (!entry.uses.has(key)) this.#listener.onUse(key);
    for (const key of entry.uses) if (!uses.has(key)) this.#listener.onUnuse(key);
    entry.uses = uses;
  }

  #resolveWorkload(
    object: Workload,
    isTarget: boolean,
    policies: readonly AppliedPolicy[],
    profiles: readonly string[],
  ): ReadonlySet<string> {
    const tiers = workloadTiers(policies, this.#tiers);
    const migration = isTarget ? 'target' : this.#migrations.roleOf(object);
    this.#workloads.set(object.id, {
      id: object.id,
      interfaceName: object.interfaceName,
      addresses: object.members,
      allowedSources: this.#options.allowedSources ? object.allowedSources : [],
      floatingAddresses: this.#options.floatingAddresses ? object.floatingAddresses : [],
      ...tiers,
      profiles,
      ...(migration && { migration }),
    });
    return usesOf(profiles, tiers.ingress, tiers.egress);
  }

  #resolveHost(
    object: HostInterface,
    policies: readonly AppliedPolicy[],
    profiles: readonly string[],
  ): ReadonlySet<string> {
    const stages = hostTiers(policies, this.#tiers, object.interfaceName === '*');
    const { untracked, preDnat, forward, normal } = stages;
    this.#hosts.set(object.id, {
      id: object.id,
      interfaceName: object.interfaceName,
      addresses: object.members.map((prefix) => prefix.slice(0, prefix.indexOf('/'))),
      ...stages,
      profiles,
    });
    const both = [untracked, forward, normal].flatMap(({ ingress, egress }) => [ingress, egress]);
    return usesOf(profiles, preDnat, ...both);
  }
}

/** Whether it applies to endpoints as the other one did. */
function isPlacedAs(before: SelectingPolicy, after: SelectingPolicy): boolean {
  return (
    before.tier === after.tier &&
    before.order === after.order &&
    before.stage === after.stage &&
    before.onForward === after.onForward &&
    before.directions.length === after.directions.length &&
    before.directions.every((direction) => after.directions.includes(direction))
  );
}

export function profileKey(name: string): string {
  return policyKey({ kind: 'Profile', namespace: null, name });
}

function usesOf(
  profiles: readonly string[],
  ...lists: readonly LocalEndpoint['ingress'][]
): ReadonlySet<string> {
  const uses = new Set(profiles);
  for (const tiers of lists) {
    for (const { policies } of tiers) for (const key of policies) uses.add(key);
  }
  return uses;
}
