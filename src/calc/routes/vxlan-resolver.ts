// The ends of the VXLAN overlay: each node's address on it, its MAC address, and where it is reached (spec 08).
import { type Family, jsonEqual, parseAddress, sha1Hex } from '#lib';
import type { VxlanPeer } from '../dataplane-update.ts';
import type { VxlanSource } from '../model.ts';
import { SnapshotMap } from '../snapshot-map.ts';
import type { NodeBook } from './node-book.ts';

/** By family, so that one that lacks something does not hold up the other. */
export class VxlanResolver {
  readonly #nodes: NodeBook;
  readonly #sources = new Map<string, VxlanSource>();
  readonly #ends = {
    4: new SnapshotMap<VxlanPeer>(jsonEqual),
    6: new SnapshotMap<VxlanPeer>(jsonEqual),
  };

  constructor(nodes: NodeBook) {
    this.#nodes = nodes;
  }

  /** Returns whether it is another one now. */
  setSource(node: string, source: VxlanSource | undefined): boolean {
    if (jsonEqual(this.#sources.get(node), source)) return false;
    if (source) this.#sources.set(node, source);
    else this.#sources.delete(node);
    this.onNode(node);
    return true;
  }

  /** The node's addresses may be others now. */
  onNode(node: string): void {
    for (const family of [4, 6] as const) {
      const end = this.#endOf(node, family);
      if (end) this.#ends[family].set(node, end);
      else this.#ends[family].delete(node);
    }
  }

  /** A node's end; one needs an address on the overlay and one under it. */
  end(node: string, family: Family): VxlanPeer | undefined {
    return this.#ends[family].get(node);
  }

  /** By node. */
  ends(family: Family): ReadonlyMap<string, VxlanPeer> {
    return this.#ends[family].snapshot();
  }

  #endOf(node: string, family: Family): VxlanPeer | undefined {
    const source = this.#sources.get(node);
    const underlay = this.#nodes.addressOf(node, family);
    const address = source?.addresses.find((text) => parseAddress(text)?.family === family);
    if (!source || underlay === undefined || address === undefined) return undefined;
    const chosen = family === 4 ? source.mac : source.macV6;
    return { node, address, mac: chosen ?? derivedMac(node, family), underlay };
  }
}

/** As upstream derives it, so that both kinds of node find each other: 66 and five bytes of SHA-1 over the name. */
export function derivedMac(node: string, family: Family): string {
  const digest = sha1Hex(family === 4 ? node : `${node}-v6`);
  return ['66', ...(digest.slice(0, 10).match(/../g) ?? [])].join(':');
}
