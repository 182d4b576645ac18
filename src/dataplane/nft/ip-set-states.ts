// IP sets as the kernel should hold them, one family at a time; what changes little is worked out from what it was.
import { type Family, PersistentMap, setDifference } from '#lib';
import type { IpSet } from '#calc/dataplane-update';
import type { SetElement } from '#linux';
import { type Interval, mergeIntervals, prefixIntervals } from '../rules/intervals.ts';
import { addressBytes, parseIpPort } from './bytes.ts';
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

/** IP sets are values, the same object as long as they do not change. */
export class IpSetStates {
  readonly #known = { 4: new WeakMap<IpSet, Known>(), 6: new WeakMap<IpSet, Known>() };

  /**
   * The members of one family. Those that are not of the set's form are left out. `former` is the set as it was: where
   * that is known, and its members do not overlap, the cost is that of the members that came and went.
   */
  stateOf(set: IpSet, family: Family, former?: IpSet): SetState {
    const known = this.#known[family].get(set);
    if (known) return known.state;
    const before = former?.type === set.type ? this.#known[family].get(former) : undefined;
    const changed = former && before && changedEntries(before, former, set, family);
    const contents = changed ? { entries: changed, isDisjoint: true } : contentsOf(set, family);
    const state =
      before?.entries === contents.entries ? before.state : stateWith(contents, set, family);
    this.#known[family].set(set, { ...contents, state });
    return state;
  }
}

function stateWith({ entries }: Contents, { type }: IpSet, family: Family): SetState {
  const address = family === 4 ? 'ipv4_addr' : 'ipv6_addr';
  if (type === 'net') return { type: { key: [address], interval: true }, entries };
  return { type: { key: [address, 'inet_proto', 'inet_service'] }, entries };
}

function contentsOf(set: IpSet, family: Family): Contents {
  return set.type === 'net' ? rangesOf(set.members, family) : portsOf(set.members, family);
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

function portsOf(members: Iterable<string>, family: Family): Contents {
  const entries: [string, SetElement[]][] = [];
  for (const member of members) {
    const parsed = parseIpPort(member);
    if (parsed?.family === family) entries.push([parsed.key, [{ key: parsed.key }]]);
  }
  const found = PersistentMap.from(entries);
  return { entries: found, isDisjoint: found.size === entries.length };
}

/** The entries after what came and went; undefined where that cannot be said without looking at all. */
function changedEntries(
  before: Known,
  former: IpSet,
  { type, members }: IpSet,
  family: Family,
): Entries | undefined {
  if (!before.isDisjoint) return undefined;
  const { added, removed } = setDifference(former.members, members);
  if (added.length + removed.length > members.size * CHANGED_PART_MAX) return undefined;
  const take = type === 'net' ? withoutNet : withoutPort;
  const give = type === 'net' ? withNet : withPort;
  let entries: Entries | undefined = before.entries;
  for (const member of removed) entries = entries && take(entries, member, family);
  for (const member of added) entries = entries && give(entries, member, family);
  return entries;
}

function withoutNet(entries: Entries, member: string, family: Family): Entries | undefined {
  const [range] = prefixIntervals([member], family);
  return range ? withoutRange(entries, range, addressBytes(family)) : entries;
}

function withNet(entries: Entries, member: string, family: Family): Entries | undefined {
  const [range] = prefixIntervals([member], family);
  return range ? withRange(entries, range, addressBytes(family)) : entries;
}

function withoutPort(entries: Entries, member: string, family: Family): Entries {
  const parsed = parseIpPort(member);
  return parsed?.family === family ? entries.without(parsed.key) : entries;
}

function withPort(entries: Entries, member: string, family: Family): Entries | undefined {
  const parsed = parseIpPort(member);
  if (parsed?.family !== family) return entries;
  return entries.has(parsed.key) ? undefined : entries.with(parsed.key, [{ key: parsed.key }]);
}
