// Everything known of a prefix, by prefix, with the ways up to what contains it and down to what it contains.
import { formatPrefix, maskPrefix, type Prefix } from '#lib';
import type { PoolSource } from '../model.ts';
import { SortedMembers } from '../members/sorted-members.ts';

/** Who has an address: a workload, or a node on one of its tunnels. */
export interface AddressHolder {
  readonly type: 'workload' | 'ipip' | 'vxlan' | 'wireguard';
  readonly node: string;
}

/** What is known of one prefix. By who said it, so that it can be taken back; the first by key counts. */
export class CidrEntry {
  readonly prefix: Prefix;
  readonly pools = new Map<string, PoolSource>();
  /** The host of a block. */
  readonly owners = new Map<string, string>();
  /** Who borrowed the address from its block. */
  readonly borrowers = new Map<string, string>();
  readonly hosts = new Map<string, string>();
  readonly holders = new Map<string, AddressHolder>();

  constructor(prefix: Prefix) {
    this.prefix = prefix;
  }

  get isEmpty(): boolean {
    const { pools, owners, borrowers, hosts, holders } = this;
    return pools.size + owners.size + borrowers.size + hosts.size + holders.size === 0;
  }
}

/** The value of the first key. */
export function firstOf<V>(values: ReadonlyMap<string, V>): V | undefined {
  if (values.size <= 1) return values.values().next().value;
  const [key = ''] = [...values.keys()].sort();
  return values.get(key);
}

export class CidrTable {
  readonly #entries = new Map<string, CidrEntry>();
  readonly #sorted = new SortedMembers();
  readonly #lengths = new Map<string, number>();

  get(cidr: string): CidrEntry | undefined {
    return this.#entries.get(cidr);
  }

  keys(): Iterable<string> {
    return this.#entries.keys();
  }

  /** The entry of a prefix, made where there is none. */
  entry(prefix: Prefix): CidrEntry {
    const cidr = formatPrefix(prefix);
    const known = this.#entries.get(cidr);
    if (known) return known;
    const entry = new CidrEntry(prefix);
    this.#entries.set(cidr, entry);
    this.#sorted.add(prefix, cidr);
    this.#countLength(prefix, 1);
    return entry;
  }

  /** Forgets an entry of which nothing is known any more. */
  prune(entry: CidrEntry): void {
    const cidr = formatPrefix(entry.prefix);
    if (!entry.isEmpty || !this.#entries.delete(cidr)) return;
    this.#sorted.delete(entry.prefix, cidr);
    this.#countLength(entry.prefix, -1);
  }

  /** The entries that contain the prefix, widest first; last its own. */
  path(prefix: Prefix): CidrEntry[] {
    const found: CidrEntry[] = [];
    const text = `${prefix.family}/`;
    for (let length = 0; length <= prefix.length; length++) {
      if (!this.#lengths.has(text + length)) continue;
      const entry = this.#entries.get(formatPrefix(maskPrefix({ ...prefix, length })));
      if (entry) found.push(entry);
    }
    return found;
  }

  /** The prefixes within one, without itself. */
  within(prefix: Prefix): string[] {
    return this.#sorted.within(prefix, formatPrefix(prefix));
  }

  #countLength({ family, length }: Prefix, change: 1 | -1): void {
    const key = `${family}/${length}`;
    const count = (this.#lengths.get(key) ?? 0) + change;
    if (count > 0) this.#lengths.set(key, count);
    else this.#lengths.delete(key);
  }
}
