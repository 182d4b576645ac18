// The chains that do not depend on any workload: where packets enter, and what holds for all of them.
import { FAMILIES, parsePrefix } from '#lib';
import type { DataplaneState, Direction, HostSettings } from '#calc/dataplane-update';
import { ACCEPT, type Action, COUNT, DROP } from './action.ts';
import type { Chain, Hook, Rule } from './chain.ts';
import { denials } from './decision.ts';
import { dropRule } from './endpoint-chains.ts';
import type { LogPrefixes } from './log-prefix.ts';
import type { InterfaceWay, Match } from './match.ts';
import { dispatchMapName, WORKLOADS_MAP } from './names.ts';

const ICMPV6 = 58;
const IPIP = 4;
const UDP = 17;
/** Multicast listeners, router solicitation, neighbour discovery (spec 02, 2.2). */
const ICMPV6_TO_HOST: readonly number[] = [130, 131, 132, 133, 135, 136];

/**
 * Egress of workloads comes before ingress at the forward hook, and policy before `endpointToHostAction`;
 * host endpoints stand around them. Connections are tracked at -200, translated at -100 and 100.
 */
export const PRIORITY = {
  RAW: -300,
  UNTRACKED: -299,
  NOTRACK: -298,
  MANGLE: -150,
  DESTINATION_NAT: -100,
  BEFORE_WORKLOADS: -1,
  FIRST: 0,
  SECOND: 1,
  AFTER_WORKLOADS: 2,
  LAST: 3,
  SOURCE_NAT: 100,
} as const;

/** One match for each way that the names of workloads' interfaces begin. */
export function isWorkloads(way: InterfaceWay, { workloadPrefixes }: HostSettings): Match[] {
  return workloadPrefixes.map((prefix) => ({ match: 'interface', way, prefix }));
}

/** All of them must hold. */
function isNoWorkloads(way: InterfaceWay, { workloadPrefixes }: HostSettings): Match[] {
  return workloadPrefixes.map((prefix) => ({ match: 'interface', way, prefix, negated: true }));
}

export const INVALID: Rule = {
  matches: [{ match: 'connection', states: ['invalid'] }],
  actions: [COUNT, DROP],
};

export function staticChains(
  state: Pick<DataplaneState, 'endpointToHostAction' | 'settings' | 'endpoints'>,
  prefixes: LogPrefixes,
): Chain[] {
  const { endpointToHostAction, settings } = state;
  return [
    spoofingChain(settings),
    straysChain(state.endpoints),
    {
      name: 'egress',
      hook: { point: 'forward', priority: PRIORITY.FIRST },
      rules: [
        ...stateRules('in', settings),
        ...encapsulationRules(settings),
        dispatchRule('egress'),
        dropRule({ direction: 'egress', tier: null }, 'U', prefixes, overridden(settings)),
      ],
    },
    {
      name: 'ingress',
      hook: { point: 'forward', priority: PRIORITY.SECOND },
      rules: [
        ...stateRules('out', settings),
        dispatchRule('ingress'),
        dropRule({ direction: 'ingress', tier: null }, 'U', prefixes, overridden(settings)),
      ],
    },
    {
      name: 'input',
      hook: { point: 'input', priority: PRIORITY.FIRST },
      rules: [
        ...stateRules('in', settings),
        neighbourRule(),
        ...encapsulationRules(settings),
        dispatchRule('egress'),
        dropRule({ direction: 'egress', tier: null }, 'U', prefixes, overridden(settings)),
      ],
    },
    toHostChain(endpointToHostAction, settings),
  ];
}

/** A drop that is no rule's, or what stands for every drop. */
function overridden({ denyAction }: HostSettings): readonly Action[] {
  return denyAction === 'Reject' ? [DROP] : denials(denyAction);
}

