// metav1.Table: what `kubectl get` prints, made from the columns of a kind.
import type { Column, KindDefinition, Resource } from '#api';
import { isObject } from '#lib';
import { ageText } from './age-text.ts';
import { jsonPath } from './json-path.ts';
import { inVersion } from './kind-version.ts';
import { printedCells, printerColumns } from './printer-columns.ts';

export type IncludeObject = 'None' | 'Metadata' | 'Object';

export interface TableOptions {
  /** Of the list or of the one object. */
  readonly resourceVersion: string;
  readonly includeObject: IncludeObject;
  /** Milliseconds since 1970; ages count from it. */
  readonly now: number;
}

interface CompiledColumn {
  readonly column: Column;
  readonly read: (value: unknown) => unknown[];
}

const compiled = new WeakMap<KindDefinition, readonly CompiledColumn[]>();
const readAge = jsonPath('.metadata.creationTimestamp');

/** A table with one row for each resource. */
export function tableOf(
  kind: KindDefinition,
  resources: readonly Resource[],
  options: TableOptions,
): Record<string, unknown> {
  const { columnDefinitions, cells } = printerOf(kind);
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata: { resourceVersion: options.resourceVersion },
    columnDefinitions,
    rows: resources.map((resource) => ({
      cells: cells(resource, options.now),
      ...rowObject(kind, resource, options.includeObject),
    })),
  };
}

interface Printer {
  readonly columnDefinitions: readonly Record<string, unknown>[];
  readonly cells: (resource: Resource, now: number) => unknown[];
}

function printerOf(kind: KindDefinition): Printer {
  const computed = printerColumns(kind);
  if (computed) {
    return {
      columnDefinitions: computed.map(({ name, type, priority, description }) => ({
        name,
        type,
        format: name === 'Name' ? 'name' : '',
        priority,
        description,
      })),
      cells: (resource, now) => printedCells(computed, resource, now),
    };
  }
  const columns = columnsOf(kind);
  return {
    columnDefinitions: [
      definition({ name: 'Name', type: 'string', path: '', priority: 0 }, 'name'),
      ...columns.map(({ column }) => definition(column, '')),
    ],
    cells: (resource, now) => [
      resource.metadata.name,
      ...columns.map(({ column, read }) => cell(column, read(resource), now)),
    ],
  };
}

/** The object's metadata alone, as `PartialObjectMetadata`. */
export function partialMetadata(resource: Resource): Record<string, unknown> {
  const { metadata } = resource;
  return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata };
}

/** The kind's columns, and the age unless it brings its own. */
function columnsOf(kind: KindDefinition): readonly CompiledColumn[] {
  const known = compiled.get(kind);
  if (known) return known;
  const columns = kind.columns.map((column) => ({ column, read: jsonPath(column.path) }));
  const age: Column = { name: 'Age', type: 'date', path: '', priority: 0 };
  const wideFrom = columns.findIndex(({ column }) => column.priority > 0);
  const place = wideFrom < 0 ? columns.length : wideFrom;
  const all = columns.some(({ column }) => column.name === 'Age')
    ? columns
    : columns.toSpliced(place, 0, { column: age, read: readAge });
  compiled.set(kind, all);
  return all;
}

function definition(column: Column, format: string): Record<string, unknown> {
  const { name, type, priority, path } = column;
  // Ages are sent as text that is ready to print.
  const sent = type === 'date' ? 'string' : type;
  return { name, type: sent, format, priority, description: path };
}

function cell(column: Column, values: readonly unknown[], now: number): unknown {
  const [value] = values;
  if (value === undefined || value === null) return column.type === 'date' ? '<unknown>' : null;
  if (column.type === 'date') return ageText(value, now);
  if (column.type === 'string') return text(values.length > 1 ? values : value);
  return value;
}

function text(value: unknown): string {
  if (typeof value === 'string') return value;
  if (Array.isArray(value)) return value.map(text).join(',');
  if (isObject(value)) return labelSelectorText(value) ?? JSON.stringify(value);
  return String(value);
}

/** A label selector as `kubectl` writes it; undefined where the value is something else. */
function labelSelectorText(value: Record<string, unknown>): string | undefined {
  const { matchLabels = {}, matchExpressions = [], ...others } = value;
  if (Object.keys(others).length > 0) return undefined;
  if (!isObject(matchLabels) || !Array.isArray(matchExpressions)) return undefined;
  const parts = Object.entries(matchLabels).map(([key, label]) => `${key}=${text(label)}`);
  for (const expression of matchExpressions) {
    if (!isObject(expression)) return undefined;
    parts.push(expressionText(expression));
  }
  return parts.length === 0 ? '<none>' : parts.sort().join(',');
}

function expressionText({ key, operator, values }: Record<string, unknown>): string {
  const name = text(key);
  if (operator === 'Exists') return name;
  if (operator === 'DoesNotExist') return `!${name}`;
  return `${name} ${operator === 'In' ? 'in' : 'notin'} (${text(values ?? [])})`;
}

function rowObject(
  kind: KindDefinition,
  resource: Resource,
  include: IncludeObject,
): Record<string, unknown> {
  if (include === 'None') return {};
  return { object: include === 'Object' ? inVersion(kind, resource) : partialMetadata(resource) };
}
