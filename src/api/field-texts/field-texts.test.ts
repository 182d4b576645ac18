// Every field of every kind that is served says what it is for, and no text is for a field that no kind has.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isObject } from '#lib';
import type { KindDefinition } from '../kind.ts';
import { SERVED_KINDS } from '../kinds.ts';
import { objectMetaSchema, openApiSchema } from '../open-api.ts';
import type { FieldText } from './field-text.ts';
import { fieldTexts } from './field-texts.ts';

type Schema = Readonly<Record<string, unknown>>;

/** Each field below the schema with its path; items and entries have the path of their list or map. */
function* fieldsIn(schema: Schema, path: string): Generator<[string, Schema]> {
  const { properties, items, additionalProperties } = schema;
  for (const [name, member] of Object.entries(isObject(properties) ? properties : {})) {
    const at = path === '' ? name : `${path}.${name}`;
    yield [at, member as Schema];
    yield* fieldsIn(member as Schema, at);
  }
  for (const inner of [items, additionalProperties]) {
    if (isObject(inner)) yield* fieldsIn(inner, path);
  }
}

function* pathsIn(text: FieldText | undefined, path: string): Generator<string> {
  if (path !== '') yield path;
  if (text === undefined || typeof text === 'string') return;
  for (const [name, member] of Object.entries(text)) {
    if (name !== '') yield* pathsIn(member, path === '' ? name : `${path}.${name}`);
  }
}

test('every kind and field has a text of one paragraph', () => {
  const problems: string[] = [];
  for (const kind of SERVED_KINDS) {
    const schema = openApiSchema(kind);
    const all: [string, Schema][] = [['', schema], ...fieldsIn(schema, '')];
    for (const [path, { description }] of all) {
      const isText = typeof description === 'string' && description.length > 2;
      if (!isText) problems.push(`${kind.group} ${kind.kind} ${path}: ${String(description)}`);
      else if (/\n|\.$|^\s|\s$|undefined/.test(description)) {
        problems.push(`${kind.kind} ${path}: not one plain text: ${description}`);
      }
    }
  }
  assert.deepEqual(problems, []);
  for (const [path, { description }] of fieldsIn(objectMetaSchema(), 'metadata')) {
    assert.equal(typeof description, 'string', path);
  }
});

test('no text is for a field that its kind does not have', () => {
  const isEvent = ({ kind }: KindDefinition): boolean => kind === 'Event';
  const known = new Set(
    SERVED_KINDS.flatMap((kind) =>
      [...fieldsIn(openApiSchema(kind), '')].map(([path]) => `${nameOf(kind)} ${path}`),
    ),
  );
  const unknown = SERVED_KINDS.flatMap((kind) =>
    [...pathsIn(fieldTexts(kind), '')]
      .map((path) => `${nameOf(kind)} ${path}`)
      .filter((path) => !known.has(path)),
  );
  assert.deepEqual(unknown, []);

  /** Both versions of events share their texts. */
  function nameOf(kind: KindDefinition): string {
    return isEvent(kind) ? kind.kind : `${kind.group} ${kind.kind}`;
  }
});

test('a default of the agent is told as its field takes it', () => {
  const felix = SERVED_KINDS.find(({ kind }) => kind === 'FelixConfiguration');
  assert.ok(felix);
  const texts = new Map(fieldsIn(openApiSchema(felix), ''));
  const endOf = (field: string): string =>
    String(texts.get(`spec.${field}`)?.['description']).replace(/^.*\. Default: /, '');
  assert.equal(endOf('routeRefreshInterval'), '90s');
  assert.equal(endOf('iptablesLockProbeInterval'), '50ms');
  assert.equal(endOf('defaultEndpointToHostAction').toLowerCase(), 'drop');
  assert.match(endOf('failsafeInboundHostPorts'), /^tcp:22,/);
});
