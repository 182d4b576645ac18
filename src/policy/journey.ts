// A packet's way through the hosts of its two ends: which endpoints judge it there, and in what order.
import { type Address, parsePrefix, prefixContains } from '#lib';
import type { Direction, Half } from './explanation.ts';
import { PROTOCOL_NUMBERS, type Traffic } from './packet.ts';
import { type Place, placeHost, placeName } from './party.ts';
import { type HostPolicy, walkHostEgress, walkHostIngress } from './host-stages.ts';
import { type Decision, note, UNDECIDED } from './tier-walk.ts';
import { type Walk, walkProfiles, walkTiers } from './tier-walk.ts';
import { type Governors, governorsOf, wildcardEndpoint } from './host-governors.ts';
import type { World } from './world.ts';
import type { HostEndpointObject, Workload } from './world-endpoints.ts';
import type { Stage } from './world-policies.ts';
import { isFailsafe, isFailsafeAnswer } from './world-settings.ts';

export interface Journey {
  readonly world: World;
  readonly source: Place;
  readonly destination: Place;
  readonly traffic: Traffic;
  /** Says which of those who may govern an interface is asked; undefined is nobody. */
  readonly govern: (governors: Governors) => HostEndpointObject | undefined;
}

function half(decision: Decision): Half {
  const { tier, policy, rule } = decision;
  return { verdict: decision.verdict === 'deny' ? 'deny' : 'allow', tier, policy, rule };
}

const ALLOWED: Decision = { ...UNDECIDED, verdict: 'allow' };
const DENIED: Decision = { ...UNDECIDED, verdict: 'deny' };

function allowed(walk: Walk, reason: string): Decision {
  note(walk, null, 'allow', reason);
  return ALLOWED;
}

function denied(walk: Walk, reason: string): Decision {
  note(walk, null, 'deny', reason);
  return DENIED;
}

function isSameParty({ source, destination }: Journey): boolean {
  return placeName(source) === placeName(destination);
}

/** Whether both ends are on one known host. */
function isOnOneHost({ source, destination }: Journey): boolean {
  const host = placeHost(source);
  return host !== undefined && host === placeHost(destination);
}

/** What the source's side says. */
export function judgeEgress(journey: Journey, walk: Walk): Half {
  const { source } = journey;
  if (isSameParty(journey)) return half(allowed(walk, 'a party always reaches itself'));
  switch (source.type) {
    case 'outside':
      return half(
        allowed(walk, `${placeName(source)} is no pod or node of the cluster: no egress policy`),
      );
    case 'workload':
      return half(workloadEgress(journey, source.workload, walk));
    case 'host':
      return half(hostEgress(journey, source.host.name, walk));
  }
}

/** What the destination's side says. */
export function judgeIngress(journey: Journey, walk: Walk): Half {
  const { destination } = journey;
  if (isSameParty(journey)) return half(allowed(walk, 'a party always reaches itself'));
  switch (destination.type) {
    case 'outside':
      return half(
        allowed(
          walk,
          `${placeName(destination)} is no pod or node of the cluster: no ingress policy`,
        ),
      );
    case 'workload':
      return half(workloadIngress(journey, destination.workload, walk));
    case 'host':
      return half(hostIngress(journey, destination.host.name, walk));
  }
}

/** In the order of the pod's own host: what its `*` host endpoint sees, the pod's policy, the way out. */
function workloadEgress(journey: Journey, workload: Workload, walk: Walk): Decision {
  const { world, destination } = journey;
  const toOwnHost = isToOwnHost(journey, workload);
  const wildcard = wildcardEndpoint(world, workload.node);
  if (wildcard) {
    const policy = hostPolicy({ ...journey, endpoint: wildcard }, 'ingress');
    const route = toOwnHost ? 'workload-to-host' : 'forward';
    const entered = walkHostIngress({ ...policy, untracked: [] }, walk, walk, route);
    if (entered.verdict === 'deny') return entered;
  }
  const settings = world.settingsOf(workload.node);
  if (toOwnHost && isNeighbourDiscovery(journey.traffic)) {
    return allowed(walk, 'this ICMPv6 type from a pod to its host is always allowed');
  }
  const encapsulation = forbiddenEncapsulation(journey.traffic, settings);
  if (encapsulation !== undefined) return denied(walk, encapsulation);
  const own = workloadPolicy(journey, workload, walk);
  if (own.verdict === 'deny') return own;
  if (toOwnHost) {
    if (settings.endpointToHostAction !== 'Drop') return own;
    return denied(walk, 'defaultEndpointToHostAction is Drop: pods do not reach their own host');
  }
  if (destination.type === 'workload' && isOnOneHost(journey)) return own;
  const endpoint = governor(journey, workload.node);
  if (!endpoint) return own;
  const left = walkHostEgress(hostPolicy({ ...journey, endpoint }, 'egress'), walk, 'forward');
  return left.verdict === 'deny' ? left : own;
}

function isToOwnHost(journey: Journey, workload: Workload): boolean {
  const { destination, traffic } = journey;
  if (destination.type === 'host') return destination.host.name === workload.node;
  return destination.type === 'outside' && isLinkScoped(traffic.destination.address);
}

export const LINK_SCOPES = ['fe80::/10', 'ff02::/16'].flatMap((text) => parsePrefix(text) ?? []);

