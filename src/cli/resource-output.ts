// Resources as a command prints them: a table, or json, yaml, names, chosen columns or a template.
import { stringify } from 'yaml';
import { apiVersionOf, type KindDefinition, type Resource } from '#api';
import { checkCalicoColumns, formatCalicoTable, hasCalicoTable } from './calico-table.ts';
import { UsageError } from './cli-error.ts';
import { readTemplate, type Template, TemplateError } from './go-template.ts';
import { displayName } from './kind-lookup.ts';
import { rowCells, rowHeadings } from './resource-columns.ts';
import { formatTable } from './text-table.ts';

export const OUTPUTS = ['json', 'yaml', 'ps', 'wide', 'name'] as const;
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

/** `custom-columns=NAME,CIDR`, and Go templates. */
export type OutputForm =
  | { readonly type: Output | undefined }
  | { readonly type: 'columns'; readonly columns: readonly string[] }
  | { readonly type: 'template'; readonly text: string; readonly template: Template };

/**
 * Reads the value of `get -o`, with the forms of calicoctl that have a value of their own. Throws UsageError, also
 * for a template that is wrong whatever it is given.
 */
export function readOutputForm(
  text: string | undefined,
  readFile: (path: string) => string,
): OutputForm {
  const [form, value] = /^(custom-columns|go-template|go-template-file)=(.*)$/s
    .exec(text ?? '')
    ?.slice(1) ?? [undefined, ''];
  if (form === undefined) return { type: readOutput(text, OUTPUTS) };
  if (value === '' || value === undefined) {
    throw new UsageError(`Cannot print as ${JSON.stringify(text)}: there is nothing after the =`);
  }
  if (form === 'custom-columns') {
    return { type: 'columns', columns: value.split(',').map((it) => it.trim()) };
  }
  const template = form === 'go-template' ? value : readFile(value);
  return explained(template, () => ({
    type: 'template',
    text: template,
    template: readTemplate(template),
  }));
}

export interface FormatOptions {
  readonly output: OutputForm;
  /** Whether one resource was asked for by name: it is printed alone, not as a list. */
  readonly single: boolean;
  readonly withNamespace: boolean;
  readonly nowMs: number;
}

/** All groups as text; tables of several kinds stand under each other. */
export function formatResources(groups: readonly ResourceGroup[], options: FormatOptions): string {
  const { output } = options;
  const items = groups.flatMap(({ resources }) => resources);
  if (output.type === 'template') {
    return explained(output.text, () => output.template(items));
  }
  if (output.type === 'json' || output.type === 'yaml') {
    const [first] = items;
    return formatValue(options.single && first ? first : listOf(groups), output.type);
  }
  if (output.type === 'name') {
    return groups
      .flatMap(({ kind, resources }) => resources.map((it) => displayName(kind, it.metadata.name)))
      .map((line) => `${line}\n`)
      .join('');
  }
  return groups
    .filter(({ resources }) => resources.length > 0)
    .map((group) => formatGroup(group, options))
    .join('\n');
}

function explained<Result>(template: string, use: () => Result): Result {
  try {
    return use();
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    throw new UsageError(`Cannot use the template ${JSON.stringify(template)}: ${error.message}`);
  }
}

/** Throws UsageError for columns that the kind does not have. */
export function checkColumns(output: OutputForm, kind: KindDefinition): void {
  if (output.type === 'columns') checkCalicoColumns(kind, output.columns);
}

/** One kind of Calico's is a list of that kind, as calicoctl prints it. */
function listOf(groups: readonly ResourceGroup[]): unknown {
  const items = groups.flatMap(({ resources }) => resources);
  const [group] = groups;
  const calico = groups.length === 1 && group && hasCalicoTable(group.kind);
  const type = calico
    ? { apiVersion: apiVersionOf(group.kind), kind: `${group.kind.kind}List` }
    : { apiVersion: 'v1', kind: 'List' };
  return { ...type, metadata: { resourceVersion: '' }, items };
}

function formatGroup({ kind, resources }: ResourceGroup, options: FormatOptions): string {
  const { output } = options;
  const withNamespace = options.withNamespace && kind.namespaced;
  const wide = output.type === 'wide';
  if (output.type === 'columns') {
    const { columns } = output;
    return formatCalicoTable(kind, resources, { wide, withNamespace, columns });
  }
  if (hasCalicoTable(kind)) return formatCalicoTable(kind, resources, { wide, withNamespace });
  const row = { wide, withNamespace, nowMs: options.nowMs };
  const rows = resources.map((resource) => rowCells(kind, resource, row));
  return formatTable(rowHeadings(kind, row), rows);
}
