// The ends of WireGuard: each node's public key, and its address on the tunnel where it has one (spec 08).
import { type Family, jsonEqual, parseAddress } from '#lib';
import type { WireguardSource } from '../model.ts';
import { SnapshotMap } from '../snapshot-map.ts';

export interface WireguardEnd {
  readonly node: string;
  readonly publicKey: string;
  readonly address?: string;
}

/** By family. A node without a key of that family has no end there. */
export class WireguardResolver {
  readonly #ends = {
    4: new SnapshotMap<WireguardEnd>(jsonEqual),
    6: new SnapshotMap<WireguardEnd>(jsonEqual),
  };

  setSource(node: string, source: WireguardSource | undefined): void {
    for (const family of [4, 6] as const) {
      const publicKey = family === 4 ? source?.publicKey : source?.publicKeyV6;
      const address = source?.addresses.find((text) => parseAddress(text)?.family === family);
      if (!publicKey) this.#ends[family].delete(node);
      else this.#ends[family].set(node, { node, publicKey, ...(address && { address }) });
    }
  }

  /** By node. */
  ends(family: Family): ReadonlyMap<string, WireguardEnd> {
    return this.#ends[family].snapshot();
  }
}
