// CRDs of all kinds: structural schemas as Kubernetes demands them, and defaults as the kinds fill them in.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isObject } from '#lib';
import { calicoNodeStatusKind } from './calico-node-status.ts';
import { crdOf } from './crd.ts';
import type { KindDefinition, Resource } from './kind.ts';
import { KINDS } from './kinds.ts';
import { ipPoolKind } from './ip-pool.ts';
import { networkPolicyKind, tierKind } from './policy.ts';

type Schema = Readonly<Record<string, unknown>>;

interface Version {
  readonly schema: { readonly openAPIV3Schema: Schema };
}

function schemaOf(kind: KindDefinition): Schema {
  const { versions } = crdOf(kind).spec as { versions: readonly Version[] };
  const [version] = versions;
  assert.ok(version);
  return version.schema.openAPIV3Schema;
}

/** Each schema in one with its path; not what stands under anyOf and allOf. */
function* schemasIn(schema: Schema, path: string): Generator<[string, Schema]> {
  yield [path, schema];
  const { properties, items, additionalProperties } = schema;
  if (isObject(properties)) {
    for (const [name, member] of Object.entries(properties)) {
      yield* schemasIn(member as Schema, `${path}.${name}`);
    }
  }
  if (isObject(items)) yield* schemasIn(items, `${path}[]`);
  if (isObject(additionalProperties)) yield* schemasIn(additionalProperties, `${path}{}`);
}

/** What Kubernetes knows of JSON Schema; it refuses a CRD with anything else. */
const KEYWORDS: readonly string[] = [
  'type',
  'description',
  'properties',
  'required',
  'additionalProperties',
  'items',
  'enum',
  'anyOf',
  'allOf',
  'pattern',
  'format',
  'default',
  'nullable',
  'minimum',
  'maximum',
  'minLength',
  'maxLength',
  'minItems',
  'maxItems',
  'minProperties',
  'maxProperties',
  'x-kubernetes-preserve-unknown-fields',
  'x-kubernetes-int-or-string',
  'x-kubernetes-list-type',
  'x-kubernetes-list-map-keys',
  'x-kubernetes-map-type',
  'x-kubernetes-validations',
];

test('every schema is structural and plain JSON', () => {
  for (const kind of KINDS) {
    assert.deepEqual(JSON.parse(JSON.stringify(crdOf(kind))), crdOf(kind), kind.kind);
    for (const [path, schema] of schemasIn(schemaOf(kind), kind.kind)) {
      const unknown = Object.keys(schema).filter((keyword) => !KEYWORDS.includes(keyword));
      assert.deepEqual(unknown, [], path);
      const free =
        schema['x-kubernetes-int-or-string'] ?? schema['x-kubernetes-preserve-unknown-fields'];
      assert.ok(typeof schema['type'] === 'string' || free === true, `${path} has no type`);
      assert.ok(!schema['anyOf'] || schema['x-kubernetes-int-or-string'], `${path} has a choice`);
      assert.ok(!(schema['properties'] && schema['additionalProperties']), path);
      if (schema['type'] === 'array') assertList(schema, path);
    }
  }
});

function assertList(schema: Schema, path: string): void {
  const { items } = schema;
  assert.ok(isObject(items), `${path} has no items`);
  const type = schema['x-kubernetes-list-type'];
  if (type === 'set') assert.notEqual(items['type'], 'object', `${path}: sets hold no objects`);
  if (type !== 'map') return;
  assert.deepEqual(schema['x-kubernetes-list-map-keys'], ['type'], path);
}

test('a field that is required or has a default exists, and the default is of its type', () => {
  const types: Readonly<Record<string, string>> = { integer: 'number' };
  for (const kind of KINDS) {
    for (const [path, schema] of schemasIn(schemaOf(kind), kind.kind)) {
      const { required, properties, type, default: value } = schema;
      for (const name of Array.isArray(required) ? required : []) {
        assert.ok(Object.hasOwn(Object(properties), String(name)), `${path}.${String(name)}`);
      }
      if (value === undefined) continue;
      assert.equal(typeof value, types[String(type)] ?? type, path);
      assert.ok(!schema['enum'] || (schema['enum'] as unknown[]).includes(value), path);
    }
  }
});

test('defaults of the CRD are those that the kind fills in', () => {
  const minimal: readonly (readonly [KindDefinition, object])[] = [
    [networkPolicyKind, {}],
    [tierKind, {}],
    [ipPoolKind, { cidr: '10.0.0.0/16' }],
  ];
  for (const [kind, spec] of minimal) {
    const resource = { apiVersion: '', kind: kind.kind, metadata: { name: 'a' }, spec };
    const filled = kind.defaults?.(resource as Resource) as Resource & { spec: Schema };
    const { properties } = (schemaOf(kind)['properties'] as Schema)['spec'] as Schema;
    const defaults = Object.entries(properties as Record<string, Schema>).flatMap(
      ([name, schema]) =>
        schema['default'] === undefined ? [] : [{ name, value: schema['default'] }],
    );
    assert.ok(defaults.length > 0);
    for (const { name, value } of defaults) assert.equal(filled.spec[name], value);
  }
});

test('names, scope, columns and subresources', () => {
  const { metadata, spec } = crdOf(calicoNodeStatusKind);
  assert.equal(metadata.name, 'caliconodestatuses.projectcalico.org');
  assert.equal(spec['scope'], 'Cluster');
  const [version] = spec['versions'] as readonly Schema[];
  assert.deepEqual(version?.['subresources'], { status: {} });
  assert.deepEqual(version?.['additionalPrinterColumns'], [
    {
      name: 'Node',
      type: 'string',
      jsonPath: '.spec.node',
      description: 'The name of the node',
    },
    {
      name: 'Classes',
      type: 'string',
      jsonPath: '.spec.classes',
      description: 'The types of information to monitor for this calico/node',
    },
  ]);
  const names = crdOf(networkPolicyKind).spec['names'] as Schema;
  assert.equal(names['listKind'], 'NetworkPolicyList');
  assert.equal(crdOf(networkPolicyKind).spec['scope'], 'Namespaced');
});
