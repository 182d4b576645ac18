// For whom this host answers its neighbours: workloads and load balancers (spec 04: localSubnetL2Reachability).
import {
  formatAddress,
  hostPrefix,
  jsonEqual,
  parseAddress,
  parsePrefix,
  prefixContains,
  sha1Hex,
} from '#lib';
import type { PoolSource } from '../model.ts';
import { SnapshotMap } from '../snapshot-map.ts';
import { poolType } from './l3-route.ts';
import type { L3RouteResolver } from './l3-route-resolver.ts';
import type { NodeBook } from './node-book.ts';

export class ProxiedAddresses {
  readonly #nodes: NodeBook;
  readonly #resolver: L3RouteResolver;
  /** Of workloads, by destination of their route. */
  readonly #ofWorkloads = new SnapshotMap<string>(Object.is);
  readonly #balancers = new Map<string, readonly string[]>();
  #isOn = false;
  #basis: readonly unknown[] = [];
  #changes = 0;
  #list: readonly string[] = [];

  constructor(nodes: NodeBook, resolver: L3RouteResolver) {
    this.#nodes = nodes;
    this.#resolver = resolver;
  }

  /** The addresses of a Service's load balancer that any node may answer for. */
  setBalancer(key: string, addresses: readonly string[] | undefined): void {
    if (jsonEqual(this.#balancers.get(key), addresses)) return;
    if (addresses) this.#balancers.set(key, addresses);
    else this.#balancers.delete(key);
    this.#changes++;
  }

  onPools(): void {
    this.#changes++;
  }

  /** `destinations`: those whose route may be another now. */
  settle(destinations: Iterable<string>, isOn: boolean): void {
    const wasOn = this.#isOn;
    this.#isOn = isOn;
    if (!isOn && !wasOn) return;
    const known = isOn === wasOn ? [] : [...this.#ofWorkloads.snapshot().keys()];
    const others = isOn === wasOn ? [] : this.#resolver.routes().keys();
    for (const one of new Set([...destinations, ...known, ...others])) {
      const route = isOn ? this.#resolver.route(one) : undefined;
      const address = route?.localWorkload && route.pool === 'plain' ? hostOf(one) : undefined;
      if (address === undefined) this.#ofWorkloads.delete(one);
      else this.#ofWorkloads.set(one, address);
    }
  }

  /** Sorted, without length; the same object while they are the same. */
  list(pools: Iterable<PoolSource>): readonly string[] {
    const nodes = this.#isOn ? this.#nodes.metadata() : undefined;
    const basis = [this.#ofWorkloads.snapshot(), nodes, this.#changes];
    if (basis.every((part, index) => part === this.#basis[index])) return this.#list;
    this.#basis = basis;
    const all = [...this.#ofWorkloads.snapshot().values()];
    if (nodes) all.push(...ownedBalancers(this.#balancers, pools, [...nodes.keys()], this.#nodes));
    const next = [...new Set(all)].sort();
    if (!jsonEqual(next, this.#list)) this.#list = next;
    return this.#list;
  }
}

function hostOf(destination: string): string | undefined {
  const prefix = parsePrefix(destination);
  return prefix && prefix.length === hostPrefix(prefix).length ? formatAddress(prefix) : undefined;
}

function ownedBalancers(
  balancers: ReadonlyMap<string, readonly string[]>,
  pools: Iterable<PoolSource>,
  nodes: readonly string[],
  { hostname }: NodeBook,
): string[] {
  const tunnelled = [...pools].filter((pool) => poolType(pool) !== 'plain');
  return [...balancers.values()].flat().flatMap((text) => {
    const address = parseAddress(text);
    if (!address || balancerOwner(text, nodes) !== hostname) return [];
    const isTunnelled = tunnelled.some(({ cidr }) => {
      const prefix = parsePrefix(cidr);
      return prefix !== undefined && prefixContains(prefix, address);
    });
    return isTunnelled ? [] : [formatAddress(address)];
  });
}

/** The node whose name and the address have the highest hash: few addresses move when nodes come and go. */
export function balancerOwner(address: string, nodes: readonly string[]): string | undefined {
  let [owner, highest]: [string | undefined, string] = [undefined, ''];
  for (const node of nodes) {
    const rank = sha1Hex(`${address} ${node}`);
    if (rank > highest) [owner, highest] = [node, rank];
  }
  return owner;
}
