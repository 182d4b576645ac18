// Addresses by which of a group's conditions hold for them: rules decide by class, and an address is in one class.
import { type Family, familyBits, PersistentMap } from '#lib';
import type { IpSet } from '#calc/dataplane-update';
import type { PlacedRule } from './candidates.ts';
import { farMatches, isExpanded } from './candidates.ts';
import { type ClassNumbers, className, classNumbers } from './class-name.ts';
import {
  allMatches,
  type Fragment,
  intersectIntervals,
  type Interval,
  netIntervals,
  setIntervals,
  wholeInterval,
} from './intervals.ts';
import type { Match, PacketEnd } from './match.ts';
import { shortHash } from './names.ts';

/** A map from address to class. Entries are by the key of their first address, and do not overlap. */
export interface ClassMap {
  readonly name: string;
  readonly family: Family;
  /** Every entry is one address. */
  readonly isExact: boolean;
  /** `value` is the number of the class. */
  readonly entries: PersistentMap<Fragment<string>>;
}

/** How many conditions may hold at all ranges of addresses together, each on average, and how many more. */
const HELD_MAX = 64;
const HELD_MIN = 65_536;

type AddressMatch = Match & { readonly match: 'nets' | 'ip-set' };

/** What a group's rules ask of addresses of one family; no member of a set is said here. */
export interface AddressQuestion {
  /** Equal for equal questions, whoever asks. */
  readonly name: string;
  readonly end: PacketEnd;
  readonly family: Family;
  /** By ID. */
  readonly conditions: ReadonlyMap<string, AddressMatch>;
  /** Some rule asks only of what the address is not: then every address has a class. */
  readonly asksOfAll: boolean;
  readonly most: number;
}

/**
 * A class is the conditions that hold in it. Rules are rendered for indexes of classes as if these were addresses; the
 * last index is of the addresses for which nothing holds, where these are in no class.
 */
export interface AddressClasses {
  readonly map: ClassMap;
  readonly numbers: ClassNumbers;
  /** Conditions of each class, by index. */
  readonly classes: readonly { readonly name: string; readonly holds: ReadonlySet<string> }[];
  /** How many indexes there are. */
  readonly size: number;
  /** Equal where rules are rendered alike. */
  readonly structure: string;
  readonly layout: ClassLayout;
}

/** What it takes to say what becomes of single addresses. */
export interface ClassLayout {
  /** Conditions that hold at single addresses only. */
  readonly exact: ReadonlySet<string>;
  /** Where the other conditions begin to hold, and where they no longer do. */
  readonly edges: ReadonlySet<bigint>;
  /** By number of the class: its conditions, and in how many entries it is. */
  readonly holds: ReadonlyMap<string, ReadonlySet<string>>;
  readonly counts: ReadonlyMap<string, number>;
  /** Conditions that hold in all entries together. */
  readonly held: number;
}

type SetOf = (id: string) => IpSet | undefined;

export function addressQuestion(
  rules: readonly PlacedRule[],
  end: PacketEnd,
  family: Family,
  setOf: SetOf,
): AddressQuestion {
  const conditions = new Map<string, AddressMatch>();
  let asksOfAll = false;
  for (const { rule } of rules) {
    const matches = farMatches(rule, end, family);
    for (const match of matches) {
      const set = match.match === 'ip-set' ? setOf(match.set) : undefined;
      if (match.match === 'nets' || (set && isExpanded(set))) {
        conditions.set(conditionId(match), match);
      }
    }
    asksOfAll ||= matches.length > 0 && matches.every(({ negated }) => negated);
  }
  const most = HELD_MAX * conditions.size + HELD_MIN;
  const name = `${shortHash(JSON.stringify([[...conditions.keys()].sort(byText), asksOfAll]))}/${family}`;
  return { name, end, family, conditions, asksOfAll, most };
}

