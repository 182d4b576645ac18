// A packet through a node that is neither of its ends: what the host endpoints of the way in and of the way out say.
import type { Half } from './explanation.ts';
import { walkHostEgress, walkHostIngress } from './host-stages.ts';
import { type HostPlace, hostPolicy, interfaceEndpoint } from './journey.ts';
import { PartyError, type Place, placeHost } from './party.ts';
import type { Transit, Traffic } from './packet.ts';
import { type Decision, note, type Walk } from './tier-walk.ts';
import type { World } from './world.ts';

/** Throws PartyError where there is no such node, or where an end is on it. */
export function checkTransit(world: World, transit: Transit, ends: readonly Place[]): void {
  if (!world.hosts.has(transit.node)) {
    throw new PartyError(`Cannot find node ${JSON.stringify(transit.node)} to pass through`);
  }
  if (ends.some((end) => placeHost(end) === transit.node)) {
    const node = `node ${transit.node}`;
    throw new PartyError(
      `Cannot pass through ${node}: an end of the packet is on it; leave it out`,
    );
  }
}

/** Both halves. Into the node come untracked, pre-DNAT and forward policy, out of it forward policy. */
export function judgeTransit(
  { world, traffic }: { readonly world: World; readonly traffic: Traffic },
  transit: Transit,
  walks: { readonly egress: Walk; readonly ingress: Walk },
): { readonly egress: Half; readonly ingress: Half } {
  const at = (interfaceName: string): HostPlace | undefined => {
    const endpoint = interfaceEndpoint(world, transit.node, interfaceName);
    return endpoint && { world, traffic, endpoint };
  };
  const [inside, outside] = [at(transit.in), at(transit.out)];
  const free = (walk: Walk, interfaceName: string) =>
    note(walk, null, 'allow', `${transit.node} has no host endpoint on ${interfaceName}`);
  if (!inside) free(walks.ingress, transit.in);
  if (!outside) free(walks.egress, transit.out);
  return {
    ingress: half(
      inside &&
        walkHostIngress(hostPolicy(inside, 'ingress'), walks.ingress, walks.ingress, 'forward'),
    ),
    egress: half(outside && walkHostEgress(hostPolicy(outside, 'egress'), walks.egress, 'forward')),
  };
}

function half(decision: Decision | undefined): Half {
  const { verdict = 'none', tier = null, policy = null, rule = -1 } = decision ?? {};
  return { verdict: verdict === 'deny' ? 'deny' : 'allow', tier, policy, rule };
}
