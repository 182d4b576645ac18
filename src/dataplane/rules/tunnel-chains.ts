// Wrapped packets between this host and the others: from nobody else, and not for host endpoints to judge.
import type { Direction, VxlanTunnel } from '#calc/dataplane-update';
import { ACCEPT, COUNT, DROP } from './action.ts';
import type { Chain, Rule } from './chain.ts';
import type { Match } from './match.ts';
import { PRIORITY } from './static-chains.ts';

const UDP = 17;

/** ID of the set of the hosts that this one exchanges wrapped packets with. */
export const TUNNEL_PEERS = 'host:tunnel-peers';

function wrapped({ family, port }: VxlanTunnel): Match[] {
  return [
    { match: 'family', family },
    { match: 'protocol', protocols: [UDP] },
    { match: 'ports', end: 'destination', ports: [[port, port]] },
  ];
}

/** For host endpoints: what is in the packets meets policy when it is unwrapped. */
export function peerRules(tunnels: readonly VxlanTunnel[], direction: Direction): Rule[] {
  const end = direction === 'ingress' ? 'source' : 'destination';
  return tunnels.map((tunnel) => {
    const peer: Match = { match: 'ip-set', end, family: tunnel.family, set: TUNNEL_PEERS };
    return { matches: [...wrapped(tunnel), peer], actions: [ACCEPT] };
  });
}

/** What a stranger wraps would come out of the tunnel as if a node had sent it. */
export function tunnelChains(tunnels: readonly VxlanTunnel[]): Chain[] {
  if (tunnels.length === 0) return [];
  const rules = tunnels.map((tunnel): Rule => {
    const { family } = tunnel;
    const set = {
      match: 'ip-set',
      end: 'source',
      family,
      set: TUNNEL_PEERS,
      negated: true,
    } as const;
    return { matches: [...wrapped(tunnel), set], actions: [COUNT, DROP] };
  });
  const hook = { point: 'input', priority: PRIORITY.BEFORE_WORKLOADS } as const;
  return [{ name: 'tunnel-strangers', hook, rules }];
}
