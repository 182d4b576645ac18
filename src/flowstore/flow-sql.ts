// Prints the query tree as SQL: every value is quoted here, no text of a user's is ever part of a statement.
import { familyBits, formatAddress, type Prefix } from '#lib';
import {
  type FlowCondition,
  type FlowQueryWindow,
  type FlowRecordsQuery,
  type FlowSummaryQuery,
  MEASURES,
} from '#flows';
import type { SelectorNode } from '#selector';
import { addressKey, columnName, FLOW_COLUMNS } from './flow-columns.ts';
import type { SqlDialect } from './sql-dialect.ts';

/** `from` is what stands after FROM: a table, or a union in parentheses. */
export function summarySql(query: FlowSummaryQuery, from: string, dialect: SqlDialect): string {
  const { groupBy, each, step, orderBy, limit } = query;
  const time = step === undefined ? integer(query.from) : dialect.floor('bucket_start', step);
  const keys = ['step', ...groupBy.map((_, index) => `g${index}`), ...(each ? ['item'] : [])];
  const picked = [
    `${time} AS step`,
    'bucket_start AS bucket',
    ...groupBy.map((field, index) => `${columnName(field)} AS g${index}`),
    ...(each ? [`${dialect.each(columnName(each))} AS item`] : []),
    ...MEASURES.map((measure) => `${columnName(measure)} AS m_${columnName(measure)}`),
  ];
  const sums = MEASURES.map((it) => `sum(m_${columnName(it)}) AS s_${columnName(it)}`);
  const totals = MEASURES.map((measure) => {
    const column = columnName(measure);
    const most = measure === 'live' ? `max(s_${column})` : `sum(s_${column})`;
    return `${most} AS t_${column}`;
  });
  const order = [
    'step',
    ...(orderBy === undefined ? [] : [`t_${columnName(orderBy)} DESC`]),
    ...keys.slice(1),
  ];
  return [
    `SELECT ${[...keys, ...totals].join(', ')} FROM (`,
    `SELECT ${[...keys, 'bucket', ...sums].join(', ')} FROM (`,
    `SELECT ${picked.join(', ')} FROM ${from} WHERE ${windowSql(query, dialect)}`,
    `) AS picked GROUP BY ${[...keys, 'bucket'].join(', ')}`,
    `) AS buckets GROUP BY ${keys.join(', ')}`,
    `ORDER BY ${order.join(', ')} LIMIT ${integer(limit)}`,
  ].join(' ');
}

export function recordsSql(query: FlowRecordsQuery, from: string, dialect: SqlDialect): string {
  const columns = FLOW_COLUMNS.map(({ name }) => name).join(', ');
  return (
    `SELECT ${columns} FROM ${from} WHERE ${windowSql(query, dialect)} ` +
    `ORDER BY bucket_start DESC LIMIT ${integer(query.limit)}`
  );
}

function windowSql({ from, to, where }: FlowQueryWindow, dialect: SqlDialect): string {
  const window = `bucket_start >= ${integer(from)} AND bucket_start < ${integer(to)}`;
  return where ? `${window} AND ${conditionSql(where, dialect)}` : window;
}

const NEVER = '1 = 0';
const ALWAYS = '1 = 1';

/** A condition in parentheses. */
export function conditionSql(condition: FlowCondition, dialect: SqlDialect): string {
  return `(${bare(condition, dialect)})`;
}

function bare(condition: FlowCondition, dialect: SqlDialect): string {
  if ('all' in condition) return joined(condition.all, { dialect, word: 'AND', none: ALWAYS });
  if ('any' in condition) return joined(condition.any, { dialect, word: 'OR', none: NEVER });
  if ('not' in condition) return `NOT ${conditionSql(condition.not, dialect)}`;
  if ('once' in condition) return ONCE;
  if ('selector' in condition) {
    return selectorSql(condition.selector.tree, `${condition.side}_labels`, dialect);
  }
  if ('prefix' in condition) return prefixSql(`${condition.side}_key`, condition.prefix);
  if ('field' in condition) {
    const column = columnName(condition.field);
    if ('like' in condition) {
      const isText = FLOW_COLUMNS.some(({ name, type }) => name === column && type === 'text');
      if (!isText) throw new Error(`Cannot compare the number ${condition.field} with a pattern`);
      return dialect.like(column, likePattern(condition.like));
    }
    return isOneOf(column, condition.in, dialect);
  }
  const column = columnName(condition.list);
  if ('like' in condition) {
    return dialect.some(column, dialect.like('x', likePattern(condition.like)));
  }
  return condition.in.length === 0 ? NEVER : dialect.hasAny(column, condition.in);
}

