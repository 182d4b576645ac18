// The world that packets are judged in: every endpoint, policy and setting of a cluster, ready to ask.
import type { Profile, Resource } from '#api';
import { type Address, parseAddress } from '#lib';
import type { Direction } from './explanation.ts';
import { compileRules } from './rule-compilation.ts';
import type { MatchRule } from './rule-match.ts';
import { enforceStaged } from './staged-policies.ts';
import type { WalkProfile, WalkTier } from './tier-walk.ts';
import { type Host, type HostEndpointObject, readHosts, readPods } from './world-endpoints.ts';
import { readHostEndpoints, readNetworkSets, readProfiles } from './world-endpoints.ts';
import type { Workload } from './world-endpoints.ts';
import { AddressBook, addressKey, type LabelledObject } from './world-objects.ts';
import { PolicyTable, type Stage } from './world-policies.ts';
import { WorldError, type WorldProblem } from './world-problem.ts';
import { namespaceOf, resourcesByKind, type ResourcesByKind } from './world-resources.ts';
import { type HostSettings, hostSettings } from './world-settings.ts';

export type ProfileRules = Readonly<Record<Direction, readonly MatchRule[]>>;

export interface World {
  /** By `namespace/name`. */
  readonly workloads: ReadonlyMap<string, Workload>;
  /** Node name of each pod that uses its host's network, by `namespace/name`; empty if not scheduled. */
  readonly hostNetworked: ReadonlyMap<string, string>;
  readonly hosts: ReadonlyMap<string, Host>;
  readonly hostEndpoints: readonly HostEndpointObject[];
  /** Addresses that are translated on the way, by their key: whose they are, and whom to name in their place. */
  readonly translated: ReadonlyMap<string, string>;
  /** What is malformed and was left out, in the way that denies. */
  readonly problems: readonly WorldProblem[];
  /** The pod or host that has the address. */
  ownerOf(address: Address): Workload | Host | undefined;
  settingsOf(node: string | undefined): HostSettings;
  tiersFor(endpoint: LabelledObject, direction: Direction, stage: Stage): readonly WalkTier[];
  profilesFor(names: readonly string[], direction: Direction): WalkProfile[];
  /** The world with staged policies enforced; undefined where that changes nothing. Built when first asked for. */
  pending(): PendingWorld | undefined;
}

export interface PendingWorld {
  readonly world: World;
  /** Whether a policy applies that a staged one would add, replace or remove; the tiers are of either world. */
  concerns(tiers: readonly WalkTier[]): boolean;
}

/**
 * Builds a world from any mix of Kubernetes and Calico resources, in any order. Kinds that policy does not read
 * are left out; of two resources of one kind and name the later counts. Throws WorldError with every malformed
 * Calico policy or network set at once.
 */
export function buildWorld(resources: Iterable<Resource>): World {
  const table = resourcesByKind(resources);
  const problems: WorldProblem[] = [];
  const report = (problem: WorldProblem) => void problems.push(problem);
  const profiles = readProfiles(table);
  const hosts = readHosts(table, report);
  const { workloads, hostNetworked } = readPods(table, hosts, profiles, report);
  const hostEndpoints = readHostEndpoints(table, profiles);
  const book = new AddressBook();
  for (const workload of workloads.values()) book.addOwner(workload, workload.addresses);
  for (const endpoint of hostEndpoints) book.addOwner(endpoint, endpoint.addresses);
  for (const set of readNetworkSets(table, profiles, report)) book.addNetworkSet(set, set.nets);
  addSlices(table, book);
  const policies = new PolicyTable(table, book, report);
  const profileRules = compileProfiles(profiles, book, report);
  if (problems.some((problem) => problem.fatal)) {
    throw new WorldError(problems.filter((problem) => problem.fatal));
  }
  const owners = new Map<string, Workload | Host>();
  for (const owner of [...hosts.values(), ...workloads.values()]) {
    for (const address of owner.addresses) owners.set(addressKey(address), owner);
  }
  const world: World = {
    workloads,
    hostNetworked,
    hosts,
    hostEndpoints,
    translated: translatedAddresses(table, workloads.values()),
    problems,
    ownerOf: (address) => owners.get(addressKey(address)),
    settingsOf: remember((node) => hostSettings(table, node)),
    tiersFor: rememberTiers(policies),
    profilesFor: (names, direction) =>
      names.map((name) => ({ name, rules: profileRules.get(name)?.[direction] ?? 'missing' })),
    pending: once(() => pendingWorld(world, table, book)),
  };
  return world;
}

