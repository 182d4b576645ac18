// Resources as a command prints them: a table, or json, yaml or names.
import { stringify } from 'yaml';
import type { KindDefinition, Resource } from '#api';
import { UsageError } from './cli-error.ts';
import { displayName } from './kind-lookup.ts';
import { rowCells, rowHeadings } from './resource-columns.ts';
import { formatTable } from './text-table.ts';

export const OUTPUTS = ['json', 'yaml', 'wide', 'name'] as const;
export type Output = (typeof OUTPUTS)[number];

/** Reads the value of `-o`; of `allowed` where a command has fewer forms. */
export function readOutput<T extends string>(
  text: string | undefined,
  allowed: readonly T[],
): T | undefined {
  if (text === undefined) return undefined;
  const found = allowed.find((output) => output === text);
  if (found === undefined) {
    throw new UsageError(`Cannot print as ${JSON.stringify(text)}: use -o ${allowed.join('|')}`);
  }
  return found;
}

/** One value as JSON or YAML, with a final newline. */
export function formatValue(value: unknown, output: 'json' | 'yaml'): string {
  return output === 'json'
    ? `${JSON.stringify(value, null, 2)}\n`
    : stringify(value, { lineWidth: 0, aliasDuplicateObjects: false });
}

export interface ResourceGroup {
  readonly kind: KindDefinition;
  readonly resources: readonly Resource[];
}

export interface FormatOptions {
  readonly output: Output | undefined;
  /** Whether one resource was asked for by name: it is printed alone, not as a list. */
  readonly single: boolean;
  readonly withNamespace: boolean;
  readonly nowMs: number;
}

/** All groups as text; tables of several kinds stand under each other. */
export function formatResources(groups: readonly ResourceGroup[], options: FormatOptions): string {
  const { output, single } = options;
  const items = groups.flatMap(({ resources }) => resources);
  if (output === 'json' || output === 'yaml') {
    const [first] = items;
    const list = { apiVersion: 'v1', kind: 'List', metadata: { resourceVersion: '' }, items };
    return formatValue(single && first ? first : list, output);
  }
  if (output === 'name') {
    return groups
      .flatMap(({ kind, resources }) => resources.map((it) => displayName(kind, it.metadata.name)))
      .map((line) => `${line}\n`)
      .join('');
  }
  return groups
    .filter(({ resources }) => resources.length > 0)
    .map(({ kind, resources }) => {
      const withNamespace = options.withNamespace && kind.namespaced;
      const row = { wide: output === 'wide', withNamespace, nowMs: options.nowMs };
      const rows = resources.map((resource) => rowCells(kind, resource, row));
      return formatTable(rowHeadings(kind, row), rows);
    })
    .join('\n');
}
