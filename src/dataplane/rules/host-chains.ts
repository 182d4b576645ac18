// Host endpoints as chains: one hook for each stage and direction, a map from interface to endpoint in it.
import type {
  DataplaneState,
  Direction,
  EndpointTier,
  HostEndpoint,
  HostSettings,
} from '#calc/dataplane-update';
import { ACCEPT } from './action.ts';
import type { Chain, Hook, Rule } from './chain.ts';
import { type EndpointContext, jumpTo, profileRules, tierJumps } from './endpoint-chains.ts';
import { type EarlyFailsafe, failsafeChainName, failsafeChains } from './failsafe-chains.ts';
import type { PlacedEndpoints } from './host-interfaces.ts';
import { HOST_MARK } from './mark.ts';
import type { Match } from './match.ts';
import { ALL_INTERFACES, hostChainName, hostMapName, type HostStage } from './names.ts';
import { peerRules } from './tunnel-chains.ts';
import { INVALID, isWorkloads, PRIORITY } from './static-chains.ts';

export interface HostChains {
  readonly chains: readonly Chain[];
  /** By name of the map: interface name to chain name. */
  readonly dispatch: ReadonlyMap<string, ReadonlyMap<string, string>>;
}

/** A hook at which host endpoints look at packets. */
interface Station {
  readonly stage: HostStage;
  readonly direction: Direction;
  readonly hook: Hook;
  /** What comes before the endpoints: whom they do not judge. */
  readonly before: readonly Rule[];
}

const ESTABLISHED: Rule = {
  matches: [{ match: 'connection', states: ['established', 'related'] }],
  actions: [ACCEPT],
};
const ALLOWED_EARLIER: Rule = {
  matches: [{ match: 'mark', bit: HOST_MARK }],
  actions: [ACCEPT],
};
const NOT_TRACKED: Rule = {
  matches: [{ match: 'mark', bit: HOST_MARK }],
  actions: [{ action: 'notrack' }],
};
const REMEMBER: Rule = { matches: [], actions: [{ action: 'set-mark', bit: HOST_MARK }] };
const FORGET: Rule = { matches: [], actions: [{ action: 'clear-mark', bit: HOST_MARK }] };
const PASS: Rule = { matches: [], actions: [ACCEPT] };

const way = (direction: Direction) => (direction === 'ingress' ? 'in' : 'out');

/** The host always reaches itself. */
function loopback(direction: Direction): Rule {
  const match: Match = { match: 'interface-name', way: way(direction), name: 'lo' };
  return { matches: [match], actions: [ACCEPT] };
}

/** Workloads' interfaces are no host endpoint's, except for what enters at that for all of them. */
function workloads(direction: Direction, settings: HostSettings): Rule[] {
  const matches = isWorkloads(way(direction), settings);
  return matches.map((match) => ({ matches: [match], actions: [ACCEPT] }));
}

/**
 * The chains of all host endpoints; none where there is no endpoint. An early stage marks a packet before
 * its tiers and takes the mark away behind them: what leaves them by Allow keeps it, and later stages on
 * the way in let it be.
 */
export function hostChains(
  placed: PlacedEndpoints,
  state: Pick<DataplaneState, 'settings' | 'tunnels' | 'ipip'>,
  context: EndpointContext,
): HostChains {
  const chains = new Map<string, Chain>();
  const add = (chain: Chain) => chains.set(chain.name, chain);
  const dispatch = new Map<string, Map<string, string>>();
  if (placed.size === 0) return { chains: [], dispatch };
  for (const chain of failsafeChains(state.settings)) add(chain);
  const used = usedStages([...placed.values()]);
  for (const station of stations(state, used)) {
    const { stage, direction, hook, before } = station;
    const map = new Map<string, string>();
    const rules = [...before];
    const name = hostMapName(stage, direction);
    rules.push({ matches: [], actions: [{ action: 'dispatch', map: name, way: way(direction) }] });
    for (const [interfaceName, endpoint] of placed) {
      const chain = hostChainName(stage, direction, interfaceName);
      // Untracked policy is for interfaces by name alone (spec 10: wildcard HEP).
      if (interfaceName === ALL_INTERFACES && stage === 'untracked') continue;
      const comment = `HostEndpoint ${endpoint.id} ${stage} ${direction}`;
      add({ name: chain, comment, rules: endpointRules(endpoint, station, state, context) });
      if (interfaceName === ALL_INTERFACES) rules.push(jumpTo(chain));
      else map.set(interfaceName, chain);
    }
    dispatch.set(name, map);
    add({ name: baseName(stage, direction), hook, rules });
  }
  for (const point of used.has('untracked') ? (['prerouting', 'output'] as const) : []) {
    const hook = { point, priority: PRIORITY.NOTRACK };
    add({ name: `host-notrack-${point}`, hook, rules: [NOT_TRACKED] });
  }
  return { chains: [...chains.values()], dispatch };
}