/** Only its policies differ. What is wrong with a staged policy is among the world's problems already. */
function pendingWorld(
  world: World,
  table: ResourcesByKind,
  book: AddressBook,
): PendingWorld | undefined {
  const staged = enforceStaged(table);
  if (!staged) return undefined;
  const policies = new PolicyTable(staged.resources, book, () => undefined);
  return {
    world: { ...world, tiersFor: rememberTiers(policies), pending: () => undefined },
    concerns: staged.concerns,
  };
}

/** Tells the book of every EndpointSlice and its service. */
export function addSlices(table: ResourcesByKind, book: AddressBook): void {
  for (const slice of table['discovery.k8s.io EndpointSlice']) {
    const service = slice.metadata.labels?.['kubernetes.io/service-name'];
    if (service !== undefined) book.addSlice(`${namespaceOf(slice)}/${service}`, slice);
  }
}

/** The rules of every profile, by its name. */
export function compileProfiles(
  profiles: ReadonlyMap<string, Profile>,
  book: AddressBook,
  report: (problem: WorldProblem) => void,
): Map<string, ProfileRules> {
  const compiled = [...profiles].map(([name, { spec }]) => {
    const compile = (direction: Direction) =>
      compileRules(spec?.[direction] ?? [], `spec.${direction}`, {
        book,
        namespace: undefined,
        report: (path, message) =>
          report({ resource: `Profile ${name}`, path, message, fatal: true }),
      });
    const rules = { ingress: compile('ingress'), egress: compile('egress') };
    return [name, rules] as const;
  });
  return new Map(compiled);
}

/** Of services and, where settings make use of them, the floating ones of pods. */
function translatedAddresses(
  table: ResourcesByKind,
  workloads: Iterable<Workload>,
): Map<string, string> {
  const found = new Map<string, string>();
  for (const { name, node, floating } of workloads) {
    if (floating.length === 0 || !hostSettings(table, node).floatingIPs) continue;
    const text = `a floating address of pod ${name}; name the pod`;
    for (const address of floating) found.set(addressKey(address), text);
  }
  for (const service of table['core Service']) {
    const { clusterIP = '', clusterIPs = [], externalIPs = [] } = service.spec ?? {};
    const name = `${namespaceOf(service)}/${service.metadata.name}`;
    for (const written of [clusterIP, ...clusterIPs, ...externalIPs]) {
      const address = parseAddress(written);
      const text = `the address of service ${name}; name one of the pods behind it`;
      if (address) found.set(addressKey(address), text);
    }
  }
  return found;
}

function once<V>(compute: () => V): () => V {
  let known: { readonly value: V } | undefined;
  return () => (known ??= { value: compute() }).value;
}

function remember<V>(compute: (key: string | undefined) => V): (key: string | undefined) => V {
  const known = new Map<string | undefined, V>();
  return (key) => {
    const value = known.get(key) ?? compute(key);
    known.set(key, value);
    return value;
  };
}

/** Which policies apply is asked for every packet and never changes. */
function rememberTiers(policies: PolicyTable): World['tiersFor'] {
  const known = new WeakMap<LabelledObject, Map<string, WalkTier[]>>();
  return (endpoint, direction, stage) => {
    const perStage = known.get(endpoint) ?? new Map<string, WalkTier[]>();
    known.set(endpoint, perStage);
    const key = `${direction} ${stage}`;
    const tiers = perStage.get(key) ?? policies.tiersFor(endpoint, direction, stage);
    perStage.set(key, tiers);
    return tiers;
  };
}