interface Joining {
  readonly dialect: SqlDialect;
  readonly word: 'AND' | 'OR';
  readonly none: string;
}

function joined(conditions: readonly FlowCondition[], { dialect, word, none }: Joining): string {
  if (conditions.length === 0) return none;
  return conditions.map((it) => conditionSql(it, dialect)).join(` ${word} `);
}

const ONCE =
  "(reporter = 'src' AND (destination_type <> 'workload' OR verdict = 'deny')) OR " +
  "(reporter = 'dst' AND (destination_type = 'workload' OR source_type <> 'workload' OR verdict = 'deny'))";

/** Values of the other type than the column's never match. */
function isOneOf(
  column: string,
  values: readonly (string | number)[],
  dialect: SqlDialect,
): string {
  const type = FLOW_COLUMNS.find(({ name }) => name === column)?.type;
  const fitting = values.flatMap((value) => {
    if (typeof value === 'string') return type === 'text' ? [dialect.text(value)] : [];
    return type === 'integer' && Number.isSafeInteger(value) ? [String(value)] : [];
  });
  return fitting.length === 0 ? NEVER : `${column} IN (${fitting.join(', ')})`;
}

function likePattern(pattern: string): string {
  return pattern.replaceAll(/[\\%_]/g, (letter) => `\\${letter}`).replaceAll('*', '%');
}

/** A range of `addressKey`: from the prefix's first address to its last. */
function prefixSql(column: string, { family, bits, length }: Prefix): string {
  const hostBits = BigInt(familyBits(family) - length);
  const first = (bits >> hostBits) << hostBits;
  const last = first | ((1n << hostBits) - 1n);
  const key = (address: bigint) => addressKey(formatAddress({ family, bits: address }));
  return `${column} >= '${key(first)}' AND ${column} <= '${key(last)}'`;
}

/** Labels are texts `key=value`. */
function selectorSql(node: SelectorNode, labels: string, dialect: SqlDialect): string {
  const recur = (operand: SelectorNode): string => `(${selectorSql(operand, labels, dialect)})`;
  const some = (condition: string): string => dialect.some(labels, condition);
  switch (node.kind) {
    case 'all':
    case 'global':
      return ALWAYS;
    case 'not':
      return `NOT ${recur(node.operand)}`;
    case 'and':
      return node.operands.map(recur).join(' AND ');
    case 'or':
      return node.operands.map(recur).join(' OR ');
    case 'has':
      return some(dialect.startsWith('x', `${node.label}=`));
    case 'equals':
      return dialect.hasAny(labels, [`${node.label}=${node.value}`]);
    case 'notEquals':
      return `NOT ${dialect.hasAny(labels, [`${node.label}=${node.value}`])}`;
    case 'in':
    case 'notIn': {
      const values = node.values.map((value) => `${node.label}=${value}`);
      const found = values.length === 0 ? NEVER : dialect.hasAny(labels, values);
      return node.kind === 'in' ? found : `NOT (${found})`;
    }
    case 'startsWith':
      return some(dialect.startsWith('x', `${node.label}=${node.value}`));
    default: {
      const start = dialect.startsWith('x', `${node.label}=`);
      if (node.value === '') return some(start);
      const rest = dialect.from('x', node.label.length + 2);
      const test = node.kind === 'endsWith' ? dialect.endsWith : dialect.contains;
      return some(`${start} AND ${test(rest, node.value)}`);
    }
  }
}

function integer(value: number): string {
  if (!Number.isSafeInteger(value))
    throw new Error(`Cannot query flows: ${value} is no whole number`);
  return String(value);
}
