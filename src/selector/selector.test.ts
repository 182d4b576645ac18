// The selector language: text and tree stand for each other, evaluation agrees with a twin, errors help.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type Labels,
  labelRestrictions,
  parseSelector,
  prefixLabels,
  SelectorError,
  type SelectorNode,
  selectorId,
  selectorOf,
} from './index.ts';
import { negate, valueSet } from './selector-tree.ts';

const label = fc.oneof(
  fc.constantFrom('a', 'b', 'in', 'not', 'contains', 'has', 'all', 'constructor', '__proto__'),
  fc.stringMatching(/^[A-Za-z0-9_./-]{1,8}$/),
);
const value = fc.oneof(
  fc.constantFrom('', 'x', 'xy', 'y', "'", '"'),
  fc.string({ unit: 'grapheme', maxLength: 4 }).filter((text) => !text.includes('"')),
);

function treeOf(label: fc.Arbitrary<string>): fc.Arbitrary<SelectorNode> {
  return fc.letrec<{ tree: SelectorNode }>((tie) => ({
    tree: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom<SelectorNode>({ kind: 'all' }, { kind: 'global' }),
      label.map((name): SelectorNode => ({ kind: 'has', label: name })),
      fc
        .tuple(
          fc.constantFrom<'equals' | 'notEquals' | 'contains' | 'startsWith' | 'endsWith'>(
            'equals',
            'notEquals',
            'contains',
            'startsWith',
            'endsWith',
          ),
          label,
          value,
        )
        .map(([kind, name, text]): SelectorNode => ({ kind, label: name, value: text })),
      fc
        .tuple(
          fc.constantFrom<'in' | 'notIn'>('in', 'notIn'),
          label,
          fc.array(value, { maxLength: 3 }),
        )
        .map(
          ([kind, name, texts]): SelectorNode => ({ kind, label: name, values: valueSet(texts) }),
        ),
      tie('tree').map(negate),
      fc
        .tuple(
          fc.constantFrom<'and' | 'or'>('and', 'or'),
          fc.array(tie('tree'), { minLength: 2, maxLength: 3 }),
        )
        .map(([kind, operands]): SelectorNode => ({ kind, operands })),
    ),
  })).tree;
}

const tree = treeOf(label);
/** Few labels, so that the parts of a selector meet. */
const few = fc.constantFrom('a', 'b');
const denseTree = treeOf(few);
const denseLabels: fc.Arbitrary<Labels> = fc.dictionary(few, value, { maxKeys: 2 });
const labels: fc.Arbitrary<Labels> = fc.dictionary(label, value, { maxKeys: 4 });

test('parse(print(tree)) = tree', () => {
  fc.assert(
    fc.property(tree, (it) => {
      const selector = selectorOf(it);
      const again = parseSelector(selector.text);
      assert.deepEqual(again.tree, it);
      assert.equal(again.text, selector.text);
      assert.equal(selectorId(again), selectorId(selector));
    }),
    { numRuns: 500 },
  );
});

/** The twin: sets of matching labels by the definitions of spec 02, 2.1, over a Map and without shortcuts. */
function twin(node: SelectorNode, map: ReadonlyMap<string, string>): boolean {
  if (node.kind === 'all' || node.kind === 'global') return true;
  if (node.kind === 'not') return !twin(node.operand, map);
  if (node.kind === 'and') return !node.operands.some((operand) => !twin(operand, map));
  if (node.kind === 'or') return node.operands.filter((operand) => twin(operand, map)).length > 0;
  const present = map.has(node.label);
  const is = map.get(node.label) ?? '';
  if (node.kind === 'has') return present;
  if (node.kind === 'equals') return present && is === node.value;
  if (node.kind === 'notEquals') return !(present && is === node.value);
  if (node.kind === 'contains') return present && is.indexOf(node.value) >= 0;
  if (node.kind === 'startsWith') return present && is.slice(0, node.value.length) === node.value;
  if (node.kind === 'endsWith') {
    return present && is.slice(Math.max(0, is.length - node.value.length)) === node.value;
  }
  const among = present && new Set(node.values).has(is);
  return node.kind === 'in' ? among : !among;
}

test('evaluation agrees with the twin', () => {
  fc.assert(
    fc.property(denseTree, denseLabels, (it, some) => {
      const map = new Map(Object.entries(some));
      assert.equal(selectorOf(it).evaluate(some), twin(it, map));
      assert.equal(parseSelector(selectorOf(it).text).evaluate(some), twin(it, map));
    }),
    { numRuns: 2000 },
  );
});

