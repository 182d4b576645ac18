// IP sets as the kernel should hold them, one family at a time; what changes little is worked out from what it was.
import { type Family, PersistentMap, setDifference } from '#lib';
import type { IpSet } from '#calc/dataplane-update';
import type { Hex, SetElement, SetType } from '#linux';
import { type Interval, mergeIntervals, prefixIntervals } from '../rules/intervals.ts';
import type { SetKind } from '../rules/names.ts';
import { addressBytes, networkHex, parseIpPort } from './bytes.ts';
import { intervalElements, rangeText, withoutRange, withRange } from './intervals.ts';
import type { SetState } from './set-state.ts';

/** Where more than this part of the members came or went, all are looked at. */
const CHANGED_PART_MAX = 1 / 8;

type Entries = PersistentMap<readonly SetElement[]>;

interface Known {
  readonly state: SetState;
  readonly entries: Entries;
  /** Whether no two members have an address, or a port, in common: then each comes and goes by itself. */
  readonly isDisjoint: boolean;
}

/** The elements of an IP set in one family. */
interface Contents {
  readonly entries: Entries;
  readonly isDisjoint: boolean;
}

type KnownSets = Readonly<Record<Family, WeakMap<IpSet, Known>>>;

const noneKnown = (): KnownSets => ({ 4: new WeakMap(), 6: new WeakMap() });

/** IP sets are values, the same object as long as they do not change. */
export class IpSetStates {
  readonly #known: Readonly<Record<SetKind, KnownSets>> = {
    net: noneKnown(),
    address: noneKnown(),
    'ip-port': noneKnown(),
  };

  /**
   * The members of one family. Those that are not of the kind are left out. `former` is the set as it was: where that
   * is known, and its members do not overlap, the cost is that of the members that came and went.
   */
  stateOf(set: IpSet, kind: SetKind, family: Family, former?: IpSet): SetState {
    const all = this.#known[kind][family];
    const known = all.get(set);
    if (known) return known.state;
    const before = former && all.get(former);
    const changed =
      former && before && changedEntries(before, former.members, set.members, kind, family);
    const contents = changed
      ? { entries: changed, isDisjoint: true }
      : kind === 'net'
        ? rangesOf(set.members, family)
        : keysOf(set.members, kind, family);
    const isSame = before?.entries === contents.entries;
    const state = isSame ? before.state : { type: typeOf(kind, family), entries: contents.entries };
    all.set(set, { ...contents, state });
    return state;
  }
}

function typeOf(kind: SetKind, family: Family): SetType {
  const address = family === 4 ? 'ipv4_addr' : 'ipv6_addr';
  if (kind === 'net') return { key: [address], interval: true };
  return { key: kind === 'address' ? [address] : [address, 'inet_proto', 'inet_service'] };
}

function rangesOf(members: Iterable<string>, family: Family): Contents {
  const bytes = addressBytes(family);
  const each = prefixIntervals(members, family);
  const merged = mergeIntervals(each);
  const entries = merged.map((range): [string, SetElement[]] => {
    const elements = intervalElements(range, bytes);
    return [rangeText(elements), elements];
  });
  return { entries: PersistentMap.from(entries), isDisjoint: valuesOf(each) === valuesOf(merged) };
}

function valuesOf(ranges: readonly Interval[]): bigint {
  return ranges.reduce((sum, [first, last]) => sum + last - first + 1n, 0n);
}

function keysOf(members: Iterable<string>, kind: KeyedKind, family: Family): Contents {
  const entries: [string, SetElement[]][] = [];
  for (const member of members) {
    const key = keyOf(member, kind, family);
    if (key !== undefined) entries.push([key, [{ key }]]);
  }
  const found = PersistentMap.from(entries);
  return { entries: found, isDisjoint: found.size === entries.length };
}

type KeyedKind = Exclude<SetKind, 'net'>;

/** Undefined for what is not of the kind and family. */
function keyOf(member: string, kind: KeyedKind, family: Family): Hex | undefined {
  if (kind === 'ip-port') {
    const parsed = parseIpPort(member);
    return parsed?.family === family ? parsed.key : undefined;
  }
  const [range] = prefixIntervals([member], family);
  return range && range[0] === range[1] ? networkHex(range[0], addressBytes(family)) : undefined;
}

/** The entries after what came and went; undefined where that cannot be said without looking at all. */
function changedEntries(
  before: Known,
  former: IpSet['members'],
  members: IpSet['members'],
  kind: SetKind,
  family: Family,
): Entries | undefined {
  if (!before.isDisjoint) return undefined;
  const { added, removed } = setDifference(former, members);
  if (added.length + removed.length > members.size * CHANGED_PART_MAX) return undefined;
  let entries: Entries | undefined = before.entries;
  for (const one of removed) entries = entries && withoutMember(entries, one, kind, family);
  for (const one of added) entries = entries && withMember(entries, one, kind, family);
  return entries;
}

function withoutMember(
  entries: Entries,
  member: string,
  kind: SetKind,
  family: Family,
): Entries | undefined {
  if (kind === 'net') {
    const [range] = prefixIntervals([member], family);
    return range ? withoutRange(entries, range, addressBytes(family)) : entries;
  }
  const key = keyOf(member, kind, family);
  return key === undefined ? entries : entries.without(key);
}

function withMember(
  entries: Entries,
  member: string,
  kind: SetKind,
  family: Family,
): Entries | undefined {
  if (kind === 'net') {
    const [range] = prefixIntervals([member], family);
    return range ? withRange(entries, range, addressBytes(family)) : entries;
  }
  const key = keyOf(member, kind, family);
  if (key === undefined) return entries;
  return entries.has(key) ? undefined : entries.with(key, [{ key }]);
}
