// Go templates as far as `-o go-template` needs them: fields, if, range, with, variables and the common functions.
import { isObject } from '#lib';
import { templateProblem } from './go-template-check.ts';
import { parseTemplate, type Node, type Operand, type Pipeline } from './go-template-parser.ts';

/** The template cannot be read, or asks for what a value does not have. */
export class TemplateError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'TemplateError';
  }
}

interface Scope {
  readonly dot: unknown;
  readonly variables: ReadonlyMap<string, { value: unknown }>;
}

const OUTPUT_MAX = 64 * 1024 * 1024;

/** Gives the text that the template makes of a value; throws TemplateError. */
export type Template = (value: unknown) => string;

/** Throws TemplateError for what is wrong whatever the value. */
export function readTemplate(text: string): Template {
  const nodes = parseTemplate(text, (message) => new TemplateError(message));
  const problem = templateProblem(nodes, { functions: Object.keys(FUNCTIONS) });
  if (problem !== undefined) throw new TemplateError(problem);
  return (value) => renderAll(nodes, { dot: value, variables: new Map([['$', { value }]]) });
}

/** The text that a template makes of a value. Throws TemplateError. */
export function renderTemplate(text: string, value: unknown): string {
  return readTemplate(text)(value);
}

function renderAll(nodes: readonly Node[], scope: Scope): string {
  let inner = scope;
  let text = '';
  for (const node of nodes) {
    if (node.type === 'text') text += node.text;
    else if (node.type === 'value') {
      const value = evaluate(node.pipeline, inner);
      if (node.pipeline.variable === undefined) text += printed(value);
      else inner = assigned(inner, node.pipeline, value);
    } else text += renderBlock(node, inner);
    if (text.length > OUTPUT_MAX) throw new TemplateError(`more than ${OUTPUT_MAX} characters`);
  }
  return text;
}

function renderBlock(node: Exclude<Node, { type: 'text' | 'value' }>, scope: Scope): string {
  const value = evaluate(node.pipeline, scope);
  if (node.type === 'range') {
    const items = itemsOf(value);
    if (items.length === 0) return renderAll(node.otherwise, scope);
    return items
      .map(([key, item]) => renderAll(node.body, rangeScope(node.pipeline, scope, { key, item })))
      .join('');
  }
  if (!truth(value)) return renderAll(node.otherwise, scope);
  const named =
    node.pipeline.variable === undefined ? scope : assigned(scope, node.pipeline, value);
  return renderAll(node.body, node.type === 'with' ? { ...named, dot: value } : named);
}

function rangeScope(
  { variable, index }: Pipeline,
  scope: Scope,
  at: { key: unknown; item: unknown },
): Scope {
  const variables = new Map(scope.variables);
  if (index !== undefined) variables.set(index, { value: at.key });
  if (variable !== undefined) variables.set(variable, { value: at.item });
  return { dot: at.item, variables };
}

function assigned(scope: Scope, { variable, declares }: Pipeline, value: unknown): Scope {
  if (variable === undefined) return scope;
  const present = scope.variables.get(variable);
  if (!declares) {
    if (!present) throw new TemplateError(`${variable} is not declared; use ${variable} := ...`);
    present.value = value;
    return scope;
  }
  return { ...scope, variables: new Map(scope.variables).set(variable, { value }) };
}

function itemsOf(value: unknown): [unknown, unknown][] {
  if (Array.isArray(value)) return value.map((item: unknown, index) => [index, item]);
  if (isObject(value)) return Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  if (value === undefined || value === null) return [];
  throw new TemplateError(`cannot range over ${printed(value)}`);
}

function evaluate({ commands }: Pipeline, scope: Scope): unknown {
  let piped: unknown[] = [];
  for (const [head, ...rest] of commands) {
    if (!head) throw new TemplateError('a command is empty');
    const values = [...rest.map((operand) => operandValue(operand, scope)), ...piped];
    piped = [head.type === 'function' ? call(head.name, values) : plain(head, values, scope)];
  }
  return piped[0];
}

function plain(head: Operand, values: readonly unknown[], scope: Scope): unknown {
  if (values.length > 0) throw new TemplateError('a value that is no function has arguments');
  return operandValue(head, scope);
}

