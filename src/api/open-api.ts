// A kind's schema for the API server's OpenAPI document, where kubectl looks for fields and their types.
import { apiVersionOf, type KindDefinition } from './kind.ts';
import type { JsonSchema } from './schema-check.ts';
import { copiedKeywords, objectMembers, scalarForm, typeOfValues } from './schema-form.ts';

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

function schemaOf(schema: JsonSchema): OpenApiSchema {
  if (schema.anyOf) return alternatives(schema.anyOf);
  if (schema.const !== undefined)
    return { type: typeOfValues([schema.const]), enum: [schema.const] };
  if (schema.enum) return { type: typeOfValues(schema.enum), enum: schema.enum };
  if (schema.type === 'array') {
    return { ...copiedKeywords(schema), type: 'array', items: schemaOf(schema.items ?? {}) };
  }
  if (schema.type === 'object') {
    return { ...copiedKeywords(schema), type: 'object', ...objectMembers(schema, schemaOf) };
  }
  if (!schema.type) return { 'x-kubernetes-preserve-unknown-fields': true };
  return scalarForm(schema);
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
