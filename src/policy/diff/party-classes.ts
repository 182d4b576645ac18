// Parties in classes: what no rule, setting or network of either world tells apart.
import { type Address, FAMILIES, type Family, familyBits, formatAddress } from '#lib';
import { prefixContains } from '#lib';
import { LINK_SCOPES } from '../journey.ts';
import { AddressIntervals, type WhichWorld } from './address-intervals.ts';
import { findMemberships, type Memberships } from './memberships.ts';
import { MarkSets } from './mark-sets.ts';
import type { Judge, ProgramTable } from './programs.ts';
import { type AtomTable, Identities } from './set-atoms.ts';
import type { End } from './symbolic-rule.ts';
import type { Judges, SymbolicPlace, SymbolicWorld } from './symbolic-world.ts';

/** A party in one world, as rules and journeys see it. */
export interface Standing extends End {
  readonly marks: readonly number[];
  readonly judges: Judges;
}

/** One pod or host by one of its addresses. */
export interface Member {
  /** `shop/web` or `node:one`. */
  readonly place: string;
  /** The address, where it is not the one that the place is known by. */
  readonly address?: string;
  readonly nodeBefore: string | undefined;
  readonly nodeAfter: string | undefined;
}

export type AddressRange = readonly [first: bigint, last: bigint];

export interface PartyClass {
  readonly index: number;
  readonly family: Family;
  readonly kind: 'pod' | 'host' | 'outside';
  /** Outside addresses that a pod can only mean its own host by. */
  readonly linkScoped: boolean;
  readonly before: Standing;
  readonly after: Standing;
  /** Empty for `outside`. */
  readonly members: readonly Member[];
  /** Only for `outside`; what pods and hosts of either world have is left out without saying so. */
  readonly ranges: readonly AddressRange[];
}

export interface Parties {
  readonly classes: readonly PartyClass[];
  /** Marks that somebody has in only one of the worlds. */
  readonly unstable: ReadonlySet<number>;
  readonly added: readonly string[];
  readonly removed: readonly string[];
}

type Worlds = Readonly<Record<WhichWorld, SymbolicWorld>>;

interface Tables {
  readonly atoms: AtomTable;
  readonly programs: ProgramTable;
}

/** Classes of every party that is in both worlds. */
export function classifyParties(worlds: Worlds, tables: Tables): Parties {
  const sets = new MarkSets();
  const used = new Set(
    tables.programs.judges.flatMap(({ ownAtoms, peerAtoms }) => [...ownAtoms, ...peerAtoms]),
  );
  const find = (world: SymbolicWorld) =>
    findMemberships(world, used, { atoms: tables.atoms, sets });
  const memberships = { before: find(worlds.before), after: find(worlds.after) };
  const builder = new ClassBuilder(tables, sets);
  for (const family of FAMILIES) {
    const intervals = intervalsOf(family, memberships, sets);
    const known = new Set<bigint>();
    for (const world of [worlds.before, worlds.after]) {
      for (const { addresses } of world.places.values()) {
        for (const address of addresses) if (address.family === family) known.add(address.bits);
      }
    }
    builder.addOutside(family, intervals, known);
    const context = { family, intervals, memberships };
    for (const [name, place] of worlds.before.places) {
      const other = worlds.after.places.get(name);
      if (other?.kind === place.kind) builder.addPlace(context, place, other);
    }
  }
  return {
    classes: builder.classes(),
    unstable: builder.unstable,
    added: missing(worlds.after, worlds.before),
    removed: missing(worlds.before, worlds.after),
  };
}

/** What of one world the other lacks: places, and of places in both their families and further addresses. */
function missing(here: SymbolicWorld, there: SymbolicWorld): string[] {
  return [...here.places.values()].flatMap((place) => {
    const other = there.places.get(place.name);
    if (!other) return [place.name];
    const known = new Set(presences(other));
    return presences(place).filter((it) => !known.has(it));
  });
}

/** Each family and further address that a place can be met by. */
function presences({ name, addresses }: SymbolicPlace): string[] {
  const families = new Set(addresses.map((address) => address.family));
  const others = addresses.filter((address) => primary(addresses, address.family) !== address);
  return [
    ...[...families].map((family) => `${name} (IPv${family})`),
    ...others.map((address) => `${name} (${formatAddress(address)})`),
  ];
}

function primary(addresses: readonly Address[], family: Family): Address | undefined {
  return addresses.find((address) => address.family === family);
}

function intervalsOf(
  family: Family,
  memberships: Readonly<Record<WhichWorld, Memberships>>,
  sets: MarkSets,
): AddressIntervals {
  const cuts = LINK_SCOPES.filter((prefix) => prefix.family === family).flatMap((prefix) => {
    const size = 1n << BigInt(familyBits(family) - prefix.length);
    return [prefix.bits, prefix.bits + size];
  });
  const networks = { before: memberships.before.networks, after: memberships.after.networks };
  return new AddressIntervals(family, networks, cuts, sets);
}

interface FamilyContext {
  readonly family: Family;
  readonly intervals: AddressIntervals;
  readonly memberships: Readonly<Record<WhichWorld, Memberships>>;
}

interface StandingKey {
  readonly marks: number;
  readonly judges: Judges;
}

type OpenClass = Omit<PartyClass, 'members' | 'ranges'> & {
  readonly members: Member[];
  readonly ranges: AddressRange[];
};

