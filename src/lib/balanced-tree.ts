// Immutable search trees by text, balanced by weight: what did not change is shared between versions.
import { compareCodePoints } from './code-points.ts';

export interface TreeNode<V> {
  readonly key: string;
  readonly value: V;
  readonly size: number;
  readonly left: Tree<V>;
  readonly right: Tree<V>;
}

/** In the order of code points. Undefined is the empty one. */
export type Tree<V> = TreeNode<V> | undefined;

/** A key of one of two trees at least; undefined where it is not there. */
export interface Difference<V> {
  readonly key: string;
  readonly before: V | undefined;
  readonly after: V | undefined;
}

/** One side weighs at most so many times the other (Hirai and Yamamoto, "Balancing weight-balanced trees", 2011). */
const DELTA = 3;
/** A heavy side whose inner part weighs so many times its outer one is turned twice. */
const RATIO = 2;

export function find<V>(tree: Tree<V>, key: string): TreeNode<V> | undefined {
  let node = tree;
  while (node) {
    const order = compareCodePoints(key, node.key);
    if (order === 0) return node;
    node = order < 0 ? node.left : node.right;
  }
  return undefined;
}

/** The last node whose key is not beyond the given one. */
export function lastUpTo<V>(tree: Tree<V>, key: string): TreeNode<V> | undefined {
  let found: TreeNode<V> | undefined;
  for (let node = tree; node; ) {
    if (compareCodePoints(node.key, key) <= 0) {
      found = node;
      node = node.right;
    } else node = node.left;
  }
  return found;
}

/** The first node whose key is not before the given one. */
export function firstFrom<V>(tree: Tree<V>, key: string): TreeNode<V> | undefined {
  let found: TreeNode<V> | undefined;
  for (let node = tree; node; ) {
    if (compareCodePoints(node.key, key) >= 0) {
      found = node;
      node = node.left;
    } else node = node.right;
  }
  return found;
}

/** The same tree where the key has this very value. */
export function inserted<V>(tree: Tree<V>, key: string, value: V): TreeNode<V> {
  if (!tree) return nodeOf(key, value, undefined, undefined);
  const order = compareCodePoints(key, tree.key);
  if (order === 0) {
    return Object.is(tree.value, value) ? tree : nodeOf(key, value, tree.left, tree.right);
  }
  if (order < 0) {
    const left = inserted(tree.left, key, value);
    return left === tree.left ? tree : balanced(tree, left, tree.right);
  }
  const right = inserted(tree.right, key, value);
  return right === tree.right ? tree : balanced(tree, tree.left, right);
}

/** The same tree where the key is not there. */
export function removed<V>(tree: Tree<V>, key: string): Tree<V> {
  if (!tree) return undefined;
  const order = compareCodePoints(key, tree.key);
  if (order < 0) {
    const left = removed(tree.left, key);
    return left === tree.left ? tree : balanced(tree, left, tree.right);
  }
  if (order > 0) {
    const right = removed(tree.right, key);
    return right === tree.right ? tree : balanced(tree, tree.left, right);
  }
  return joined(tree.left, tree.right);
}

/** Of entries in order, each key once. */
export function treeOf<V>(sorted: readonly (readonly [key: string, value: V])[]): Tree<V> {
  const build = (from: number, to: number): Tree<V> => {
    const middle = (from + to) >> 1;
    const entry = from < to ? sorted[middle] : undefined;
    return entry && nodeOf(entry[0], entry[1], build(from, middle), build(middle + 1, to));
  };
  return build(0, sorted.length);
}

export function* nodesOf<V>(tree: Tree<V>): Generator<TreeNode<V>, undefined> {
  const above: TreeNode<V>[] = [];
  for (let node = tree; node || above.length > 0; ) {
    for (; node; node = node.left) above.push(node);
    const next = above.pop();
    if (!next) return;
    yield next;
    node = next.right;
  }
}

/**
 * What became of each key, in order, as far as it is asked for. Costs what the trees do not share: the changes between
 * two versions, whatever came between, times the depth; all of both where they have nothing in common.
 */
