// Routes to the address blocks of other hosts, and the blocks of this one (spec 05; spec 04: routeSource).
import type { IPAMBlock, KubernetesNode } from '#api';
import {
  type Address,
  compareCodePoints,
  type Family,
  formatAddress,
  formatPrefix,
  hostPrefix,
  maskPrefix,
  parseAddress,
  parsePrefix,
  type Prefix,
} from '#lib';
import type { HostRoute } from './dataplane-update.ts';

export interface ResolvedRoutes {
  readonly routes: readonly HostRoute[];
  readonly blackholes: readonly string[];
}

const AFFINITY = 'host:';

/**
 * A block goes through the InternalIP, of its own family, of the host that it belongs to; an address that
 * another host borrowed from it goes to that host. A host without such an address gets no route.
 */
export function resolveRoutes(
  hostname: string,
  blocks: readonly IPAMBlock[],
  nodes: readonly KubernetesNode[],
): ResolvedRoutes {
  const byName = new Map(nodes.map((node) => [node.metadata.name, node]));
  const routes = new Map<string, HostRoute>();
  const blackholes = new Set<string>();
  const addRoute = (prefix: Prefix, owner: string) => {
    const gateway = internalAddress(byName.get(owner), prefix.family);
    const destination = formatPrefix(prefix);
    if (gateway) routes.set(destination, { destination, gateway });
  };
  for (const block of blocks) {
    const parsed = parsePrefix(block.spec.cidr);
    if (!parsed || block.spec.deleted) continue;
    const prefix = maskPrefix(parsed);
    const owner = ownerOf(block);
    if (owner === hostname) blackholes.add(formatPrefix(prefix));
    else if (owner !== undefined) addRoute(prefix, owner);
    for (const { address, node } of borrowed(block, prefix, owner)) {
      if (node !== hostname) addRoute(hostPrefix(address), node);
    }
  }
  return {
    routes: [...routes.values()].sort((a, b) => compareCodePoints(a.destination, b.destination)),
    blackholes: [...blackholes].sort(compareCodePoints),
  };
}

function ownerOf({ spec }: IPAMBlock): string | undefined {
  return spec.affinity?.startsWith(AFFINITY) ? spec.affinity.slice(AFFINITY.length) : undefined;
}

interface BorrowedAddress {
  readonly address: Address;
  readonly node: string;
}

function borrowed(
  { spec }: IPAMBlock,
  prefix: Prefix,
  owner: string | undefined,
): BorrowedAddress[] {
  return spec.allocations.flatMap((attribute, ordinal) => {
    const node = attribute === null ? undefined : spec.attributes[attribute]?.secondary?.['node'];
    if (node === undefined || node === owner) return [];
    return [{ address: { family: prefix.family, bits: prefix.bits + BigInt(ordinal) }, node }];
  });
}

function internalAddress(node: KubernetesNode | undefined, family: Family): string | undefined {
  for (const { type, address } of node?.status?.addresses ?? []) {
    const parsed = type === 'InternalIP' ? parseAddress(address) : undefined;
    if (parsed?.family === family) return formatAddress(parsed);
  }
  return undefined;
}
