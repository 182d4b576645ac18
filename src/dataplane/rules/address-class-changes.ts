// Addresses that came into small sets or left them: the classes after that, at the cost of these addresses.
import {
  type Family,
  familyBits,
  formatPrefix,
  parsePrefix,
  PersistentMap,
  setDifference,
} from '#lib';
import type { IpSet } from '#calc/dataplane-update';
import {
  type AddressClasses,
  type AddressQuestion,
  addressKey,
  contentName,
  setCondition,
} from './address-classes.ts';
import type { Fragment } from './intervals.ts';

/** Of more changes than this part of all entries, and so many, all is found out anew. */
const CHANGED_PART = 0.25;
const CHANGED_MIN = 16;

/** Which conditions hold at an address that did not, and the other way round. */
interface Change {
  readonly begins: Set<string>;
  readonly ends: Set<string>;
}

/** What was found out before, with which sets, by ID. */
export interface Former {
  readonly sets: ReadonlyMap<string, IpSet | undefined>;
  readonly classes: AddressClasses;
}

/**
 * As `addressClasses` says of the sets as they are now. Undefined where that is to be asked: when a class comes or
 * goes, so that rules are others, or when more has changed than single addresses of sets of these.
 */
export function changedClasses(
  { family, most }: AddressQuestion,
  { sets, classes }: Former,
  setOf: (id: string) => IpSet | undefined,
): AddressClasses | undefined {
  const changes = new Map<bigint, Change>();
  const at = (bits: bigint): Change => {
    const change = changes.get(bits) ?? { begins: new Set(), ends: new Set() };
    changes.set(bits, change);
    return change;
  };
  for (const [id, before] of sets) {
    const after = setOf(id);
    if (before === after) continue;
    const condition = setCondition(id);
    if (!before || !after || !classes.layout.exact.has(condition)) return undefined;
    const difference = memberChanges(before, after)[family];
    if (!difference) return undefined;
    for (const bits of difference.added) at(bits).begins.add(condition);
    for (const bits of difference.removed) at(bits).ends.add(condition);
  }
  const few = CHANGED_PART * classes.map.entries.size + CHANGED_MIN;
  if (changes.size > few) return undefined;
  const editor = new ClassEditor(classes, family);
  for (const [bits, change] of changes) if (!editor.change(bits, change)) return undefined;
  return editor.classes(most);
}

/** Of one family, the addresses that came and went; undefined where it was more than single addresses. */
type MemberChanges = Readonly<
  Record<Family, { readonly added: bigint[]; readonly removed: bigint[] } | undefined>
>;

interface Known {
  readonly after: WeakRef<IpSet>;
  readonly changes: MemberChanges;
}

/**
 * By the set before: sets are values, and many groups ask about the same. Neither keeps the other, or whoever has one
 * would have all that came of it.
 */
const known = new WeakMap<IpSet, Known>();

function memberChanges(before: IpSet, after: IpSet): MemberChanges {
  const memo = known.get(before);
  if (memo?.after.deref() === after) return memo.changes;
  const { added, removed } = setDifference(before.members, after.members);
  const changes = { 4: singleChanges(4, added, removed), 6: singleChanges(6, added, removed) };
  known.set(before, { after: new WeakRef(after), changes });
  return changes;
}

function singleChanges(
  family: Family,
  added: readonly string[],
  removed: readonly string[],
): MemberChanges[Family] {
  const changes = { added: [] as bigint[], removed: [] as bigint[] };
  for (const [members, bits] of [
    [added, changes.added],
    [removed, changes.removed],
  ] as const) {
    for (const member of members) {
      const prefix = parsePrefix(member);
      // One address in two texts would be two members.
      if (!prefix || formatPrefix(prefix) !== member) return undefined;
      if (prefix.family !== family) continue;
      if (prefix.length !== familyBits(family)) return undefined;
      bits.push(prefix.bits);
    }
  }
  return changes;
}

/** Ranges are cut as `allMatches` cuts them: at each edge of what is wide, and around each single address. */
class ClassEditor {
  readonly #before: AddressClasses;
  readonly #family: Family;
  readonly #counts: Map<string, number>;
  #entries: PersistentMap<Fragment<string>>;
  #held: number;

  constructor(before: AddressClasses, family: Family) {
    this.#before = before;
    this.#family = family;
    this.#entries = before.map.entries;
    this.#counts = new Map(before.layout.counts);
    this.#held = before.layout.held;
  }

  /** False when the address is now in a class that there was not. */
  change(at: bigint, { begins, ends }: Change): boolean {
    const found = this.#at(at);
    const former = found ? this.#holds(found) : new Set<string>();
    const holds = [...former].filter((one) => !ends.has(one));
    for (const one of begins) if (!holds.includes(one)) holds.push(one);
    const value = this.#before.numbers.get(contentName(holds)) ?? '';
    if (holds.length > 0 && value === '') return false;
    const isSingle = holds.some((one) => this.#before.layout.exact.has(one));
    if (found && !this.#isSingle(found)) {
      if (isSingle) this.#cut(found, at, value);
      return true;
    }
    if (found) this.#drop(found);
    if (isSingle) this.#put({ first: at, last: at, value });
    else if (holds.length > 0) this.#join(at, value);
    return true;
  }

  /** Undefined when a class has gone, or when there is too much to write. */
  classes(most: number): AddressClasses | undefined {
    if (this.#held > most || [...this.#counts.values()].includes(0)) return undefined;
    const { map, layout } = this.#before;
    return {
      ...this.#before,
      map: { ...map, entries: this.#entries },
      layout: { ...layout, counts: this.#counts, held: this.#held },
    };
  }

  /** Of a range that a wide condition holds in, one address. */
  #cut(range: Fragment<string>, at: bigint, value: string): void {
    this.#drop(range);
    if (range.first < at) this.#put({ ...range, last: at - 1n });
    this.#put({ first: at, last: at, value });
    if (at < range.last) this.#put({ ...range, first: at + 1n });
  }

  /** What was cut out is one range again with what lies around it, up to the next edge or single address. */
  #join(at: bigint, value: string): void {
    const { edges } = this.#before.layout;
    const left = edges.has(at) ? undefined : this.#at(at - 1n);
    const right = edges.has(at + 1n) ? undefined : this.#at(at + 1n);
    let range: Fragment<string> = { first: at, last: at, value };
    if (left && !this.#isSingle(left)) {
      this.#drop(left);
      range = { ...range, first: left.first };
    }
    if (right && !this.#isSingle(right)) {
      this.#drop(right);
      range = { ...range, last: right.last };
    }
    this.#put(range);
  }

  #at(at: bigint): Fragment<string> | undefined {
    const [, range] = this.#entries.lastUpTo(addressKey(at, this.#family)) ?? [];
    return range && range.last >= at ? range : undefined;
  }

  #holds({ value }: Fragment<string>): ReadonlySet<string> {
    return this.#before.layout.holds.get(value) ?? new Set();
  }

  #isSingle(range: Fragment<string>): boolean {
    return [...this.#holds(range)].some((one) => this.#before.layout.exact.has(one));
  }

  #put(range: Fragment<string>): void {
    this.#entries = this.#entries.with(addressKey(range.first, this.#family), range);
    this.#count(range, 1);
  }

  #drop(range: Fragment<string>): void {
    this.#entries = this.#entries.without(addressKey(range.first, this.#family));
    this.#count(range, -1);
  }

  #count(range: Fragment<string>, by: 1 | -1): void {
    this.#counts.set(range.value, (this.#counts.get(range.value) ?? 0) + by);
    this.#held += by * this.#holds(range).size;
  }
}