function baseName(stage: HostStage, direction: Direction): string {
  return `${stage}-${direction}`;
}

/** Those in which some endpoint has policy; a packet does not meet the others. Normal policy denies without any. */
function usedStages(endpoints: readonly HostEndpoint[]): ReadonlySet<HostStage> {
  const stages = (['untracked', 'pre-dnat', 'forward'] as const).filter((stage) =>
    endpoints.some((endpoint) =>
      (['ingress', 'egress'] as const).some((way) => tiersOf(endpoint, stage, way).length > 0),
    ),
  );
  return new Set([...stages, 'normal']);
}

function stations(
  state: Pick<DataplaneState, 'settings' | 'tunnels' | 'ipip'>,
  used: ReadonlySet<HostStage>,
): Station[] {
  const { settings } = state;
  const isMarked = used.has('untracked') || used.has('pre-dnat');
  const allowedEarlier = isMarked ? [ALLOWED_EARLIER] : [];
  const failsafe = (direction: Direction, early?: EarlyFailsafe) =>
    jumpTo(failsafeChainName(direction, early));
  const at = (point: Hook['point'], priority: number): Hook => ({ point, priority });
  const all: Station[] = [
    {
      stage: 'untracked',
      direction: 'ingress',
      hook: at('prerouting', PRIORITY.UNTRACKED),
      before: [FORGET, loopback('ingress'), failsafe('ingress', 'with-answers')],
    },
    {
      stage: 'untracked',
      direction: 'egress',
      hook: at('output', PRIORITY.UNTRACKED),
      before: [
        FORGET,
        loopback('egress'),
        ...workloads('egress', settings),
        failsafe('egress', 'with-answers'),
      ],
    },
    {
      stage: 'pre-dnat',
      direction: 'ingress',
      hook: at('prerouting', PRIORITY.MANGLE),
      before: [...allowedEarlier, loopback('ingress'), ESTABLISHED, failsafe('ingress')],
    },
    {
      stage: 'forward',
      direction: 'ingress',
      hook: at('forward', PRIORITY.BEFORE_WORKLOADS),
      before: [...allowedEarlier, loopback('ingress'), ESTABLISHED],
    },
    {
      stage: 'forward',
      direction: 'egress',
      hook: at('forward', PRIORITY.AFTER_WORKLOADS),
      before: [loopback('egress'), ...workloads('egress', settings), ESTABLISHED],
    },
    {
      stage: 'normal',
      direction: 'ingress',
      hook: at('input', PRIORITY.AFTER_WORKLOADS),
      before: [
        ...allowedEarlier,
        loopback('ingress'),
        ...workloads('ingress', settings),
        ESTABLISHED,
        ...peerRules(state, 'ingress'),
        failsafe('ingress'),
      ],
    },
    {
      stage: 'normal',
      direction: 'egress',
      hook: at('output', PRIORITY.AFTER_WORKLOADS),
      before: [
        ...allowedEarlier,
        loopback('egress'),
        ...workloads('egress', settings),
        ESTABLISHED,
        ...peerRules(state, 'egress'),
        failsafe('egress'),
      ],
    },
  ];
  // The first stage also takes away a mark that the packet came with: what reads it comes after that.
  return all.filter(({ stage }) => used.has(stage) || (stage === 'untracked' && isMarked));
}

function endpointRules(
  endpoint: HostEndpoint,
  { stage, direction }: Station,
  { settings }: Pick<DataplaneState, 'settings'>,
  context: EndpointContext,
): Rule[] {
  const tiers = tierJumps(tiersOf(endpoint, stage, direction), direction, context);
  const invalid = settings.dropInvalid ? [INVALID] : [];
  switch (stage) {
    case 'untracked':
    case 'pre-dnat':
      return [REMEMBER, ...tiers, FORGET, PASS];
    case 'forward':
      return [...invalid, ...tiers, PASS];
    case 'normal':
      return [...invalid, ...tiers, ...profileRules(endpoint, direction, context)];
    default:
      return stage satisfies never;
  }
}

/** The tiers that an endpoint has in a stage. */
export function tiersOf(
  endpoint: HostEndpoint,
  stage: HostStage,
  direction: Direction,
): readonly EndpointTier[] {
  if (stage === 'pre-dnat') return direction === 'ingress' ? endpoint.preDnat : [];
  return endpoint[stage][direction];
}
