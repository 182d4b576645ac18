// What the OpenAPI form and the CRD form of a schema share: keywords, members, types of enumerations.
import type { JsonSchema } from './schema-check.ts';

/** A schema as the API server publishes it: JSON without TypeBox's marks. */
export interface SchemaForm {
  readonly [keyword: string]: unknown;
}

const COPIED = [
  'description',
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

/** The keywords that mean the same in both forms. */
export function copiedKeywords(schema: JsonSchema): SchemaForm {
  const present = COPIED.filter((keyword) => schema[keyword] !== undefined);
  return Object.fromEntries(present.map((keyword) => [keyword, schema[keyword]]));
}

/** The members of an object, each put into its form by `form`; values of a map have no name. */
export function objectMembers(
  schema: JsonSchema,
  form: (member: JsonSchema, name?: string) => SchemaForm,
): SchemaForm {
  const values = Object.values(schema.patternProperties ?? {})[0];
  if (values) {
    return values.type || values.anyOf
      ? { additionalProperties: form(values) }
      : { 'x-kubernetes-preserve-unknown-fields': true };
  }
  const properties = Object.entries(schema.properties ?? {}).map(([name, member]) => [
    name,
    form(member, name),
  ]);
  const required = schema.required ?? [];
  return {
    properties: Object.fromEntries(properties),
    ...(required.length > 0 && { required }),
    ...(schema.additionalProperties === true && { 'x-kubernetes-preserve-unknown-fields': true }),
  };
}

/** A scalar: any-case words become a pattern, as both forms have no other way to say it. */
export function scalarForm(schema: JsonSchema): SchemaForm {
  const pattern = schema.anyCase && { pattern: `^(?i)(${schema.anyCase.join('|')})?$` };
  return { ...copiedKeywords(schema), ...pattern, type: schema.type };
}

/** The type of an enumeration's values. */
export function typeOfValues(values: readonly unknown[]): string {
  return values.every((value) => typeof value === 'number') ? 'integer' : 'string';
}
