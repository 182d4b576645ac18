// OpenAPI v3: an index, and a document of each group and version.
import type { KindDefinition } from '#api';
import { groupVersionPath } from './group-version.ts';
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

/** The document of `kinds`, which are all of one group and version. */
export function version3Document(kinds: readonly KindDefinition[], info: Json): Json {
  const paths = kinds.flatMap((kind) => pathsOf(kind).map((path) => pathEntry(kind, path)));
  const document = {
    openapi: '3.0.0',
    info,
    paths: Object.fromEntries(paths),
    components: { schemas: Object.fromEntries(definitionsOf(kinds)) },
  };
  return withReferences(document, '#/components/schemas/') as Json;
}

/** Kinds by the path of their document, such as `api/v1` or `apis/projectcalico.org/v3`. */
export function kindsByDocument(
  kinds: readonly KindDefinition[],
): ReadonlyMap<string, readonly KindDefinition[]> {
  return Map.groupBy(kinds, groupVersionPath);
}

function pathEntry(kind: KindDefinition, { path, parameters, operations }: Path): [string, Json] {
  const entries = operations.map((operation) => [operation.method, operationOf(kind, operation)]);
  return [path, { ...Object.fromEntries(entries), parameters: parameters.map(parameterOf) }];
}

function parameterOf({ name, in: place, type, description }: Parameter): Json {
  const required = place === 'path' ? { required: true } : {};
  return { name, in: place, description, ...required, schema: { type, uniqueItems: true } };
}

function operationOf(kind: KindDefinition, operation: Operation): Json {
  const { action, id, description, parameters, body, answer } = operation;
  const { group, version, kind: name } = kind;
  const answered = {
    object: schemaName(kind),
    list: `${schemaName(kind)}List`,
    status: STATUS,
  }[answer];
  const content = { 'application/json': { schema: reference(answered) } };
  return {
    description,
    operationId: id,
    parameters: parameters.map(parameterOf),
    ...(body && { requestBody: { content: bodyContent(kind, body) } }),
    responses: { 200: { description: 'OK', content } },
    'x-kubernetes-action': action,
    'x-kubernetes-group-version-kind': { group, version, kind: name },
  };
}

function bodyContent(kind: KindDefinition, body: NonNullable<Operation['body']>): Json {
  const { types, holds } = body;
  const schema = {
    object: reference(schemaName(kind)),
    options: reference(DELETE_OPTIONS),
    patch: {},
  }[holds];
  return Object.fromEntries(types.map((type) => [type, { schema }]));
}
