// A packet through a node that is neither of its ends: what the host endpoints of the way in and of the way out say.
import type { Half } from './explanation.ts';
import { walkHostEgress, walkHostIngress } from './host-stages.ts';
import { governorsOf } from './host-governors.ts';
import { hostPolicy, type Journey } from './journey.ts';
import { PartyError, type Place, placeHost } from './party.ts';
import type { Transit } from './packet.ts';
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

/** Into the node, `ingress`, come untracked, pre-DNAT and forward policy, out of it forward policy. */
export function judgeTransit(
  { world, traffic, govern }: Pick<Journey, 'world' | 'traffic' | 'govern'>,
  transit: Transit,
  walk: Walk,
): Half {
  const interfaceName = walk.direction === 'ingress' ? transit.in : transit.out;
  const endpoint = govern(governorsOf(world, transit.node, interfaceName));
  if (!endpoint) {
    note(walk, null, 'allow', `${transit.node} has no host endpoint on ${interfaceName}`);
    return half(undefined);
  }
  const policy = hostPolicy({ world, traffic, endpoint }, walk.direction);
  return half(
    walk.direction === 'ingress'
      ? walkHostIngress(policy, walk, walk, 'forward')
      : walkHostEgress(policy, walk, 'forward'),
  );
}

function half(decision: Decision | undefined): Half {
  const { verdict = 'none', tier = null, policy = null, rule = -1 } = decision ?? {};
  return { verdict: verdict === 'deny' ? 'deny' : 'allow', tier, policy, rule };
}
