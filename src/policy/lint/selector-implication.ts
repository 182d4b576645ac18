// Whether one selector's matches are surely matches of another: sound, and silent where it cannot tell.
import {
  type LabelRestrictions,
  labelRestrictions,
  type Labels,
  type Selector,
  selectorOf,
} from '#selector';
import type { SelectorNode } from '#selector';

const CASES_MAX = 256;

/** The same trees are compared again and again. */
const selectors = new WeakMap<SelectorNode, Selector>();
const empties = new WeakMap<SelectorNode, boolean>();
const restrictionsOfNodes = new WeakMap<SelectorNode, LabelRestrictions>();

function selectorFor(node: SelectorNode): Selector {
  const selector = selectors.get(node) ?? selectorOf(node);
  selectors.set(node, selector);
  return selector;
}

function restrictionsFor(node: SelectorNode): LabelRestrictions {
  const restrictions = restrictionsOfNodes.get(node) ?? labelRestrictions(selectorFor(node));
  restrictionsOfNodes.set(node, restrictions);
  return restrictions;
}

/** True only where every set of labels that satisfies `a` satisfies `b`. False may also mean "cannot tell". */
export function implies(a: Selector, b: Selector): boolean {
  return a.text === b.text || matchesNothing(a) || nodeImplies(a.tree, b.tree);
}

/** True only where no set of labels satisfies the selector. */
export function matchesNothing(selector: Selector): boolean {
  const empty = empties.get(selector.tree) ?? isEmpty(selector.tree);
  empties.set(selector.tree, empty);
  return empty;
}

function isEmpty(node: SelectorNode): boolean {
  if (node.kind === 'or') return node.operands.every(isEmpty);
  if (node.kind === 'not') return nodeImplies({ kind: 'all' }, node.operand);
  if (node.kind === 'and' && node.operands.some(isEmpty)) return true;
  const restrictions = restrictionsFor(node);
  for (const { mustBePresent, mustBeAbsent, mustHaveOneOfValues } of restrictions.values()) {
    if (mustBePresent && mustBeAbsent) return true;
    if (mustHaveOneOfValues?.length === 0) return true;
  }
  if (node.kind !== 'and') return false;
  return node.operands.some((operand) => nodeImplies(node, opposite(operand)));
}

function opposite(node: SelectorNode): SelectorNode {
  return node.kind === 'not' ? node.operand : { kind: 'not', operand: node };
}

function nodeImplies(a: SelectorNode, b: SelectorNode): boolean {
  if (b.kind === 'all' || b.kind === 'global') return true;
  if (selectorFor(a).text === selectorFor(b).text) return true;
  if (b.kind === 'and') return b.operands.every((operand) => nodeImplies(a, operand));
  if (a.kind === 'or') return a.operands.every((operand) => nodeImplies(operand, b));
  if (b.kind === 'or' && b.operands.some((operand) => nodeImplies(a, operand))) return true;
  if (a.kind === 'and' && a.operands.some((operand) => nodeImplies(operand, b))) return true;
  if (a.kind === 'not' && b.kind === 'not') return nodeImplies(b.operand, a.operand);
  return holdsInEveryCase(a, b) || leafImplies(a, b);
}

/** Tries all values that `a` leaves to the labels of `b`, where they are few. */
function holdsInEveryCase(a: SelectorNode, b: SelectorNode): boolean {
  const restrictions = restrictionsFor(a);
  let cases: Labels[] = [{}];
  for (const label of labelsOf(b)) {
    const restriction = restrictions.get(label);
    const values = restriction?.mustHaveOneOfValues;
    if (restriction?.mustBeAbsent) continue;
    if (!restriction?.mustBePresent || values === undefined) return false;
    cases = cases.flatMap((labels) => values.map((value) => ({ ...labels, [label]: value })));
    if (cases.length > CASES_MAX) return false;
  }
  const selector = selectorFor(b);
  return cases.every((labels) => selector.evaluate(labels));
}

function labelsOf(node: SelectorNode): string[] {
  switch (node.kind) {
    case 'all':
    case 'global':
      return [];
    case 'not':
      return labelsOf(node.operand);
    case 'and':
    case 'or':
      return [...new Set(node.operands.flatMap(labelsOf))];
    default:
      return [node.label];
  }
}

/** Leaves about one label, where the values are not few. */
function leafImplies(a: SelectorNode, b: SelectorNode): boolean {
  if (b.kind === 'has') return restrictionsFor(a).get(b.label)?.mustBePresent === true;
  if (!('label' in a) || !('label' in b) || a.label !== b.label) return false;
  const excluded = excludedBy(a);
  const needed = excludedBy(b);
  if (excluded && needed) return needed.every((value) => excluded.includes(value));
  if (a.kind === b.kind && 'value' in a && 'value' in b) {
    if (b.kind === 'contains') return 'value' in a && a.value.includes(b.value);
    if (b.kind === 'startsWith') return a.value.startsWith(b.value);
    if (b.kind === 'endsWith') return a.value.endsWith(b.value);
  }
  return false;
}

function excludedBy(node: SelectorNode): readonly string[] | undefined {
  if (node.kind === 'notEquals') return [node.value];
  return node.kind === 'notIn' ? node.values : undefined;
}
