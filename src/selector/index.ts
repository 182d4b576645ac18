// The door of selector: Calico's selector language.
export {
  type LabelRestriction,
  type LabelRestrictions,
  labelRestrictions,
  neverMatches,
} from './label-restrictions.ts';
export {
  parseSelector,
  prefixLabels,
  type Selector,
  selectorId,
  selectorOf,
} from './parse-selector.ts';
export { SelectorError } from './selector-error.ts';
export { type LabelLookup, type Labels, labelsOf, type SelectorNode } from './selector-tree.ts';
export { type Token, tokenize } from './tokens.ts';