function operandValue(operand: Operand, scope: Scope): unknown {
  switch (operand.type) {
    case 'literal':
      return operand.value;
    case 'function':
      return call(operand.name, []);
    case 'pipeline':
      return follow(evaluate(operand.pipeline, scope), operand.fields);
    case 'field':
      return follow(scope.dot, operand.fields);
    case 'variable': {
      const variable = scope.variables.get(operand.name);
      if (!variable) throw new TemplateError(`${operand.name} is not declared`);
      return follow(variable.value, operand.fields);
    }
  }
}

/** Go's names and JSON's differ in letter case, and Go embeds the metadata as ObjectMeta. */
function follow(root: unknown, fields: readonly string[]): unknown {
  let value = root;
  for (const field of fields) {
    if (field === 'TypeMeta') continue;
    const wanted = field === 'ObjectMeta' ? 'metadata' : field.toLowerCase();
    if (!isObject(value)) {
      if (value === undefined || value === null) return undefined;
      throw new TemplateError(`${printed(value)} has no field ${field}`);
    }
    const key = Object.hasOwn(value, field)
      ? field
      : Object.keys(value).find((it) => it.toLowerCase() === wanted);
    value = key === undefined ? undefined : value[key];
  }
  return value;
}

function truth(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (isObject(value)) return Object.keys(value).length > 0;
  return Boolean(value);
}

function printed(value: unknown): string {
  if (value === undefined || value === null) return '<no value>';
  if (Array.isArray(value)) return `[${value.map(printed).join(' ')}]`;
  if (isObject(value)) {
    const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
    return `map[${entries.map(([key, item]) => `${key}:${printed(item)}`).join(' ')}]`;
  }
  return typeof value === 'string' ? value : JSON.stringify(value);
}

type Call = (values: readonly unknown[]) => unknown;

const FUNCTIONS: Readonly<Record<string, Call>> = {
  and: (values) => values.find((value) => !truth(value)) ?? values.at(-1),
  or: (values) => values.find(truth) ?? values.at(-1),
  not: ([value]) => !truth(value),
  eq: ([first, ...others]) => others.some((other) => printed(other) === printed(first)),
  ne: ([first, second]) => printed(first) !== printed(second),
  lt: ([first, second]) => order(first, second) < 0,
  le: ([first, second]) => order(first, second) <= 0,
  gt: ([first, second]) => order(first, second) > 0,
  ge: ([first, second]) => order(first, second) >= 0,
  len: ([value]) => (typeof value === 'string' ? value.length : itemsOf(value).length),
  index: ([root, ...keys]) => keys.reduce(indexed, root),
  join: ([list, separator]) =>
    itemsOf(list)
      .map(([, item]) => printed(item))
      .join(printed(separator)),
  print: (values) => values.map(printed).join(' '),
  println: (values) => `${values.map(printed).join(' ')}\n`,
  printf: ([format, ...values]) => formatted(printed(format), values),
  json: ([value]) => JSON.stringify(value),
};

function call(name: string, values: readonly unknown[]): unknown {
  const found = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined;
  if (found) return found(values);
  const known = Object.keys(FUNCTIONS).join(', ');
  throw new TemplateError(`there is no function ${JSON.stringify(name)}; use ${known}`);
}

function order(first: unknown, second: unknown): number {
  if (typeof first === 'number' && typeof second === 'number') return first - second;
  return printed(first) < printed(second) ? -1 : Number(printed(first) > printed(second));
}

function indexed(root: unknown, key: unknown): unknown {
  if (Array.isArray(root)) {
    const position = Number(key);
    if (position >= 0 && position < root.length) return root[position];
    throw new TemplateError(`index ${printed(key)} is out of range: there are ${root.length}`);
  }
  if (!isObject(root)) return undefined;
  return Object.hasOwn(root, printed(key)) ? root[printed(key)] : undefined;
}

function formatted(format: string, values: readonly unknown[]): string {
  let next = 0;
  return format.replaceAll(/%(-?\d*)([svdqt%])/g, (_, width: string, verb: string) => {
    if (verb === '%') return '%';
    const value = values[next++];
    const text = verb === 'q' ? JSON.stringify(printed(value)) : printed(value);
    const size = Math.min(Math.abs(Number(width)), 1_000);
    return width.startsWith('-') ? text.padEnd(size) : text.padStart(size);
  });
}
