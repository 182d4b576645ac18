// Values by prefix, found by the longest prefix around an address.
import { type Address, formatPrefix, maskPrefix, parsePrefix } from '#lib';

export interface PrefixEntry<V> {
  readonly value: V;
  /** Masked, as text. */
  readonly prefixes: readonly string[];
}

/** One hash look-up for each prefix length in use. */
export class PrefixIndex<V> {
  readonly #entries = new Map<string, PrefixEntry<V>>();
  readonly #byPrefix = new Map<string, Map<string, V>>();
  /** Number of prefixes of each length, by family. */
  readonly #lengths = { 4: new Map<number, number>(), 6: new Map<number, number>() };

  get size(): number {
    return this.#entries.size;
  }

  /** Replaces what `key` stands for; undefined removes it. */
  set(key: string, entry: PrefixEntry<V> | undefined): void {
    const before = this.#entries.get(key);
    for (const prefix of new Set(before?.prefixes)) this.#remove(prefix, key);
    this.#entries.delete(key);
    if (!entry) return;
    this.#entries.set(key, entry);
    for (const prefix of new Set(entry.prefixes)) this.#add(prefix, key, entry.value);
  }

  /** The values of the longest prefix that contains the address. */
  longest(address: Address): readonly V[] {
    const lengths = [...this.#lengths[address.family].keys()].sort((a, b) => b - a);
    for (const length of lengths) {
      const values = this.#byPrefix.get(formatPrefix(maskPrefix({ ...address, length })));
      if (values) return [...values.values()];
    }
    return [];
  }

  #add(prefix: string, key: string, value: V): void {
    const values = this.#byPrefix.get(prefix);
    if (values) {
      values.set(key, value);
      return;
    }
    this.#byPrefix.set(prefix, new Map([[key, value]]));
    this.#count(prefix, 1);
  }

  #remove(prefix: string, key: string): void {
    const values = this.#byPrefix.get(prefix);
    values?.delete(key);
    if (values?.size !== 0) return;
    this.#byPrefix.delete(prefix);
    this.#count(prefix, -1);
  }

  #count(text: string, change: 1 | -1): void {
    const prefix = parsePrefix(text);
    if (!prefix) return;
    const lengths = this.#lengths[prefix.family];
    const count = (lengths.get(prefix.length) ?? 0) + change;
    if (count > 0) lengths.set(prefix.length, count);
    else lengths.delete(prefix.length);
  }
}
