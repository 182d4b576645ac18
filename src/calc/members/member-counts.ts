// The members of one IP set: each counted by who gives it, prefixes that another one covers left out.
import {
  familyBits,
  formatPrefix,
  maskPrefix,
  parsePrefix,
  PersistentSet,
  type Prefix,
} from '#lib';
import { SortedMembers } from './sorted-members.ts';

/**
 * Several objects may give the same member; it stays until the last has gone. Of prefixes that overlap the widest
 * alone is shown. While all are single addresses nothing can overlap, and nothing is kept for it.
 */
export class MemberCounts {
  readonly #overlaps: boolean;
  #shown = PersistentSet.EMPTY;
  #published = PersistentSet.EMPTY;
  readonly #hidden = new Set<string>();
  /** Givers beyond the first. */
  readonly #more = new Map<string, number>();
  readonly #netLengths = new Map<string, { readonly prefix: Prefix; count: number }>();
  #sorted: SortedMembers | undefined;

  /** `overlaps`: whether members are prefixes, else they are opaque. */
  constructor(overlaps: boolean) {
    this.#overlaps = overlaps;
  }

  add(member: string): void {
    if (this.#shown.has(member) || this.#hidden.has(member)) {
      this.#more.set(member, (this.#more.get(member) ?? 0) + 1);
      return;
    }
    const isNet = this.#overlaps && !isSingleAddress(member);
    if (!isNet && !this.#sorted) this.#shown = this.#shown.with(member);
    else this.#addAmongNets(member, isNet);
  }

  delete(member: string): void {
    const more = this.#more.get(member);
    if (more !== undefined) {
      if (more > 1) this.#more.set(member, more - 1);
      else this.#more.delete(member);
      return;
    }
    if (this.#sorted) this.#deleteAmongNets(member, this.#sorted);
    else this.#shown = this.#shown.without(member);
  }

  /** What is shown now, for good; the same object as the last time where no member came or went. */
  members(): PersistentSet {
    if (!this.#shown.equals(this.#published)) this.#published = this.#shown;
    return this.#published;
  }

  #addAmongNets(member: string, isNet: boolean): void {
    const prefix = parsePrefix(member);
    if (!prefix) return;
    const sorted = this.#sorted ?? this.#sortAll();
    sorted.add(prefix, member);
    if (this.#isCovered(prefix)) this.#hidden.add(member);
    else {
      this.#shown = this.#shown.with(member);
      if (isNet) this.#hide(sorted.within(prefix, member));
    }
    if (isNet) this.#countLength(prefix, 1);
  }

  #deleteAmongNets(member: string, sorted: SortedMembers): void {
    const prefix = parsePrefix(member);
    if (!prefix) return;
    const isNet = !isSingleAddress(member);
    sorted.delete(prefix, member);
    if (isNet) this.#countLength(prefix, -1);
    if (this.#hidden.delete(member)) return;
    this.#shown = this.#shown.without(member);
    if (isNet) this.#show(sorted.within(prefix, member));
    if (this.#netLengths.size === 0) this.#sorted = undefined;
  }

  #sortAll(): SortedMembers {
    const sorted = new SortedMembers();
    for (const member of this.#shown) {
      const prefix = parsePrefix(member);
      if (prefix) sorted.add(prefix, member);
    }
    this.#sorted = sorted;
    return sorted;
  }

  #hide(members: readonly string[]): void {
    for (const member of members) {
      if (!this.#shown.has(member)) continue;
      this.#shown = this.#shown.without(member);
      this.#hidden.add(member);
    }
  }

  /** Of members in order that nothing covers any more, except that they may cover each other. */
  #show(members: readonly string[]): void {
    let cover: Prefix | undefined;
    for (const member of members) {
      const prefix = parsePrefix(member);
      if (!prefix || (cover && contains(cover, prefix))) continue;
      cover = prefix;
      this.#hidden.delete(member);
      this.#shown = this.#shown.with(member);
    }
  }

  /** Whether a wider member contains the prefix. */
  #isCovered(prefix: Prefix): boolean {
    for (const { prefix: net } of this.#netLengths.values()) {
      if (net.family !== prefix.family || net.length >= prefix.length) continue;
      const wider = formatPrefix(maskPrefix({ ...prefix, length: net.length }));
      if (this.#shown.has(wider) || this.#hidden.has(wider)) return true;
    }
    return false;
  }

  #countLength(prefix: Prefix, change: 1 | -1): void {
    const key = `${prefix.family}/${prefix.length}`;
    const known = this.#netLengths.get(key) ?? { prefix, count: 0 };
    known.count += change;
    if (known.count > 0) this.#netLengths.set(key, known);
    else this.#netLengths.delete(key);
  }
}

function isSingleAddress(member: string): boolean {
  return member.endsWith('/128') || (member.endsWith('/32') && !member.includes(':'));
}

function contains(wide: Prefix, narrow: Prefix): boolean {
  if (wide.family !== narrow.family || wide.length > narrow.length) return false;
  const shift = BigInt(familyBits(wide.family) - wide.length);
  return wide.bits >> shift === narrow.bits >> shift;
}
