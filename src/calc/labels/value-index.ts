// Things by the value that they give a label, kept for those labels alone that somebody has asked about.
import type { Labels } from '#selector';

/** What is not asked about costs nothing: a label is indexed at the first question about it. */
export class ValueIndex<T> {
  readonly #all: () => Iterable<readonly [thing: T, labels: Labels]>;
  readonly #byLabel = new Map<string, Map<string, Set<T>>>();

  /** `all`: every thing that was added and not deleted, with its present labels. */
  constructor(all: () => Iterable<readonly [thing: T, labels: Labels]>) {
    this.#all = all;
  }

  add(thing: T, labels: Labels): void {
    if (this.#byLabel.size === 0) return;
    for (const label of Object.keys(labels)) {
      const values = this.#byLabel.get(label);
      if (values) insert(values, labels[label] ?? '', thing);
    }
  }

  delete(thing: T, labels: Labels): void {
    if (this.#byLabel.size === 0) return;
    for (const label of Object.keys(labels)) {
      const values = this.#byLabel.get(label);
      const value = labels[label] ?? '';
      const things = values?.get(value);
      if (things?.delete(thing) && things.size === 0) values?.delete(value);
    }
  }

  has(label: string): boolean {
    return this.#byLabel.has(label);
  }

  /** The things that give the label one of the values, or any where there are none. */
  *things(label: string, values: readonly string[] | undefined): Iterable<T> {
    const known = this.#valuesOf(label);
    if (!values) for (const things of known.values()) yield* things;
    else for (const value of values) yield* known.get(value) ?? [];
  }

  /** How many `things` would give. */
  count(label: string, values: readonly string[] | undefined): number {
    const known = this.#valuesOf(label);
    let count = 0;
    if (!values) for (const things of known.values()) count += things.size;
    else for (const value of values) count += known.get(value)?.size ?? 0;
    return count;
  }

  #valuesOf(label: string): Map<string, Set<T>> {
    const known = this.#byLabel.get(label);
    if (known) return known;
    const values = new Map<string, Set<T>>();
    for (const [thing, labels] of this.#all()) {
      if (Object.hasOwn(labels, label)) insert(values, labels[label] ?? '', thing);
    }
    this.#byLabel.set(label, values);
    return values;
  }
}

function insert<T>(values: Map<string, Set<T>>, value: string, thing: T): void {
  const things = values.get(value);
  if (things) things.add(thing);
  else values.set(value, new Set([thing]));
}
