// Which selectors match which objects, kept while both change: a change costs what it concerns (spec 02, 2.1).
import type { LabelLookup, Labels } from '#selector';
import {
  type Demand,
  demandsOf,
  SelectorRegistry,
  type Subscription,
} from './selector-registry.ts';
import { ValueIndex } from './value-index.ts';

/** Anything that selectors match. Immutable: another value is another object. */
export interface Labelled {
  /** Its own. */
  readonly labels: Labels;
  /** Profiles that lend it theirs; an own label wins, then the first that has it. */
  readonly profiles: readonly string[];
}

/** Told of each change of what matches what. */
export interface MatchListener<D, T> {
  onMatch(data: D, object: T, key: string): void;
  onMismatch(data: D, object: T, key: string): void;
  /** The object has another value, and matches as before. */
  onReplace(data: D, before: T, after: T, key: string): void;
}

/** How an index found what a new selector may match: by its most selective demand, or by looking at everything. */
export type ScanStrategy = 'no-match' | 'single-value' | 'multi-value' | 'label-name' | 'full-scan';

/** Counts are since the start. */
export interface LabelIndexCounts {
  readonly objects: number;
  /** Selectors, by whether they demand anything of a label that an index can use. */
  readonly selectors: { readonly optimized: number; readonly unoptimized: number };
  /** How often an object was weighed against a selector, by outcome. */
  readonly evaluations: { readonly matched: number; readonly unmatched: number };
  readonly scans: Readonly<Partial<Record<ScanStrategy, number>>>;
}

interface Entry<D, T> {
  readonly key: string;
  object: T;
  matches: Subscription<D>[];
}

const NO_LABELS: Labels = {};

/**
 * Objects, the profiles whose labels they inherit, and selectors. `D` is what a selector is for, `T` the objects.
 * A selector's first question goes to the label with the fewest bearers; an object's change is weighed against the
 * selectors alone that ask for a label which it changed.
 */
export class LabelIndex<D, T extends Labelled> {
  readonly #listener: MatchListener<D, T>;
  readonly #entries = new Map<string, Entry<D, T>>();
  readonly #profileLabels = new Map<string, Labels>();
  readonly #heirs = new Map<string, Set<Entry<D, T>>>();
  readonly #selectors = new SelectorRegistry<D>();
  readonly #scans: Partial<Record<ScanStrategy, number>> = {};
  #matched = 0;
  #unmatched = 0;
  readonly #byOwnLabel: ValueIndex<Entry<D, T>>;
  readonly #byLentLabel: ValueIndex<string>;