/** The answer with these sets; undefined where it would take too much room. */
export function addressClasses(
  { name, family, conditions, asksOfAll, most }: AddressQuestion,
  setOf: SetOf,
): AddressClasses | undefined {
  const ids = [...conditions.keys()];
  const lists = [...conditions.values()].map((match) => intervalsOf(match, setOf));
  const isSingle = (index: number): boolean =>
    conditions.get(ids[index] ?? '')?.match === 'ip-set' &&
    (lists[index] ?? []).every(([first, last]) => first === last);
  const exact = new Set(ids.filter((_, index) => isSingle(index)));
  if (asksOfAll) {
    ids.push('');
    lists.push([wholeInterval(familyBits(family))]);
  }
  const fragments = allMatches(lists, most);
  if (!fragments) return undefined;
  const found = new Map<string, ReadonlySet<string>>();
  const names = new Map<string, string>();
  const named = fragments.map(({ first, last, value }): Fragment<string> => {
    const indexes = value.join();
    const known = names.get(indexes);
    if (known !== undefined) return { first, last, value: known };
    const holds = value.flatMap((index) => ids[index] ?? []);
    const content = contentName(holds);
    names.set(indexes, content);
    found.set(content, new Set(holds));
    return { first, last, value: content };
  });
  const classes = [...found]
    .map(([one, holds]) => ({ name: one, holds }))
    .sort((a, b) => byText(a.name, b.name));
  const numbers = classNumbers(found.keys());
  const isExact =
    !asksOfAll && lists.every((list) => list.every(([first, last]) => first === last));
  const entries = named.map((one): [string, Fragment<string>] => [
    addressKey(one.first, family),
    { ...one, value: numbers.get(one.value) ?? '' },
  ]);
  const wide = lists.filter((_, index) => !exact.has(ids[index] ?? ''));
  const counts = new Map<string, number>();
  for (const [, { value }] of entries) counts.set(value, (counts.get(value) ?? 0) + 1);
  return {
    map: {
      name: `c-${name}${isExact ? '' : '-ranges'}`,
      family,
      isExact,
      entries: PersistentMap.from(entries),
    },
    numbers,
    classes,
    size: classes.length + (asksOfAll ? 0 : 1),
    structure: JSON.stringify([isExact, classes.map((one) => one.name)]),
    layout: {
      exact,
      edges: new Set(wide.flatMap((list) => list.flatMap(([first, last]) => [first, last + 1n]))),
      holds: new Map(classes.map((one) => [numbers.get(one.name) ?? '', one.holds])),
      counts,
      held: fragments.reduce((sum, { value }) => sum + value.length, 0),
    },
  };
}

/** The name of the class in which these conditions hold, in any order. */
export function contentName(holds: readonly string[]): string {
  return className(JSON.stringify(holds.toSorted(byText)));
}

/** Sorts as the addresses do. */
export function addressKey(bits: bigint, family: Family): string {
  return bits.toString(16).padStart(familyBits(family) / 4, '0');
}

/** Indexes of the classes that fit, when the matches ask of nothing but this end, and of no big set. */
export function fittingClasses(
  matches: readonly Match[],
  { end, conditions }: AddressQuestion,
  { classes, size }: AddressClasses,
): readonly Interval[] | undefined {
  let fitting: readonly Interval[] = [[0n, BigInt(size - 1)]];
  for (const match of matches) {
    if ((match.match !== 'nets' && match.match !== 'ip-set') || match.end !== end) return undefined;
    const id = conditionId(match);
    if (!conditions.has(id)) return undefined;
    const isNegated = match.negated ?? false;
    const indexes: Interval[] = [];
    for (let index = 0; index < size; index++) {
      if ((classes[index]?.holds.has(id) ?? false) === isNegated) continue;
      const before = indexes.at(-1);
      const at = BigInt(index);
      if (before && before[1] + 1n === at) indexes[indexes.length - 1] = [before[0], at];
      else indexes.push([at, at]);
    }
    fitting = intersectIntervals(fitting, indexes);
  }
  return fitting;
}

function conditionId(match: AddressMatch): string {
  return match.match === 'nets' ? `nets ${match.nets.join()}` : setCondition(match.set);
}

/** The condition that an address is in an IP set of this ID. */
export function setCondition(id: string): string {
  return `set ${id}`;
}

/** Each address of a set of addresses by itself, so that one that comes between two others touches neither. */
function intervalsOf(match: AddressMatch, setOf: SetOf): readonly Interval[] {
  if (match.match === 'nets') return netIntervals(match.nets, match.family);
  const set = setOf(match.set);
  return set ? setIntervals(set, match.family) : [];
}

function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
