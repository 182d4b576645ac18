// What a prefix is to this host, worked out from all that is known of it and of what contains it.
import type { Family, Prefix } from '#lib';
import type { PoolSource } from '../model.ts';
import { type CidrEntry, firstOf } from './cidr-table.ts';

export type RouteType =
  | 'remote-workload'
  | 'remote-host'
  | 'local-workload'
  | 'local-host'
  | 'remote-tunnel'
  | 'local-tunnel';

/** `plain`: pods of the pool are reached without a tunnel. */
export type PoolType = 'plain' | 'vxlan' | 'ipip';

/** A prefix and where it leads. Without types it is a pool alone. */
export interface L3Route {
  readonly destination: string;
  readonly types: readonly RouteType[];
  readonly pool?: PoolType;
  readonly natOutgoing: boolean;
  readonly node?: string;
  /** The node's address of the destination's family. */
  readonly nodeAddress?: string;
  /** The pool tunnels between subnets alone, and the node is in this host's subnet. */
  readonly sameSubnet: boolean;
  /** A workload of this host has the very address. */
  readonly localWorkload: boolean;
  /** Taken out of the block of another node. */
  readonly borrowed: boolean;
  /** The tunnels of the node that have this address. */
  readonly tunnels: readonly string[];
}

/** What a route needs to know of nodes. */
export interface NodeView {
  readonly hostname: string;
  addressOf(node: string, family: Family): string | undefined;
  /** Whether the node's address is in this host's own subnet. */
  isInOwnSubnet(node: string, family: Family): boolean;
}

/** Types in the order in which they are listed. */
const TYPES: readonly RouteType[] = [
  'remote-workload',
  'remote-host',
  'local-workload',
  'local-host',
  'remote-tunnel',
  'local-tunnel',
];

interface Draft {
  readonly types: Set<RouteType>;
  pool: PoolSource | undefined;
  natOutgoing: boolean;
  crossSubnet: boolean;
  node: string | undefined;
  blockNode: string | undefined;
  borrowed: boolean;
  localWorkload: boolean;
  tunnels: readonly string[];
}

/** `path`: the entries that contain the prefix, widest first; the last is its own. */
export function l3Route(
  destination: string,
  prefix: Prefix,
  path: readonly CidrEntry[],
  nodes: NodeView,
): L3Route {
  const draft: Draft = {
    types: new Set(),
    pool: undefined,
    natOutgoing: false,
    crossSubnet: false,
    node: undefined,
    blockNode: undefined,
    borrowed: false,
    localWorkload: false,
    tunnels: [],
  };
  for (const entry of path) {
    addPool(draft, entry);
    addBlock(draft, entry, nodes.hostname);
    addHost(draft, entry, nodes.hostname);
    addHolder(draft, entry, nodes.hostname);
  }
  const { node, pool } = draft;
  const nodeAddress = node === undefined ? undefined : nodes.addressOf(node, prefix.family);
  return {
    destination,
    types: TYPES.filter((type) => draft.types.has(type)),
    ...(pool && { pool: poolType(pool) }),
    natOutgoing: draft.natOutgoing,
    ...(node !== undefined && { node }),
    ...(nodeAddress !== undefined && { nodeAddress }),
    sameSubnet: draft.crossSubnet && node !== undefined && nodes.isInOwnSubnet(node, prefix.family),
    localWorkload: draft.localWorkload,
    borrowed: draft.borrowed,
    tunnels: draft.tunnels,
  };
}

export function poolType({ vxlanMode, ipipMode }: PoolSource): PoolType {
  if (vxlanMode !== 'Never') return 'vxlan';
  return ipipMode === 'Never' ? 'plain' : 'ipip';
}

function addPool(draft: Draft, entry: CidrEntry): void {
  const pool = firstOf(entry.pools);
  if (!pool) return;
  draft.pool = pool;
  draft.natOutgoing ||= pool.natOutgoing;
  draft.crossSubnet ||= [pool.vxlanMode, pool.ipipMode].includes('CrossSubnet');
}

function addBlock(draft: Draft, entry: CidrEntry, hostname: string): void {
  for (const node of [firstOf(entry.owners), firstOf(entry.borrowers)]) {
    if (node === undefined) continue;
    draft.borrowed ||= draft.blockNode !== undefined && draft.blockNode !== node;
    draft.blockNode = node;
    draft.node = node;
    draft.types.add(node === hostname ? 'local-workload' : 'remote-workload');
  }
}

function addHost(draft: Draft, entry: CidrEntry, hostname: string): void {
  const node = firstOf(entry.hosts);
  if (node === undefined) return;
  draft.node = node;
  draft.types.add(node === hostname ? 'local-host' : 'remote-host');
}

/** A workload before a tunnel; then the first node by name. */
function addHolder(draft: Draft, entry: CidrEntry, hostname: string): void {
  const holders = [...entry.holders.values()];
  const workloads = holders.filter(({ type }) => type === 'workload');
  const [node] = (workloads.length > 0 ? workloads : holders).map((one) => one.node).sort();
  if (node === undefined) return;
  const isLocal = node === hostname;
  draft.node = node;
  if (workloads.length > 0) {
    draft.types.add(isLocal ? 'local-workload' : 'remote-workload');
    draft.localWorkload ||= isLocal;
    return;
  }
  draft.types.add(isLocal ? 'local-tunnel' : 'remote-tunnel');
  // A block need not say who has an address of it.
  draft.borrowed ||= draft.blockNode !== undefined && draft.blockNode !== node;
  const tunnels = holders.filter((one) => one.node === node).map(({ type }) => type);
  draft.tunnels = [...new Set(tunnels)].sort();
}
