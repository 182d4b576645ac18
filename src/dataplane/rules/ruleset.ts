// The whole desired state of the packet filter, computed anew from the state of the host. Pure.
import type {
  DataplaneState,
  Direction,
  EndpointTier,
  IpSet,
  LocalEndpoint,
} from '#calc/dataplane-update';
import { differences, PersistentMap } from '#lib';
import type { Chain } from './chain.ts';
import type { ClassMap } from './address-classes.ts';
import { type ClassNumbers, classNumbers } from './class-name.ts';
import { endpointChain, type EndpointContext } from './endpoint-chains.ts';
import { areAlike, type EndpointIndex, NO_ENDPOINTS, withEndpoints } from './endpoint-classes.ts';
import { hostChains, tiersOf } from './host-chains.ts';
import {
  type InterfaceAddress,
  type PlacedEndpoints,
  placeHostEndpoints,
} from './host-interfaces.ts';
import { LogPrefixes, type RuleHit } from './log-prefix.ts';
import { markBits, withMarks } from './mark.ts';
import { dispatchMapName, type HostStage } from './names.ts';
import { NAT_EXCLUDED, NAT_SOURCES, natChains } from './nat-chains.ts';
import { PolicyCache } from './policy-cache.ts';
import { TUNNEL_PEERS, tunnelChains } from './tunnel-chains.ts';
import { SERVICE_NETS, serviceLoopChains } from './service-loop-chains.ts';
import { staticChains } from './static-chains.ts';
import { TierPrograms } from './tier-programs.ts';
import type { VerdictMap } from './verdict-map.ts';

/** Something that is wrong with the state, or that the kernel refused. */
export interface ApplyError {
  readonly what: string;
  readonly message: string;
}

export interface Ruleset {
  /** By name. */
  readonly chains: ReadonlyMap<string, Chain>;
  /** By name of the map: interface name to chain name, of host endpoints. */
  readonly dispatch: ReadonlyMap<string, ReadonlyMap<string, string>>;
  /** Workloads' interfaces, with their classes. */
  readonly workloads: PersistentMap<string>;
  readonly classNumbers: ClassNumbers;
  /** By name of the map: class to chain name. */
  readonly classes: ReadonlyMap<string, ReadonlyMap<string, string>>;
  /** By name. */
  readonly maps: ReadonlyMap<string, VerdictMap>;
  /** By name. */
  readonly classMaps: PersistentMap<ClassMap>;
  /** By ID. */
  readonly ipSets: ReadonlyMap<string, IpSet>;
  /** Meaning of log prefixes. */
  readonly hits: ReadonlyMap<string, RuleHit>;
  readonly problems: readonly ApplyError[];
}

const DIRECTIONS: readonly Direction[] = ['ingress', 'egress'];
const HOST_STAGES: readonly HostStage[] = ['untracked', 'pre-dnat', 'forward', 'normal'];

/**
 * What is missing or ambiguous is reported and fails closed; the rest is not held up by it. `addresses` are
 * those of the host's interfaces, for host endpoints that name none. `cache` is of the former state.
 */
export function rulesetOf(
  state: DataplaneState,
  addresses: readonly InterfaceAddress[] = [],
  cache: PolicyCache = new PolicyCache(),
  index: EndpointIndex = indexOf(state),
): Ruleset {
  const prefixes = new LogPrefixes();
  const problems: ApplyError[] = [];
  const onProblem = (what: string, message: string) => problems.push({ what, message });
  const chains = new Map<string, Chain>();
  const add = (chain: Chain) => chains.set(chain.name, chain);

  for (const chain of staticChains(state, prefixes)) add(chain);
  tellConflicts(index, onProblem);
  const endpoints = [...index.classes].map(([name, { endpoint }]) => ({ name, endpoint }));
  const hosts = placeHostEndpoints(state.hostEndpoints, addresses, state.settings, onProblem);
  let ipSets = PersistentMap.from(state.ipSets);
  for (const [id, set] of hostSets(state)) ipSets = ipSets.with(id, set);
  const { denyAction, logPrefix, logRate } = state.settings;
  const programs = new TierPrograms(
    allTiers(
      endpoints.map((one) => one.endpoint),
      hosts,
    ),
    {
      policies: state.policies,
      settings: { ipSets, denyAction, kernelLog: { prefix: logPrefix, rate: logRate } },
      cache,
      prefixes,
      onProblem,
    },
  );
  const context: EndpointContext = { programs, onProblem };
  const classes = new Map<string, Map<string, string>>();
  for (const direction of DIRECTIONS) {
    const map = new Map<string, string>();
    for (const { name, endpoint } of endpoints) {
      const chain = endpointChain(name, endpoint, direction, context);
      add(chain);
      map.set(name, chain.name);
    }
    classes.set(dispatchMapName(direction), map);
  }
  const host = hostChains(hosts, state, context);
  const rest = [
    ...host.chains,
    ...tunnelChains(state),
    ...natChains(state, onProblem),
    ...serviceLoopChains(state.serviceLoopPrevention),
  ];
  for (const chain of rest) add(chain);
  for (const chain of programs.chains.values()) add(chain);
  cache.forgetUnused();
  const bits = markBits(state.settings.markMask);
  if (!bits) onProblem('nftablesMarkMask', 'has fewer than two bits: those of 0xffff0000 are used');
  return {
    chains: bits ? withMarks(chains, bits) : chains,
    dispatch: host.dispatch,
    workloads: index.places,
    classNumbers: classNumbers(index.classes.keys()),
    classes,
    maps: programs.maps,
    classMaps: PersistentMap.from(programs.classMaps),
    ipSets,
    hits: prefixes.hits,
    problems,
  };
}

