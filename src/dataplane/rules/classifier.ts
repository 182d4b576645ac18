// Ordered rules compiled into a few look-ups: by family and protocol, by port, by address; first match wins.
import { FAMILIES, type Family } from '#lib';
import type { Direction } from '#calc/dataplane-update';
import type { Action } from './action.ts';
import { type AddressClasses, type AddressQuestion, fittingClasses } from './address-classes.ts';
import {
  type Candidate,
  type PlacedRule,
  type ScopeProtocol,
  candidatesOf,
  isFinal,
  matchesOf,
  protocolsOf,
} from './candidates.ts';
import {
  certain,
  goTo,
  portReader,
  ruleOf,
  sameIds,
  type Scope,
  targetOf,
  untilCertain,
} from './candidate-rules.ts';
import type { Chain, Rule } from './chain.ts';
import { type Fragment, type Interval, allMatches, firstMatches } from './intervals.ts';
import type { Match, PacketEnd } from './match.ts';
import { shortHash } from './names.ts';
import { portTable, type TableRule } from './port-table.ts';
import {
  type MapEntry,
  type ClassEntry,
  type MapKey,
  type RangeEntry,
  type ServiceEntry,
  type VerdictMap,
  isExact,
} from './verdict-map.ts';

/** So many rules one after the other cost no more than the look-ups of a group. */
const WALKED_MAX = 8;
/** So many candidates one after the other cost no more than a look-up. */
const LINEAR_MAX = 4;
/** How often a rule may be repeated in the chains of ports, on average, and how many more there may be. */
const REPEATS_MAX = 8;
const ROOM_MIN = 1024;
/** How many classes of addresses may be written into maps for a rule, on average, and how many more there may be. */
const WRITTEN_MAX = 16;
const WRITTEN_MIN = 1024;

export interface ClassifierOptions {
  /** Name of the chain that is entered; the names of all others begin with it. */
  readonly name: string;
  readonly comment: string;
  readonly direction: Direction;
  /** What rules ask of the far end's addresses, and which classes that makes; undefined where these are too many. */
  readonly classesOf: (family: Family) => FarClasses | undefined;
}

export interface FarClasses {
  readonly question: AddressQuestion;
  readonly classes: AddressClasses;
}

export interface Classified {
  readonly chains: readonly Chain[];
  readonly maps: readonly VerdictMap[];
  /** Undefined where rules are walked. */
  readonly entry?: ClassifierEntry;
}

/** What the entered chain does, for those who would rather do it themselves. */
export interface ClassifierEntry {
  /** Where packets of a family and protocol go on. */
  readonly services: readonly ServiceEntry[];
  /** Whether other packets go on anywhere. */
  readonly takesOthers: boolean;
}

/**
 * The chain that does for each packet what the first of the rules that it fits says (Log rules: each), and
 * returns when none is fitted. Undefined when look-ups would take too much room: too many rules without
 * ports among too many with different ones.
 */
export function classify(
  rules: readonly PlacedRule[],
  options: ClassifierOptions,
): Classified | undefined {
  const linear = linearRules(rules);
  if (linear.length <= WALKED_MAX) {
    return { chains: [{ name: options.name, comment: options.comment, rules: linear }], maps: [] };
  }
  return new Classifier(options).classify(rules);
}

/** The same, rule by rule. */
export function walk(rules: readonly PlacedRule[], options: ClassifierOptions): Classified {
  const chain = { name: options.name, comment: options.comment, rules: linearRules(rules) };
  return { chains: [chain], maps: [] };
}

function linearRules(rules: readonly PlacedRule[]): Rule[] {
  return rules.flatMap(({ rule, action }) =>
    matchesOf(rule).map((matches): Rule => ({ matches, actions: [action] })),
  );
}

interface PortPlan {
  readonly list: readonly Candidate[];
  /** Indexes of those that ask for no port. */
  readonly anyPort: readonly number[];
  readonly keepsAll: boolean;
  readonly fallback: string | undefined;
  /** What decides at which addresses when the port does not; undefined where that is not known. */
  readonly open: readonly Fragment<number>[] | undefined;
}

