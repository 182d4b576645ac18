// Splits a selector's text into tokens (spec 02, 2.1: tokenising).
import { SelectorError } from './selector-error.ts';

export type TokenKind =
  | 'Label'
  | 'StringLiteral'
  | 'LBrace'
  | 'RBrace'
  | 'Comma'
  | 'Eq'
  | 'Ne'
  | 'In'
  | 'NotIn'
  | 'Contains'
  | 'StartsWith'
  | 'EndsWith'
  | 'All'
  | 'Global'
  | 'Has'
  | 'LParen'
  | 'RParen'
  | 'And'
  | 'Or'
  | 'Not'
  | 'EOF';

export interface Token {
  readonly kind: TokenKind;
  /** The label of Label and Has, the content of StringLiteral. */
  readonly value?: string;
  /** 0-based index of the token's first character in the text. */
  readonly column: number;
}

const LABEL_MAX = 512;

// Sticky patterns; the first that matches wins.
const AFTER_LABEL: readonly (readonly [TokenKind, RegExp])[] = [
  ['Eq', /==/y],
  ['Ne', /!=/y],
  ['In', /in\b/y],
  ['NotIn', /not[ \t]*in\b/y],
  ['Contains', /contains\b/y],
  ['StartsWith', /starts[ \t]*with\b/y],
  ['EndsWith', /ends[ \t]*with\b/y],
];
const ELSEWHERE: readonly (readonly [TokenKind, RegExp])[] = [
  ['LParen', /\(/y],
  ['RParen', /\)/y],
  ['LBrace', /\{/y],
  ['RBrace', /\}/y],
  ['Comma', /,/y],
  ['Eq', /==/y],
  ['Ne', /!=/y],
  ['Not', /!/y],
  ['And', /&&/y],
  ['Or', /\|\|/y],
  ['All', /all\([ \t]*\)/y],
  ['Global', /global\([ \t]*\)/y],
];
const HAS = /has\([ \t]*([A-Za-z0-9_./-]+)[ \t]*\)/y;
const LABEL = /[A-Za-z0-9_./-]+/y;

/**
 * The tokens of `text`, the last one EOF. After a label only an operator may come, so a label may be called
 * `in` or `contains`. Throws SelectorError where no token starts.
 */
export function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  let position = skipBlanks(text, 0);
  while (position < text.length) {
    const afterLabel = tokens.at(-1)?.kind === 'Label';
    const { token, end } = afterLabel ? operatorAt(text, position) : tokenAt(text, position);
    tokens.push(token);
    position = skipBlanks(text, end);
  }
  tokens.push({ kind: 'EOF', column: text.length });
  return tokens;
}

function skipBlanks(text: string, from: number): number {
  let position = from;
  while (text[position] === ' ' || text[position] === '\t') position++;
  return position;
}

interface Scanned {
  readonly token: Token;
  readonly end: number;
}

function fixedAt(
  patterns: readonly (readonly [TokenKind, RegExp])[],
  text: string,
  column: number,
): Scanned | undefined {
  for (const [kind, pattern] of patterns) {
    pattern.lastIndex = column;
    if (pattern.test(text)) return { token: { kind, column }, end: pattern.lastIndex };
  }
  return undefined;
}

function operatorAt(text: string, column: number): Scanned {
  const operator = fixedAt(AFTER_LABEL, text, column);
  if (operator) return operator;
  const hint = /^=[^=]/.test(text.slice(column)) ? '; equality is written ==' : '';
  throw new SelectorError(
    text,
    column,
    `expected an operator after the label (==, !=, in, not in, contains, starts with, ends with)${hint}; ` +
      'to ask only whether a label is there write has(label)',
  );
}

function tokenAt(text: string, column: number): Scanned {
  const quote = text[column];
  if (quote === '"' || quote === "'") {
    const close = text.indexOf(quote, column + 1);
    if (close < 0) throw new SelectorError(text, column, `the quote ${quote} is never closed`);
    const value = text.slice(column + 1, close);
    return { token: { kind: 'StringLiteral', value, column }, end: close + 1 };
  }
  return (
    fixedAt(ELSEWHERE, text, column) ??
    named(HAS, 'Has', text, column) ??
    named(LABEL, 'Label', text, column) ??
    noToken(text, column)
  );
}

function named(
  pattern: RegExp,
  kind: TokenKind,
  text: string,
  column: number,
): Scanned | undefined {
  pattern.lastIndex = column;
  const match = pattern.exec(text);
  if (!match) return undefined;
  const value = match[1] ?? match[0];
  if (value.length > LABEL_MAX) {
    throw new SelectorError(
      text,
      column,
      `the label is ${value.length} characters long, at most ${LABEL_MAX} are allowed`,
    );
  }
  return { token: { kind, value, column }, end: pattern.lastIndex };
}

function noToken(text: string, column: number): never {
  const character = text[column];
  if (character === '&') throw new SelectorError(text, column, 'a single "&"; write &&');
  if (character === '|') throw new SelectorError(text, column, 'a single "|"; write ||');
  if (character === '\n' || character === '\r') {
    throw new SelectorError(text, column, 'a line break; write the selector on one line');
  }
  throw new SelectorError(text, column, `unexpected character ${JSON.stringify(character)}`);
}
