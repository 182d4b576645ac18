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
import { endpointChain, type EndpointContext } from './endpoint-chains.ts';
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
  /** By name of the map: interface name to chain name. */
  readonly dispatch: ReadonlyMap<string, ReadonlyMap<string, string>>;
  /** By name. */
  readonly maps: ReadonlyMap<string, VerdictMap>;
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
): Ruleset {
  const prefixes = new LogPrefixes();
  const problems: ApplyError[] = [];
  const onProblem = (what: string, message: string) => problems.push({ what, message });
  const chains = new Map<string, Chain>();
  const add = (chain: Chain) => chains.set(chain.name, chain);

  for (const chain of staticChains(state, prefixes)) add(chain);
  const endpoints = endpointsByInterface(state, onProblem);
  const hosts = placeHostEndpoints(state.hostEndpoints, addresses, state.settings, onProblem);
  let ipSets = PersistentMap.from(state.ipSets);
  for (const [id, set] of hostSets(state)) ipSets = ipSets.with(id, set);
  const { denyAction, logPrefix, logRate } = state.settings;
  const programs = new TierPrograms(allTiers(endpoints, hosts), {
    policies: state.policies,
    settings: { ipSets, denyAction, kernelLog: { prefix: logPrefix, rate: logRate } },
    cache,
    prefixes,
    onProblem,
  });
  const context: EndpointContext = { programs, onProblem };
  const dispatch = new Map<string, Map<string, string>>();
  for (const direction of DIRECTIONS) {
    const map = new Map<string, string>();
    for (const endpoint of endpoints) {
      const chain = endpointChain(endpoint, direction, context);
      add(chain);
      map.set(endpoint.interfaceName, chain.name);
    }
    dispatch.set(dispatchMapName(direction), map);
  }
  const host = hostChains(hosts, state, context);
  const rest = [
    ...host.chains,
    ...tunnelChains(state.tunnels),
    ...natChains(state, onProblem),
    ...serviceLoopChains(state.serviceLoopPrevention),
  ];
  for (const chain of rest) add(chain);
  for (const [name, map] of host.dispatch) dispatch.set(name, new Map(map));
  for (const chain of programs.chains.values()) add(chain);
  cache.forgetUnused();
  const bits = markBits(state.settings.markMask);
  if (!bits) onProblem('nftablesMarkMask', 'has fewer than two bits: those of 0xffff0000 are used');
  return {
    chains: bits ? withMarks(chains, bits) : chains,
    dispatch,
    maps: programs.maps,
    ipSets,
    hits: prefixes.hits,
    problems,
  };
}

/**
 * The ruleset of a state that differs from the former one in IP sets alone of which the rules do not say the members;
 * undefined where more differs. It shares all else with the former ruleset, at the cost of the sets that changed.
 */
export function withIpSets(
  ruleset: Ruleset,
  before: DataplaneState,
  after: DataplaneState,
  cache: PolicyCache,
): Ruleset | undefined {
  const { ipSets: _, ...rest } = after;
  const isSame = Object.entries(rest).every(
    ([field, value]) => before[field as keyof DataplaneState] === value,
  );
  if (!isSame) return undefined;
  let ipSets = PersistentMap.from(ruleset.ipSets);
  for (const { key, after: set } of differences(before.ipSets, after.ipSets)) {
    if (HOST_SETS.has(key) || !cache.saysTheSame(key, set)) return undefined;
    ipSets = set ? ipSets.with(key, set) : ipSets.without(key);
  }
  return { ...ruleset, ipSets };
}

const HOST_SETS: ReadonlySet<string> = new Set([
  TUNNEL_PEERS,
  NAT_SOURCES,
  NAT_EXCLUDED,
  SERVICE_NETS,
]);

/** Sets that no policy has asked for. */
function hostSets(state: DataplaneState): Map<string, IpSet> {
  const { tunnels, natOutgoing, serviceLoopPrevention, settings } = state;
  const addresses = tunnels.flatMap(({ peers }) => peers.map(({ underlay }) => underlay));
  const sets: readonly (readonly [id: string, members: readonly string[]])[] = [
    [TUNNEL_PEERS, [...addresses, ...settings.externalNodes]],
    [NAT_SOURCES, natOutgoing.sources],
    [NAT_EXCLUDED, natOutgoing.excluded],
    [SERVICE_NETS, serviceLoopPrevention.nets],
  ];
  return new Map(sets.map(([id, members]) => [id, { id, type: 'net', members: new Set(members) }]));
}

/** Of two endpoints that claim one interface the first by ID has it. */
function endpointsByInterface(
  state: DataplaneState,
  onProblem: (what: string, message: string) => void,
): LocalEndpoint[] {
  const byInterface = new Map<string, LocalEndpoint>();
  for (const id of [...state.endpoints.keys()].toSorted()) {
    const endpoint = state.endpoints.get(id);
    if (!endpoint) continue;
    const holder = byInterface.get(endpoint.interfaceName);
    if (holder) {
      const name = JSON.stringify(endpoint.interfaceName);
      onProblem(id, `cannot use interface ${name}: endpoint ${holder.id} has it`);
    } else {
      byInterface.set(endpoint.interfaceName, endpoint);
    }
  }
  return [...byInterface.values()];
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
