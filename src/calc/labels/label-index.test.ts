// The label index against looking at everything, and what its updates cost (SPEC.md: CG29).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Labels, parseSelector, type Selector } from '#selector';
import { LabelIndex, type Labelled } from './label-index.ts';

const SEED = Number(process.env['SEED'] ?? Math.trunc(Math.random() * 2 ** 31));

const SELECTORS = [
  'all()',
  'a == "x"',
  'a in {"x", "y"}',
  'a in {}',
  'has(b)',
  '!has(b)',
  'a != "x"',
  'a == "x" && b == "y"',
  'a == "x" || b == "y"',
  'b contains "y"',
  'has(a) && !has(b)',
];
const labels: fc.Arbitrary<Labels> = fc.dictionary(
  fc.constantFrom('a', 'b', 'c'),
  fc.constantFrom('x', 'y'),
  { maxKeys: 2 },
);
const object = fc.record({ labels, profiles: fc.subarray(['p', 'q']) });
const name = fc.constantFrom('0', '1', '2', '3');
const step = fc.oneof(
  fc.record({ kind: fc.constant('object' as const), name, value: fc.option(object) }),
  fc.record({
    kind: fc.constant('profile' as const),
    name: fc.constantFrom('p', 'q'),
    value: fc.option(labels),
  }),
  fc.record({
    kind: fc.constant('selector' as const),
    name,
    value: fc.option(fc.constantFrom(...SELECTORS)),
  }),
);

test('[CG29] any changes leave the matches that looking at everything finds', (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const told = new Set<string>();
      const index = new LabelIndex<string, Labelled>({
        onMatch: (selector, _, key) => {
          assert.ok(!told.has(`${selector} ${key}`), 'told once');
          told.add(`${selector} ${key}`);
        },
        onMismatch: (selector, _, key) => assert.ok(told.delete(`${selector} ${key}`)),
        onReplace: (selector, _, __, key) => assert.ok(told.has(`${selector} ${key}`)),
      });
      const objects = new Map<string, Labelled>();
      const profiles = new Map<string, Labels>();
      const selectors = new Map<string, Selector>();
      for (const one of steps) {
        if (one.kind === 'object') {
          if (one.value) objects.set(one.name, one.value);
          else objects.delete(one.name);
          index.setObject(one.name, one.value ?? undefined);
        } else if (one.kind === 'profile') {
          if (one.value) profiles.set(one.name, one.value);
          else profiles.delete(one.name);
          index.setProfile(one.name, one.value ?? undefined);
        } else {
          index.deleteSelector(one.name);
          for (const pair of told) if (pair.startsWith(`${one.name} `)) told.delete(pair);
          selectors.delete(one.name);
          if (one.value === null) continue;
          const selector = parseSelector(one.value);
          selectors.set(one.name, selector);
          index.addSelector({ id: one.name, selector, data: one.name });
        }
        assert.deepEqual([...told].sort(), matches(objects, profiles, selectors));
      }
    }),
    { seed: SEED, numRuns: 1000 },
  );
  t.diagnostic(`seed ${SEED}`);
});

function matches(
  objects: ReadonlyMap<string, Labelled>,
  profiles: ReadonlyMap<string, Labels>,
  selectors: ReadonlyMap<string, Selector>,
): string[] {
  return [...selectors]
    .flatMap(([id, selector]) =>
      [...objects].flatMap(([key, { labels: own, profiles: names }]) => {
        const lent = [...names].reverse().map((profile) => profiles.get(profile));
        return selector.evaluate(Object.assign({}, ...lent, own)) ? [`${id} ${key}`] : [];
      }),
    )
    .sort();
}

/** An index of many objects and selectors that counts how often a selector is evaluated. */
function counting() {
  let count = 0;
  const index = new LabelIndex<string, Labelled>({
    onMatch: () => undefined,
    onMismatch: () => undefined,
    onReplace: () => undefined,
  });
  const add = (id: string, text: string) => {
    const parsed = parseSelector(text);
    const selector: Selector = {
      ...parsed,
      matches: (lookup) => {
        count++;
        return parsed.matches(lookup);
      },
    };
    index.addSelector({ id, selector, data: id });
  };
  const during = (act: () => void): number => {
    count = 0;
    act();
    return count;
  };
  return { index, add, during };
}

const app = (value: number | string, more: Labels = {}): Labelled => ({
  labels: { app: `app-${value}`, ...more },
  profiles: ['kns.shop'],
});

test('[CG29] an update is weighed against the selectors that it concerns, of many', () => {
  const { index, add, during } = counting();
  for (let n = 0; n < 1000; n++) index.setObject(`o${n}`, app(n % 100));
  for (let n = 0; n < 1000; n++) add(`s${n}`, `app == "app-${n}" && has(tier)`);
  add('team', 'pcns.team == "blue"');
  assert.equal(
    during(() => index.setObject('o1', app(1, { unasked: 'x' }))),
    0,
    'not asked for',
  );
  assert.equal(
    during(() => index.setObject('new', app('none'))),
    0,
  );
  assert.equal(
    during(() => index.setObject('new', app(7))),
    1,
  );
  assert.equal(
    during(() => index.setObject('new', app(8, { tier: 'x' }))),
    1,
  );
  assert.equal(
    during(() => index.setProfile('kns.shop', { 'pcns.other': 'x' })),
    0,
  );
  assert.equal(
    during(() => index.setProfile('kns.data', { 'pcns.team': 'blue' })),
    0,
    'no heirs',
  );
  assert.equal(
    during(() => index.setProfile('kns.shop', { 'pcns.team': 'blue' })),
    1001,
  );
});

test('[CG29] a new selector looks at the bearers of its rarest label', () => {
  const { index, add, during } = counting();
  for (let n = 0; n < 1000; n++) index.setObject(`o${n}`, app(n % 100, { common: 'yes' }));
  index.setObject('rare', app(5, { common: 'yes', rare: 'x' }));
  assert.equal(
    during(() => add('a', 'common == "yes" && app == "app-7"')),
    10,
  );
  assert.equal(
    during(() => add('b', 'has(rare) && common == "yes"')),
    1,
  );
  assert.equal(
    during(() => add('c', 'app in {"app-1", "app-2"}')),
    20,
  );
  assert.equal(
    during(() => add('d', 'app in {}')),
    0,
  );
  assert.equal(
    during(() => add('e', 'app == "app-1" || rare == "x"')),
    1001,
    'no demand',
  );
});

test('what matching cost is counted: selectors, evaluations by outcome, ways of looking', () => {
  const { index, add, during } = counting();
  for (let n = 0; n < 10; n++) index.setObject(`o${n}`, app(n));
  const evaluated = during(() => {
    add('value', 'app == "app-1" && has(tier)');
    add('values', 'app in {"app-1", "app-2"}');
    add('label', 'has(app)');
    add('nothing', 'app in {}');
    add('all', 'all()');
  });
  const { objects, selectors, evaluations, scans } = index.counts;
  assert.equal(objects, 10);
  assert.deepEqual(selectors, { optimized: 4, unoptimized: 1 });
  assert.deepEqual(evaluations, { matched: 22, unmatched: evaluated - 22 });
  const sum = Object.values(scans).reduce((all, one) => all + one, 0);
  assert.equal(sum, 5, JSON.stringify(scans));
  assert.equal(scans['full-scan'], 1);
  index.deleteSelector('all');
  assert.equal(index.counts.selectors.unoptimized, 0);
});
