// Maps and sets of texts that are values: a change makes a new one that shares with the old all that stayed.
import {
  type Difference,
  find,
  firstFrom,
  inserted,
  lastUpTo,
  nodesOf,
  removed,
  sizeOf,
  type Tree,
  treeDifferences,
  treeOf,
} from './balanced-tree.ts';
import { compareCodePoints } from './code-points.ts';

export type { Difference };

/** A map that never changes, in the order of code points. A change, as a look, costs the logarithm of the size. */
export class PersistentMap<V extends NonNullable<unknown>> implements ReadonlyMap<string, V> {
  static readonly EMPTY: PersistentMap<never> = new PersistentMap<never>(undefined);
  readonly tree: Tree<V>;

  private constructor(tree: Tree<V>) {
    this.tree = tree;
  }

  /** The map itself where it is one of these. Of equal keys the last counts. */
  static from<V extends NonNullable<unknown>>(
    entries: Iterable<readonly [key: string, value: V]>,
  ): PersistentMap<V> {
    if (entries instanceof PersistentMap) return entries;
    return new PersistentMap(treeOf([...new Map(entries)].sort(byKey)));
  }

  get size(): number {
    return sizeOf(this.tree);
  }

  get(key: string): V | undefined {
    return find(this.tree, key)?.value;
  }

  has(key: string): boolean {
    return find(this.tree, key) !== undefined;
  }

  /** The same object where the key has this very value. */
  with(key: string, value: V): PersistentMap<V> {
    return this.#of(inserted(this.tree, key, value));
  }

  /** The same object where the key is not there. */
  without(key: string): PersistentMap<V> {
    return this.#of(removed(this.tree, key));
  }

  /** The last entry whose key is not beyond the given one. */
  lastUpTo(key: string): readonly [key: string, value: V] | undefined {
    const node = lastUpTo(this.tree, key);
    return node && [node.key, node.value];
  }

  /** The first entry whose key is not before the given one. */
  firstFrom(key: string): readonly [key: string, value: V] | undefined {
    const node = firstFrom(this.tree, key);
    return node && [node.key, node.value];
  }

  *entries(): Generator<[string, V], undefined> {
    for (const { key, value } of nodesOf(this.tree)) yield [key, value];
  }

  *keys(): Generator<string, undefined> {
    for (const { key } of nodesOf(this.tree)) yield key;
  }

  *values(): Generator<V, undefined> {
    for (const { value } of nodesOf(this.tree)) yield value;
  }

  [Symbol.iterator](): Generator<[string, V], undefined> {
    return this.entries();
  }

  forEach(callback: (value: V, key: string, map: ReadonlyMap<string, V>) => void): void {
    for (const { key, value } of nodesOf(this.tree)) callback(value, key, this);
  }

  #of(tree: Tree<V>): PersistentMap<V> {
    return tree === this.tree ? this : new PersistentMap(tree);
  }
}

/** The same without values. */
export class PersistentSet implements ReadonlySetLike<string>, Iterable<string> {
  static readonly EMPTY: PersistentSet = new PersistentSet(undefined);
  readonly tree: Tree<true>;

  private constructor(tree: Tree<true>) {
    this.tree = tree;
  }

  static from(texts: Iterable<string>): PersistentSet {
    if (texts instanceof PersistentSet) return texts;
    const entries = [...new Set(texts)].map((text): [string, true] => [text, true]);
    return new PersistentSet(treeOf(entries.sort(byKey)));
  }

  get size(): number {
    return sizeOf(this.tree);
  }

  has(text: string): boolean {
    return find(this.tree, text) !== undefined;
  }

  /** The same object where the text is in it. */
  with(text: string): PersistentSet {
    return this.#of(inserted(this.tree, text, true));
  }

  /** The same object where the text is not in it. */
  without(text: string): PersistentSet {
    return this.#of(removed(this.tree, text));
  }

  /** Whether both have the same texts; between versions at the cost of the first difference. */
  equals(other: PersistentSet): boolean {
    return this.size === other.size && treeDifferences(this.tree, other.tree).next().done === true;
  }

  *keys(): Generator<string, undefined> {
    for (const { key } of nodesOf(this.tree)) yield key;
  }

  [Symbol.iterator](): Generator<string, undefined> {
    return this.keys();
  }

  #of(tree: Tree<true>): PersistentSet {
    return tree === this.tree ? this : new PersistentSet(tree);
  }
}

/**
 * The keys that have another value, or are in one map only, as far as they are asked for. Between versions of a
 * `PersistentMap` it costs what changed; any other maps are walked whole. Values are compared by identity.
 */
export function* differences<V extends NonNullable<unknown>>(
  before: ReadonlyMap<string, V>,
  after: ReadonlyMap<string, V>,
): Generator<Difference<V>, undefined> {
  if (before === after) return;
  if (before instanceof PersistentMap && after instanceof PersistentMap) {
    yield* treeDifferences<V>(before.tree, after.tree);
    return;
  }
  for (const [key, value] of before) {
    const now = after.get(key);
    if (!Object.is(value, now)) yield { key, before: value, after: now };
  }
  for (const [key, value] of after) {
    if (!before.has(key)) yield { key, before: undefined, after: value };
  }
}

/** The same of sets: which texts came and which went. */
export function setDifference(
  before: ReadonlySetLike<string> & Iterable<string>,
  after: ReadonlySetLike<string> & Iterable<string>,
): { readonly added: readonly string[]; readonly removed: readonly string[] } {
  const [added, gone]: [string[], string[]] = [[], []];
  if (before instanceof PersistentSet && after instanceof PersistentSet) {
    for (const one of treeDifferences(before.tree, after.tree)) {
      (one.after ? added : gone).push(one.key);
    }
  } else {
    for (const text of before) if (!after.has(text)) gone.push(text);
    for (const text of after) if (!before.has(text)) added.push(text);
  }
  return { added, removed: gone };
}

function byKey([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return compareCodePoints(a, b);
}