class Classifier {
  readonly #options: ClassifierOptions;
  readonly #chains = new Map<string, Chain>();
  readonly #maps = new Map<string, VerdictMap>();
  readonly #end: PacketEnd;
  /** For rules that are repeated; below nought it has become too big. */
  #room = 0;
  /** For classes that are written into maps; without it sets are asked one by one. */
  #toWrite = 0;

  constructor(options: ClassifierOptions) {
    this.#options = options;
    this.#end = options.direction === 'ingress' ? 'source' : 'destination';
  }

  classify(rules: readonly PlacedRule[]): Classified | undefined {
    const { name } = this.#options;
    this.#room = REPEATS_MAX * rules.length + ROOM_MIN;
    this.#toWrite = WRITTEN_MAX * rules.length + WRITTEN_MIN;
    const others = this.#scopes(rules, 'other');
    const entry: Rule[] = [];
    const services = protocolsOf(rules.map(({ rule }) => rule)).flatMap(
      (protocol): ServiceEntry[] => {
        const scopes = new Map(
          this.#scopes(rules, protocol).map(({ family, chain }) => [family, chain]),
        );
        // What fits no rule of its protocol must not meet those for other protocols.
        for (const { family } of others) {
          if (!scopes.has(family)) scopes.set(family, this.#nothing());
        }
        return [...scopes].map(([family, chain]) => ({ family, protocol, chain }));
      },
    );
    if (services.length > 0) {
      entry.push(this.#lookUp(`${name}/services`, { by: 'service' }, services));
    }
    for (const { family, chain } of others) {
      const match: Match = { match: 'family', family };
      entry.push({ matches: [match], actions: [{ action: 'goto', chain }] });
    }
    this.#add({ name, rules: entry });
    if (this.#room < 0) return undefined;
    return {
      chains: [...this.#chains.values()],
      maps: [...this.#maps.values()],
      entry: { services, takesOthers: others.length > 0 },
    };
  }

  #add(chain: Omit<Chain, 'comment'>): void {
    this.#chains.set(chain.name, { ...chain, comment: this.#options.comment });
  }

  get #nothingName(): string {
    return `${this.#options.name}/nothing`;
  }

  /** A chain that decides nothing. */
  #nothing(): string {
    this.#add({ name: this.#nothingName, rules: [] });
    return this.#nothingName;
  }

  /** The chains of a protocol; one for both families where these make no difference. */
  #scopes(
    rules: readonly PlacedRule[],
    protocol: ScopeProtocol,
  ): { family: Family; chain: string }[] {
    const lists = FAMILIES.map((family) => candidatesOf(rules, family, protocol));
    const [ipv4 = [], ipv6 = []] = lists;
    const isShared = [...ipv4, ...ipv6].every(({ rest }) => !rest.some((one) => 'family' in one));
    if (isShared && sameIds(ipv4, ipv6)) {
      const name = `${this.#options.name}/${protocol}`;
      const chain = this.#scope({ name, family: 4, protocol }, ipv4);
      return chain === undefined ? [] : FAMILIES.map((family) => ({ family, chain }));
    }
    return FAMILIES.flatMap((family, index) => {
      const name = `${this.#options.name}/${protocol}-${family}`;
      const chain = this.#scope({ name, family, protocol }, lists[index] ?? []);
      return chain === undefined ? [] : [{ family, chain }];
    });
  }

  /** Name of the chain that decides about a list; undefined when no packet fits. */
  #scope(scope: Scope, list: readonly Candidate[]): string | undefined {
    const reached = untilCertain(list);
    const only = certain(reached[0]);
    if (only !== undefined) return only;
    if (reached.length === 0) return undefined;
    const rules =
      reached.filter(({ ports }) => ports).length > LINEAR_MAX
        ? this.#byPort(scope, reached)
        : this.#inOrder(scope, reached);
    this.#add({ name: scope.name, rules });
    return scope.name;
  }

