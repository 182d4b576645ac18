// Address translation: what workloads send out of the cluster, and floating addresses (spec 04).
import { FAMILIES, type Family, familyBits, parseAddress } from '#lib';
import type {
  DataplaneState,
  FloatingAddress,
  LocalEndpoint,
  NatOutgoing,
  PortRange,
} from '#calc/dataplane-update';
import type { Action } from './action.ts';
import type { Chain, Hook, Rule } from './chain.ts';
import type { Match } from './match.ts';
import { IPIP_DEVICE, TUNNEL_DEVICE } from './names.ts';
import { PRIORITY } from './static-chains.ts';

/** IDs of the sets of pool addresses: those that are translated, and where to they are not. */
export const NAT_SOURCES = 'nat:sources';
export const NAT_EXCLUDED = 'nat:excluded';

const TCP = 6;
const UDP = 17;

type Problem = (what: string, message: string) => void;

/**
 * Chains of type nat; none where nothing is translated. Policy comes after the translation of
 * destinations and before that of sources, so it always sees the workloads' own addresses.
 */
export function natChains(
  state: Pick<DataplaneState, 'natOutgoing' | 'endpoints' | 'tunnels' | 'ipip'>,
  onProblem: Problem,
): Chain[] {
  const floating = floatingAddresses(state.endpoints, onProblem);
  const inwards = floating.map(inwardRule);
  const outwards = [
    ...floating.map(hairpinRule),
    ...tunnelRules(state),
    ...outgoingRules(state.natOutgoing, onProblem),
  ];
  const nat = (point: Hook['point'], priority: number, rules: readonly Rule[]): Chain[] =>
    rules.length === 0
      ? []
      : [{ name: `nat-${point}`, hook: { point, priority, type: 'nat' }, rules }];
  return [
    ...nat('prerouting', PRIORITY.DESTINATION_NAT, inwards),
    ...nat('output', PRIORITY.DESTINATION_NAT, inwards),
    ...nat('postrouting', PRIORITY.SOURCE_NAT, outwards),
  ];
}

interface Floating extends FloatingAddress {
  readonly family: Family;
}

/** Of two endpoints that claim one external address the first by ID has it. */
function floatingAddresses(
  endpoints: ReadonlyMap<string, LocalEndpoint>,
  onProblem: Problem,
): Floating[] {
  const byExternal = new Map<string, Floating & { readonly owner: string }>();
  for (const id of [...endpoints.keys()].toSorted()) {
    for (const { external, internal } of endpoints.get(id)?.floatingAddresses ?? []) {
      const family = parseAddress(external)?.family;
      const holder = byExternal.get(external);
      if (family === undefined || parseAddress(internal)?.family !== family) {
        const pair = `${JSON.stringify(external)} to ${JSON.stringify(internal)}`;
        onProblem(id, `cannot translate ${pair}: they are not two addresses of one family`);
      } else if (holder) {
        onProblem(id, `cannot have floating address ${external}: endpoint ${holder.owner} has it`);
      } else {
        byExternal.set(external, { external, internal, family, owner: id });
      }
    }
  }
  return [...byExternal.values()];
}

function addressIs(end: 'source' | 'destination', family: Family, address: string): Match {
  return { match: 'nets', end, family, nets: [`${address}/${familyBits(family)}`] };
}

function inwardRule({ family, external, internal }: Floating): Rule {
  return {
    matches: [{ match: 'family', family }, addressIs('destination', family, external)],
    actions: [{ action: 'translate', end: 'destination', family, address: internal }],
  };
}

/** A workload that calls its own floating address must hear an answer from there, not from itself. */
function hairpinRule({ family, external, internal }: Floating): Rule {
  return {
    matches: [
      { match: 'family', family },
      addressIs('source', family, internal),
      addressIs('destination', family, internal),
    ],
    actions: [{ action: 'translate', end: 'source', family, address: external }],
  };
}

/** What the host sends through a tunnel has its address there, whichever it was bound to. */
function tunnelRules({ tunnels, ipip }: Pick<DataplaneState, 'tunnels' | 'ipip'>): Rule[] {
  const devices = [
    ...tunnels.map(({ family, address }) => ({ family, address, name: TUNNEL_DEVICE[family] })),
    ...(ipip?.address ? [{ family: 4 as const, address: ipip.address, name: IPIP_DEVICE }] : []),
  ];
  return devices.map(({ family, address, name }) => ({
    matches: [
      { match: 'family', family },
      { match: 'interface-name', way: 'out', name },
      { match: 'local', end: 'source' },
      { ...addressIs('source', family, address), negated: true } as Match,
    ],
    actions: [{ action: 'masquerade' }],
  }));
}

function outgoingRules(nat: NatOutgoing, onProblem: Problem): Rule[] {
  if (nat.sources.length === 0) return [];
  const { address, ports, interfaceName } = nat;
  if (address !== undefined && parseAddress(address)?.family !== 4) {
    onProblem('natOutgoingAddress', `${JSON.stringify(address)} is no IPv4 address: left out`);
  }
  const own = parseAddress(address ?? '')?.family === 4 ? address : undefined;
  return FAMILIES.flatMap((family) => {
    const matches: Match[] = [
      { match: 'family', family },
      { match: 'ip-set', end: 'source', family, set: NAT_SOURCES },
      { match: 'ip-set', end: 'destination', family, set: NAT_EXCLUDED, negated: true },
      ...(interfaceName === undefined ? [] : [leavingBy(interfaceName)]),
    ];
    const translation = (range?: PortRange): Action => {
      const part = range && { ports: range };
      if (family !== 4 || own === undefined) return { action: 'masquerade', ...part };
      return { action: 'translate', end: 'source', family, address: own, ...part };
    };
    const withPorts: Rule[] = ports
      ? [
          {
            matches: [...matches, { match: 'protocol', protocols: [TCP, UDP] }],
            actions: [translation(ports)],
          },
        ]
      : [];
    return [...withPorts, { matches, actions: [translation()] }];
  });
}

/** `eth+` is every interface whose name begins so. */
function leavingBy(text: string): Match {
  if (!text.endsWith('+')) return { match: 'interface-name', way: 'out', name: text };
  return { match: 'interface', way: 'out', prefix: text.slice(0, -1) };
}
