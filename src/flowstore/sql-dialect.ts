// Where two databases' SQL differs, as far as flow queries need it.

export interface SqlDialect {
  readonly name: 'duckdb' | 'clickhouse';
  readonly text: (value: string) => string;
  /** Whether a list has any of the values; `values` is not empty. */
  readonly hasAny: (list: string, values: readonly string[]) => string;
  /** Whether some item of a list meets a condition on `x`. */
  readonly some: (list: string, condition: string) => string;
  readonly startsWith: (text: string, start: string) => string;
  readonly endsWith: (text: string, end: string) => string;
  readonly contains: (text: string, part: string) => string;
  /** `pattern` is already escaped for LIKE, with a backslash. */
  readonly like: (text: string, pattern: string) => string;
  /** The text from a position, counted from 1. */
  readonly from: (text: string, position: number) => string;
  /** One row for each item of a list. */
  readonly each: (list: string) => string;
  /** Rounds down to a multiple. */
  readonly floor: (value: string, step: number) => string;
}

function doubled(value: string): string {
  return `'${value.replaceAll("'", "''")}'`;
}

function backslashed(value: string): string {
  return `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}

export const DUCKDB: SqlDialect = {
  name: 'duckdb',
  // A NUL would end the text of a statement.
  text: (value) => doubled(value.replaceAll('\0', '\uFFFD')),
  hasAny: (list, values) => `list_has_any(${list}, [${values.map(DUCKDB.text).join(', ')}])`,
  some: (list, condition) => `len(list_filter(${list}, lambda x: ${condition})) > 0`,
  startsWith: (text, start) => `starts_with(${text}, ${DUCKDB.text(start)})`,
  endsWith: (text, end) => `ends_with(${text}, ${DUCKDB.text(end)})`,
  contains: (text, part) => `contains(${text}, ${DUCKDB.text(part)})`,
  like: (text, pattern) => `${text} LIKE ${DUCKDB.text(pattern)} ESCAPE '\\'`,
  from: (text, position) => `substring(${text}, ${position})`,
  each: (list) => `unnest(${list})`,
  floor: (value, step) => `(${value} // ${step}) * ${step}`,
};

/** Of 2018 and later. */
export const CLICKHOUSE: SqlDialect = {
  name: 'clickhouse',
  text: (value) => backslashed(value.replaceAll('\0', '\uFFFD')),
  hasAny: (list, values) =>
    `arrayExists(x -> x IN (${values.map(CLICKHOUSE.text).join(', ')}), ${list})`,
  some: (list, condition) => `arrayExists(x -> ${condition}, ${list})`,
  startsWith: (text, start) => `startsWith(${text}, ${CLICKHOUSE.text(start)})`,
  endsWith: (text, end) => `endsWith(${text}, ${CLICKHOUSE.text(end)})`,
  contains: (text, part) => `position(${text}, ${CLICKHOUSE.text(part)}) > 0`,
  like: (text, pattern) => `${text} LIKE ${CLICKHOUSE.text(pattern)}`,
  from: (text, position) => `substring(${text}, ${position})`,
  each: (list) => `arrayJoin(${list})`,
  floor: (value, step) => `intDiv(${value}, ${step}) * ${step}`,
};
