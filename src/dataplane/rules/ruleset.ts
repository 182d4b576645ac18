// The whole desired state of the packet filter, computed anew from the state of the host. Pure.
import type {
  DataplanePolicy,
  DataplaneState,
  Direction,
  IpSet,
  LocalEndpoint,
} from '#calc/dataplane-update';
import type { Chain } from './chain.ts';
import { endpointChains } from './endpoint-chains.ts';
import { hostChains, TUNNEL_PEERS, tiersOf } from './host-chains.ts';
import {
  type InterfaceAddress,
  type PlacedEndpoints,
  placeHostEndpoints,
} from './host-interfaces.ts';
import { LogPrefixes, type RuleHit } from './log-prefix.ts';
import { dispatchMapName, type HostStage } from './names.ts';
import { NAT_EXCLUDED, NAT_SOURCES, natChains } from './nat-chains.ts';
import { policyChain } from './policy-chains.ts';
import { SERVICE_NETS, serviceLoopChains } from './service-loop-chains.ts';
import { staticChains } from './static-chains.ts';

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
 * those of the host's interfaces, for host endpoints that name none.
 */
export function rulesetOf(
  state: DataplaneState,
  addresses: readonly InterfaceAddress[] = [],
): Ruleset {
  const prefixes = new LogPrefixes();
  const problems: ApplyError[] = [];
  const onProblem = (what: string, message: string) => problems.push({ what, message });
  const chains = new Map<string, Chain>();
  const add = (chain: Chain) => chains.set(chain.name, chain);

  for (const chain of staticChains(state, prefixes)) add(chain);
  const endpoints = endpointsByInterface(state, onProblem);
  const hosts = placeHostEndpoints(state.hostEndpoints, addresses, onProblem);
  const ipSets = new Map([...state.ipSets, ...hostSets(state)]);
  const dispatch = new Map<string, Map<string, string>>();
  for (const direction of DIRECTIONS) {
    const used = usedPolicies(endpoints, hosts, direction, state.policies);
    for (const policy of used) {
      add(policyChain(policy, direction, { ipSets, prefixes, onProblem }));
    }
    const map = new Map<string, string>();
    for (const endpoint of endpoints) {
      const context = { policies: state.policies, prefixes, onProblem };
      const rendered = endpointChains(endpoint, direction, context);
      for (const tier of rendered.tiers) add(tier);
      add(rendered.endpoint);
      map.set(endpoint.interfaceName, rendered.endpoint.name);
    }
    dispatch.set(dispatchMapName(direction), map);
  }
  const host = hostChains(hosts, state, { policies: state.policies, prefixes, onProblem });
  const rest = [
    ...host.chains,
    ...natChains(state, onProblem),
    ...serviceLoopChains(state.serviceLoopPrevention),
  ];
  for (const chain of rest) add(chain);
  for (const [name, map] of host.dispatch) dispatch.set(name, new Map(map));
  return { chains, dispatch, ipSets, hits: prefixes.hits, problems };
}

/** Sets that no policy has asked for. */
function hostSets(state: DataplaneState): Map<string, IpSet> {
  const { tunnels, natOutgoing, serviceLoopPrevention } = state;
  const addresses = tunnels.flatMap(({ peers }) => peers.map(({ underlay }) => underlay));
  const sets: readonly (readonly [id: string, members: readonly string[]])[] = [
    [TUNNEL_PEERS, addresses],
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

function usedPolicies(
  endpoints: readonly LocalEndpoint[],
  hosts: PlacedEndpoints,
  direction: Direction,
  policies: ReadonlyMap<string, DataplanePolicy>,
): DataplanePolicy[] {
  const keys = new Set<string>();
  for (const endpoint of endpoints) {
    for (const tier of endpoint[direction]) for (const key of tier.policies) keys.add(key);
    for (const key of endpoint.profiles) keys.add(key);
  }
  for (const host of hosts.values()) {
    const tiers = HOST_STAGES.flatMap((stage) => tiersOf(host, stage, direction));
    for (const tier of tiers) for (const key of tier.policies) keys.add(key);
    for (const key of host.profiles) keys.add(key);
  }
  return [...keys].toSorted().flatMap((key) => policies.get(key) ?? []);
}
