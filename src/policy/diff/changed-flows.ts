// The flows that change, as products of sets of parties and a set of packets, with what decided them.
import { nodeRelations, type RelationsOptions } from './node-relation.ts';
import type { HalfChange, HalfChanges, Relation } from './half-changes.ts';
import type { PartyClass } from './party-classes.ts';
import { at, Identities } from './set-atoms.ts';
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

interface OpenProduct extends Bucket {
  readonly outer: PartyClass[];
}

/** Finds every changed flow between classes of parties. */
export class ChangedFlows {
  readonly #classes: readonly PartyClass[];
  readonly #changes: HalfChanges;
  readonly #space: TrafficSpace;
  readonly #options: RelationsOptions;
  readonly #causeIdentities = new Identities();
  readonly #causes: Cause[] = [];

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

  #pass(direction: 'egress' | 'ingress'): FlowProduct[] {
    const products = new Map<string, OpenProduct>();
    const lists = new Identities();
    for (const outer of this.#classes) {
      if (!this.#mayFlip(outer, direction)) continue;
      for (const bucket of this.#buckets(outer, direction)) {
        const { cause, packets, relation, inner } = bucket;
        const key = `${cause} ${packets} ${relation} ${lists.of(inner.join(','))}`;
        const product = products.get(key);
        if (!product) products.set(key, { ...bucket, outer: [outer] });
        else {
          product.outer.push(outer);
          for (const change of bucket.steady) product.steady.add(change);
        }
      }
    }
    return [...products.values()].map((product) => {
      const inner = product.inner.map((index) => at(this.#classes, index));
      const [sources, destinations] =
        direction === 'egress' ? [product.outer, inner] : [inner, product.outer];
      const { packets, relation, steady } = product;
      return {
        cause: at(this.#causes, product.cause),
        packets,
        relation,
        sources,
        destinations,
        steady,
      };
    });
  }

  #mayFlip(party: PartyClass, direction: 'egress' | 'ingress'): boolean {
    if (party.kind === 'outside') return false;
    if (this.#changes.isAffected(party, direction)) return true;
    const { anyMoved, hostEndpoints } = this.#options;
    if (!anyMoved) return false;
    return hostEndpoints || party.members.some((it) => it.nodeBefore !== it.nodeAfter);
  }

  #buckets(outer: PartyClass, direction: 'egress' | 'ingress'): Iterable<Bucket> {
    const buckets = new Map<string, Bucket>();
    for (const inner of this.#classes) {
      if (inner.family !== outer.family) continue;
      const [source, destination] = direction === 'egress' ? [outer, inner] : [inner, outer];
      const relations = nodeRelations(source, destination, this.#options);
      const found = relations.map((relation) =>
        this.#found(source, destination, relation ?? 0, direction),
      );
      for (const [index, list] of found.entries()) {
        for (const item of list) {
          const everywhere = found.every((other) => other.some((it) => sameFlows(it, item)));
          add(buckets, item, everywhere ? undefined : relations[index], inner.index);
        }
      }
    }
    return buckets.values();
  }

  /** Flows in which the half of this direction flips; for ingress only those in which egress does not. */
  #found(
    source: PartyClass,
    destination: PartyClass,
    relation: Relation,
    direction: 'egress' | 'ingress',
  ): Found[] {
    const own = direction === 'egress' ? source : destination;
    const peer = direction === 'egress' ? destination : source;
    const flipping = this.#changes.of(own, direction, peer, relation);
    if (flipping.flips.length === 0) return [];
    const otherDirection = direction === 'egress' ? 'ingress' : 'egress';
    const other = this.#changes.of(peer, otherDirection, own, relation);
    const found: Found[] = [];
    for (const { opens, before, after, packets } of flipping.flips) {
      const alone = this.#space.and(packets, other.steady);
      if (alone !== 0) {
        const cause = this.#cause({ opens, [direction]: { before, after } });
        found.push({ cause, packets: alone, steady: other });
      }
      if (direction === 'ingress') continue;
      for (const flip of other.flips) {
        if (flip.opens !== opens) continue;
        const both = this.#space.and(packets, flip.packets);
        if (both === 0) continue;
        const ingress = { before: flip.before, after: flip.after };
        const cause = this.#cause({ opens, egress: { before, after }, ingress });
        found.push({ cause, packets: both, steady: undefined });
      }
    }
    return found;
  }

  #cause(cause: Cause): number {
    const { opens, egress, ingress } = cause;
    const text = (deciders: Deciders | undefined) =>
      deciders ? `${deciders.before}>${deciders.after}` : '';
    const identity = this.#causeIdentities.of(`${opens} ${text(egress)} ${text(ingress)}`);
    this.#causes[identity] ??= cause;
    return identity;
  }
}

function sameFlows(left: Found, right: Found): boolean {
  return left.cause === right.cause && left.packets === right.packets;
}

function add(
  buckets: Map<string, Bucket>,
  { cause, packets, steady }: Found,
  relation: Relation | undefined,
  inner: number,
): void {
  const key = `${cause} ${packets} ${relation}`;
  const bucket = buckets.get(key) ?? { cause, packets, relation, inner: [], steady: new Set() };
  buckets.set(key, bucket);
  if (bucket.inner.at(-1) !== inner) bucket.inner.push(inner);
  if (steady) bucket.steady.add(steady);
}
