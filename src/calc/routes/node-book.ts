// The nodes: their addresses and subnets, and what is said of each to others.
import {
  type Family,
  formatAddress,
  jsonEqual,
  parsePrefix,
  type Prefix,
  prefixContains,
} from '#lib';
import type { Labels, NodeSource } from '../model.ts';
import { SnapshotMap } from '../snapshot-map.ts';
import type { NodeView } from './l3-route.ts';

/** What other parts want to know of a node. */
export interface HostMetadata {
  readonly node: string;
  /** As it was given, with the length of the subnet; absent where that is not known, as upstream has it. */
  readonly ipv4?: string;
  readonly ipv6?: string;
  readonly labels: Labels;
}

interface KnownNode {
  readonly source: NodeSource;
  readonly networks: Readonly<Partial<Record<Family, Prefix>>>;
}

export class NodeBook implements NodeView {
  readonly hostname: string;
  readonly #nodes = new Map<string, KnownNode>();
  readonly #metadata = new SnapshotMap<HostMetadata>(jsonEqual);
  readonly #addresses = new SnapshotMap<string>(Object.is);

  constructor(hostname: string) {
    this.hostname = hostname;
  }

  source(name: string): NodeSource | undefined {
    return this.#nodes.get(name)?.source;
  }

  setNode(name: string, source: NodeSource | undefined): void {
    if (!source) {
      this.#nodes.delete(name);
      this.#metadata.delete(name);
      this.#addresses.delete(name);
      return;
    }
    const networks = networksOf(source);
    this.#nodes.set(name, { source, networks });
    const address = this.addressOf(name, 4);
    if (address === undefined) this.#addresses.delete(name);
    else this.#addresses.set(name, address);
    const text = (family: Family) =>
      source.networks.find(
        (network) => network.includes('/') && parsePrefix(network)?.family === family,
      );
    const [ipv4, ipv6] = [text(4), text(6)];
    if (source.bgp && source.networks.length === 0) {
      this.#metadata.delete(name);
      return;
    }
    this.#metadata.set(name, {
      node: name,
      ...(ipv4 !== undefined && { ipv4 }),
      ...(ipv6 !== undefined && { ipv6 }),
      labels: source.labels,
    });
  }

  addressOf(node: string, family: Family): string | undefined {
    const network = this.#nodes.get(node)?.networks[family];
    return network && formatAddress(network);
  }

  /** By node, of IPv4. */
  addresses(): ReadonlyMap<string, string> {
    return this.#addresses.snapshot();
  }

  isInOwnSubnet(node: string, family: Family): boolean {
    const own = this.#nodes.get(this.hostname)?.networks[family];
    const other = this.#nodes.get(node)?.networks[family];
    return own !== undefined && other !== undefined && prefixContains(own, other);
  }

  metadata(): ReadonlyMap<string, HostMetadata> {
    return this.#metadata.snapshot();
  }
}

/** The first of each family. */
function networksOf({ networks }: NodeSource): Partial<Record<Family, Prefix>> {
  const found: Partial<Record<Family, Prefix>> = {};
  for (const text of networks) {
    const prefix = parsePrefix(text);
    if (prefix) found[prefix.family] ??= prefix;
  }
  return found;
}
