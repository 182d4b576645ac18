// The flows that change, as products of sets of parties and a set of packets, with what decided them.
import { asksForNodes, nodeRelations, type RelationsOptions } from './node-relation.ts';
import type { Direction } from '../explanation.ts';
import type { Flip, HalfChange, HalfChanges, Relation, SelfGroup } from './half-changes.ts';
import type { PartyClass } from './party-classes.ts';
import { NumberLists } from './number-lists.ts';
import { at } from './set-atoms.ts';
import type { TrafficSpace } from './traffic-space.ts';

/** Halves, as numbers, that decided before and after. */
export interface Deciders {
  readonly before: number;
  readonly after: number;
}

/** Why flows change: the halves that flip. A half that is absent allows before and after. */
export interface Cause {
  readonly opens: boolean;
  readonly egress?: Deciders;
  readonly ingress?: Deciders;
}

/** All flows from any of the sources to any of the destinations, but never from a place to itself. */
export interface FlowProduct {
  readonly cause: Cause;
  readonly packets: number;
  /** Undefined: wherever the two are. */
  readonly relation: Relation | undefined;
  readonly sources: readonly PartyClass[];
  readonly destinations: readonly PartyClass[];
  /** Of the half that does not flip, for the rules that allow; empty where both flip. */
  readonly steady: ReadonlySet<HalfChange>;
}

interface Found {
  readonly cause: number;
  readonly packets: number;
  readonly steady: HalfChange | undefined;
}

interface Bucket {
  readonly cause: number;
  readonly packets: number;
  readonly relation: Relation | undefined;
  /** Indexes of the inner classes, ascending. */
  readonly inner: number[];
  readonly steady: Set<HalfChange>;
}

type Buckets = Map<number, Bucket>;

interface OpenProduct extends Bucket {
  readonly outer: PartyClass[];
}

/** Joins buckets that are equal but for the outer class. */
class ProductList {
  readonly #byKey = new Map<string, OpenProduct>();
  readonly #lists = new NumberLists();

  add(bucket: Bucket, outer: PartyClass): void {
    const { cause, packets, relation, inner } = bucket;
    const key = `${cause} ${packets} ${relation} ${this.#lists.of(inner)}`;
    const same = this.#byKey.get(key);
    if (same) {
      same.outer.push(outer);
      for (const change of bucket.steady) same.steady.add(change);
    } else this.#byKey.set(key, { ...bucket, outer: [outer] });
  }

  get all(): OpenProduct[] {
    return [...this.#byKey.values()];
  }
}

/** Numbers for causes; equal ones have one. */
class CauseTable {
  readonly #single = { egress: new Map<number, number>(), ingress: new Map<number, number>() };
  readonly #double = new Map<number, number>();
  readonly #causes: Cause[] = [];

  cause(identity: number): Cause {
    return at(this.#causes, identity);
  }

  /** The half of one direction flips. */
  alone(direction: Direction, flip: Flip): number {
    const key = flip.before * IDENTITIES_MAX + flip.after;
    const known = this.#single[direction].get(key);
    if (known !== undefined) return known;
    const identity = this.#add({ opens: flip.opens, [direction]: decidersOf(flip) });
    this.#single[direction].set(key, identity);
    return identity;
  }

  both(egress: Flip, ingress: Flip): number {
    const key = this.alone('egress', egress) * IDENTITIES_MAX + this.alone('ingress', ingress);
    const known = this.#double.get(key);
    if (known !== undefined) return known;
    const [source, destination] = [decidersOf(egress), decidersOf(ingress)];
    const identity = this.#add({ opens: egress.opens, egress: source, ingress: destination });
    this.#double.set(key, identity);
    return identity;
  }

  #add(cause: Cause): number {
    return this.#causes.push(cause) - 1;
  }
}

function decidersOf({ before, after }: Flip): Deciders {
  return { before, after };
}

/** Finds every changed flow between classes of parties. */
export class ChangedFlows {
  readonly #classes: readonly PartyClass[];
  readonly #changes: HalfChanges;
  readonly #space: TrafficSpace;
  readonly #options: RelationsOptions;
  readonly #causes = new CauseTable();

  constructor(
    classes: readonly PartyClass[],
    changes: HalfChanges,
    space: TrafficSpace,
    options: RelationsOptions,
  ) {
    this.#classes = classes;
    this.#changes = changes;
    this.#space = space;
    this.#options = options;
  }

