// The schema walker and TypeBox's own check, two independent readers of one schema, agree on random values.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Value } from 'typebox/value';
import { isObject } from '#lib';
import { DERIVED_KINDS, KINDS } from './kinds.ts';
import { conform, type JsonSchema } from './schema-check.ts';

const SEED = Number(process.env['SEED'] ?? Math.trunc(Math.random() * 2 ** 31));
const VALUES = Number(process.env['VALUES'] ?? 100);

/** What only our walker knows: taken away for both. */
const OWN: readonly string[] = ['format', 'anyCase', 'numberOrText', 'crd'];

/** The schema in the words of both readers. TypeBox leaves objects open; ours are closed unless they say so. */
function plain(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(plain);
  if (!isObject(schema)) return schema;
  const entries = Object.entries(schema).filter(([keyword]) => !OWN.includes(keyword));
  const copied = entries.map(([keyword, value]) => [
    keyword,
    keyword === 'properties' || keyword === 'patternProperties' ? members(value) : plain(value),
  ]);
  const closed = schema['properties'] !== undefined && schema['additionalProperties'] === undefined;
  return { ...Object.fromEntries(copied), ...(closed && { additionalProperties: false }) };
}

function members(value: unknown): object {
  assert.ok(isObject(value));
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, plain(member)]));
}

const noise = fc.constantFrom<unknown>(null, true, 5, -1, 0.5, '', 'x', 'Allow', [], {}, [
  'a',
  'a',
]);

/** Values that the schema mostly accepts, and now and then something else in any place. */
function valueOf(schema: JsonSchema): fc.Arbitrary<unknown> {
  return fc.oneof({ weight: 30, arbitrary: fitting(schema) }, { weight: 1, arbitrary: noise });
}

function fitting(schema: JsonSchema): fc.Arbitrary<unknown> {
  if (schema.anyOf) return fc.oneof(...schema.anyOf.map(fitting));
  if (schema.enum) return fc.constantFrom(...schema.enum);
  switch (schema.type) {
    case 'object':
      return objectOf(schema);
    case 'array':
      return fc.array(valueOf(schema.items ?? {}), { maxLength: 3 });
    case 'string':
      return textOf(schema);
    case 'integer':
    case 'number': {
      const { minimum = -5, maximum = 100 } = schema;
      return fc.oneof(
        { weight: 30, arbitrary: fc.integer({ min: minimum, max: maximum }) },
        { weight: 1, arbitrary: fc.constantFrom(minimum - 1, maximum + 1) },
      );
    }
    case 'boolean':
      return fc.boolean();
    case 'null':
      return fc.constant(null);
    default:
      return noise;
  }
}

function textOf({ pattern, minLength = 0, maxLength = 8 }: JsonSchema): fc.Arbitrary<string> {
  const words = ['', 'a', 'web', 'default', 'cali0', '/path', 'A-b_c', 'x'.repeat(70)];
  const lengths = [minLength, maxLength].map((count) => 'y'.repeat(count));
  const fit = (text: string) => text.length >= minLength && text.length <= maxLength;
  const usual = fc.constantFrom(...words.filter(fit), ...lengths);
  return fc.oneof(
    {
      weight: 30,
      arbitrary: pattern === undefined ? usual : fc.stringMatching(new RegExp(pattern)),
    },
    { weight: 1, arbitrary: fc.constantFrom(...words, 'y'.repeat(maxLength + 1)) },
  );
}

const MEMBERS_MAX = 5;

function objectOf(schema: JsonSchema): fc.Arbitrary<unknown> {
  const values = Object.values(schema.patternProperties ?? {})[0];
  if (values) return fc.dictionary(fc.constantFrom('a', 'b', 'c'), valueOf(values), { maxKeys: 3 });
  const { properties = {}, required = [] } = schema;
  const optional = Object.keys(properties).filter((name) => !required.includes(name));
  return fc
    .tuple(
      fc.subarray(optional, { maxLength: Math.min(MEMBERS_MAX, optional.length) }),
      fc.oneof(
        { weight: 30, arbitrary: fc.constant(undefined) },
        { weight: 1, arbitrary: fc.constantFrom(...required, 'unheard') },
      ),
    )
    .chain(([chosen, odd]) => {
      const names = [...required.filter((name) => name !== odd), ...chosen];
      const fields = Object.fromEntries(
        names.map((name) => [name, valueOf(properties[name] ?? {})]),
      );
      return fc.record(odd === 'unheard' ? { ...fields, unheard: noise } : fields);
    });
}

test('both accept the same values of every kind', (t) => {
  let accepted = 0;
  let refused = 0;
  for (const { kind, schema } of [...KINDS, ...DERIVED_KINDS]) {
    const both = plain(JSON.parse(JSON.stringify(schema))) as JsonSchema;
    fc.assert(
      fc.property(valueOf(both), (value) => {
        const { value: conformed, problems } = conform(both, value);
        // Only what stands for absent, a null, is gone from what the walker hands on.
        assert.equal(problems.length === 0, Value.Check(both, conformed), kind);
        if (problems.length === 0) accepted++;
        else refused++;
      }),
      { seed: SEED, numRuns: VALUES },
    );
  }
  t.diagnostic(`${accepted} accepted, ${refused} refused, seed ${SEED}`);
  assert.ok(accepted > VALUES && refused > VALUES);
});
