// OpenAPI v2 and v3 documents: what kubectl reads to validate, explain and choose its patches.
import { apiVersionOf, type KindDefinition, openApiSchema } from '#api';
import { resourcePath } from '#datastore';

type Json = Record<string, unknown>;

const INFO = { title: 'Tortie', version: 'v1' };

/** Query parameters of writes; kubectl leaves validation to a server that names `fieldValidation`. */
const WRITE_PARAMETERS = ['dryRun', 'fieldManager', 'fieldValidation'].map((name) => ({
  name,
  in: 'query',
  schema: { type: 'string', uniqueItems: true },
}));

const PATCH_TYPES = [
  'application/merge-patch+json',
  'application/json-patch+json',
  'application/apply-patch+yaml',
];

/** `/openapi/v3`: where the document of each group and version is. */
export function openApiIndex(kinds: readonly KindDefinition[]): Json {
  const paths = [...new Set(kinds.map(groupVersionPath))].map((path) => [
    path,
    { serverRelativeURL: `/openapi/v3/${path}` },
  ]);
  return { paths: Object.fromEntries(paths) };
}

/** `/openapi/v3/<path>` such as `api/v1` or `apis/projectcalico.org/v3`. */
export function openApiDocument(kinds: readonly KindDefinition[], path: string): Json | undefined {
  const members = kinds.filter((kind) => groupVersionPath(kind) === path);
  if (members.length === 0) return undefined;
  return {
    openapi: '3.0.0',
    info: INFO,
    paths: Object.fromEntries(members.flatMap(pathEntries)),
    components: {
      schemas: Object.fromEntries(members.map((kind) => [schemaName(kind), openApiSchema(kind)])),
    },
  };
}

/** `/openapi/v2`, JSON. */
export function openApiV2(kinds: readonly KindDefinition[]): Json {
  const definitions = kinds.map((kind) => [schemaName(kind), openApiSchema(kind)]);
  return { swagger: '2.0', info: INFO, paths: {}, definitions: Object.fromEntries(definitions) };
}

/** What kubectl before 1.27 asks for, and gives up without. */
export const OPENAPI_V2_PROTOBUF = 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf';

/**
 * `/openapi/v2` in protobuf (gnostic's openapi.v2.Document): the version, title and no definitions. A
 * client that knows no schema of a kind leaves its validation to the server, which does it anyway.
 */
export function openApiV2Protobuf(): Uint8Array {
  const text = (field: number, value: string) => [
    (field << 3) | 2,
    value.length,
    ...Buffer.from(value),
  ];
  const info = [...text(1, INFO.title), ...text(2, INFO.version)];
  return Uint8Array.from([...text(1, '2.0'), (2 << 3) | 2, info.length, ...info]);
}

function groupVersionPath(kind: KindDefinition): string {
  return `${kind.group === '' ? 'api' : 'apis'}/${apiVersionOf(kind)}`;
}

/** Group reversed, as Kubernetes names its own: `org.projectcalico.v3.Tier`. */
function schemaName({ group, version, kind }: KindDefinition): string {
  const domain = group === '' ? 'io.k8s.api.core' : group.split('.').reverse().join('.');
  return `${domain}.${version}.${kind}`;
}

function pathEntries(kind: KindDefinition): [string, Json][] {
  const collection = resourcePath(kind, { namespace: '{namespace}' }).replaceAll(/%7B|%7D/g, brace);
  const schema = { $ref: `#/components/schemas/${schemaName(kind)}` };
  const answer = { 200: { description: 'OK', content: { 'application/json': { schema } } } };
  const gvk = { group: kind.group, version: kind.version, kind: kind.kind };
  const operation = (action: string, rest: Json = {}): Json => ({
    'x-kubernetes-action': action,
    'x-kubernetes-group-version-kind': gvk,
    responses: answer,
    ...rest,
  });
  const body = { content: { 'application/json': { schema } } };
  const patches = Object.fromEntries(PATCH_TYPES.map((type) => [type, { schema: {} }]));
  const write = { parameters: WRITE_PARAMETERS, requestBody: body };
  const patch = { parameters: WRITE_PARAMETERS, requestBody: { content: patches } };
  return [
    [collection, { get: operation('list'), post: operation('post', write) }],
    [
      `${collection}/{name}`,
      {
        get: operation('get'),
        put: operation('put', write),
        patch: operation('patch', patch),
        delete: operation('delete', { parameters: WRITE_PARAMETERS }),
      },
    ],
  ];
}

function brace(escaped: string): string {
  return escaped === '%7B' ? '{' : '}';
}