  constructor(listener: MatchListener<D, T>) {
    this.#listener = listener;
    const entries = this.#entries;
    this.#byOwnLabel = new ValueIndex(function* () {
      for (const entry of entries.values()) yield [entry, entry.object.labels];
    });
    this.#byLentLabel = new ValueIndex(() => this.#profileLabels);
  }

  get(key: string): T | undefined {
    return this.#entries.get(key)?.object;
  }

  *objects(): Iterable<readonly [key: string, object: T]> {
    for (const { key, object } of this.#entries.values()) yield [key, object];
  }

  get size(): number {
    return this.#entries.size;
  }

  get counts(): LabelIndexCounts {
    const unoptimized = this.#selectors.unrestricted.size;
    return {
      objects: this.#entries.size,
      selectors: { optimized: this.#selectors.size - unoptimized, unoptimized },
      evaluations: { matched: this.#matched, unmatched: this.#unmatched },
      scans: { ...this.#scans },
    };
  }

  /** Sets an object, or takes it away. */
  setObject(key: string, object: T | undefined): void {
    const entry = this.#entries.get(key);
    if (!entry) {
      if (object) this.#addObject({ key, object, matches: [] });
    } else if (object) this.#replaceObject(entry, object);
    else this.#deleteObject(entry);
  }

  /** Sets the labels that a profile lends. */
  setProfile(name: string, labels: Labels | undefined): void {
    const before = this.#profileLabels.get(name);
    if (before === labels) return;
    if (before) this.#byLentLabel.delete(name, before);
    if (labels) {
      this.#profileLabels.set(name, labels);
      this.#byLentLabel.add(name, labels);
    } else this.#profileLabels.delete(name);
    const changed = this.#mentionedChanges(before ?? NO_LABELS, labels ?? NO_LABELS);
    if (changed.size === 0) return;
    for (const entry of this.#heirs.get(name) ?? []) this.#reconsider(entry, changed);
  }

  /** Wants to know all matches, present and future. One of the same id must not be there. */
  addSelector(subscription: Subscription<D>): void {
    this.#selectors.add(subscription);
    for (const entry of this.#candidates(subscription)) {
      if (entry.matches.at(-1) === subscription) continue;
      if (this.#weigh(subscription, this.#lookup(entry.object))) {
        entry.matches.push(subscription);
        this.#listener.onMatch(subscription.data, entry.object, entry.key);
      }
    }
  }

  /** Ends what `addSelector` began; nobody is told of the matches that end with it. */
  deleteSelector(id: string): void {
    const subscription = this.#selectors.get(id);
    if (!subscription) return;
    this.#selectors.delete(subscription);
    for (const entry of this.#candidates(subscription)) removeFrom(entry.matches, subscription);
  }

  #addObject(entry: Entry<D, T>): void {
    this.#entries.set(entry.key, entry);
    this.#byOwnLabel.add(entry, entry.object.labels);
    for (const name of entry.object.profiles) this.#addHeir(name, entry);
    if (this.#selectors.size === 0) return;
    const lookup = this.#lookup(entry.object);
    for (const subscription of this.#selectorsFor(entry.object)) {
      if (!this.#weigh(subscription, lookup)) continue;
      entry.matches.push(subscription);
      this.#listener.onMatch(subscription.data, entry.object, entry.key);
    }
  }

  #deleteObject(entry: Entry<D, T>): void {
    this.#entries.delete(entry.key);
    this.#byOwnLabel.delete(entry, entry.object.labels);
    for (const name of entry.object.profiles) this.#deleteHeir(name, entry);
    for (const { data } of entry.matches) {
      this.#listener.onMismatch(data, entry.object, entry.key);
    }
  }

  #replaceObject(entry: Entry<D, T>, object: T): void {
    const before = entry.object;
    const changed = this.#mentionedChanges(before.labels, object.labels);
    if (before.labels !== object.labels) {
      this.#byOwnLabel.delete(entry, before.labels);
      this.#byOwnLabel.add(entry, object.labels);
    }
    if (!sameList(before.profiles, object.profiles)) {
      for (const name of before.profiles) this.#deleteHeir(name, entry);
      for (const name of object.profiles) this.#addHeir(name, entry);
      for (const name of [...before.profiles, ...object.profiles]) {
        for (const label of Object.keys(this.#profileLabels.get(name) ?? NO_LABELS)) {
          if (this.#selectors.isMentioned(label)) changed.add(label);
        }
      }
    }
    entry.object = object;
    for (const { data } of entry.matches) {
      this.#listener.onReplace(data, before, object, entry.key);
    }
    if (changed.size > 0) this.#reconsider(entry, changed);
  }

  /** Weighs an object again against the selectors that ask for a label which changed. */
  #reconsider(entry: Entry<D, T>, changed: ReadonlySet<string>): void {
    const lookup = this.#lookup(entry.object);
    const concerned = this.#concerned(entry.object, changed);
    const ended: Subscription<D>[] = [];
    for (const subscription of entry.matches) {
      if (!mentionsAny(this.#selectors, subscription, changed)) continue;
      concerned.delete(subscription);
      if (!this.#weigh(subscription, lookup)) ended.push(subscription);
    }
    for (const subscription of ended) {
      removeFrom(entry.matches, subscription);
      this.#listener.onMismatch(subscription.data, entry.object, entry.key);
    }
    for (const subscription of concerned) {
      if (!this.#weigh(subscription, lookup)) continue;
      entry.matches.push(subscription);
      this.#listener.onMatch(subscription.data, entry.object, entry.key);
    }
  }

  /** Every selector that a change of these labels may have made match; found the shorter of two ways. */
  #concerned(object: T, changed: ReadonlySet<string>): Set<Subscription<D>> {
    let mentioning = 0;
    for (const label of changed) mentioning += this.#selectors.mentioning(label)?.size ?? 0;
    const found = new Set<Subscription<D>>();
    let looked = 0;
    for (const subscription of this.#selectorsFor(object)) {
      if (++looked > mentioning) break;
      if (mentionsAny(this.#selectors, subscription, changed)) found.add(subscription);
    }
    if (looked <= mentioning) return found;
    for (const label of changed) {
      for (const subscription of this.#selectors.mentioning(label) ?? []) found.add(subscription);
    }
    return found;
  }

  /** Every selector whose first demand the object's labels meet, each once. */
  *#selectorsFor(object: T): Iterable<Subscription<D>> {
    yield* this.#selectors.unrestricted;
    for (const label of Object.keys(object.labels)) {
      for (const bucket of this.#selectors.buckets(label, object.labels[label] ?? ''))
        yield* bucket;
    }
    for (const [rank, name] of object.profiles.entries()) {
      const lent = this.#profileLabels.get(name);
      if (!lent) continue;
      for (const label of Object.keys(lent)) {
        const buckets = this.#selectors.buckets(label, lent[label] ?? '');
        if (buckets.length === 0 || this.#isShadowed(object, rank, label)) continue;
        for (const bucket of buckets) yield* bucket;
      }
    }
  }

  /** Whether the object has the label from elsewhere than the profile of this rank. */
  #isShadowed(object: T, rank: number, label: string): boolean {
    if (Object.hasOwn(object.labels, label)) return true;
    return object.profiles
      .slice(0, rank)
      .some((name) => Object.hasOwn(this.#profileLabels.get(name) ?? NO_LABELS, label));
  }

  #lookup(object: T): LabelLookup {
    return (label) => {
      if (Object.hasOwn(object.labels, label)) return object.labels[label];
      for (const name of object.profiles) {
        const lent = this.#profileLabels.get(name);
        if (lent && Object.hasOwn(lent, label)) return lent[label];
      }
      return undefined;
    };
  }

  #weigh({ selector }: Subscription<D>, lookup: LabelLookup): boolean {
    const matches = selector.matches(lookup);
    if (matches) this.#matched++;
    else this.#unmatched++;
    return matches;
  }

  /** Every object that a selector may match; some of them twice. */
  *#candidates({ selector }: Subscription<D>): Iterable<Entry<D, T>> {
    const demand = this.#fewest(demandsOf(selector));
    const strategy = strategyOf(demand);
    this.#scans[strategy] = (this.#scans[strategy] ?? 0) + 1;
    if (!demand) {
      yield* this.#entries.values();
      return;
    }
    const { label, values } = demand;
    yield* this.#byOwnLabel.things(label, values);
    for (const name of this.#byLentLabel.things(label, values)) yield* this.#heirs.get(name) ?? [];
  }

  #fewest(demands: readonly Demand[]): Demand | undefined {
    let best: Demand | undefined;
    let bestCount = Number.POSITIVE_INFINITY;
    const heirs = this.#entries.size / Math.max(1, this.#heirs.size);
    for (const demand of demands) {
      const { label, values } = demand;
      const lent = this.#byLentLabel.count(label, values);
      const count = this.#byOwnLabel.count(label, values) + lent * heirs;
      if (count < bestCount) [best, bestCount] = [demand, count];
    }
    return best;
  }

  /** The labels that differ and that some selector asks for. */
  #mentionedChanges(before: Labels, after: Labels): Set<string> {
    const changed = new Set<string>();
    if (before === after) return changed;
    for (const label of Object.keys(before)) {
      if (before[label] === after[label] && Object.hasOwn(after, label)) continue;
      if (this.#selectors.isMentioned(label)) changed.add(label);
    }
    for (const label of Object.keys(after)) {
      if (Object.hasOwn(before, label)) continue;
      if (this.#selectors.isMentioned(label)) changed.add(label);
    }
    return changed;
  }

  #addHeir(name: string, entry: Entry<D, T>): void {
    const heirs = this.#heirs.get(name);
    if (heirs) heirs.add(entry);
    else this.#heirs.set(name, new Set([entry]));
  }

  #deleteHeir(name: string, entry: Entry<D, T>): void {
    const heirs = this.#heirs.get(name);
    heirs?.delete(entry);
    if (heirs?.size === 0) this.#heirs.delete(name);
  }
}

function strategyOf(demand: Demand | undefined): ScanStrategy {
  if (!demand) return 'full-scan';
  if (!demand.values) return 'label-name';
  if (demand.values.length === 0) return 'no-match';
  return demand.values.length === 1 ? 'single-value' : 'multi-value';
}

function mentionsAny<D>(
  selectors: SelectorRegistry<D>,
  subscription: Subscription<D>,
  changed: ReadonlySet<string>,
): boolean {
  for (const label of changed) {
    if (selectors.mentioning(label)?.has(subscription)) return true;
  }
  return false;
}

function removeFrom<S>(list: S[], item: S): void {
  const index = list.indexOf(item);
  if (index >= 0) list.splice(index, 1);
}

function sameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((item, index) => item === b[index]);
}