/** On a pod's link there is nobody but its host. */
function isLinkScoped(address: Address): boolean {
  return LINK_SCOPES.some((prefix) => prefixContains(prefix, address));
}

/**
 * ICMPv6 types of multicast listener and neighbour discovery, as far as pods send it (spec 02: ICMPv6 workload
 * bypass).
 */
export const NEIGHBOUR_DISCOVERY: readonly number[] = [130, 131, 132, 133, 135, 136];

function isNeighbourDiscovery({ protocol, icmp }: Traffic): boolean {
  return protocol === PROTOCOL_NUMBERS.icmpv6 && NEIGHBOUR_DISCOVERY.includes(icmp?.type ?? -1);
}

function forbiddenEncapsulation(
  traffic: Traffic,
  settings: ReturnType<World['settingsOf']>,
): string | undefined {
  const { protocol, destination } = traffic;
  if (protocol === 4 && !settings.allowIpipFromWorkloads) {
    return 'pods may not send IPIP: allowIPIPPacketsFromWorkloads is not set';
  }
  const isVxlan = protocol === PROTOCOL_NUMBERS.udp && destination.port === settings.vxlanPort;
  if (isVxlan && !settings.allowVxlanFromWorkloads) {
    return 'pods may not send VXLAN: allowVXLANPacketsFromWorkloads is not set';
  }
  return undefined;
}

/** The pod's own tiers and profiles. */
function workloadPolicy(journey: Journey, workload: Workload, walk: Walk): Decision {
  const { world } = journey;
  const decision = walkTiers(world.tiersFor(workload, walk.direction, 'normal'), walk);
  if (decision.verdict !== 'none') return decision;
  const byProfile = walkProfiles(world.profilesFor(workload.profiles, walk.direction), walk);
  if (byProfile.verdict !== 'none') return byProfile;
  return denied(walk, `neither policy nor profile of ${workload.name} allows it`);
}

function workloadIngress(journey: Journey, workload: Workload, walk: Walk): Decision {
  const { source } = journey;
  if (isOnOneHost(journey)) {
    if (source.type === 'host') return allowed(walk, 'a host always reaches its own pods');
    return workloadPolicy(journey, workload, walk);
  }
  const endpoint = governor(journey, workload.node);
  if (endpoint) {
    const policy = hostPolicy({ ...journey, endpoint }, 'ingress');
    const entered = walkHostIngress(policy, walk, walk, 'forward');
    if (entered.verdict === 'deny') return entered;
  }
  return workloadPolicy(journey, workload, walk);
}

function hostEgress(journey: Journey, node: string, walk: Walk): Decision {
  const { world, destination, traffic } = journey;
  if (destination.type === 'workload' && isOnOneHost(journey)) {
    return allowed(walk, 'a host always reaches its own pods');
  }
  const endpoint = governor(journey, node, traffic.source.address);
  if (!endpoint) return allowed(walk, noHostEndpoint(world, node, 'egress'));
  return walkHostEgress(hostPolicy({ ...journey, endpoint }, 'egress'), walk, 'host');
}

function hostIngress(journey: Journey, node: string, walk: Walk): Decision {
  const { world, source, traffic } = journey;
  if (source.type === 'workload' && isOnOneHost(journey)) {
    return allowed(walk, 'defaultEndpointToHostAction governs pods reaching their own host');
  }
  const endpoint = governor(journey, node, traffic.destination.address);
  if (!endpoint) return allowed(walk, noHostEndpoint(world, node, 'ingress'));
  return walkHostIngress(hostPolicy({ ...journey, endpoint }, 'ingress'), walk, walk, 'host');
}

function noHostEndpoint(world: World, node: string, direction: Direction): string {
  const some = world.hostEndpoints.some((it) => it.node === node);
  const what = some ? 'no host endpoint for the interface of this address' : 'no host endpoint';
  return `node ${node} has ${what}: no ${direction} policy`;
}

/** Of the interface with the address; without one, of that which joins the host to the others. */
function governor(
  { world, govern }: Journey,
  node: string | undefined,
  address?: Address,
): HostEndpointObject | undefined {
  return node === undefined ? undefined : govern(governorsOf(world, node, address));
}

/** A packet at a host endpoint. */
export interface HostPlace extends Pick<Journey, 'world' | 'traffic'> {
  readonly endpoint: HostEndpointObject;
}

/** The policy of a host endpoint in one direction. A `*` endpoint has no untracked policy (spec 10). */
export function hostPolicy(
  { world, traffic, endpoint }: HostPlace,
  direction: Direction,
): HostPolicy {
  const tiers = (stage: Stage) => world.tiersFor(endpoint, direction, stage);
  const settings = world.settingsOf(endpoint.node);
  return {
    name: endpoint.name,
    untracked: endpoint.interfaceName === '*' ? [] : tiers('untracked'),
    preDnat: direction === 'ingress' ? tiers('preDnat') : [],
    forward: tiers('forward'),
    normal: tiers('normal'),
    profiles: world.profilesFor(endpoint.profiles, direction),
    failsafe: isFailsafe(settings, direction, traffic),
    failsafeAnswer: isFailsafeAnswer(settings, direction, traffic),
  };
}
