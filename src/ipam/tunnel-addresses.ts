// A node's own addresses on its tunnels: one of each kind that a pool of the node wants, and no other (spec 05).
import type { IPPool } from '#api';
import { type Family, parseAddress, prefixContains } from '#lib';
import type { BlockAllocator } from './block-allocator.ts';
import { allowsUse, type PoolRange, type PoolSelects, usableRanges } from './pools.ts';

export type TunnelType = 'ipip' | 'vxlan' | 'vxlan-v6' | 'wireguard' | 'wireguard-v6';

interface Tunnel {
  readonly type: TunnelType;
  readonly family: Family;
  /** `type` of the allocation's attributes. */
  readonly attribute: string;
  /** Where the Node says the address. */
  readonly annotation: string;
  readonly isWanted: (spec: IPPool['spec']) => boolean;
}

const isOn = (mode: string | undefined) => mode !== undefined && mode !== 'Never';

/** In upstream's words (spec 05): handles, attributes; and its annotations of a Kubernetes Node. */
export const TUNNELS: readonly Tunnel[] = [
  {
    type: 'ipip',
    family: 4,
    attribute: 'ipipTunnelAddress',
    annotation: 'projectcalico.org/IPv4IPIPTunnelAddr',
    isWanted: ({ ipipMode }) => isOn(ipipMode),
  },
  {
    type: 'vxlan',
    family: 4,
    attribute: 'vxlanTunnelAddress',
    annotation: 'projectcalico.org/IPv4VXLANTunnelAddr',
    isWanted: ({ vxlanMode }) => isOn(vxlanMode),
  },
  {
    type: 'vxlan-v6',
    family: 6,
    attribute: 'vxlanV6TunnelAddress',
    annotation: 'projectcalico.org/IPv6VXLANTunnelAddr',
    isWanted: ({ vxlanMode }) => isOn(vxlanMode),
  },
  {
    type: 'wireguard',
    family: 4,
    attribute: 'wireguardTunnelAddress',
    annotation: 'projectcalico.org/IPv4WireguardInterfaceAddr',
    isWanted: () => true,
  },
  {
    type: 'wireguard-v6',
    family: 6,
    attribute: 'wireguardV6TunnelAddress',
    annotation: 'projectcalico.org/IPv6WireguardInterfaceAddr',
    isWanted: () => true,
  },
];

/** `vxlan-tunnel-addr-<node>`. */
export function tunnelHandle(type: TunnelType, nodeName: string): string {
  const v6 = type.endsWith('-v6') ? '-v6' : '';
  return `${type.replace('-v6', '')}${v6}-tunnel-addr-${nodeName}`;
}

export interface TunnelInputs {
  readonly nodeName: string;
  readonly pools: readonly IPPool[];
  readonly poolSelects: PoolSelects;
  /** Families that WireGuard encrypts at this node: those for which it has a public key. */
  readonly wireguard: readonly Family[];
}

export interface TunnelOutcome {
  /** Address by annotation of the Node; null: it has none. */
  readonly annotations: Readonly<Record<string, string | null>>;
  /** What could not be had, and why; such a tunnel's annotation is not among those above. */
  readonly problems: readonly string[];
}

type TunnelAllocator = Pick<BlockAllocator, 'assign' | 'releaseAddresses' | 'allocationsOf'>;

/**
 * Gives each tunnel that a pool wants an address of such a pool, keeps one that is right, and frees
 * those that are wanted no more or lie in no such pool. May be called at any time, any number of times.
 */
export async function reconcileTunnels(
  allocator: TunnelAllocator,
  inputs: TunnelInputs,
): Promise<TunnelOutcome> {
  const annotations: Record<string, string | null> = {};
  const problems: string[] = [];
  for (const tunnel of TUNNELS) {
    try {
      annotations[tunnel.annotation] = (await reconcile(allocator, tunnel, inputs)) ?? null;
    } catch (error) {
      problems.push(error instanceof Error ? error.message : String(error));
    }
  }
  return { annotations, problems };
}

async function reconcile(
  allocator: TunnelAllocator,
  tunnel: Tunnel,
  inputs: TunnelInputs,
): Promise<string | undefined> {
  const { type, family, attribute } = tunnel;
  const { nodeName } = inputs;
  const handle = tunnelHandle(type, nodeName);
  const ranges = tunnelRanges(tunnel, inputs);
  const held = await allocator.allocationsOf(handle);
  const right = held.filter(
    ({ address, attributes }) => attributes['type'] === attribute && isIn(address, ranges),
  );
  const [kept] = right;
  const wrong = held.filter((allocation) => allocation !== kept);
  if (wrong.length > 0) {
    await allocator.releaseAddresses(
      wrong.map(({ address, sequence }) => ({ address, handle, sequence })),
    );
  }
  if (kept || ranges.length === 0) return kept?.address;
  const [address] = await allocator.assign({
    handle,
    attributes: { node: nodeName, type: attribute },
    families: [family],
    pools: { [family]: ranges.map(({ name }) => name) },
    use: 'Tunnel',
  });
  return address;
}

function tunnelRanges(tunnel: Tunnel, inputs: TunnelInputs): PoolRange[] {
  const { type, family, isWanted } = tunnel;
  if (type.startsWith('wireguard') && !inputs.wireguard.includes(family)) return [];
  return usableRanges(inputs.pools).filter(
    ({ prefix, pool }) =>
      prefix.family === family &&
      isWanted(pool.spec) &&
      allowsUse(pool, 'Tunnel') &&
      pool.spec.assignmentMode !== 'Manual' &&
      inputs.poolSelects.node(pool) === true,
  );
}

function isIn(text: string, ranges: readonly PoolRange[]): boolean {
  const address = parseAddress(text);
  return address !== undefined && ranges.some(({ prefix }) => prefixContains(prefix, address));
}
