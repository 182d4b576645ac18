// The cells of a resource's row in a table, from the columns that its kind defines.
import type { Column, KindDefinition, Resource } from '#api';
import { isObject } from '#lib';
import { formatAge } from './text-table.ts';

export interface RowOptions {
  readonly wide: boolean;
  readonly withNamespace: boolean;
  /** Milliseconds since 1970. */
  readonly nowMs: number;
}

const NONE = '<none>';

export function rowHeadings(kind: KindDefinition, options: RowOptions): string[] {
  const columns = shownColumns(kind, options.wide).map(({ name }) => name.toUpperCase());
  return [...(options.withNamespace ? ['NAMESPACE'] : []), 'NAME', ...columns, 'AGE'];
}

export function rowCells(kind: KindDefinition, resource: Resource, options: RowOptions): string[] {
  const { name, namespace, creationTimestamp } = resource.metadata;
  return [
    ...(options.withNamespace ? [namespace ?? ''] : []),
    name,
    ...shownColumns(kind, options.wide).map((column) => cellOf(column, resource, options.nowMs)),
    formatAge(creationTimestamp, options.nowMs) || '<unknown>',
  ];
}

function shownColumns(kind: KindDefinition, wide: boolean): Column[] {
  return kind.columns.filter(({ name, priority }) => (wide || priority === 0) && name !== 'Age');
}

function cellOf(column: Column, resource: Resource, nowMs: number): string {
  const value = valueAt(resource, column.path);
  if (column.type === 'date') return formatAge(value, nowMs) || NONE;
  return cellText(value);
}

function cellText(value: unknown): string {
  if (value === undefined || value === null || value === '') return NONE;
  if (typeof value === 'string') return value;
  if (Array.isArray(value)) return value.length === 0 ? NONE : value.map(cellText).join(',');
  if (isObject(value)) {
    const { matchLabels } = value;
    if (!isObject(matchLabels) || Object.keys(value).length > 1) return JSON.stringify(value);
    return Object.entries(matchLabels)
      .map(([key, label]) => `${key}=${cellText(label)}`)
      .join(',');
  }
  return JSON.stringify(value);
}

const EVERY = /\[\*\]/y;
const STEP = /\.([A-Za-z_][\w-]*)|\[(\d+)\]|\[\?\(@\.(\w+)==["']([^"']*)["']\)\]/y;

/** What a column's path leads to: members, indices, every item, and the one item whose field has a value. */
export function valueAt(root: unknown, path: string): unknown {
  let value = root;
  STEP.lastIndex = 0;
  while (STEP.lastIndex < path.length) {
    const start = STEP.lastIndex;
    EVERY.lastIndex = start;
    if (EVERY.test(path)) {
      const rest = path.slice(EVERY.lastIndex);
      if (!Array.isArray(value)) return undefined;
      return value.map((item: unknown) => valueAt(item, rest)).filter((it) => it !== undefined);
    }
    const match = STEP.exec(path);
    if (!match) throw new Error(`cannot read the column path ${path} at ${path.slice(start)}`);
    value = stepInto(value, match);
  }
  return value;
}

function stepInto(value: unknown, match: RegExpExecArray): unknown {
  const [, member, index, field = '', wanted] = match;
  if (member !== undefined) {
    return isObject(value) && Object.hasOwn(value, member) ? value[member] : undefined;
  }
  if (!Array.isArray(value)) return undefined;
  if (index !== undefined) return value[Number(index)];
  return value.find((item: unknown) => isObject(item) && item[field] === wanted);
}