  /** Where egress flips, alone or with ingress, then where ingress alone does. */
  find(): FlowProduct[] {
    return [...this.#pass('egress'), ...this.#pass('ingress')];
  }

  #pass(direction: Direction): FlowProduct[] {
    const products = new ProductList();
    const outers = this.#classes.filter((it) => this.#mayFlip(it, direction));
    for (let start = 0; start < outers.length; start += TOGETHER) {
      const together = outers.slice(start, start + TOGETHER);
      for (const [outer, buckets] of this.#buckets(together, direction)) {
        for (const bucket of buckets.values()) products.add(bucket, outer);
      }
    }
    return products.all.map((product) => {
      const inner = product.inner.map((index) => at(this.#classes, index));
      const [sources, destinations] =
        direction === 'egress' ? [product.outer, inner] : [inner, product.outer];
      const { packets, relation, steady } = product;
      return {
        cause: this.#causes.cause(product.cause),
        packets,
        relation,
        sources,
        destinations,
        steady,
      };
    });
  }

  #mayFlip(party: PartyClass, direction: Direction): boolean {
    if (party.kind === 'outside') return false;
    if (this.#changes.group(party, direction).affected) return true;
    const { anyMoved, hostEndpoints } = this.#options;
    if (!anyMoved) return false;
    return hostEndpoints || party.members.some((it) => it.nodeBefore !== it.nodeAfter);
  }

  /** Of several outer classes at once: what all of them ask of one inner class lies side by side in memory. */
  #buckets(outers: readonly PartyClass[], direction: Direction): Map<PartyClass, Buckets> {
    const found = new Map(outers.map((outer): [PartyClass, Buckets] => [outer, new Map()]));
    for (const inner of this.#classes) {
      for (const [outer, buckets] of found) {
        const group = this.#changes.group(outer, direction);
        if (inner.family !== outer.family || !this.#flips(group, [outer, inner])) continue;
        this.#compare(group, [outer, inner], buckets);
      }
    }
    return found;
  }

  #compare(
    group: SelfGroup,
    pair: readonly [outer: PartyClass, inner: PartyClass],
    buckets: Buckets,
  ): void {
    const [outer, inner] = pair;
    const [source, destination] = group.direction === 'egress' ? pair : [inner, outer];
    const relations = nodeRelations(source, destination, this.#options);
    if (relations.length === 1) {
      for (const item of this.#found(group, pair, relations[0] ?? 0)) {
        add(buckets, item, undefined, inner.index);
      }
      return;
    }
    const found = relations.map((relation) => this.#found(group, pair, relation ?? 0));
    for (const [index, list] of found.entries()) {
      for (const item of list) {
        const everywhere = found.every((other) => other.some((it) => sameFlows(it, item)));
        add(buckets, item, everywhere ? undefined : relations[index], inner.index);
      }
    }
  }

  /** Whether the half flips towards the peer in any relation that there can be. */
  #flips(group: SelfGroup, [own, peer]: readonly [PartyClass, PartyClass]): boolean {
    if (this.#changes.of(group, peer, 0).flips.length > 0) return true;
    if (!asksForNodes(own, peer, this.#options)) return false;
    const relations = this.#options.anyMoved ? ALL_RELATIONS : SETTLED_RELATIONS;
    for (const relation of relations) {
      if (this.#changes.of(group, peer, relation).flips.length > 0) return true;
    }
    return false;
  }

  /** Flows in which the group's half flips; for ingress only those in which egress does not. */
  #found(
    group: SelfGroup,
    [own, peer]: readonly [PartyClass, PartyClass],
    relation: Relation,
  ): readonly Found[] {
    const { flips } = this.#changes.of(group, peer, relation);
    const { direction } = group;
    const otherGroup = this.#changes.group(peer, direction === 'egress' ? 'ingress' : 'egress');
    const other = this.#changes.of(otherGroup, own, relation);
    if (other.steady === 0 && other.flips.length === 0) return NOTHING;
    const found: Found[] = [];
    for (const flip of flips) {
      const alone = this.#space.and(flip.packets, other.steady);
      if (alone !== 0) {
        found.push({ cause: this.#causes.alone(direction, flip), packets: alone, steady: other });
      }
      if (direction === 'ingress') continue;
      for (const otherFlip of other.flips) {
        if (otherFlip.opens !== flip.opens) continue;
        const both = this.#space.and(flip.packets, otherFlip.packets);
        if (both === 0) continue;
        const cause = this.#causes.both(flip, otherFlip);
        found.push({ cause, packets: both, steady: undefined });
      }
    }
    return found;
  }
}

/** Outer classes that are compared in one go. */
const TOGETHER = 32;

const NOTHING: readonly Found[] = [];
const SETTLED_RELATIONS: readonly Relation[] = [0, 3];
const ALL_RELATIONS: readonly Relation[] = [0, 1, 2, 3];

/** Above every identity of a set of packets, a cause or a half. */
const IDENTITIES_MAX = 2 ** 26;

function sameFlows(left: Found, right: Found): boolean {
  return left.cause === right.cause && left.packets === right.packets;
}

function add(
  buckets: Buckets,
  { cause, packets, steady }: Found,
  relation: Relation | undefined,
  inner: number,
): void {
  const key = (cause * 5 + (relation ?? 4)) * IDENTITIES_MAX + packets;
  const bucket = buckets.get(key) ?? { cause, packets, relation, inner: [], steady: new Set() };
  buckets.set(key, bucket);
  if (bucket.inner.at(-1) !== inner) bucket.inner.push(inner);
  if (steady) bucket.steady.add(steady);
}
