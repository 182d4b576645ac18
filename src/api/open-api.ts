// A kind's schema for the API server's OpenAPI document, where kubectl looks for fields and their types.
import { apiVersionOf, type KindDefinition } from './kind.ts';
import type { JsonSchema } from './schema-check.ts';

/** OpenAPI 3.0 schema: JSON without TypeBox's marks. */
export interface OpenApiSchema {
  readonly [keyword: string]: unknown;
}

/** The schema of a whole object of the kind, apiVersion and kind with it. */
export function openApiSchema(kind: KindDefinition): OpenApiSchema {
  const body = schemaOf(kind.schema);
  return {
    ...body,
    properties: {
      apiVersion: { type: 'string', description: `Is ${apiVersionOf(kind)}` },
      kind: { type: 'string', description: `Is ${kind.kind}` },
      ...(body['properties'] as object | undefined),
    },
    'x-kubernetes-group-version-kind': [
      { group: kind.group, version: kind.version, kind: kind.kind },
    ],
  };
}

const COPIED = [
  'description',
  'required',
  'minProperties',
  'maxProperties',
  'minItems',
  'maxItems',
  'minimum',
  'maximum',
  'minLength',
  'maxLength',
  'pattern',
] as const;

function schemaOf(schema: JsonSchema): OpenApiSchema {
  if (schema.anyOf) return alternatives(schema.anyOf);
  const copied: Record<string, unknown> = Object.fromEntries(
    COPIED.filter((keyword) => schema[keyword] !== undefined).map((keyword) => [
      keyword,
      schema[keyword],
    ]),
  );
  if (schema.const !== undefined) return { type: typeOf([schema.const]), enum: [schema.const] };
  if (schema.enum) return { type: typeOf(schema.enum), enum: schema.enum };
  if (schema.type === 'array') {
    return { ...copied, type: 'array', items: schemaOf(schema.items ?? {}) };
  }
  if (schema.type === 'object') return { ...copied, type: 'object', ...members(schema) };
  if (!schema.type) return { 'x-kubernetes-preserve-unknown-fields': true };
  if (schema.anyCase) copied['pattern'] = `^(?i)(${schema.anyCase.join('|')})?$`;
  return { ...copied, type: schema.type };
}

function members(schema: JsonSchema): OpenApiSchema {
  const values = Object.values(schema.patternProperties ?? {})[0];
  if (values) {
    return values.type || values.anyOf
      ? { additionalProperties: schemaOf(values) }
      : { 'x-kubernetes-preserve-unknown-fields': true };
  }
  const properties = Object.entries(schema.properties ?? {}).map(([name, member]) => [
    name,
    schemaOf(member),
  ]);
  return {
    properties: Object.fromEntries(properties),
    ...(schema.additionalProperties === true
      ? { 'x-kubernetes-preserve-unknown-fields': true }
      : {}),
  };
}

/** A choice with null is nullable; whole number or text is Kubernetes' own type; any other stays a choice. */
function alternatives(schemas: readonly JsonSchema[]): OpenApiSchema {
  const some = schemas.filter(({ type }) => type !== 'null');
  const nullable = some.length < schemas.length ? { nullable: true } : {};
  const [only] = some;
  if (some.length === 1 && only) return { ...schemaOf(only), ...nullable };
  const choices = some.map(schemaOf);
  if (
    choices.some(({ type }) => type === 'integer') &&
    choices.some(({ type }) => type === 'string')
  ) {
    return {
      'x-kubernetes-int-or-string': true,
      anyOf: [{ type: 'integer' }, { type: 'string' }],
      ...nullable,
    };
  }
  return { anyOf: choices, ...nullable };
}

function typeOf(values: readonly unknown[]): string {
  return values.every((value) => typeof value === 'number') ? 'integer' : 'string';
}