class ClassBuilder {
  readonly #tables: Tables;
  readonly #sets: MarkSets;
  readonly #identities = new Identities();
  readonly #classes: OpenClass[] = [];
  readonly #standings = new Map<string, Standing>();
  readonly #compared = new Set<string>();
  readonly #outside: Judges;
  readonly unstable = new Set<number>();

  constructor(tables: Tables, sets: MarkSets) {
    this.#tables = tables;
    this.#sets = sets;
    const judge = (direction: Judge['direction']) =>
      tables.programs.judge({ direction, kind: 'outside', tiers: [], profiles: [] });
    this.#outside = { egress: judge('egress'), ingress: judge('ingress') };
  }

  classes(): readonly PartyClass[] {
    return this.#classes;
  }

  /** An interval whose every address has an owner is nobody's. */
  addOutside(family: Family, { intervals }: AddressIntervals, owned: ReadonlySet<bigint>): void {
    const taken = [...owned].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
    let next = 0;
    for (const { first, last, before, after } of intervals) {
      const from = next;
      while ((taken[next] ?? last + 1n) <= last) next++;
      if (BigInt(next - from) > last - first) continue;
      const linkScoped = LINK_SCOPES.some((prefix) =>
        prefixContains(prefix, { family, bits: first }),
      );
      const keys = {
        before: { marks: before, judges: this.#outside },
        after: { marks: after, judges: this.#outside },
      };
      const { ranges } = this.#class(family, linkScoped ? 'linkScoped' : 'outside', keys);
      const end = ranges.at(-1);
      if (end && end[1] === first - 1n) ranges[ranges.length - 1] = [end[0], last];
      else ranges.push([first, last]);
    }
  }

  /** A place by its first address, and by each further one that it has in both worlds. */
  addPlace(context: FamilyContext, before: SymbolicPlace, after: SymbolicPlace): void {
    const { family } = context;
    const first = primary(before.addresses, family);
    const second = primary(after.addresses, family);
    if (!first || !second) return;
    const nodes = { nodeBefore: before.node, nodeAfter: after.node };
    const place = before.name;
    this.#addMember(context, [before, first], [after, second], { place, ...nodes });
    const further = new Map(
      before.addresses.filter((it) => it.family === family).map((it) => [it.bits, it]),
    );
    if (first.bits === second.bits) further.delete(first.bits);
    for (const address of further.values()) {
      const same = after.addresses.some((it) => it.family === family && it.bits === address.bits);
      if (!same) continue;
      const member = { place, address: formatAddress(address), ...nodes };
      this.#addMember(context, [before, address], [after, address], member);
    }
  }

  #addMember(
    { family, intervals, memberships }: FamilyContext,
    before: readonly [place: SymbolicPlace, address: Address],
    after: readonly [place: SymbolicPlace, address: Address],
    member: Member,
  ): void {
    const key = (which: WhichWorld, [place, address]: readonly [SymbolicPlace, Address]) => ({
      marks: this.#sets.union(
        memberships[which].ofEndpoints(address),
        intervals.at(address.bits)[which],
      ),
      judges: place.judgesAt(address),
    });
    const keys = { before: key('before', before), after: key('after', after) };
    this.#class(family, before[0].kind, keys).members.push(member);
  }

  #class(
    family: Family,
    kind: PartyClass['kind'] | 'linkScoped',
    keys: Readonly<Record<WhichWorld, StandingKey>>,
  ): OpenClass {
    const { before, after } = keys;
    const text = ({ marks, judges: { egress, ingress } }: StandingKey) =>
      `${marks} ${egress.identity} ${ingress.identity}`;
    const index = this.#identities.of(`${family} ${kind} ${text(before)} ${text(after)}`);
    const known = this.#classes[index];
    if (known) return known;
    this.#compare(before.marks, after.marks);
    const created: OpenClass = {
      index,
      family,
      kind: kind === 'linkScoped' ? 'outside' : kind,
      linkScoped: kind === 'linkScoped',
      before: this.#standing(family, before),
      after: this.#standing(family, after),
      members: [],
      ranges: [],
    };
    this.#classes[index] = created;
    return created;
  }

  #compare(before: number, after: number): void {
    if (before === after || this.#compared.has(`${before} ${after}`)) return;
    this.#compared.add(`${before} ${after}`);
    const old = new Set(this.#sets.marks(before));
    const now = new Set(this.#sets.marks(after));
    for (const mark of old.symmetricDifference(now)) this.unstable.add(mark);
  }

  #standing(family: Family, { marks: identity, judges }: StandingKey): Standing {
    const key = `${family} ${identity} ${judges.egress.identity} ${judges.ingress.identity}`;
    const known = this.#standings.get(key);
    if (known) return known;
    const marks = this.#sets.marks(identity);
    const atoms = new Set<number>();
    const ports = new Map<number, { protocol: number; port: number }[]>();
    for (const mark of marks) {
      const { atom, protocol, port } = this.#tables.atoms.markOf(mark);
      if (port < 0) atoms.add(atom);
      else ports.set(atom, [...(ports.get(atom) ?? []), { protocol, port }]);
    }
    const standing = { family, marks, judges, atoms, ports };
    this.#standings.set(key, standing);
    return standing;
  }
}
