// Where each prefix leads: pools, blocks, borrowed addresses, workloads, nodes, tunnels (spec 04: routeSource).
import { formatPrefix, hostPrefix, jsonEqual, maskPrefix, parsePrefix, type Prefix } from '#lib';
import type { BlockSource, NodeSource, PoolSource } from '../model.ts';
import { SnapshotMap } from '../snapshot-map.ts';
import { type CidrEntry, CidrTable } from './cidr-table.ts';
import { type L3Route, l3Route } from './l3-route.ts';
import type { NodeBook } from './node-book.ts';

/** Whether blocks say where addresses are, or the workloads that have them. */
export type RouteSource = 'CalicoIPAM' | 'WorkloadIPs';

type Facts = 'pools' | 'owners' | 'borrowers' | 'hosts' | 'holders';

export interface PlacedWorkload {
  readonly node: string;
  readonly members: readonly string[];
}

export class L3RouteResolver {
  readonly #nodes: NodeBook;
  readonly #table = new CidrTable();
  readonly #dirty = new Set<string>();
  readonly #routes = new SnapshotMap<L3Route>(jsonEqual);
  /** The destinations of the present routes to a node. */
  readonly #byNode = new Map<string, Set<string>>();
  readonly #pools = new Map<string, PoolSource>();
  readonly #blocks = new Map<string, BlockSource>();
  readonly #workloads = new Map<string, PlacedWorkload>();
  #source: RouteSource = 'CalicoIPAM';

  constructor(nodes: NodeBook) {
    this.#nodes = nodes;
  }

  /** `workloads`: all that have a node, by the keys by which they are set. */
  setSource(
    source: RouteSource,
    workloads: Iterable<readonly [key: string, workload: PlacedWorkload]>,
  ): void {
    if (source === this.#source) return;
    for (const [key, block] of this.#blocks) this.#placeBlock(key, block, false);
    for (const [key, workload] of this.#workloads) this.#placeWorkload(key, workload, false);
    this.#workloads.clear();
    this.#source = source;
    for (const [key, block] of this.#blocks) this.#placeBlock(key, block, true);
    for (const [key, workload] of workloads) this.setWorkload(key, workload);
  }

  setPool(key: string, pool: PoolSource | undefined): void {
    const before = this.#pools.get(key);
    if (before) this.#place('pools', key, before.cidr, undefined);
    if (pool) {
      this.#pools.set(key, pool);
      this.#place('pools', key, pool.cidr, pool);
    } else this.#pools.delete(key);
  }

  block(key: string): BlockSource | undefined {
    return this.#blocks.get(key);
  }

  setBlock(key: string, block: BlockSource | undefined): void {
    const before = this.#blocks.get(key);
    if (before) this.#placeBlock(key, before, false);
    if (block) {
      this.#blocks.set(key, block);
      this.#placeBlock(key, block, true);
    } else this.#blocks.delete(key);
  }

  /** A workload with a node; it counts where it is this host's, or where workloads are the source. */
  setWorkload(key: string, workload: PlacedWorkload | undefined): void {
    const before = this.#workloads.get(key);
    const counts =
      workload && (this.#source === 'WorkloadIPs' || workload.node === this.#nodes.hostname);
    if (before) this.#placeWorkload(key, before, false);
    if (counts) {
      this.#workloads.set(key, workload);
      this.#placeWorkload(key, workload, true);
    } else this.#workloads.delete(key);
  }

  /** The node book holds the new value already. */
  onNode(name: string, before: NodeSource | undefined, after: NodeSource | undefined): void {
    for (const address of before ? hostAddresses(before) : []) {
      this.#place('hosts', name, address, undefined);
    }
    for (const { type, address } of before?.tunnels ?? []) {
      this.#place('holders', `${type} ${name}`, address, undefined);
    }
    for (const address of after ? hostAddresses(after) : []) {
      this.#place('hosts', name, address, name);
    }
    for (const { type, address } of after?.tunnels ?? []) {
      this.#place('holders', `${type} ${name}`, address, { type, node: name });
    }
    // What counts as its subnet decides of tunnels to everywhere.
    if (name === this.#nodes.hostname) for (const cidr of this.#table.keys()) this.#dirty.add(cidr);
    for (const cidr of this.#byNode.get(name) ?? []) this.#dirty.add(cidr);
  }

  /** Works out what has changed, and returns the destinations whose routes may be others now. */
  settle(): ReadonlySet<string> {
    const settled = new Set(this.#dirty);
    this.#dirty.clear();
    for (const cidr of settled) this.#settle(cidr);
    return settled;
  }

  route(destination: string): L3Route | undefined {
    return this.#routes.get(destination);
  }

  /** The destinations of the routes to a node. */
  routesTo(node: string): Iterable<string> {
    return this.#byNode.get(node) ?? [];
  }

  routes(): ReadonlyMap<string, L3Route> {
    return this.#routes.snapshot();
  }

  #settle(cidr: string): void {
    const before = this.#routes.get(cidr)?.node;
    const entry = this.#table.get(cidr);
    const route = entry && l3Route(cidr, entry.prefix, this.#table.path(entry.prefix), this.#nodes);
    if (route) this.#routes.set(cidr, route);
    else this.#routes.delete(cidr);
    if (before === route?.node) return;
    if (before !== undefined) {
      const cidrs = this.#byNode.get(before);
      cidrs?.delete(cidr);
      if (cidrs?.size === 0) this.#byNode.delete(before);
    }
    if (route?.node !== undefined) {
      const cidrs = this.#byNode.get(route.node) ?? new Set();
      this.#byNode.set(route.node, cidrs.add(cidr));
    }
  }

  #placeBlock(key: string, { cidr, host, borrowed }: BlockSource, isThere: boolean): void {
    if (this.#source !== 'CalicoIPAM') return;
    if (host !== undefined) this.#place('owners', key, cidr, isThere ? host : undefined);
    for (const { address, node } of borrowed) {
      this.#place('borrowers', key, address, isThere ? node : undefined);
    }
  }

  #placeWorkload(key: string, { node, members }: PlacedWorkload, isThere: boolean): void {
    const holder = isThere ? ({ type: 'workload', node } as const) : undefined;
    for (const member of members) this.#place('holders', `workload ${key}`, member, holder);
  }

  /** Notes a fact of a prefix, or takes it back. What is no prefix is passed over. */
  #place<F extends Facts>(
    facts: F,
    key: string,
    cidr: string,
    value: (CidrEntry[F] extends Map<string, infer V> ? V : never) | undefined,
  ): void {
    const parsed = parsePrefix(cidr);
    if (!parsed) return;
    const prefix = maskPrefix(parsed);
    const entry = this.#table.entry(prefix);
    const known: Map<string, unknown> = entry[facts];
    if (value === undefined) known.delete(key);
    else known.set(key, value);
    this.#table.prune(entry);
    this.#dirty.add(formatPrefix(prefix));
    if (facts === 'holders' || facts === 'hosts') return;
    for (const inner of this.#table.within(prefix)) this.#dirty.add(inner);
  }
}

/** Every address that the node itself has, as host prefixes. */
function hostAddresses({ networks, addresses }: NodeSource): string[] {
  const prefixes = [...networks, ...addresses].flatMap((text) => parsePrefix(text) ?? []);
  return [...new Set(prefixes.map((prefix: Prefix) => formatPrefix(hostPrefix(prefix))))];
}
