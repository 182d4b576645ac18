// Ports that host endpoints never close, so that a host cannot be locked away by policy (spec 10).
import { FAMILIES, parsePrefix } from '#lib';
import type { Direction, FailsafePort, HostSettings } from '#calc/dataplane-update';
import { ACCEPT } from './action.ts';
import type { Chain, Rule } from './chain.ts';
import type { Match, PacketEnd } from './match.ts';

const ICMPV6 = 58;
/** Multicast listeners, routers, neighbours: without these no port of a host is reached over IPv6. */
const NEIGHBOUR_DISCOVERY: readonly number[] = [130, 131, 132, 133, 134, 135, 136, 143];

/** Before connection tracking an answer is not known as one, and its ports are the other way round. */
export type EarlyFailsafe = 'with-answers';

export function failsafeChainName(direction: Direction, early?: EarlyFailsafe): string {
  return `failsafe-${direction}${early === undefined ? '' : `-${early}`}`;
}

/** A packet that fits is accepted at the hook it is at; any other returns. */
export function failsafeChains(
  settings: Pick<HostSettings, 'failsafeInbound' | 'failsafeOutbound'>,
): Chain[] {
  const { failsafeInbound, failsafeOutbound } = settings;
  const own = { ingress: failsafeInbound, egress: failsafeOutbound };
  const answers = { ingress: failsafeOutbound, egress: failsafeInbound };
  return (['ingress', 'egress'] as const).flatMap((direction) => {
    const rules = [neighbourRule(), ...portRules(own[direction], direction, 'destination')];
    const back = portRules(answers[direction], direction, 'source');
    return [
      { name: failsafeChainName(direction), rules },
      { name: failsafeChainName(direction, 'with-answers'), rules: [...rules, ...back] },
    ];
  });
}

function neighbourRule(): Rule {
  return {
    matches: [
      { match: 'family', family: 6 },
      { match: 'protocol', protocols: [ICMPV6] },
      { match: 'icmp', types: NEIGHBOUR_DISCOVERY },
    ],
    actions: [ACCEPT],
  };
}

/** One rule for each protocol and remote network; `end` has the port. */
function portRules(ports: readonly FailsafePort[], direction: Direction, end: PacketEnd): Rule[] {
  const remote = direction === 'ingress' ? 'source' : 'destination';
  const groups = Map.groupBy(ports, ({ protocol, net = '' }) => `${protocol} ${net}`);
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (!first) return [];
    const { protocol, net } = first;
    const matches: Match[] = [
      { match: 'protocol', protocols: [protocol] },
      { match: 'ports', end, ports: group.map(({ port }) => [port, port] as const) },
    ];
    if (net === undefined) return [{ matches, actions: [ACCEPT] }];
    return FAMILIES.filter((family) => parsePrefix(net)?.family === family).map((family): Rule => {
      const remotes: Match = { match: 'nets', end: remote, family, nets: [net] };
      return { matches: [{ match: 'family', family }, ...matches, remotes], actions: [ACCEPT] };
    });
  });
}
