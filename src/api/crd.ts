// A kind as a CustomResourceDefinition (apiextensions.k8s.io/v1), for clusters that keep the resources themselves.
import {
  descriptionIn,
  type FieldText,
  type FieldTexts,
  textsWithin,
} from './field-texts/field-text.ts';
import { fieldTexts } from './field-texts/field-texts.ts';
import { apiVersionOf, type KindDefinition } from './kind.ts';
import type { JsonSchema } from './schema-check.ts';
import { copiedKeywords, objectMembers, scalarForm, typeOfValues } from './schema-form.ts';

/** Plain JSON in the shape of the API object. */
export interface CustomResourceDefinition {
  readonly apiVersion: 'apiextensions.k8s.io/v1';
  readonly kind: 'CustomResourceDefinition';
  readonly metadata: { readonly name: string };
  readonly spec: Readonly<Record<string, unknown>>;
}

/** Structural schema: JSON Schema in the subset that Kubernetes takes. */
export interface StructuralSchema {
  readonly [keyword: string]: unknown;
}

/** The definition of the kind, with one version that is served and stored. */
export function crdOf(kind: KindDefinition): CustomResourceDefinition {
  const { group, version, plural, singular, shortNames } = kind;
  const names = {
    kind: kind.kind,
    listKind: `${kind.kind}List`,
    plural,
    singular,
    ...(shortNames.length > 0 && { shortNames }),
  };
  const columns = kind.columns.map(({ name, type, path, priority, description }) => ({
    name,
    type,
    jsonPath: path,
    ...(description !== undefined && { description }),
    ...(priority > 0 && { priority }),
  }));
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      names,
      scope: kind.namespaced ? 'Namespaced' : 'Cluster',
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          schema: { openAPIV3Schema: rootSchema(kind) },
          ...(kind.hasStatus && { subresources: { status: {} } }),
          ...(columns.length > 0 && { additionalPrinterColumns: columns }),
        },
      ],
    },
  };
}

/** The API server itself defines metadata, so that the schema may not. */
function rootSchema(kind: KindDefinition): StructuralSchema {
  const { properties, required, ...body } = structural(kind.schema, fieldTexts(kind));
  const { metadata: _, ...members } = properties as Readonly<Record<string, StructuralSchema>>;
  const needed = (required as readonly string[] | undefined)?.filter((name) => name !== 'metadata');
  return {
    ...body,
    properties: {
      apiVersion: { type: 'string', description: `Is ${apiVersionOf(kind)}` },
      kind: { type: 'string', description: `Is ${kind.kind}` },
      metadata: { type: 'object' },
      ...members,
    },
    ...(needed && needed.length > 0 && { required: needed }),
  };
}

/** The schema, then what the definition says of its CRD beyond it; null takes a keyword away. */
function structural(schema: JsonSchema, texts: FieldText | undefined): StructuralSchema {
  const own = descriptionIn(texts);
  const described = own === undefined ? {} : { description: own };
  const merged = { ...plain(schema, texts), ...described, ...schema.crd };
  return Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== null));
}

function plain(schema: JsonSchema, texts: FieldText | undefined): StructuralSchema {
  const inner = textsWithin(texts);
  if (schema.anyOf) return alternatives(schema, schema.anyOf, inner);
  if (schema.enum) return { type: typeOfValues(schema.enum), enum: schema.enum };
  if (schema.type === 'array') {
    return {
      ...copiedKeywords(schema),
      type: 'array',
      items: structural(schema.items ?? {}, inner),
      'x-kubernetes-list-type': schema.uniqueItems ? 'set' : 'atomic',
    };
  }
  if (schema.type === 'object') {
    const members = objectMembers(schema, (member, name) =>
      structural(member, name === undefined ? inner : inner[name]),
    );
    return { ...copiedKeywords(schema), type: 'object', ...members };
  }
  if (!schema.type) return { 'x-kubernetes-preserve-unknown-fields': true };
  return scalarForm(schema);
}

/** A value or null is the value: Kubernetes drops nulls itself. A number or text is Kubernetes' own type. */
function alternatives(
  schema: JsonSchema,
  schemas: readonly JsonSchema[],
  texts: FieldTexts,
): StructuralSchema {
  const some = schemas.filter(({ type }) => type !== 'null');
  const [only] = some;
  if (some.length === 1 && only) return structural(only, texts);
  return {
    'x-kubernetes-int-or-string': true,
    anyOf: [{ type: 'integer' }, { type: 'string' }],
    ...(schema.numberOrText && { pattern: '^.*' }),
  };
}