  /** One look-up for class and port, where that is all that is asked and there is room; else ports lead to chains. */
  #byPort(scope: Scope, list: readonly Candidate[]): Rule[] {
    return this.#byClassAndPort(scope, list) ?? this.#byPortAlone(scope, list);
  }

  #byClassAndPort(scope: Scope, list: readonly Candidate[]): Rule[] | undefined {
    const { name, family } = scope;
    if (!list.some(({ rest }) => rest.length > 0)) return undefined;
    const far = this.#options.classesOf(family);
    if (!far) return undefined;
    const rules: TableRule[] = [];
    for (const candidate of list) {
      const fitting = this.#fitting(scope, candidate.rest);
      const chain = targetOf(candidate);
      if (!fitting || chain === undefined) return undefined;
      rules.push({ ...(candidate.ports && { ports: candidate.ports }), fitting, chain });
    }
    const { classes, numbers, size, map } = far.classes;
    const byIndex = classes.map((one) => numbers.get(one.name) ?? '');
    const places = { numbers: byIndex, hasOthers: size > classes.length };
    const table = portTable(rules, places, this.#nothingName, this.#toWrite);
    if (!table) return undefined;
    this.#toWrite -= table.byClass.length + table.byPort.length;
    if (table.byClass.some(({ chain }) => chain === this.#nothingName)) this.#nothing();
    const found: Rule[] = [];
    if (table.byClass.length > 0) {
      const verdicts = `m-${name}/class-ports`;
      this.#maps.set(verdicts, {
        name: verdicts,
        key: { by: 'class-port' },
        entries: table.byClass,
      });
      const key: MapKey = { by: 'address', end: this.#end, family };
      const action: Action = {
        action: 'look-up',
        map: verdicts,
        key,
        classes: map.name,
        atPort: true,
      };
      found.push({
        matches: [{ match: 'family', family }, ...portReader(scope)],
        actions: [action],
      });
    }
    if (table.byPort.length > 0) {
      found.push(this.#lookUp(`${name}/ports`, { by: 'port' }, table.byPort, scope));
    }
    return [
      ...found,
      ...this.#inOrder(
        scope,
        list.filter(({ ports }) => !ports),
      ),
    ];
  }

  /** A map from port to what is left to ask; then what holds for every port. */
  #byPortAlone(scope: Scope, list: readonly Candidate[]): Rule[] {
    const places = [...list.keys()].filter((index) => !list[index]?.ports);
    const anyPort = places.flatMap((index) => list[index] ?? []);
    // Which of them is the first at which addresses; undefined where they ask for more.
    const open = this.#firstByAddress(scope, list, places);
    // What is not final must not be met twice: chains of ports then have all that holds for the port.
    const keepsAll = !anyPort.every(isFinal);
    const fallback = keepsAll || anyPort.length === 0 ? undefined : `${scope.name}/any-port`;
    const plan: PortPlan = { list, anyPort: places, keepsAll, fallback, open };
    const entries = this.#portEntries(scope, plan);
    const lookUp = this.#lookUp(`${scope.name}/ports`, { by: 'port' }, entries, scope);
    if (fallback === undefined) return [lookUp, ...this.#inOrder(scope, anyPort)];
    this.#add({ name: fallback, rules: this.#inOrder(scope, anyPort) });
    return [lookUp, goTo(fallback)];
  }

  /** The chain of each range of ports that a candidate asks for. */
  #portEntries(scope: Scope, plan: PortPlan): MapEntry[] {
    const { list } = plan;
    const places = [...list.keys()].filter((index) => list[index]?.ports);
    const fragments = allMatches(
      places.map((index) => list[index]?.ports ?? []),
      this.#room,
    );
    if (!fragments) this.#room = -1;
    const known = new Map<string, string>();
    const entries: MapEntry[] = [];
    for (const { first, last, value } of fragments ?? []) {
      const indexes = value.flatMap((index) => places[index] ?? []);
      const key = indexes.join();
      let chain = known.get(key);
      if (chain === undefined) {
        chain = this.#portChain(scope, plan, indexes);
        known.set(key, chain);
      }
      if (this.#room < 0) return [];
      entries.push({ first, last, chain });
    }
    return entries;
  }

  /** What is left to ask of packets to a port that these candidates ask for, besides those for any port. */
  #portChain(scope: Scope, plan: PortPlan, indexes: readonly number[]): string {
    const { list, keepsAll, fallback } = plan;
    const end = keepsAll ? list.length : (indexes.at(-1) ?? 0);
    const isDense = plan.open === undefined || !plan.open.some(({ value }) => value < end);
    const sparse = isDense ? undefined : this.#winning(scope, plan, indexes);
    const name = `${scope.name}/${shortHash(JSON.stringify([indexes.map((one) => list[one]?.id), keepsAll]))}`;
    if (sparse && fallback !== undefined) {
      const rules = this.#addressLookUp(scope, `${name}/addresses`, sparse, fallback);
      this.#add({ name, rules: [...rules, goTo(fallback)] });
      return name;
    }
    const open = plan.anyPort.filter((index) => index < end);
    const known = untilCertain(
      [...indexes, ...open]
        .toSorted((a, b) => a - b)
        .flatMap((index) => list[index] ?? [])
        .map(({ id, action, rest }): Candidate => ({ id, action, rest })),
    );
    this.#room -= known.length;
    const only = certain(known[0]);
    if (only !== undefined) return only;
    const rules = this.#inOrder({ ...scope, name }, known);
    const isOpen = fallback !== undefined && certain(known.at(-1)) === undefined;
    this.#add({ name, rules: isOpen ? [...rules, goTo(fallback)] : rules });
    return name;
  }

  /** The addresses at which one of these candidates comes before all for any port. */
  #winning(
    scope: Scope,
    { list, open = [] }: PortPlan,
    indexes: readonly number[],
  ): RangeEntry[] | undefined {
    const firsts = this.#firstByAddress(scope, list, indexes);
    if (!firsts) return undefined;
    const won = withoutEarlier(firsts, open);
    if (won.length > this.#toWrite) return undefined;
    this.#toWrite -= won.length;
    return won.flatMap(({ first, last, value }): RangeEntry[] => {
      const chain = targetOf(list[value]);
      return chain === undefined ? [] : [{ first, last, chain }];
    });
  }

  #firstByAddress(
    scope: Scope,
    list: readonly Candidate[],
    indexes: readonly number[],
  ): Fragment<number>[] | undefined {
    const lists: (readonly Interval[])[] = [];
    for (const index of indexes) {
      const candidate = list[index];
      const addresses =
        candidate && isFinal(candidate) ? this.#fitting(scope, candidate.rest) : undefined;
      if (!addresses) return undefined;
      lists.push(addresses);
    }
    return firstMatches(lists).map((one) => ({ ...one, value: indexes[one.value] ?? 0 }));
  }

  /** Rules for candidates; those in a row that ask for nothing but an address are one look-up. */
  #inOrder(scope: Scope, list: readonly Candidate[]): Rule[] {
    const rules: Rule[] = [];
    let run: { candidate: Candidate; addresses: readonly Interval[] }[] = [];
    const flush = () => {
      const written = run.reduce((sum, { addresses }) => sum + addresses.length, 0);
      if (run.length > LINEAR_MAX && written <= this.#toWrite) {
        rules.push(...this.#byAddress(scope, run));
      } else rules.push(...run.map(({ candidate }) => ruleOf(scope, candidate)));
      run = [];
    };
    for (const candidate of untilCertain(list)) {
      const addresses = this.#addressesOf(scope, candidate);
      if (addresses) {
        run.push({ candidate, addresses });
        continue;
      }
      flush();
      rules.push(ruleOf(scope, candidate));
    }
    flush();
    return rules;
  }

  #addressesOf(scope: Scope, candidate: Candidate): readonly Interval[] | undefined {
    if (candidate.ports || candidate.rest.length === 0 || !isFinal(candidate)) return undefined;
    return this.#fitting(scope, candidate.rest);
  }

  /** Indexes of the classes of addresses that fit; undefined when the matches ask of more, or of a big set. */
  #fitting({ family }: Scope, matches: readonly Match[]): readonly Interval[] | undefined {
    const far = this.#options.classesOf(family);
    return far && fittingClasses(matches, far.question, far.classes);
  }

  #byAddress(
    scope: Scope,
    run: readonly { readonly candidate: Candidate; readonly addresses: readonly Interval[] }[],
  ): Rule[] {
    const fragments = firstMatches(run.map(({ addresses }) => addresses));
    this.#toWrite -= fragments.length;
    const entries = fragments.flatMap(({ first, last, value }): RangeEntry[] => {
      const chain = targetOf(run[value]?.candidate);
      return chain === undefined ? [] : [{ first, last, chain }];
    });
    const ids = run.map(({ candidate }) => candidate.id);
    return this.#addressLookUp(scope, `${scope.name}/addresses-${shortHash(ids.join())}`, entries);
  }

  /**
   * `ranges` are of indexes of classes. What they do not name goes on behind the look-up; where they name what is in no
   * class, and not all classes, the rest goes to `fallback`.
   */
  #addressLookUp(
    { family }: Scope,
    name: string,
    ranges: readonly RangeEntry[],
    fallback?: string,
  ): Rule[] {
    const far = this.#options.classesOf(family);
    if (!far) return [];
    const { classes, numbers, map } = far.classes;
    const chains = new Map<number, string>();
    for (const { first, last, chain } of ranges) {
      for (let index = Number(first); index <= Number(last); index++) chains.set(index, chain);
    }
    const others = chains.get(classes.length);
    const entries = classes.flatMap((one, index): ClassEntry[] => {
      const chain = chains.get(index) ?? (others === undefined ? undefined : fallback);
      return chain === undefined ? [] : [{ number: numbers.get(one.name) ?? '', chain }];
    });
    const matches: Match[] = [{ match: 'family', family }];
    const rules: Rule[] = [];
    if (entries.length > 0) {
      const verdicts = `m-${name}-classes`;
      this.#maps.set(verdicts, { name: verdicts, key: { by: 'class' }, entries });
      const key: MapKey = { by: 'address', end: this.#end, family };
      rules.push({
        matches,
        actions: [{ action: 'look-up', map: verdicts, key, classes: map.name }],
      });
    }
    if (others !== undefined) rules.push({ ...goTo(others), matches });
    return rules;
  }

  /** The name says what kind of map it is, for that cannot be changed in place. */
  #lookUp(name: string, key: MapKey, entries: readonly MapEntry[], scope?: Scope): Rule {
    const map = `m-${name}${isExact(entries) ? '' : '-ranges'}`;
    this.#maps.set(map, { name: map, key, entries });
    const matches = key.by === 'port' && scope ? portReader(scope) : [];
    return { matches, actions: [{ action: 'look-up', map, key }] };
  }
}

/** Both sorted: what is left of fragments where no earlier index holds. */
function withoutEarlier(
  fragments: readonly Fragment<number>[],
  earlier: readonly Fragment<number>[],
): Fragment<number>[] {
  const left: Fragment<number>[] = [];
  let at = 0;
  for (const { first, last, value } of fragments) {
    let next = first;
    while ((earlier[at]?.last ?? last) < first) at++;
    for (let index = at; ; index++) {
      const one = earlier[index];
      if (!one || one.first > last) break;
      if (one.value > value) continue;
      if (one.first > next) left.push({ first: next, last: one.first - 1n, value });
      next = one.last + 1n;
    }
    if (next <= last) left.push({ first: next, last, value });
  }
  return left;
}