/** What a state's rules are, and what it takes to say what the next state's are. */
export interface Rendering {
  readonly state: DataplaneState;
  readonly endpoints: EndpointIndex;
  readonly ruleset: Ruleset;
}

/** Parts of a state that chains and maps say. */
const SAID = [
  'policies',
  'hostEndpoints',
  'tunnels',
  'ipip',
  'natOutgoing',
  'serviceLoopPrevention',
  'endpointToHostAction',
  'settings',
] as const satisfies readonly (keyof DataplaneState)[];

/**
 * The ruleset of a state, as `rulesetOf` says. Where only workloads of known classes came and went, and IP sets of
 * which the rules do not say the members changed, it shares all else with the former ruleset, and costs what changed.
 * `before` is of the same addresses of the host.
 */
export function nextRendering(
  before: Rendering | undefined,
  state: DataplaneState,
  addresses: readonly InterfaceAddress[],
  cache: PolicyCache,
): Rendering {
  const was = before?.state.endpoints ?? new Map<string, LocalEndpoint>();
  const endpoints = withEndpoints(
    before?.endpoints ?? NO_ENDPOINTS,
    differences(was, state.endpoints),
  );
  const isSaid =
    before !== undefined &&
    SAID.every((part) => before.state[part] === state[part]) &&
    areAlike(before.endpoints, endpoints);
  const sets = isSaid ? changedSets(before, state, cache) : undefined;
  const ruleset =
    isSaid && sets
      ? { ...before.ruleset, ...sets, workloads: endpoints.places }
      : rulesetOf(state, addresses, cache, endpoints);
  return { state, endpoints, ruleset };
}

/** What says members; undefined where rules would be others with those that changed. */
function changedSets(
  { ruleset, state: before }: Rendering,
  after: DataplaneState,
  cache: PolicyCache,
): Pick<Ruleset, 'ipSets' | 'classMaps'> | undefined {
  let ipSets = PersistentMap.from(ruleset.ipSets);
  const changed: string[] = [];
  for (const { key, after: set } of differences(before.ipSets, after.ipSets)) {
    if (HOST_SETS.has(key)) return undefined;
    changed.push(key);
    ipSets = set ? ipSets.with(key, set) : ipSets.without(key);
  }
  const maps = cache.afterSets(changed, (id) => ipSets.get(id));
  if (!maps) return undefined;
  let { classMaps } = ruleset;
  for (const map of maps) classMaps = classMaps.with(map.name, map);
  return { ipSets, classMaps };
}

const HOST_SETS: ReadonlySet<string> = new Set([
  TUNNEL_PEERS,
  NAT_SOURCES,
  NAT_EXCLUDED,
  SERVICE_NETS,
]);

/** Sets that no policy has asked for. */
function hostSets(state: DataplaneState): Map<string, IpSet> {
  const { tunnels, ipip, natOutgoing, serviceLoopPrevention, settings } = state;
  const ends = tunnels.flatMap(({ peers }) => peers.map(({ underlay }) => underlay));
  const addresses = [...new Set([...ends, ...(ipip?.peers ?? [])])];
  const sets: readonly (readonly [id: string, members: readonly string[]])[] = [
    [TUNNEL_PEERS, [...addresses, ...settings.externalNodes]],
    [NAT_SOURCES, natOutgoing.sources],
    [NAT_EXCLUDED, natOutgoing.excluded],
    [SERVICE_NETS, serviceLoopPrevention.nets],
  ];
  return new Map(sets.map(([id, members]) => [id, { id, type: 'net', members: new Set(members) }]));
}

function indexOf({ endpoints }: DataplaneState): EndpointIndex {
  return withEndpoints(NO_ENDPOINTS, differences(new Map<string, LocalEndpoint>(), endpoints));
}

/** Of endpoints that claim one interface the first by ID has it. */
function tellConflicts(
  { contested }: EndpointIndex,
  onProblem: (what: string, message: string) => void,
): void {
  for (const [interfaceName, [holder, ...others]] of contested) {
    const name = JSON.stringify(interfaceName);
    for (const { id } of others) {
      onProblem(id, `cannot use interface ${name}: endpoint ${holder?.id ?? ''} has it`);
    }
  }
}

function allTiers(
  endpoints: readonly LocalEndpoint[],
  hosts: PlacedEndpoints,
): Record<Direction, EndpointTier[]> {
  const of = (direction: Direction) => [
    ...endpoints.flatMap((endpoint) => endpoint[direction]),
    ...[...hosts.values()].flatMap((host) =>
      HOST_STAGES.flatMap((stage) => tiersOf(host, stage, direction)),
    ),
  ];
  return { ingress: of('ingress'), egress: of('egress') };
}
