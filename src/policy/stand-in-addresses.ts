// Addresses for pods and nodes that have none yet, so that manifests can be judged before they run.
import { type Address, type Family, familyBits, type Prefix } from '#lib';
import { addressKey } from './world-objects.ts';

/** Reserved for the future (RFC 1112, class E): no rule that people write means it but `0.0.0.0/0`. */
const RESERVED: Prefix = { family: 4, bits: 240n << 24n, length: 16 };

/**
 * Hands out addresses that nobody has: from the end of the given pools, one family each, and where they are
 * full or absent from a reserved range. In the order of asking.
 */
export class StandInAddresses {
  readonly #pools: readonly Prefix[];
  readonly #taken: Set<string>;
  readonly #next = new Map<Prefix, bigint>();

  constructor(pools: readonly Prefix[], taken: Iterable<Address>) {
    this.#pools = pools;
    this.#taken = new Set([...taken].map(addressKey));
  }

  /** One address of each family that the pools have; IPv4 where there is none. */
  forPod(): Address[] {
    const families = new Set<Family>(this.#pools.map((pool) => pool.family));
    const found = [...families].flatMap((family) => {
      const pools = this.#pools.filter((pool) => pool.family === family);
      const address = pools.map((pool) => this.#take(pool)).find((it) => it !== undefined);
      return address ? [address] : [];
    });
    return found.length > 0 ? found : this.forNode();
  }

  forNode(): Address[] {
    const address = this.#take(RESERVED);
    return address ? [address] : [];
  }

  #take(pool: Prefix): Address | undefined {
    const width = BigInt(familyBits(pool.family) - pool.length);
    const first = (pool.bits >> width) << width;
    let bits = this.#next.get(pool) ?? first + (1n << width) - 2n;
    while (bits > first && this.#taken.has(addressKey({ family: pool.family, bits }))) bits--;
    if (bits <= first) return undefined;
    this.#next.set(pool, bits - 1n);
    return { family: pool.family, bits };
  }
}
