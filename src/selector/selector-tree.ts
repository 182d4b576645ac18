// The tree of a selector: its nodes, canonical text, evaluation and label renaming.
import { compareCodePoints } from '#lib';

/** An object's labels. Only own properties count. */
export type Labels = Readonly<Record<string, string>>;

export type SelectorNode =
  | { readonly kind: 'all' }
  | { readonly kind: 'global' }
  | { readonly kind: 'has'; readonly label: string }
  | Comparison<'equals'>
  | Comparison<'notEquals'>
  | Comparison<'contains'>
  | Comparison<'startsWith'>
  | Comparison<'endsWith'>
  | Membership<'in'>
  | Membership<'notIn'>
  /** Never directly around another `not`. */
  | { readonly kind: 'not'; readonly operand: SelectorNode }
  | Combination<'and'>
  | Combination<'or'>;

interface Comparison<Kind extends string> {
  readonly kind: Kind;
  readonly label: string;
  readonly value: string;
}

interface Membership<Kind extends string> {
  readonly kind: Kind;
  readonly label: string;
  /** Sorted by code point and distinct. */
  readonly values: readonly string[];
}

interface Combination<Kind extends string> {
  readonly kind: Kind;
  /** At least two. */
  readonly operands: readonly SelectorNode[];
}

const COMPARISON = {
  equals: '==',
  notEquals: '!=',
  contains: 'contains',
  startsWith: 'starts with',
  endsWith: 'ends with',
  in: 'in',
  notIn: 'not in',
} as const;

/** The values of a set literal as the tree holds them. */
export function valueSet(values: readonly string[]): readonly string[] {
  return [...new Set(values)].sort(compareCodePoints);
}

/** Negates; twice is not at all, so that a tree and its text stand for each other. */
export function negate(node: SelectorNode): SelectorNode {
  return node.kind === 'not' ? node.operand : { kind: 'not', operand: node };
}

/** Canonical text; parsing it gives the same tree. */
export function printNode(node: SelectorNode): string {
  switch (node.kind) {
    case 'all':
      return 'all()';
    case 'global':
      return 'global()';
    case 'has':
      return `has(${node.label})`;
    case 'in':
    case 'notIn':
      return `${node.label} ${COMPARISON[node.kind]} {${node.values.map(quote).join(', ')}}`;
    case 'not':
      return `!${printNode(node.operand)}`;
    case 'and':
      return `(${node.operands.map(printNode).join(' && ')})`;
    case 'or':
      return `(${node.operands.map(printNode).join(' || ')})`;
    default:
      return `${node.label} ${COMPARISON[node.kind]} ${quote(node.value)}`;
  }
}

/** The language has no escapes: a value holds at most one kind of quote. */
function quote(value: string): string {
  return value.includes('"') ? `'${value}'` : `"${value}"`;
}

/** The value that an object has of a label, of its own or lent; undefined where it has none. */
export type LabelLookup = (label: string) => string | undefined;

/** The lookup in a plain record. */
export function lookupIn(labels: Labels): LabelLookup {
  return (label) => (Object.hasOwn(labels, label) ? labels[label] : undefined);
}

/** Whether the labels satisfy the tree; `!=` and `not in` also hold where the label is absent. */
export function evaluateNode(node: SelectorNode, lookup: LabelLookup): boolean {
  switch (node.kind) {
    case 'all':
    case 'global':
      return true;
    case 'not':
      return !evaluateNode(node.operand, lookup);
    case 'and':
      return node.operands.every((operand) => evaluateNode(operand, lookup));
    case 'or':
      return node.operands.some((operand) => evaluateNode(operand, lookup));
    default:
      return evaluateLabel(node, lookup(node.label));
  }
}

/** Every label that the tree asks for, each once. */
export function labelsOf(node: SelectorNode, found = new Set<string>()): ReadonlySet<string> {
  switch (node.kind) {
    case 'all':
    case 'global':
      return found;
    case 'not':
      return labelsOf(node.operand, found);
    case 'and':
    case 'or':
      for (const operand of node.operands) labelsOf(operand, found);
      return found;
    default:
      return found.add(node.label);
  }
}

type LabelNode = Extract<SelectorNode, { label: string }>;

function evaluateLabel(node: LabelNode, value: string | undefined): boolean {
  if (node.kind === 'notEquals') return value !== node.value;
  if (node.kind === 'notIn') return value === undefined || !node.values.includes(value);
  if (value === undefined) return false;
  switch (node.kind) {
    case 'has':
      return true;
    case 'equals':
      return value === node.value;
    case 'in':
      return node.values.includes(value);
    case 'contains':
      return value.includes(node.value);
    case 'startsWith':
      return value.startsWith(node.value);
    case 'endsWith':
      return value.endsWith(node.value);
  }
}

/** The tree with every label renamed. */
export function renameLabels(node: SelectorNode, rename: (label: string) => string): SelectorNode {
  switch (node.kind) {
    case 'all':
    case 'global':
      return node;
    case 'not':
      return { kind: 'not', operand: renameLabels(node.operand, rename) };
    case 'and':
    case 'or':
      return {
        kind: node.kind,
        operands: node.operands.map((operand) => renameLabels(operand, rename)),
      };
    default:
      return { ...node, label: rename(node.label) };
  }
}
