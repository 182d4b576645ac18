// A kind's schema for the API server's OpenAPI document, where kubectl looks for fields and their types.
import { type TSchema, Type } from 'typebox';
import { fieldTexts } from './field-texts/field-texts.ts';
import { OBJECT_META_TEXTS } from './field-texts/metadata-texts.ts';
import {
  descriptionIn,
  type FieldText,
  type FieldTexts,
  textsWithin,
} from './field-texts/field-text.ts';
import { apiVersionOf, type KindDefinition, ObjectMeta } from './kind.ts';
import type { JsonSchema } from './schema-check.ts';
import { copiedKeywords, objectMembers, scalarForm, typeOfValues } from './schema-form.ts';

/** OpenAPI 3.0 schema: JSON without TypeBox's marks. */
export interface OpenApiSchema {
  readonly [keyword: string]: unknown;
}

/** The schema of a whole object of the kind, apiVersion and kind with it. */
export function openApiSchema(kind: KindDefinition): OpenApiSchema {
  const body = schemaOf(kind.schema, fieldTexts(kind));
  return {
    ...body,
    properties: {
      apiVersion: { type: 'string', description: `Is ${apiVersionOf(kind)}` },
      kind: { type: 'string', description: `Is ${kind.kind}` },
      ...(body['properties'] as object | undefined),
      metadata: objectMetaSchema(),
    },
    'x-kubernetes-group-version-kind': [
      { group: kind.group, version: kind.version, kind: kind.kind },
    ],
  };
}

/** metav1.ObjectMeta, which all kinds share. */
export function objectMetaSchema(): OpenApiSchema {
  return schemaOf(PublishedMeta, OBJECT_META_TEXTS);
}

const text = Type.Optional(Type.String());
const flag = Type.Optional(Type.Boolean());

/** With the items that the server itself writes or checks elsewhere. */
const PublishedMeta: TSchema = Type.Object({
  ...ObjectMeta.properties,
  ownerReferences: Type.Optional(
    Type.Array(
      Type.Object({
        apiVersion: Type.String(),
        kind: Type.String(),
        name: Type.String(),
        uid: Type.String(),
        controller: flag,
        blockOwnerDeletion: flag,
      }),
    ),
  ),
  managedFields: Type.Optional(
    Type.Array(
      Type.Object({
        manager: text,
        operation: text,
        apiVersion: text,
        time: text,
        subresource: text,
        fieldsType: text,
        fieldsV1: Type.Optional(Type.Object({}, { additionalProperties: true })),
      }),
    ),
  ),
});

/** A text of our own describes a schema; where there is none, its own description does. */
function schemaOf(schema: JsonSchema, texts: FieldText | undefined): OpenApiSchema {
  const own = descriptionIn(texts);
  const form = undescribed(schema, textsWithin(texts));
  const value = schema.crd?.['default'];
  return {
    ...form,
    ...(own !== undefined && { description: own }),
    ...(value !== undefined && value !== null && { default: value }),
  };
}

function undescribed(schema: JsonSchema, inner: FieldTexts): OpenApiSchema {
  if (schema.anyOf) return alternatives(schema.anyOf, inner);
  if (schema.const !== undefined)
    return { type: typeOfValues([schema.const]), enum: [schema.const] };
  if (schema.enum) return { type: typeOfValues(schema.enum), enum: schema.enum };
  if (schema.type === 'array') {
    const items = schemaOf(schema.items ?? {}, inner);
    return { ...copiedKeywords(schema), type: 'array', items };
  }
  if (schema.type === 'object') {
    const members = objectMembers(schema, (member, name) =>
      schemaOf(member, name === undefined ? inner : inner[name]),
    );
    return { ...copiedKeywords(schema), type: 'object', ...members };
  }
  if (!schema.type) return { 'x-kubernetes-preserve-unknown-fields': true };
  return scalarForm(schema);
}

/** A choice with null is nullable; whole number or text is Kubernetes' own type; any other stays a choice. */
function alternatives(schemas: readonly JsonSchema[], texts: FieldTexts): OpenApiSchema {
  const some = schemas.filter(({ type }) => type !== 'null');
  const nullable = some.length < schemas.length ? { nullable: true } : {};
  const [only] = some;
  if (some.length === 1 && only) return { ...schemaOf(only, texts), ...nullable };
  const choices = some.map((schema) => schemaOf(schema, undefined));
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
