// Implication between selectors: known cases, and against evaluation over random labels.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseSelector } from '#selector';
import { implies, matchesNothing } from './selector-implication.ts';

const SEED = Number(process.env['SEED'] ?? Math.trunc(Math.random() * 2 ** 31));
process.stdout.write(`# seed ${SEED}\n`);

const leaf = fc.constantFrom(
  'all()',
  'has(a)',
  'has(b)',
  "a == 'x'",
  "a == 'xy'",
  "a != 'x'",
  "a in {'x', 'xy'}",
  "a not in {'x', 'y'}",
  "a starts with 'x'",
  "a starts with 'xy'",
  "a ends with 'y'",
  "a contains 'xy'",
  "b == 'x'",
  "b != 'x'",
);
const selector = fc.letrec<{ tree: string }>((tie) => ({
  tree: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    leaf,
    tie('tree').map((it) => `!(${it})`),
    fc.tuple(tie('tree'), tie('tree')).map(([a, b]) => `(${a} && ${b})`),
    fc.tuple(tie('tree'), tie('tree')).map(([a, b]) => `(${a} || ${b})`),
  ),
})).tree;

const VALUES = [undefined, '', 'x', 'y', 'xy', 'xyy', 'z'];
const EVERY = VALUES.flatMap((a) =>
  VALUES.map((b) => ({ ...(a === undefined ? {} : { a }), ...(b === undefined ? {} : { b }) })),
);

test('what implies is right over all labels of a small world, for random selectors', () => {
  let implied = 0;
  fc.assert(
    fc.property(selector, selector, (one, two) => {
      const [a, b] = [parseSelector(one), parseSelector(two)];
      if (implies(a, b)) {
        implied++;
        assert.ok(EVERY.every((labels) => !a.evaluate(labels) || b.evaluate(labels)));
      }
      if (matchesNothing(a)) assert.ok(!EVERY.some((labels) => a.evaluate(labels)));
    }),
    { seed: SEED, numRuns: 3_000 },
  );
  assert.ok(implied > 100, `only ${implied} of 3000 pairs were found to imply`);
});

const KNOWN: readonly (readonly [string, string])[] = [
  ["a == 'x'", 'has(a)'],
  ["a == 'x'", "a in {'x', 'y'}"],
  ["a in {'x', 'xy'}", "a starts with 'x'"],
  ["a == 'x' && b == 'y'", "b == 'y' && a == 'x'"],
  ["a == 'x' || a == 'y'", "a in {'x', 'y'}"],
  ["a not in {'x', 'y'}", "a != 'x'"],
  ['!has(a)', "a != 'x'"],
  ["a starts with 'xy'", "a starts with 'x'"],
  ["!(a starts with 'x')", "!(a starts with 'xy')"],
];

test('the usual ways to say more or less are seen, one way and not the other', () => {
  for (const [a, b] of KNOWN) {
    assert.ok(implies(parseSelector(a), parseSelector(b)), `${a} implies ${b}`);
  }
  assert.ok(!implies(parseSelector('has(a)'), parseSelector("a == 'x'")));
  assert.ok(!implies(parseSelector("a != 'x'"), parseSelector('has(a)')));
});