export function* treeDifferences<V>(
  before: Tree<V>,
  after: Tree<V>,
): Generator<Difference<V>, undefined> {
  const [olds, news] = [new Pending(before), new Pending(after)];
  for (;;) {
    const [old, next] = [olds.top, news.top];
    if (!old && !next) return;
    if (olds.isTree && news.isTree && old === next) {
      olds.pop();
      news.pop();
    } else if (olds.isTree && !(news.isTree && sizeOf(next) > sizeOf(old))) olds.open();
    else if (news.isTree) news.open();
    else {
      const order = !old ? 1 : !next ? -1 : compareCodePoints(old.key, next.key);
      const [was, is] = [order <= 0 ? old : undefined, order >= 0 ? next : undefined];
      if (was) olds.pop();
      if (is) news.pop();
      if (was && is && Object.is(was.value, is.value)) continue;
      yield { key: (was ?? is)?.key ?? '', before: was?.value, after: is?.value };
    }
  }
}

/** What is left of a walk through a tree, the next on top: whole trees, and nodes without what is below them. */
class Pending<V> {
  readonly #nodes: TreeNode<V>[] = [];
  readonly #areTrees: boolean[] = [];

  constructor(tree: Tree<V>) {
    this.#push(tree, true);
  }

  get top(): TreeNode<V> | undefined {
    return this.#nodes.at(-1);
  }

  get isTree(): boolean {
    return this.#areTrees.at(-1) ?? false;
  }

  pop(): TreeNode<V> | undefined {
    this.#areTrees.pop();
    return this.#nodes.pop();
  }

  open(): void {
    const node = this.pop();
    this.#push(node?.right, true);
    this.#push(node, false);
    this.#push(node?.left, true);
  }

  #push(node: Tree<V>, isTree: boolean): void {
    if (!node) return;
    this.#nodes.push(node);
    this.#areTrees.push(isTree);
  }
}

export function sizeOf(tree: Tree<unknown>): number {
  return tree ? tree.size : 0;
}

function weightOf(tree: Tree<unknown>): number {
  return sizeOf(tree) + 1;
}

function nodeOf<V>(key: string, value: V, left: Tree<V>, right: Tree<V>): TreeNode<V> {
  return { key, value, size: sizeOf(left) + sizeOf(right) + 1, left, right };
}

type Entry<V> = Pick<TreeNode<V>, 'key' | 'value'>;

/** Of two sides one of which has been made by at most one change from a balanced tree. */
function balanced<V>({ key, value }: Entry<V>, left: Tree<V>, right: Tree<V>): TreeNode<V> {
  if (right && weightOf(right) > DELTA * weightOf(left)) {
    const { left: inner, right: outer } = right;
    if (!inner || weightOf(inner) < RATIO * weightOf(outer)) {
      return nodeOf(right.key, right.value, nodeOf(key, value, left, inner), outer);
    }
    const near = nodeOf(key, value, left, inner.left);
    const far = nodeOf(right.key, right.value, inner.right, outer);
    return nodeOf(inner.key, inner.value, near, far);
  }
  if (left && weightOf(left) > DELTA * weightOf(right)) {
    const { left: outer, right: inner } = left;
    if (!inner || weightOf(inner) < RATIO * weightOf(outer)) {
      return nodeOf(left.key, left.value, outer, nodeOf(key, value, inner, right));
    }
    const far = nodeOf(key, value, inner.right, right);
    const near = nodeOf(left.key, left.value, outer, inner.left);
    return nodeOf(inner.key, inner.value, near, far);
  }
  return nodeOf(key, value, left, right);
}

/** All of two trees of which the first comes before the second, that stood below one node. */
function joined<V>(left: Tree<V>, right: Tree<V>): Tree<V> {
  if (!left) return right;
  if (!right) return left;
  if (left.size > right.size) {
    let last: TreeNode<V> = left;
    while (last.right) last = last.right;
    return balanced(last, removed(left, last.key), right);
  }
  let first: TreeNode<V> = right;
  while (first.left) first = first.left;
  return balanced(first, left, removed(right, first.key));
}
