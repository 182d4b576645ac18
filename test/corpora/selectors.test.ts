// The selector language against the cases of Calico's own tests.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Labels,
  labelRestrictions,
  parseSelector,
  prefixLabels,
  SelectorError,
  selectorId,
  tokenize,
} from '#selector';
import { corpusMissing, readCorpus } from './corpora.ts';

const skip = corpusMissing('selectors');

function each<Row>(file: string, count: number, check: (row: Row) => void): void {
  test(`${file}: ${count} of ${count}`, { skip }, () => {
    const rows = readCorpus<Row>(`selectors/${file}`);
    for (const row of rows) check(row);
    console.log(`selectors/${file}: ${rows.length} of ${rows.length}`);
    assert.equal(rows.length, count);
  });
}

interface Evaluation {
  selector: string;
  canonical: string;
  uniqueID: string;
  matches: Labels[];
  nonMatches: Labels[];
}
each<Evaluation>('evaluate.json', 58, (row) => {
  const selector = parseSelector(row.selector);
  assert.equal(selector.text, row.canonical);
  assert.equal(selectorId(selector), row.uniqueID);
  for (const labels of row.matches) assert.equal(selector.evaluate(labels), true, row.selector);
  for (const labels of row.nonMatches) assert.equal(selector.evaluate(labels), false, row.selector);
});

each<{ selector: string }>('invalid.json', 26, (row) => {
  assert.throws(() => parseSelector(row.selector), SelectorError, row.selector);
});

interface Canonical {
  input: string;
  canonical: string;
  uniqueID?: string;
  uniqueIDComputed?: string;
}
each<Canonical>('canonicalise.json', 17, (row) => {
  const selector = parseSelector(row.input);
  assert.equal(selector.text, row.canonical);
  assert.equal(selectorId(selector), row.uniqueID ?? row.uniqueIDComputed);
});

each<{ selector: string; restrictions: object }>('label-restrictions.json', 32, (row) => {
  const restrictions = labelRestrictions(parseSelector(row.selector));
  assert.deepEqual(Object.fromEntries(restrictions), row.restrictions, row.selector);
});

each<{ input: string; valid: boolean; tokens?: object[] }>('tokenize.json', 49, (row) => {
  if (!row.valid) {
    assert.throws(() => tokenize(row.input), SelectorError, row.input);
    return;
  }
  const tokens = tokenize(row.input).map(({ column: _, ...token }) => token);
  assert.deepEqual(tokens, row.tokens, row.input);
});

each<{ input: string; prefix: string; output: string }>('prefix-visitor.json', 11, (row) => {
  assert.equal(prefixLabels(parseSelector(row.input), row.prefix).text, row.output);
});
