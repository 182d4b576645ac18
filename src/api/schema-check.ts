// Checks a value against a kind's schema and tells all problems at once; interpreted, without generated code.
import { closestName, isObject, jsonEqual } from '#lib';
import type { Problem } from './kind.ts';
import { formatProblem } from './formats.ts';
import { fault, memberPath, quoted } from './problem.ts';

/** The part of JSON Schema that the kinds are written in. An object with properties is closed unless it says so. */
export interface JsonSchema {
  readonly type?: string;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | JsonSchema;
  readonly patternProperties?: Readonly<Record<string, JsonSchema>>;
  readonly propertyNames?: JsonSchema;
  readonly minProperties?: number;
  readonly maxProperties?: number;
  readonly items?: JsonSchema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly uniqueItems?: boolean;
  readonly anyOf?: readonly JsonSchema[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly format?: string;
  /** Our own, beside `anyOf`: a text of digits is the number, as in Calico's int-or-string types. */
  readonly numberOrText?: boolean;
  /** Our own: one of these words in any letter case; the empty text is the absent field. */
  readonly anyCase?: readonly string[];
  /** Our own: keywords of the CRD's schema that validation here does not read; null takes one away. */
  readonly crd?: Readonly<Record<string, unknown>>;
}

export interface Conformed {
  /** The value without optional fields that were null, as Go reads them. */
  readonly value: unknown;
  readonly problems: readonly Problem[];
  /** Whether the value has the schema's shape: no field is missing or of another type. */
  readonly shaped: boolean;
}

const PROBLEMS_MAX = 100;
const DROPPED = Symbol('a field that the schema does not have');

export interface ConformOptions {
  /** The field path of the value itself. */
  readonly path?: string;
  /** Leaves fields out that the schema does not have, with a warning; they are errors otherwise. */
  readonly dropUnknown?: boolean;
}

/** Checks `value`. At most 100 problems are told. */
export function conform(
  schema: JsonSchema,
  value: unknown,
  { path = '', dropUnknown = false }: ConformOptions = {},
): Conformed {
  const check = new SchemaCheck(dropUnknown);
  const conformed = check.value(schema, value, path);
  return { value: conformed, problems: check.problems, shaped: check.shaped };
}

class SchemaCheck {
  readonly problems: Problem[] = [];
  shaped = true;
  readonly #dropUnknown: boolean;

  constructor(dropUnknown: boolean) {
    this.#dropUnknown = dropUnknown;
  }

  value(schema: JsonSchema, value: unknown, path: string): unknown {
    if (schema.anyOf) return this.#alternatives(schema, value, path);
    if (schema.enum) return this.#oneOf(schema.enum, value, path);
    if (schema.const !== undefined) return this.#oneOf([schema.const], value, path);
    if (!schema.type) return value;
    if (!hasType(schema.type, value)) {
      const bare = schema.type === 'string' && ['boolean', 'number'].includes(typeof value);
      const hint = bare ? '; put the value in quotes' : '';
      this.#misshapen(path, `must be ${TYPE_NAMES[schema.type]}, is ${quoted(value)}${hint}`);
      return value;
    }
    if (Array.isArray(value)) return this.#list(schema, value, path);
    if (isObject(value)) return this.#object(schema, value, path);
    if (typeof value === 'string' && schema.anyCase) {
      return this.#anyCase(schema.anyCase, value, path);
    }
    if (typeof value === 'string') this.#text(schema, value, path);
    if (typeof value === 'number') this.#number(schema, value, path);
    return value;
  }

  #report(path: string, message: string): void {
    this.#tell(fault(path, message));
  }

