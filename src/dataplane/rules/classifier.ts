// Ordered rules compiled into a few look-ups: by family and protocol, by port, by address; first match wins.
import { FAMILIES, type Family } from '#lib';
import type { Direction, IpSet } from '#calc/dataplane-update';
import type { Action } from './action.ts';
import {
  type Candidate,
  type PlacedRule,
  type ScopeProtocol,
  addressesOf,
  candidatesOf,
  isFinal,
  matchesOf,
  protocolsOf,
} from './candidates.ts';
import type { Chain, Rule } from './chain.ts';
import { type Fragment, type Interval, allMatches, firstMatches } from './intervals.ts';
import type { Match, PacketEnd } from './match.ts';
import { shortHash } from './names.ts';
import { type MapEntry, type MapKey, type VerdictMap, isExact } from './verdict-map.ts';

/** So many rules one after the other cost no more than a look-up. */
const LINEAR_MAX = 4;
/** How often a rule may be repeated in the chains of ports, on average. */
const REPEATS_MAX = 8;

export interface ClassifierOptions {
  /** Name of the chain that is entered; the names of all others begin with it. */
  readonly name: string;
  readonly comment: string;
  readonly direction: Direction;
  readonly ipSetOf: (id: string) => IpSet | undefined;
}

export interface Classified {
  readonly chains: readonly Chain[];
  readonly maps: readonly VerdictMap[];
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
  if (linear.length <= LINEAR_MAX) {
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

/** What all candidates of a list have in common. */
interface Scope {
  /** Of chains and maps. */
  readonly name: string;
  readonly family: Family;
  readonly protocol: ScopeProtocol;
}

class Classifier {
  readonly #options: ClassifierOptions;
  readonly #chains = new Map<string, Chain>();
  readonly #maps = new Map<string, VerdictMap>();
  readonly #end: PacketEnd;
  #isTooBig = false;

  constructor(options: ClassifierOptions) {
    this.#options = options;
    this.#end = options.direction === 'ingress' ? 'source' : 'destination';
  }

  classify(rules: readonly PlacedRule[]): Classified | undefined {
    const { name } = this.#options;
    const others = this.#scopes(rules, 'other');
    const entry: Rule[] = [];
    const services = protocolsOf(rules.map(({ rule }) => rule)).flatMap((protocol): MapEntry[] => {
      const scopes = new Map(
        this.#scopes(rules, protocol).map(({ family, chain }) => [family, chain]),
      );
      // What fits no rule of its protocol must not meet those for other protocols.
      for (const { family } of others) {
        if (!scopes.has(family)) scopes.set(family, this.#nothing());
      }
      return [...scopes].map(([family, chain]) => ({ family, protocol, chain }));
    });
    if (services.length > 0) {
      entry.push(this.#lookUp(`${name}/services`, { by: 'service' }, services));
    }
    for (const { family, chain } of others) {
      const match: Match = { match: 'family', family };
      entry.push({ matches: [match], actions: [{ action: 'goto', chain }] });
    }
    this.#add({ name, rules: entry });
    if (this.#isTooBig) return undefined;
    return { chains: [...this.#chains.values()], maps: [...this.#maps.values()] };
  }

  #add(chain: Omit<Chain, 'comment'>): void {
    this.#chains.set(chain.name, { ...chain, comment: this.#options.comment });
  }

  /** A chain that decides nothing. */
  #nothing(): string {
    const name = `${this.#options.name}/nothing`;
    this.#add({ name, rules: [] });
    return name;
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
      const chain = this.#scope(
        { name: `${this.#options.name}/${protocol}`, family: 4, protocol },
        ipv4,
      );
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

  /** A map from port to what is left to ask; then what holds for every port. */
  #byPort(scope: Scope, list: readonly Candidate[]): Rule[] {
    const anyPort = list.filter(({ ports }) => !ports);
    // What is not final must not be met twice: chains of ports then have all that holds for the port.
    const keepsAll = !anyPort.every(isFinal);
    const fallback = keepsAll || anyPort.length === 0 ? undefined : `${scope.name}/any-port`;
    const fragments = this.#portFragments(list, keepsAll);
    const known = new Map<string, string>();
    const entries = fragments.map(({ first, last, value }): MapEntry => {
      const key = value.join();
      let chain = known.get(key);
      if (chain === undefined) {
        const candidates = value.flatMap((index) => list[index] ?? []);
        chain = this.#portChain(scope, candidates, keepsAll, fallback);
        known.set(key, chain);
      }
      return { first, last, chain };
    });
    const lookUp = this.#lookUp(`${scope.name}/ports`, { by: 'port' }, entries, scope);
    if (fallback === undefined) return [lookUp, ...this.#inOrder(scope, anyPort)];
    this.#add({ name: fallback, rules: this.#inOrder(scope, anyPort) });
    return [lookUp, goTo(fallback)];
  }

  /**
   * For each range of ports that a candidate asks for, the indexes of all that fit it. Those for any port
   * that come last are left to the fallback, unless all are to be kept.
   */
  #portFragments(list: readonly Candidate[], keepsAll: boolean): Fragment<readonly number[]>[] {
    const places = [...list.keys()].filter((index) => list[index]?.ports);
    const anyPort = [...list.keys()].filter((index) => !list[index]?.ports);
    let room = REPEATS_MAX * list.length + 1024;
    const fragments = allMatches(
      places.map((index) => list[index]?.ports ?? []),
      room,
    );
    const complete: Fragment<readonly number[]>[] = [];
    for (const { first, last, value } of fragments ?? []) {
      const indexes = value.flatMap((index) => places[index] ?? []);
      const end = indexes.at(-1) ?? 0;
      const open = keepsAll ? anyPort : anyPort.slice(0, countBelow(anyPort, end));
      room -= indexes.length + open.length;
      if (room < 0) break;
      complete.push({ first, last, value: [...indexes, ...open].toSorted((a, b) => a - b) });
    }
    if (!fragments || room < 0) this.#isTooBig = true;
    return this.#isTooBig ? [] : complete;
  }

  #portChain(
    scope: Scope,
    candidates: readonly Candidate[],
    keepsAll: boolean,
    fallback: string | undefined,
  ): string {
    const known = untilCertain(
      candidates.map(({ id, action, rest }): Candidate => ({ id, action, rest })),
    );
    const only = certain(known[0]);
    if (only !== undefined) return only;
    const name = `${scope.name}/${shortHash(JSON.stringify([known.map(({ id }) => id), keepsAll]))}`;
    const rules = this.#inOrder({ ...scope, name }, known);
    const last = known.at(-1);
    const isOpen = fallback !== undefined && certain(last) === undefined;
    this.#add({ name, rules: isOpen ? [...rules, goTo(fallback)] : rules });
    return name;
  }

  /** Rules for candidates; those in a row that ask for nothing but an address are one look-up. */
  #inOrder(scope: Scope, list: readonly Candidate[]): Rule[] {
    const rules: Rule[] = [];
    let run: { candidate: Candidate; addresses: readonly Interval[] }[] = [];
    const flush = () => {
      if (run.length > LINEAR_MAX) rules.push(this.#byAddress(scope, run));
      else rules.push(...run.map(({ candidate }) => ruleOf(scope, candidate)));
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

  #addressesOf({ family }: Scope, candidate: Candidate): readonly Interval[] | undefined {
    if (candidate.ports || candidate.rest.length === 0 || !isFinal(candidate)) return undefined;
    return addressesOf(candidate.rest, this.#end, family, this.#options.ipSetOf);
  }

  #byAddress(
    scope: Scope,
    run: readonly { readonly candidate: Candidate; readonly addresses: readonly Interval[] }[],
  ): Rule {
    const fragments = firstMatches(run.map(({ addresses }) => addresses));
    const entries = fragments.flatMap(({ first, last, value }): MapEntry[] => {
      const chain = targetOf(run[value]?.candidate);
      return chain === undefined ? [] : [{ first, last, chain }];
    });
    const ids = run.map(({ candidate }) => candidate.id);
    const name = `${scope.name}/addresses-${shortHash(ids.join())}`;
    const key: MapKey = { by: 'address', end: this.#end, family: scope.family };
    return this.#lookUp(name, key, entries);
  }

  /** The name says what kind of map it is, for that cannot be changed in place. */
  #lookUp(name: string, key: MapKey, entries: readonly MapEntry[], scope?: Scope): Rule {
    const map = `m-${name}${isExact(entries) ? '' : '-ranges'}`;
    this.#maps.set(map, { name: map, key, entries });
    const matches: Match[] = [];
    if (key.by === 'address') matches.push({ match: 'family', family: key.family });
    if (key.by === 'port' && typeof scope?.protocol === 'number') {
      matches.push({ match: 'protocol', protocols: [scope.protocol] });
    }
    return { matches, actions: [{ action: 'look-up', map, key }] };
  }
}

/** How many of ascending numbers are below a limit. */
function countBelow(numbers: readonly number[], limit: number): number {
  let [low, high] = [0, numbers.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((numbers[middle] ?? limit) < limit) low = middle + 1;
    else high = middle;
  }
  return low;
}

function sameIds(one: readonly Candidate[], other: readonly Candidate[]): boolean {
  return one.length === other.length && one.every(({ id }, index) => id === other[index]?.id);
}

/** The list up to the first that every packet fits: what comes after that is out of reach. */
function untilCertain(list: readonly Candidate[]): readonly Candidate[] {
  const index = list.findIndex((candidate) => certain(candidate) !== undefined);
  return index < 0 ? list : list.slice(0, index + 1);
}

/** The chain that every packet goes to, if it does. */
function certain(candidate: Candidate | undefined): string | undefined {
  if (!candidate || candidate.ports || candidate.rest.length > 0) return undefined;
  return targetOf(candidate);
}

function targetOf(candidate: Candidate | undefined): string | undefined {
  const action = candidate?.action;
  return action?.action === 'goto' ? action.chain : undefined;
}

/** What a scope has in common is said again where a match is read by it, as nft reads it. */
function ruleOf(scope: Scope, { ports, rest, action }: Candidate): Rule {
  const port: Match[] = ports
    ? [{ match: 'ports', end: 'destination', ports: ports.map(([a, b]) => [Number(a), Number(b)]) }]
    : [];
  const matches = [...port, ...rest];
  return { matches: [...implied(scope, matches), ...matches], actions: [action] };
}

function implied({ family, protocol }: Scope, matches: readonly Match[]): Match[] {
  const asksAddress = matches.some((match) => 'family' in match);
  const asksHeader = matches.some(({ match }) => match === 'ports' || match === 'icmp');
  return [
    ...(asksAddress ? [{ match: 'family', family } as const] : []),
    ...(asksHeader && protocol !== 'other'
      ? [{ match: 'protocol', protocols: [protocol] } as const]
      : []),
  ];
}

function goTo(chain: string): Rule {
  const action: Action = { action: 'goto', chain };
  return { matches: [], actions: [action] };
}