/** Selectors over one label, made of what restricts it. */
const narrow = fc.letrec<{ tree: SelectorNode }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 3 },
    fc.constantFrom<SelectorNode>(
      { kind: 'has', label: 'a' },
      { kind: 'not', operand: { kind: 'has', label: 'a' } },
      { kind: 'equals', label: 'a', value: 'x' },
      { kind: 'in', label: 'a', values: ['x', 'y'] },
    ),
    fc
      .tuple(fc.constantFrom<'and' | 'or'>('and', 'or'), tie('tree'), tie('tree'))
      .map(([kind, ...operands]): SelectorNode => ({ kind, operands })),
  ),
})).tree;

test('what a selector restricts holds for everything that it matches', () => {
  const anyTree = fc.oneof(denseTree, narrow);
  fc.assert(
    fc.property(anyTree, denseLabels, (it, some) => {
      const selector = selectorOf(it);
      if (!selector.evaluate(some)) return;
      for (const [name, restriction] of labelRestrictions(selector)) {
        const present = Object.hasOwn(some, name);
        if (restriction.mustBePresent) assert.ok(present);
        if (restriction.mustBeAbsent) assert.ok(!present);
        const { mustHaveOneOfValues } = restriction;
        if (mustHaveOneOfValues) assert.ok(mustHaveOneOfValues.includes(some[name] ?? ''));
      }
    }),
    { numRuns: 5000 },
  );
});

test('prefixed labels match prefixed selectors alike', () => {
  fc.assert(
    fc.property(tree, labels, (it, some) => {
      const selector = selectorOf(it);
      const prefixed = Object.fromEntries(Object.entries(some).map(([k, v]) => [`pcns.${k}`, v]));
      assert.equal(prefixLabels(selector, 'pcns.').evaluate(prefixed), selector.evaluate(some));
    }),
  );
});

test('any text either parses or throws SelectorError within its bounds', () => {
  const piece = fc.oneof(
    fc.constantFrom('a', '==', '!', '(', ')', '{', '}', ' in ', ' not in ', '"x"', ',', '&&', '||'),
    fc.string({ maxLength: 3 }),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const text = pieces.join('');
      try {
        assert.equal(parseSelector(parseSelector(text).text).text, parseSelector(text).text);
      } catch (error) {
        assert.ok(error instanceof SelectorError, String(error));
        assert.ok(error.column >= 0 && error.column <= text.length);
      }
    }),
    { numRuns: 2000 },
  );
});

test('doubled negation through parentheses falls away', () => {
  assert.equal(parseSelector('!(!has(a))').text, 'has(a)');
  assert.equal(parseSelector('!(!!(has(a)))').text, '!has(a)');
});

test('sets may be empty and end in a comma; blanks are space and tab', () => {
  assert.equal(parseSelector('a in {"y","x","y",}').text, 'a in {"x", "y"}');
  assert.equal(parseSelector('a\tnot\tin {}').evaluate({}), true);
  assert.equal(parseSelector('a in {}').evaluate({ a: '' }), false);
  assert.throws(() => parseSelector('a in {,}'), SelectorError);
  assert.throws(() => parseSelector('all()\n'), /line break/);
});

test('labels of the prototype are not there', () => {
  assert.equal(parseSelector('has(constructor)').evaluate({}), false);
  assert.equal(parseSelector('has(__proto__)').evaluate({}), false);
  assert.equal(parseSelector('toString != "x"').evaluate({}), true);
});

test('errors say where and what to do', () => {
  const cases: [string, number, RegExp][] = [
    ["a = 'b'", 2, /equality is written ==/],
    ['a == b', 5, /value in quotes/],
    ['has(a) & has(b)', 7, /write &&/],
    ['a', 1, /write has\(a\)/],
    ['has(a) has(b)', 7, /expected &&/],
    ['(has(a)', 7, /still open/],
    ['a == "b', 5, /never closed/],
    ['all ()', 4, /expected an operator/],
    [`${'x'.repeat(513)} == "a"`, 0, /at most 512/],
    [`${'('.repeat(101)}all()${')'.repeat(101)}`, 100, /deeper than 100/],
    [' '.repeat(262_145), 262_144, /at most 262144/],
  ];
  for (const [text, column, message] of cases) {
    assert.throws(
      () => parseSelector(text),
      (error: unknown) => {
        assert.ok(error instanceof SelectorError);
        assert.match(error.message, message);
        assert.equal(error.column, column, text.slice(0, 20));
        return true;
      },
    );
  }
});
