// The OpenAPI documents: complete, with references that lead somewhere, and the same in protobuf as in JSON.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SERVED_KINDS } from '#api';
import { isObject } from '#lib';
import { OpenApiDocuments } from './documents.ts';

type Json = Readonly<Record<string, unknown>>;

const documents = new OpenApiDocuments(SERVED_KINDS);
const parsed = (body: Uint8Array): Json => JSON.parse(Buffer.from(body).toString()) as Json;
const version2 = parsed(documents.version2('application/json').body);

function* objectsIn(value: unknown): Generator<Json> {
  if (Array.isArray(value)) for (const item of value) yield* objectsIn(item);
  if (!isObject(value)) return;
  yield value;
  for (const member of Object.values(value)) yield* objectsIn(member);
}

function at(document: Json, ...path: string[]): unknown {
  return path.reduce<unknown>(
    (value, name) => (isObject(value) ? value[name] : undefined),
    document,
  );
}

function assertReferences(document: Json): void {
  for (const { $ref } of objectsIn(document)) {
    if (typeof $ref !== 'string') continue;
    assert.ok(isObject(at(document, ...$ref.slice(2).split('/'))), $ref);
  }
}

function assertOperations(document: Json): void {
  const ids = [...objectsIn(document['paths'])].flatMap(({ operationId }) =>
    typeof operationId === 'string' ? [operationId] : [],
  );
  assert.ok(ids.length > 0);
  assert.equal(new Set(ids).size, ids.length);
}

test('[AP26] version 3 has a document of each group and version, found by its hash', () => {
  const { paths } = parsed(documents.index().body) as { paths: Record<string, Json> };
  assert.deepEqual(Object.keys(paths).length, new Set(Object.keys(paths)).size);
  for (const [path, { serverRelativeURL }] of Object.entries(paths)) {
    assert.match(
      String(serverRelativeURL),
      /^\/openapi\/v3\/apis?\/[a-z0-9./]+\?hash=[0-9A-F]{64}$/,
    );
    const document = parsed(documents.version3(path)?.body ?? new Uint8Array());
    assert.equal(document['openapi'], '3.0.0');
    assertReferences(document);
    assertOperations(document);
  }
  assert.equal(documents.version3('apis/nowhere/v1'), undefined);
});

test('[AP26] [AP27] version 2 has every kind, with dry runs and the keys of strategic patches', () => {
  assertReferences(version2);
  assertOperations(version2);
  const definitions = version2['definitions'] as Record<string, Json>;
  for (const { kind } of SERVED_KINDS) {
    assert.ok(
      Object.keys(definitions).some((name) => name.endsWith(`.${kind}`)),
      kind,
    );
  }
  const patch = at(version2, 'paths', '/apis/projectcalico.org/v3/tiers/{name}', 'patch') as Json;
  const names = (patch['parameters'] as Json[]).map(({ name }) => name);
  for (const name of ['dryRun', 'fieldManager', 'force', 'body']) assert.ok(names.includes(name));
  assert.ok(!(patch['consumes'] as string[]).some((type) => type.includes('strategic')));
  const containers = at(
    version2,
    'definitions',
    'io.k8s.api.core.v1.Pod',
    ...'properties.spec.properties.containers'.split('.'),
  ) as Json;
  assert.equal(containers['x-kubernetes-patch-merge-key'], 'name');
  for (const schema of Object.values(definitions).flatMap((one) => [...objectsIn(one)])) {
    for (const only3 of ['anyOf', 'allOf', 'nullable']) assert.ok(!Object.hasOwn(schema, only3));
  }
});

/** A message as its fields: numbers of its tags with texts, numbers or bytes. */
function* fieldsOf(message: Buffer): Generator<{ number: number; bytes: Buffer }> {
  let offset = 0;
  const varint = (): number => {
    for (let value = 0, scale = 1; ; scale *= 128) {
      const byte = message[offset++] ?? assert.fail('ends early');
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (offset < message.length) {
    const tag = varint();
    const start = offset;
    const length = { 0: 0, 1: 8, 2: 0 }[tag % 8] ?? assert.fail(`wire type ${tag % 8}`);
    if (tag % 8 === 0) varint();
    const size = tag % 8 === 2 ? varint() : length;
    const from = tag % 8 === 0 ? start : offset;
    if (tag % 8 !== 0) offset += size;
    yield { number: Math.floor(tag / 8), bytes: message.subarray(from, offset) };
  }
}

function within(message: Buffer, ...numbers: readonly number[]): Buffer[] {
  const [first, ...rest] = numbers;
  if (first === undefined) return [message];
  return [...fieldsOf(message)]
    .filter(({ number }) => number === first)
    .flatMap(({ bytes }) => within(bytes, ...rest));
}

test('[AP26] in protobuf it says the same: paths, definitions, fields, extensions', () => {
  const { body, type } = documents.version2(
    'application/com.github.proto-openapi.spec.v2@v1.0+protobuf',
  );
  assert.match(type, /spec\.v2@v1\.0\+protobuf$/);
  const document = Buffer.from(body);
  const texts = (...path: number[]): string[] => within(document, ...path).map(String);
  assert.deepEqual(texts(1), ['2.0']);
  assert.deepEqual(texts(8, 2, 1), Object.keys(version2['paths'] as Json));
  const definitions = version2['definitions'] as Record<string, Json>;
  assert.deepEqual(texts(9, 1, 1), Object.keys(definitions));
  assert.deepEqual(
    texts(9, 1, 2, 4),
    Object.values(definitions).map(({ description }) => description),
  );
  // Of each patch: its extensions, and the names of its parameters in the query.
  const kinds = texts(8, 2, 2, 8, 13, 2, 2).filter((yaml) => yaml.includes('"kind"'));
  assert.ok(kinds.some((yaml) => at(JSON.parse(yaml) as Json, 'kind') === 'Tier'));
  assert.ok(texts(8, 2, 2, 8, 8, 1, 2, 3, 4).includes('dryRun'));
  const minima = within(document, 9, 1, 2, 25, 1, 2, 25, 1, 2, 9).map((one) => one.readDoubleLE());
  assert.ok(minima.includes(1));
});
