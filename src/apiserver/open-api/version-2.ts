// OpenAPI v2: one document of all kinds, in the words that older kubectl and generators of clients read.
import type { KindDefinition } from '#api';
import { isObject } from '#lib';
import {
  DELETE_OPTIONS,
  definitionsOf,
  type Json,
  reference,
  schemaName,
  STATUS,
  withReferences,
} from './definitions.ts';
import { type Operation, type Parameter, type Path, pathsOf } from './operations.ts';

/** Swagger 2.0. */
export function version2Document(kinds: readonly KindDefinition[], info: Json): Json {
  const paths = kinds.flatMap((kind) => pathsOf(kind).map((path) => pathEntry(kind, path)));
  const definitions = [...definitionsOf(kinds)].map(([name, schema]) => [name, schemaOf(schema)]);
  const document = {
    swagger: '2.0',
    info,
    paths: Object.fromEntries(paths),
    definitions: Object.fromEntries(definitions),
  };
  return withReferences(document, '#/definitions/') as Json;
}

/** Keywords that version 2 does not have. */
const ONLY_3 = new Set(['allOf', 'anyOf', 'nullable', 'x-kubernetes-int-or-string']);

function schemaOf(schema: Json): Json {
  const { allOf, description, items, properties, additionalProperties } = schema;
  const [shared] = Array.isArray(allOf) ? (allOf as Json[]) : [];
  if (shared) return { ...shared, ...(description !== undefined && { description }) };
  const kept = Object.entries(schema).filter(([keyword]) => !ONLY_3.has(keyword));
  const { type, ...rest } = { ...Object.fromEntries(kept), ...described(schema) };
  if (schema['x-kubernetes-int-or-string'] === true) {
    return { ...rest, type: 'string', format: 'int-or-string' };
  }
  if (isObject(properties)) {
    const members = Object.entries(properties).map(([name, one]) => [name, schemaOf(one as Json)]);
    return { ...rest, type, properties: Object.fromEntries(members) };
  }
  // Without a type it is any value, which a client patches as a whole and without complaint.
  if (schema['x-kubernetes-preserve-unknown-fields'] === true) return rest;
  return {
    ...rest,
    ...(type !== undefined && { type }),
    ...(isObject(items) && { items: schemaOf(items) }),
    ...(isObject(additionalProperties) && {
      additionalProperties: schemaOf(additionalProperties),
    }),
  };
}

/** Clients of version 2 show the text alone, so that it names the values. */
function described({ description, enum: values }: Json): Json {
  if (!Array.isArray(values)) return {};
  const names = values.map((value) => (value === '' ? '""' : String(value))).join(', ');
  return { description: [description, `One of ${names}`].filter(Boolean).join('. ') };
}

function pathEntry(kind: KindDefinition, { path, parameters, operations }: Path): [string, Json] {
  const entries = operations.map((operation) => [operation.method, operationOf(kind, operation)]);
  return [path, { ...Object.fromEntries(entries), parameters: parameters.map(parameterOf) }];
}

function parameterOf({ name, in: place, type, description }: Parameter): Json {
  const required = place === 'path' ? { required: true } : {};
  return { name, in: place, description, ...required, type, uniqueItems: true };
}

function operationOf(kind: KindDefinition, operation: Operation): Json {
  const { action, id, description, parameters, body, answer } = operation;
  const { group, version, kind: name } = kind;
  const answered = {
    object: schemaName(kind),
    list: `${schemaName(kind)}List`,
    status: STATUS,
  }[answer];
  return {
    description,
    operationId: id,
    consumes: body?.types ?? ['*/*'],
    produces: ['application/json'],
    schemes: ['https'],
    parameters: [...parameters.map(parameterOf), ...(body ? [bodyOf(kind, body)] : [])],
    responses: { 200: { description: 'OK', schema: reference(answered) } },
    'x-kubernetes-action': action,
    'x-kubernetes-group-version-kind': { group, version, kind: name },
  };
}

function bodyOf(kind: KindDefinition, { holds }: NonNullable<Operation['body']>): Json {
  const schema = {
    object: reference(schemaName(kind)),
    options: reference(DELETE_OPTIONS),
    patch: { type: 'object' },
  }[holds];
  return { name: 'body', in: 'body', ...(holds !== 'options' && { required: true }), schema };
}
