// The parser: text to selector, by recursive descent (spec 02, 2.1: grammar).
import { base64Url, sha224 } from '#lib';
import { SelectorError } from './selector-error.ts';
import {
  evaluateNode,
  type LabelLookup,
  type Labels,
  lookupIn,
  negate,
  printNode,
  renameLabels,
  type SelectorNode,
  valueSet,
} from './selector-tree.ts';
import { type Token, type TokenKind, tokenize } from './tokens.ts';

export interface Selector {
  /** Canonical text: equal selectors have equal text. */
  readonly text: string;
  readonly tree: SelectorNode;
  evaluate(labels: Labels): boolean;
  /** As `evaluate`, for an object whose labels are not in one record. */
  matches(lookup: LabelLookup): boolean;
}

const TEXT_MAX = 256 * 1024;
const DEPTH_MAX = 100;

/**
 * Reads a selector; an empty or blank one is `all()`. Throws SelectorError, also for a text above 256 KiB or
 * parentheses more than 100 deep.
 */
export function parseSelector(text: string): Selector {
  if (text.length > TEXT_MAX) {
    throw new SelectorError(
      text,
      TEXT_MAX,
      `the selector is ${text.length} characters long, at most ${TEXT_MAX} are allowed`,
    );
  }
  const parser = new Parser(text);
  return selectorOf(parser.parse());
}

/** The selector of a tree, for those that build trees. */
export function selectorOf(tree: SelectorNode): Selector {
  return {
    text: printNode(tree),
    tree,
    evaluate: (labels) => evaluateNode(tree, lookupIn(labels)),
    matches: (lookup) => evaluateNode(tree, lookup),
  };
}

/** Identity that equal selectors share: `s:` and base64url of SHA-224 over `s:<canonical text>`. */
export function selectorId(selector: Selector): string {
  return `s:${base64Url(sha224(new TextEncoder().encode(`s:${selector.text}`)))}`;
}

/** The selector with `prefix` before every label, as namespaces (`pcns.`) and accounts (`pcsa.`) need it. */
export function prefixLabels(selector: Selector, prefix: string): Selector {
  return selectorOf(renameLabels(selector.tree, (label) => prefix + label));
}

const COMPARISONS: Partial<
  Record<TokenKind, 'equals' | 'notEquals' | 'contains' | 'startsWith' | 'endsWith'>
> = {
  Eq: 'equals',
  Ne: 'notEquals',
  Contains: 'contains',
  StartsWith: 'startsWith',
  EndsWith: 'endsWith',
};

class Parser {
  readonly #text: string;
  readonly #tokens: readonly Token[];
  #next = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
    this.#tokens = tokenize(text);
  }

  parse(): SelectorNode {
    if (this.#peek().kind === 'EOF') return { kind: 'all' };
    const tree = this.#or();
    if (this.#peek().kind !== 'EOF') this.#fail('expected &&, || or the end of the selector');
    return tree;
  }

  #or(): SelectorNode {
    return this.#list('Or', 'or', () => this.#and());
  }

  #and(): SelectorNode {
    return this.#list('And', 'and', () => this.#not());
  }

  #list(separator: TokenKind, kind: 'and' | 'or', operand: () => SelectorNode): SelectorNode {
    const first = operand();
    const operands = [first];
    while (this.#take(separator)) operands.push(operand());
    return operands.length === 1 ? first : { kind, operands };
  }

  #not(): SelectorNode {
    let negated = false;
    while (this.#take('Not')) negated = !negated;
    const node = this.#primary();
    return negated ? negate(node) : node;
  }

  #primary(): SelectorNode {
    const token = this.#peek();
    switch (token.kind) {
      case 'All':
      case 'Global':
        this.#next++;
        return { kind: token.kind === 'All' ? 'all' : 'global' };
      case 'Has':
        this.#next++;
        return { kind: 'has', label: token.value ?? '' };
      case 'Label':
        this.#next++;
        return this.#comparison(token.value ?? '');
      case 'LParen':
        return this.#parenthesised();
      default:
        return this.#fail('expected a condition such as all(), has(label) or label == "value"');
    }
  }

  #parenthesised(): SelectorNode {
    if (++this.#depth > DEPTH_MAX) this.#fail(`parentheses nest deeper than ${DEPTH_MAX}`);
    this.#next++;
    const node = this.#or();
    if (!this.#take('RParen')) this.#fail('expected ) for a ( that is still open');
    this.#depth--;
    return node;
  }

  #comparison(label: string): SelectorNode {
    const { kind } = this.#peek();
    if (kind === 'In' || kind === 'NotIn') {
      this.#next++;
      return { kind: kind === 'In' ? 'in' : 'notIn', label, values: this.#set() };
    }
    const comparison = COMPARISONS[kind];
    if (!comparison) {
      return this.#fail(
        `the label ${JSON.stringify(label)} alone is no condition; write has(${label}) or ${label} == "value"`,
      );
    }
    this.#next++;
    return { kind: comparison, label, value: this.#string() };
  }

  #string(): string {
    const token = this.#peek();
    if (token.kind !== 'StringLiteral') return this.#fail('expected a value in quotes');
    this.#next++;
    return token.value ?? '';
  }

  /** `{"a", "b"}`; may be empty, may end in a comma. */
  #set(): readonly string[] {
    if (!this.#take('LBrace')) this.#fail('expected { and the values in quotes, as in {"a", "b"}');
    const values: string[] = [];
    while (this.#peek().kind === 'StringLiteral') {
      values.push(this.#string());
      if (!this.#take('Comma')) break;
    }
    if (!this.#take('RBrace')) this.#fail('expected a value in quotes or }');
    return valueSet(values);
  }

  #peek(): Token {
    return this.#tokens[this.#next] ?? { kind: 'EOF', column: this.#text.length };
  }

  #take(kind: TokenKind): boolean {
    if (this.#peek().kind !== kind) return false;
    this.#next++;
    return true;
  }

  #fail(problem: string): never {
    throw new SelectorError(this.#text, this.#peek().column, problem);
  }
}