/** Every packet of a workload comes here, so the route back to its source is looked up once. */
function spoofingChain(settings: HostSettings): Chain {
  const hook: Hook = { point: 'prerouting', priority: PRIORITY.RAW };
  // One rule: other packets, which are as many, then meet a single comparison.
  const rules = isWorkloads('in', settings).map(
    (match): Rule => ({ matches: [match, { match: 'source-not-routed-back' }], actions: [STRAYS] }),
  );
  return { name: 'prerouting', hook, rules };
}

const STRAYS: Action = { action: 'goto', chain: 'strays' };

/**
 * What workloads may send from though it is not routed to them; the rest is dropped. Link-local and
 * unspecified IPv6 sources are left to the chains after it: neighbour discovery needs them.
 */
function straysChain(endpoints: DataplaneState['endpoints']): Chain {
  const rules = [...endpoints.keys()].toSorted().flatMap((id) => {
    const { interfaceName = '', allowedSources = [] } = endpoints.get(id) ?? {};
    return FAMILIES.flatMap((family): Rule[] => {
      const nets = allowedSources.filter((net) => parsePrefix(net)?.family === family);
      if (nets.length === 0) return [];
      const matches: Match[] = [
        { match: 'interface-name', way: 'in', name: interfaceName },
        { match: 'family', family },
        { match: 'nets', end: 'source', family, nets },
      ];
      return [{ matches, actions: [ACCEPT] }];
    });
  });
  const localSource: Match = {
    match: 'nets',
    end: 'source',
    family: 6,
    nets: ['fe80::/10', '::/128'],
  };
  const local: Rule = {
    matches: [{ match: 'family', family: 6 }, localSource],
    actions: [ACCEPT],
  };
  return { name: 'strays', rules: [local, ...rules, { matches: [], actions: [COUNT, DROP] }] };
}

/** What a workload may send to the host itself once its policy has allowed it. */
function toHostChain(
  action: DataplaneState['endpointToHostAction'],
  settings: HostSettings,
): Chain {
  const verdict = action === 'Drop' ? [COUNT, ...overridden(settings)] : [ACCEPT];
  const rules: Rule[] = [
    ...stateRules('in', settings),
    neighbourRule(),
    ...isWorkloads('in', settings).map((match) => ({ matches: [match], actions: verdict })),
  ];
  return { name: 'to-host', hook: { point: 'input', priority: PRIORITY.SECOND }, rules };
}

/** Other packets than the workloads' pass; of theirs, those of a connection already allowed. */
function stateRules(way: InterfaceWay, settings: HostSettings): Rule[] {
  // What most packets fit comes first: either rule lets pass.
  return [
    { matches: [{ match: 'connection', states: ['established', 'related'] }], actions: [ACCEPT] },
    { matches: isNoWorkloads(way, settings), actions: [ACCEPT] },
    ...(settings.dropInvalid ? [INVALID] : []),
  ];
}

function neighbourRule(): Rule {
  return {
    matches: [
      { match: 'family', family: 6 },
      { match: 'protocol', protocols: [ICMPV6] },
      { match: 'icmp', types: ICMPV6_TO_HOST },
    ],
    actions: [ACCEPT],
  };
}

/** A workload could otherwise wrap packets past its policy. */
function encapsulationRules(settings: HostSettings): Rule[] {
  const { vxlanPort } = settings;
  const ipip: Rule = {
    matches: [{ match: 'protocol', protocols: [IPIP] }],
    actions: [COUNT, ...overridden(settings)],
  };
  const vxlan: Rule = {
    matches: [
      { match: 'protocol', protocols: [UDP] },
      { match: 'ports', end: 'destination', ports: [[vxlanPort, vxlanPort]] },
    ],
    actions: [COUNT, ...overridden(settings)],
  };
  return [
    ...(settings.allowIpipFromWorkloads ? [] : [ipip]),
    ...(settings.allowVxlanFromWorkloads ? [] : [vxlan]),
  ];
}

function dispatchRule(direction: Direction): Rule {
  const way: InterfaceWay = direction === 'egress' ? 'in' : 'out';
  const map = dispatchMapName(direction);
  return { matches: [], actions: [{ action: 'dispatch', map, way, classes: WORKLOADS_MAP }] };
}
