// OpenAPI schemas of all kinds: plain JSON, in the shape that Kubernetes' readers understand.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isObject } from '#lib';
import { DERIVED_KINDS, KINDS } from './kinds.ts';
import { openApiSchema } from './open-api.ts';
import { networkPolicyKind } from './policy.ts';

/** Every schema inside one. */
function* schemasIn(value: unknown): Generator<Record<string, unknown>> {
  if (Array.isArray(value)) for (const item of value) yield* schemasIn(item);
  if (!isObject(value)) return;
  yield value;
  for (const member of Object.values(value)) yield* schemasIn(member);
}

test('every kind has a schema of plain JSON', () => {
  for (const kind of [...KINDS, ...DERIVED_KINDS]) {
    const schema = openApiSchema(kind);
    assert.deepEqual(JSON.parse(JSON.stringify(schema)), schema, kind.kind);
    for (const inner of schemasIn(schema)) {
      if (inner['type'] === 'array') assert.ok(isObject(inner['items']), `${kind.kind}: no items`);
      for (const own of ['numberOrText', 'anyCase', 'patternProperties']) {
        assert.ok(!Object.hasOwn(inner, own), `${kind.kind}: ${own}`);
      }
    }
  }
});

test('a field keeps type, bounds, values and requirement', () => {
  const text = JSON.stringify(openApiSchema(networkPolicyKind));
  assert.match(text, /"action":\{"type":"string","enum":\["Allow","Deny","Log","Pass"\],"desc/);
  assert.match(text, /"order":\{"type":"number","nullable":true,"description":"Where it stands/);
  assert.match(text, /"description":"The tier that [^"]*","default":"default"/);
  assert.match(text, /"x-kubernetes-int-or-string":true/);
  assert.match(text, /"required":\["action"\]/);
  assert.match(text, /"maxItems":1024/);
});

test('owners and managers of fields are published by field', () => {
  const { properties } = openApiSchema(networkPolicyKind) as { properties: Record<string, object> };
  const text = JSON.stringify(properties['metadata']);
  assert.match(text, /"ownerReferences":\{"type":"array","items":\{.*"uid":\{"type":"string"/);
  assert.match(text, /"managedFields":\{"type":"array","items":\{.*"manager":\{"type":"string"/);
});

test('names of kinds are distinct', () => {
  const plurals = KINDS.map(({ group, plural }) => `${plural}.${group}`);
  assert.equal(new Set(plurals).size, plurals.length);
  const shorts = KINDS.flatMap(({ shortNames }) => shortNames);
  assert.equal(new Set(shorts).size, shorts.length);
});
