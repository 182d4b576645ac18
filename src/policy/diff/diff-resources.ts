// Compares two worlds: which flows does a change of resources open or close.
import type { Resource } from '#api';
import { compareCodePoints, type Family, formatAddress, formatPrefix, jsonEqual } from '#lib';
import { familyBits } from '#lib';
import { ChangedFlows, type Deciders, type FlowProduct } from './changed-flows.ts';
import { type HalfChange, HalfChanges, HalfTable } from './half-changes.ts';
import { type AddressRange, classifyParties, type PartyClass } from './party-classes.ts';
import { NumberLists } from './number-lists.ts';
import { PeerPartitions } from './peer-partition.ts';
import type { FlowGroup, FlowJudgement, FlowParties } from './policy-diff.ts';
import type { NotCompared, PolicyDiff } from './policy-diff.ts';
import { ProgramTable } from './programs.ts';
import { AtomTable, Identities } from './set-atoms.ts';
import { RuleMatcher, RuleTable } from './symbolic-rule.ts';
import { SymbolicJourney } from './symbolic-journey.ts';
import { readSymbolicWorld, type SymbolicWorld } from './symbolic-world.ts';
import { describeTraffic } from './flow-traffic.ts';
import { TrafficSpace } from './traffic-space.ts';
import type { Half } from '../explanation.ts';
import { namespaceOf } from '../world-resources.ts';

/**
 * Compares the flows of two sets of resources, each as `buildWorld` takes it. Exact over all packets, not sampled.
 * Throws WorldError where one is malformed.
 */
export function diffResources(before: Iterable<Resource>, after: Iterable<Resource>): PolicyDiff {
  const atoms = new AtomTable();
  const programs = new ProgramTable();
  const tables = { atoms, programs, rules: new RuleTable(atoms) };
  const worlds = {
    before: readSymbolicWorld(before, tables),
    after: readSymbolicWorld(after, tables),
  };
  const parties = classifyParties(worlds, tables);
  const space = new TrafficSpace();
  const halves = new HalfTable();
  const changes = new HalfChanges({
    space,
    journey: new SymbolicJourney(space, new RuleMatcher(space)),
    partitions: new PeerPartitions(parties.classes, atoms),
    atoms,
    halves,
    unstable: parties.unstable,
  });
  const flows = new ChangedFlows(parties.classes, changes, space, {
    anyMoved: parties.classes.some(({ members }) =>
      members.some((it) => it.nodeBefore !== it.nodeAfter),
    ),
    hostEndpoints: programs.judges.some(({ main }) => main !== undefined),
  });
  const groups = new GroupWriter(space, halves).groups(flows.find());
  return {
    opened: groups.filter(({ after: { verdict } }) => verdict === 'allow'),
    closed: groups.filter(({ after: { verdict } }) => verdict === 'deny'),
    endpoints: { added: parties.added, removed: parties.removed },
    notCompared: notCompared(worlds.before, worlds.after),
    problems: { before: worlds.before.problems, after: worlds.after.problems },
    parties: countParties(worlds.before, worlds.after),
  };
}

function countParties(before: SymbolicWorld, after: SymbolicWorld): PolicyDiff['parties'] {
  const podsByNamespace: Record<string, number> = {};
  let nodes = 0;
  for (const [name, { kind }] of before.places) {
    if (after.places.get(name)?.kind !== kind) continue;
    if (kind === 'host') nodes++;
    else {
      const namespace = name.slice(0, name.indexOf('/'));
      podsByNamespace[namespace] = (podsByNamespace[namespace] ?? 0) + 1;
    }
  }
  return { podsByNamespace, nodes };
}

const STAGED = [
  'projectcalico.org StagedNetworkPolicy',
  'projectcalico.org StagedGlobalNetworkPolicy',
  'projectcalico.org StagedKubernetesNetworkPolicy',
] as const;

/** Staged policies that are different: they are reported and never enforced. */
function notCompared(before: SymbolicWorld, after: SymbolicWorld): NotCompared[] {
  return STAGED.flatMap((kind) => {
    const byName = ({ resources }: SymbolicWorld) =>
      new Map(resources[kind].map((it): [string, Resource] => [resourceName(it), it]));
    const old = byName(before);
    const now = byName(after);
    return [...new Set([...old.keys(), ...now.keys()])]
      .filter((name) => !jsonEqual(specOf(old.get(name)), specOf(now.get(name))))
      .map((resource) => ({ resource, reason: 'it is staged: reported, and never enforced' }));
  });
}

function resourceName(resource: Resource): string {
  const { kind, metadata } = resource;
  const namespace = kind === 'StagedGlobalNetworkPolicy' ? '' : `${namespaceOf(resource)}/`;
  return `${kind} ${namespace}${metadata.name}`;
}

function specOf(resource: Resource | undefined): unknown {
  return resource && 'spec' in resource ? resource.spec : undefined;
}

interface Side {
  readonly identity: number;
  readonly parties: FlowParties;
}

/** Numbers of lists of halves; equal lists have one. */
interface Judged {
  readonly egress: number;
  readonly ingress: number;
}

/** Products of classes as groups in names; the same names of both families are one group. */
class GroupWriter {
  readonly #space: TrafficSpace;
  readonly #halves: HalfTable;
  readonly #lists = new NumberLists();
  readonly #deciders: (readonly Half[])[] = [];
  readonly #sidesOfClasses: Side[] = [];
  readonly #sides: Side[] = [];
  readonly #memberIdentities = new Identities();
  readonly #ofClass = new Map<PartyClass, number>();

