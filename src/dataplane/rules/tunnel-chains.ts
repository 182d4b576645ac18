// Wrapped packets between this host and the others: from nobody else, and not for host endpoints to judge.
import type { DataplaneState, Direction, VxlanTunnel } from '#calc/dataplane-update';
import type { Family } from '#lib';
import { ACCEPT, COUNT, DROP } from './action.ts';
import type { Chain, Rule } from './chain.ts';
import type { Match } from './match.ts';
import { PRIORITY } from './static-chains.ts';

const IPIP = 4;
const UDP = 17;

/** ID of the set of the hosts that this one exchanges wrapped packets with. */
export const TUNNEL_PEERS = 'host:tunnel-peers';

type Tunnels = Pick<DataplaneState, 'tunnels' | 'ipip'>;

/** How wrapped packets are known, by the family of the packet outside. */
function wrappings({ tunnels, ipip }: Tunnels): { family: Family; matches: Match[] }[] {
  const all = tunnels.map((tunnel) => ({ family: tunnel.family, matches: wrapped(tunnel) }));
  if (!ipip) return all;
  const matches: Match[] = [
    { match: 'family', family: 4 },
    { match: 'protocol', protocols: [IPIP] },
  ];
  return [...all, { family: 4, matches }];
}

function wrapped({ family, port }: VxlanTunnel): Match[] {
  return [
    { match: 'family', family },
    { match: 'protocol', protocols: [UDP] },
    { match: 'ports', end: 'destination', ports: [[port, port]] },
  ];
}

/** For host endpoints: what is in the packets meets policy when it is unwrapped. */
export function peerRules(tunnels: Tunnels, direction: Direction): Rule[] {
  const end = direction === 'ingress' ? 'source' : 'destination';
  return wrappings(tunnels).map(({ family, matches }) => {
    const peer: Match = { match: 'ip-set', end, family, set: TUNNEL_PEERS };
    return { matches: [...matches, peer], actions: [ACCEPT] };
  });
}

/** What a stranger wraps would come out of the tunnel as if a node had sent it. */
export function tunnelChains(tunnels: Tunnels): Chain[] {
  const all = wrappings(tunnels);
  if (all.length === 0) return [];
  const rules = all.map(({ family, matches }): Rule => {
    const set = {
      match: 'ip-set',
      end: 'source',
      family,
      set: TUNNEL_PEERS,
      negated: true,
    } as const;
    return { matches: [...matches, set], actions: [COUNT, DROP] };
  });
  const hook = { point: 'input', priority: PRIORITY.BEFORE_WORKLOADS } as const;
  return [{ name: 'tunnel-strangers', hook, rules }];
}
