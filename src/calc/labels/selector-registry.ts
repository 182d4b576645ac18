// Selectors by what they demand of labels: given an object's labels, those that might match it.
import { labelRestrictions, type LabelRestriction, labelsOf, type Selector } from '#selector';

/** A selector that somebody wants to know the matches of. */
export interface Subscription<D> {
  readonly id: string;
  readonly selector: Selector;
  /** Whose it is. */
  readonly data: D;
}

/** A demand that every match meets: the label is there, with one of the values where there are any. */
export interface Demand {
  readonly label: string;
  readonly values: readonly string[] | undefined;
}

/** The demands of a selector that an index can use; none means that only looking at everything helps. */
export function demandsOf(selector: Selector): Demand[] {
  return [...labelRestrictions(selector)].flatMap(([label, restriction]) =>
    demandOf(label, restriction),
  );
}

function demandOf(label: string, { mustBePresent, mustHaveOneOfValues }: LabelRestriction) {
  return mustBePresent ? [{ label, values: mustHaveOneOfValues }] : [];
}

interface LabelBuckets<S> {
  readonly present: Set<S>;
  readonly byValue: Map<string, Set<S>>;
}

export class SelectorRegistry<D> {
  readonly #byId = new Map<string, Subscription<D>>();
  readonly #placed = new Map<string, Demand | null>();
  readonly #byLabel = new Map<string, LabelBuckets<Subscription<D>>>();
  /** Without a demand: they are weighed against everything. */
  readonly #unrestricted = new Set<Subscription<D>>();
  readonly #mentions = new Map<string, Set<Subscription<D>>>();

  get size(): number {
    return this.#byId.size;
  }

  get(id: string): Subscription<D> | undefined {
    return this.#byId.get(id);
  }

  add(subscription: Subscription<D>): void {
    this.#byId.set(subscription.id, subscription);
    for (const label of labelsOf(subscription.selector.tree)) {
      const mentioning = this.#mentions.get(label);
      if (mentioning) mentioning.add(subscription);
      else this.#mentions.set(label, new Set([subscription]));
    }
    const demand = this.#bestDemand(subscription.selector);
    this.#placed.set(subscription.id, demand ?? null);
    if (!demand) this.#unrestricted.add(subscription);
    else this.#place(subscription, demand);
  }

  delete(subscription: Subscription<D>): void {
    this.#byId.delete(subscription.id);
    for (const label of labelsOf(subscription.selector.tree)) {
      const mentioning = this.#mentions.get(label);
      mentioning?.delete(subscription);
      if (mentioning?.size === 0) this.#mentions.delete(label);
    }
    const demand = this.#placed.get(subscription.id);
    this.#placed.delete(subscription.id);
    if (!demand) this.#unrestricted.delete(subscription);
    else this.#displace(subscription, demand);
  }

  /** Whether any selector asks for the label. */
  isMentioned(label: string): boolean {
    return this.#mentions.has(label);
  }

  mentioning(label: string): ReadonlySet<Subscription<D>> | undefined {
    return this.#mentions.get(label);
  }

  get unrestricted(): ReadonlySet<Subscription<D>> {
    return this.#unrestricted;
  }

  /** The buckets that an object with this label and value falls into. */
  buckets(label: string, value: string): readonly ReadonlySet<Subscription<D>>[] {
    const buckets = this.#byLabel.get(label);
    if (!buckets) return [];
    const named = buckets.byValue.get(value);
    if (buckets.present.size === 0) return named ? [named] : [];
    return named ? [buckets.present, named] : [buckets.present];
  }

  /** That with values before that without; then the one that shares its buckets with the fewest others. */
  #bestDemand(selector: Selector): Demand | undefined {
    let best: Demand | undefined;
    let bestCost = Number.POSITIVE_INFINITY;
    for (const demand of demandsOf(selector)) {
      const cost = this.#crowd(demand);
      if (cost < bestCost) [best, bestCost] = [demand, cost];
    }
    return best;
  }

  #crowd({ label, values }: Demand): number {
    const buckets = this.#byLabel.get(label);
    if (!values) return 1e9 + (buckets?.present.size ?? 0);
    let most = 0;
    for (const value of values) most = Math.max(most, buckets?.byValue.get(value)?.size ?? 0);
    return most * 16 + values.length;
  }

  #place(subscription: Subscription<D>, { label, values }: Demand): void {
    let buckets = this.#byLabel.get(label);
    if (!buckets) {
      buckets = { present: new Set(), byValue: new Map() };
      this.#byLabel.set(label, buckets);
    }
    if (!values) buckets.present.add(subscription);
    for (const value of values ?? []) {
      const named = buckets.byValue.get(value);
      if (named) named.add(subscription);
      else buckets.byValue.set(value, new Set([subscription]));
    }
  }

  #displace(subscription: Subscription<D>, { label, values }: Demand): void {
    const buckets = this.#byLabel.get(label);
    if (!buckets) return;
    buckets.present.delete(subscription);
    for (const value of values ?? []) {
      const named = buckets.byValue.get(value);
      named?.delete(subscription);
      if (named?.size === 0) buckets.byValue.delete(value);
    }
    if (buckets.present.size === 0 && buckets.byValue.size === 0) this.#byLabel.delete(label);
  }
}
