// What a selector demands of single labels: the key to indexes that avoid a scan over all objects.
import type { Selector } from './parse-selector.ts';
import { type SelectorNode, valueSet } from './selector-tree.ts';

/** A demand that every match meets. Both flags together, or no value left, mean that nothing matches. */
export interface LabelRestriction {
  readonly mustBePresent: boolean;
  readonly mustBeAbsent: boolean;
  /** Absent where any value will do; sorted by code point. */
  readonly mustHaveOneOfValues?: readonly string[];
}

export type LabelRestrictions = ReadonlyMap<string, LabelRestriction>;

/** Necessary conditions of a match, by label; a label that is missing here may be anything (spec 02, 2.1). */
export function labelRestrictions(selector: Selector): LabelRestrictions {
  return restrictionsOf(selector.tree);
}

/** Whether the selector demands of some label what cannot be; false does not say that anything matches. */
export function neverMatches(selector: Selector): boolean {
  return [...labelRestrictions(selector).values()].some(
    ({ mustBePresent, mustBeAbsent, mustHaveOneOfValues }) =>
      (mustBePresent && mustBeAbsent) || mustHaveOneOfValues?.length === 0,
  );
}

const NONE: LabelRestrictions = new Map();
const PRESENT: LabelRestriction = { mustBePresent: true, mustBeAbsent: false };

function restrictionsOf(node: SelectorNode): LabelRestrictions {
  switch (node.kind) {
    case 'has':
    case 'contains':
    case 'startsWith':
    case 'endsWith':
      return new Map([[node.label, PRESENT]]);
    case 'equals':
      return new Map([[node.label, { ...PRESENT, mustHaveOneOfValues: [node.value] }]]);
    case 'in':
      return new Map([[node.label, { ...PRESENT, mustHaveOneOfValues: node.values }]]);
    case 'not':
      return node.operand.kind === 'has'
        ? new Map([[node.operand.label, { mustBePresent: false, mustBeAbsent: true }]])
        : NONE;
    case 'and':
      return node.operands.map(restrictionsOf).reduce(all);
    case 'or':
      return node.operands.map(restrictionsOf).reduce(any);
    default:
      return NONE;
  }
}

/** Both hold. */
function all(left: LabelRestrictions, right: LabelRestrictions): LabelRestrictions {
  const merged = new Map(left);
  for (const [label, b] of right) {
    const a = merged.get(label);
    merged.set(label, a ? both(a, b) : b);
  }
  return merged;
}

function both(a: LabelRestriction, b: LabelRestriction): LabelRestriction {
  const flags = {
    mustBePresent: a.mustBePresent || b.mustBePresent,
    mustBeAbsent: a.mustBeAbsent || b.mustBeAbsent,
  };
  const left = a.mustHaveOneOfValues;
  const right = b.mustHaveOneOfValues;
  const values = left && right ? left.filter((value) => right.includes(value)) : (left ?? right);
  return values ? { ...flags, mustHaveOneOfValues: values } : flags;
}

/** At least one holds. */
function any(left: LabelRestrictions, right: LabelRestrictions): LabelRestrictions {
  const merged = new Map<string, LabelRestriction>();
  for (const [label, a] of left) {
    const b = right.get(label);
    const restriction = b && either(a, b);
    if (restriction) merged.set(label, restriction);
  }
  return merged;
}

function either(a: LabelRestriction, b: LabelRestriction): LabelRestriction | undefined {
  const flags = {
    mustBePresent: a.mustBePresent && b.mustBePresent,
    mustBeAbsent: a.mustBeAbsent && b.mustBeAbsent,
  };
  if (!flags.mustBePresent && !flags.mustBeAbsent) return undefined;
  if (!a.mustHaveOneOfValues || !b.mustHaveOneOfValues) return flags;
  const values = valueSet([...a.mustHaveOneOfValues, ...b.mustHaveOneOfValues]);
  return { ...flags, mustHaveOneOfValues: values };
}
