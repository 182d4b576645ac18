// The error of a selector that does not parse: what is wrong and where.

const EXCERPT = 24;

export class SelectorError extends Error {
  /** 0-based index into the selector's text. */
  readonly column: number;

  constructor(text: string, column: number, problem: string) {
    const rest = text.slice(column, column + EXCERPT);
    const more = text.length > column + EXCERPT ? '...' : '';
    const where = column >= text.length ? 'at its end' : `at ${JSON.stringify(rest + more)}`;
    super(`parse selector, character ${column + 1} ${where}: ${problem}`);
    this.name = 'SelectorError';
    this.column = column;
  }
}
