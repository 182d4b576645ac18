// A rule as conditions on marks of its two ends and as a set of packets between ends that meet them.
import type { Family, Prefix } from '#lib';
import { isIcmp } from '../packet.ts';
import type { IcmpMatch, MatchEntity, MatchRule, PortList } from '../rule-match.ts';
import { type AtomTable, Identities } from './set-atoms.ts';
import { AtomReference } from './symbolic-book.ts';
import { ICMP_CODES, type PortConditions, type Range, type TrafficSpace } from './traffic-space.ts';

export interface SymbolicPorts {
  readonly ranges: readonly Range[];
  readonly named: readonly number[];
}

/** Numbers are atoms. */
export interface SymbolicEntity {
  readonly nets?: number;
  readonly notNets?: number;
  /** Families of `notNets`: for others it switches the rule off. */
  readonly notNetsFamilies: readonly Family[];
  readonly sets: readonly number[];
  readonly notSets: readonly number[];
  readonly ports?: SymbolicPorts;
  readonly notPorts?: SymbolicPorts;
  readonly services: readonly number[];
}

export interface SymbolicRule {
  /** Equal rules of both worlds share it. */
  readonly identity: number;
  readonly action: MatchRule['action'];
  readonly index: number;
  readonly ipVersion?: Family;
  readonly protocol?: number;
  readonly notProtocol?: number;
  readonly icmp?: IcmpMatch;
  readonly notIcmp?: IcmpMatch;
  readonly http?: true;
  readonly source: SymbolicEntity;
  readonly destination: SymbolicEntity;
}

/** What a rule can tell of one end of a packet. */
export interface End {
  readonly family: Family;
  /** Atoms of its plain marks. */
  readonly atoms: ReadonlySet<number>;
  /** Protocols and ports of its marks with ports, by atom. */
  readonly ports: ReadonlyMap<
    number,
    readonly { readonly protocol: number; readonly port: number }[]
  >;
}

/** Makes rules symbolic, equal ones once. */
export class RuleTable {
  readonly #atoms: AtomTable;
  readonly #identities = new Identities();
  readonly #rules: SymbolicRule[] = [];

  constructor(atoms: AtomTable) {
    this.#atoms = atoms;
  }

  add(rule: MatchRule): SymbolicRule {
    const content = {
      ...rule,
      source: this.#entity(rule.source),
      destination: this.#entity(rule.destination),
    };
    const identity = this.#identities.of(JSON.stringify(content));
    return (this.#rules[identity] ??= { ...content, identity });
  }

  #entity(entity: MatchEntity): SymbolicEntity {
    const { nets, notNets, ports, notPorts } = entity;
    return {
      ...(nets ? { nets: this.nets(nets) } : {}),
      ...(notNets ? { notNets: this.nets(notNets) } : {}),
      notNetsFamilies: ([4, 6] as const).filter((family) =>
        notNets?.some((prefix) => prefix.family === family),
      ),
      sets: entity.sets.map(atomOf),
      notSets: entity.notSets.map(atomOf),
      ...(ports ? { ports: symbolicPorts(ports) } : {}),
      ...(notPorts ? { notPorts: symbolicPorts(notPorts) } : {}),
      services: entity.services.map(atomOf),
    };
  }

  /** The atom of addresses in any of the prefixes. */
  nets(prefixes: readonly Prefix[]): number {
    return this.#atoms.add({ kind: 'nets', prefixes });
  }
}

function symbolicPorts({ ranges, named }: PortList): SymbolicPorts {
  return { ranges, named: named.map(atomOf) };
}

function atomOf(set: unknown): number {
  if (set instanceof AtomReference) return set.atom;
  throw new TypeError('Cannot compare a rule that was not compiled against a symbolic book');
}

/** Every atom that the entity asks an end for. */
export function atomsOf(entity: SymbolicEntity): number[] {
  const { nets, notNets, sets, notSets, ports, notPorts, services } = entity;
  const single = [nets, notNets].flatMap((atom) => (atom === undefined ? [] : [atom]));
  return [...single, ...sets, ...notSets, ...portAtoms(ports), ...portAtoms(notPorts), ...services];
}

function portAtoms(ports: SymbolicPorts | undefined): readonly number[] {
  return ports?.named ?? [];
}

/** The packets between the two ends that rules match. */
export class RuleMatcher {
  readonly #space: TrafficSpace;
  readonly #constant = new Map<number, number>();

  constructor(space: TrafficSpace) {
    this.#space = space;
  }

  matches(rule: SymbolicRule, source: End, destination: End): number {
    if (rule.http) return 0;
    if (rule.ipVersion !== undefined && rule.ipVersion !== source.family) return 0;
    if (!meets(rule.source, source) || !meets(rule.destination, destination)) return 0;
    const depends = [rule.source, rule.destination].some(
      ({ ports, notPorts, services }) =>
        services.length + portAtoms(ports).length + portAtoms(notPorts).length > 0,
    );
    if (depends) return this.#packets(rule, source, destination);
    const known = this.#constant.get(rule.identity);
    if (known !== undefined) return known;
    const packets = this.#packets(rule, source, destination);
    this.#constant.set(rule.identity, packets);
    return packets;
  }

  #packets(rule: SymbolicRule, source: End, destination: End): number {
    const special = [rule.protocol, rule.notProtocol].flatMap((it) => it ?? []);
    return this.#space.where(special, (protocol) => {
      if (rule.protocol !== undefined && rule.protocol !== protocol) return undefined;
      if (rule.notProtocol !== undefined && rule.notProtocol === protocol) return undefined;
      if (rule.icmp && (protocol === 'other' || !isIcmp(protocol))) return undefined;
      return portConditions(rule, protocol, source, destination);
    });
  }
}

function meets(entity: SymbolicEntity, { atoms, family }: End): boolean {
  const { nets, notNets, notNetsFamilies, sets, notSets } = entity;
  if (nets !== undefined && !atoms.has(nets)) return false;
  if (notNets !== undefined && (atoms.has(notNets) || !notNetsFamilies.includes(family))) {
    return false;
  }
  return sets.every((atom) => atoms.has(atom)) && !notSets.some((atom) => atoms.has(atom));
}

function portConditions(
  rule: SymbolicRule,
  protocol: number | 'other',
  source: End,
  destination: End,
): PortConditions {
  const ofAtom = (end: End, atom: number): Range[] =>
    (end.ports.get(atom) ?? [])
      .filter((it) => it.protocol === protocol)
      .map(({ port }) => [port, port]);
  const inList = (list: SymbolicPorts, end: End) => [
    ...list.ranges,
    ...list.named.flatMap((atom) => ofAtom(end, atom)),
  ];
  const within = ({ ports, services }: SymbolicEntity, end: End) => [
    ...(ports ? [inList(ports, end)] : []),
    ...services.map((atom) => ofAtom(end, atom)),
  ];
  const without = ({ notPorts }: SymbolicEntity, end: End) =>
    notPorts ? inList(notPorts, end) : [];
  return {
    sourcePorts: within(rule.source, source),
    notSourcePorts: without(rule.source, source),
    ports: within(rule.destination, destination),
    notPorts: without(rule.destination, destination),
    ...(rule.icmp ? { icmp: icmpRange(rule.icmp) } : {}),
    ...(rule.notIcmp ? { notIcmp: icmpRange(rule.notIcmp) } : {}),
  };
}

function icmpRange({ type, code }: IcmpMatch): Range {
  const first = type * ICMP_CODES;
  return code === undefined ? [first, first + ICMP_CODES - 1] : [first + code, first + code];
}