  #tell(problem: Problem): void {
    if (this.problems.length < PROBLEMS_MAX) this.problems.push(problem);
  }

  #misshapen(path: string, message: string): void {
    this.shaped = false;
    this.#report(path, message);
  }

  /** The problems of the alternative that comes nearest. */
  #alternatives(schema: JsonSchema, given: unknown, path: string): unknown {
    const { anyOf: schemas = [], numberOrText = false } = schema;
    const value = numberOrText && isDigits(given) ? Number(given) : given;
    const results = schemas.map((alternative) =>
      conform(alternative, value, { path, dropUnknown: this.#dropUnknown }),
    );
    const valid = results.find(({ problems }) => problems.length === 0);
    if (valid) return valid.value;
    const nearest = results.find(({ shaped }) => shaped);
    if (nearest) {
      for (const problem of nearest.problems) this.#tell(problem);
      return nearest.value;
    }
    const inside = results.find(({ problems }) =>
      problems.every((problem) => problem.path !== path),
    );
    if (inside) for (const { path: at, message } of inside.problems) this.#misshapen(at, message);
    else
      this.#misshapen(path, `must be ${schemas.map(describe).join(' or ')}, is ${quoted(value)}`);
    return value;
  }

  #oneOf(allowed: readonly unknown[], value: unknown, path: string): unknown {
    if (allowed.some((item) => jsonEqual(item, value))) return value;
    const names = allowed.filter((item) => typeof item === 'string');
    const meant = typeof value === 'string' ? closestName(value, names) : undefined;
    const hint = meant === undefined ? '' : `; did you mean ${quoted(meant)}?`;
    this.#misshapen(
      path,
      `${quoted(value)} is not allowed: use ${allowed.map(String).join(', ')}${hint}`,
    );
    return value;
  }

  #list(schema: JsonSchema, list: readonly unknown[], path: string): unknown {
    const { maxItems = Infinity, minItems = 0, items, uniqueItems } = schema;
    if (list.length > maxItems) {
      this.#report(path, `has ${list.length} items, at most ${maxItems} are allowed`);
      return list;
    }
    if (list.length < minItems) {
      this.#report(path, `has ${list.length} items, at least ${minItems} are needed`);
    }
    if (uniqueItems) {
      for (const index of repeated(list)) {
        this.#report(`${path}[${index}]`, `${quoted(list[index])} is there twice; remove one`);
      }
    }
    return items ? list.map((item, index) => this.value(items, item, `${path}[${index}]`)) : list;
  }

  #object(schema: JsonSchema, object: Record<string, unknown>, path: string): unknown {
    const { properties = {}, required = [] } = schema;
    for (const name of required) {
      if (!Object.hasOwn(object, name) || object[name] === null) {
        const accepted = Object.hasOwn(object, name) && acceptsNull(properties[name]);
        if (!accepted) this.#misshapen(memberPath(path, name), 'is required');
      }
    }
    const members: [string, unknown][] = [];
    for (const [name, value] of Object.entries(object)) {
      const member = Object.hasOwn(properties, name) ? properties[name] : undefined;
      if (value === null && (member || !schema.patternProperties) && !acceptsNull(member)) continue;
      if (value === '' && member?.anyCase) continue;
      const at = memberPath(path, name);
      const own = member ? this.value(member, value, at) : this.#extra(schema, name, value, at);
      if (own !== DROPPED) members.push([name, own]);
    }
    const { minProperties = 0, maxProperties = Infinity } = schema;
    if (members.length < minProperties || members.length > maxProperties) {
      const many = minProperties === maxProperties ? 'exactly one' : 'some';
      this.#report(path, `needs ${many} of ${Object.keys(properties).join(', ')}`);
    }
    return Object.fromEntries(members);
  }

  /** A field that the schema does not name. */
  #extra(schema: JsonSchema, name: string, value: unknown, path: string): unknown {
    if (schema.propertyNames) this.value(schema.propertyNames, name, path);
    const item = Object.values(schema.patternProperties ?? {})[0];
    if (item) return this.value(item, value, path);
    if (schema.additionalProperties === true || !schema.properties) return value;
    const meant = closestName(name, Object.keys(schema.properties));
    const known = Object.keys(schema.properties).join(', ');
    const hint = meant === undefined ? `allowed are ${known}` : `did you mean ${quoted(meant)}?`;
    const problem = { path, message: `unknown field; ${hint}`, unknownField: true } as const;
    this.#tell({ ...problem, severity: this.#dropUnknown ? 'warning' : 'error' });
    return this.#dropUnknown ? DROPPED : value;
  }

  #text(schema: JsonSchema, text: string, path: string): void {
    const { minLength = 0, maxLength = Infinity, pattern, format } = schema;
    if (text.length > maxLength) {
      this.#report(path, `is ${text.length} characters long, at most ${maxLength} are allowed`);
    } else if (text.length < minLength) {
      this.#report(path, 'must not be empty');
    } else if (pattern !== undefined && !new RegExp(pattern, 'u').test(text)) {
      this.#report(path, `${quoted(text)} is not of the form ${pattern}`);
    } else {
      const problem = format === undefined ? undefined : formatProblem(format, text);
      if (problem !== undefined) this.#report(path, problem);
    }
  }

  /** The word as the schema spells it. */
  #anyCase(words: readonly string[], text: string, path: string): string {
    const found = words.find((word) => word.toLowerCase() === text.toLowerCase());
    if (found !== undefined) return found;
    const meant = closestName(text, words);
    const hint = meant === undefined ? '' : `; did you mean ${quoted(meant)}?`;
    this.#misshapen(path, `${quoted(text)} is not allowed: use ${words.join(', ')}${hint}`);
    return text;
  }

  #number(schema: JsonSchema, value: number, path: string): void {
    const { minimum = -Infinity, maximum = Infinity } = schema;
    if (value >= minimum && value <= maximum) return;
    const range = Number.isFinite(maximum) ? `from ${minimum} to ${maximum}` : `${minimum} or more`;
    this.#report(path, `${value} is out of range: use ${range}`);
  }
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  object: 'an object',
  array: 'a list',
  string: 'a text',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
  null: 'null',
};

/** The places of items that stand further up too. */
function repeated(list: readonly unknown[]): number[] {
  const plain = new Set<unknown>();
  const objects: unknown[] = [];
  return list.flatMap((item, index) => {
    const there =
      typeof item === 'object' && item !== null
        ? objects.some((earlier) => jsonEqual(earlier, item))
        : plain.has(item);
    if (typeof item === 'object' && item !== null) objects.push(item);
    else plain.add(item);
    return there ? [index] : [];
  });
}

function hasType(type: string, value: unknown): boolean {
  switch (type) {
    case 'object':
      return isObject(value);
    case 'array':
      return Array.isArray(value);
    case 'integer':
      return Number.isSafeInteger(value);
    case 'number':
      return Number.isFinite(value);
    case 'null':
      return value === null;
    default:
      return typeof value === type;
  }
}

function isDigits(value: unknown): boolean {
  return typeof value === 'string' && /^\d{1,10}$/.test(value);
}

function describe(schema: JsonSchema): string {
  if (schema.enum) return `one of ${schema.enum.map(String).join(', ')}`;
  if (schema.const !== undefined) return quoted(schema.const);
  return TYPE_NAMES[schema.type ?? ''] ?? 'anything';
}

/** A schema without a type accepts anything, null too. */
function acceptsNull(schema: JsonSchema | undefined): boolean {
  if (!schema) return false;
  if (schema.anyOf) return schema.anyOf.some(acceptsNull);
  return schema.type === undefined
    ? !schema.enum && schema.const === undefined
    : schema.type === 'null';
}