  constructor(space: TrafficSpace, halves: HalfTable) {
    this.#space = space;
    this.#halves = halves;
  }

  groups(products: readonly FlowProduct[]): FlowGroup[] {
    const groups = new Map<string, FlowGroup>();
    for (const product of products) {
      const { cause, packets, relation, sources, destinations } = product;
      const [from, to] = [this.#side(sources), this.#side(destinations)];
      const before = this.#judged(product, 'before');
      const after = this.#judged(product, 'after');
      const judges = [before.egress, before.ingress, after.egress, after.ingress];
      const key = [from.identity, to.identity, packets, relation, cause.opens, ...judges].join(' ');
      const families: Family[] = [sources[0]?.family ?? 4];
      const known = groups.get(key);
      if (known) {
        groups.set(key, { ...known, families: [...known.families, ...families] });
        continue;
      }
      groups.set(key, {
        from: from.parties,
        to: to.parties,
        ...(relation === undefined
          ? {}
          : { sameNode: { before: (relation & 1) !== 0, after: (relation & 2) !== 0 } }),
        families,
        traffic: describeTraffic(this.#space, packets),
        before: this.#judgement(before, !cause.opens),
        after: this.#judgement(after, cause.opens),
      });
    }
    return [...groups.values()];
  }

  #judgement({ egress, ingress }: Judged, allows: boolean): FlowJudgement {
    const halves = (list: number) =>
      (this.#deciders[list] ??= this.#lists
        .list(list)
        .flatMap((number) => this.#halves.half(number) ?? []));
    return {
      verdict: allows ? 'allow' : 'deny',
      egress: halves(egress),
      ingress: halves(ingress),
    };
  }

  #judged({ cause, steady, packets }: FlowProduct, which: 'before' | 'after'): Judged {
    const list = (deciders: Deciders | undefined) =>
      this.#lists.of(deciders ? [deciders[which]] : this.#allowing(steady, which, packets));
    return { egress: list(cause.egress), ingress: list(cause.ingress) };
  }

  #allowing(steady: ReadonlySet<HalfChange>, which: 'before' | 'after', packets: number): number[] {
    const found = new Set<number>();
    for (const change of steady) {
      const some = this.#space.and(change.steady, packets);
      for (const { half, allows, packets: decided } of change[which]) {
        if (!allows || found.has(half)) continue;
        if (this.#space.and(decided, some) !== 0) found.add(half);
      }
    }
    return [...found].sort((a, b) => a - b);
  }

  /** Equal sets of names are one, whatever the classes and the family. */
  #side(classes: readonly PartyClass[]): Side {
    const ofClasses = this.#lists.of(classes.map((it) => it.index));
    const known = this.#sidesOfClasses[ofClasses];
    if (known) return known;
    const members = [...new Set(classes.map((it) => this.#members(it)))].sort((a, b) => a - b);
    const identity = this.#lists.of([-1, ...members]);
    const side = (this.#sides[identity] ??= { identity, parties: partiesOf(classes) });
    this.#sidesOfClasses[ofClasses] = side;
    return side;
  }

  #members(party: PartyClass): number {
    const known = this.#ofClass.get(party);
    if (known !== undefined) return known;
    const names = party.members.map(({ place, address = '' }) => `${place} ${address}`);
    const outside = party.kind === 'outside' ? [`class ${party.index}`] : [];
    const identity = this.#memberIdentities.of([...names.sort(), ...outside].join(','));
    this.#ofClass.set(party, identity);
    return identity;
  }
}

function partiesOf(classes: readonly PartyClass[]): FlowParties {
  const members = (kind: PartyClass['kind']) =>
    classes.filter((it) => it.kind === kind).flatMap((it) => it.members);
  const primary = (kind: PartyClass['kind']) =>
    members(kind).flatMap(({ place, address }) => (address === undefined ? [place] : []));
  const byAddress = [...members('pod'), ...members('host')].flatMap(({ place, address }) =>
    address === undefined ? [] : [`${place} (${address})`],
  );
  return {
    pods: primary('pod').sort(compareCodePoints),
    nodes: primary('host')
      .map((place) => place.slice('node:'.length))
      .sort(compareCodePoints),
    byAddress: byAddress.sort(compareCodePoints),
    outside: outsideText(classes.filter((it) => it.kind === 'outside')),
  };
}

/** Neighbouring ranges are joined. */
function outsideText(classes: readonly PartyClass[]): string[] {
  const family = classes[0]?.family ?? 4;
  const ranges = classes
    .flatMap((it) => it.ranges)
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  const joined: [bigint, bigint][] = [];
  for (const [first, last] of ranges) {
    const end = joined.at(-1);
    if (end && end[1] === first - 1n) end[1] = last;
    else joined.push([first, last]);
  }
  return joined.map((range) => rangeText(family, range));
}

function rangeText(family: Family, [first, last]: AddressRange): string {
  const size = last - first + 1n;
  const width = size.toString(2).length - 1;
  if (size === 1n << BigInt(width) && first % size === 0n) {
    return formatPrefix({ family, bits: first, length: familyBits(family) - width });
  }
  return `${formatAddress({ family, bits: first })}-${formatAddress({ family, bits: last })}`;
}
