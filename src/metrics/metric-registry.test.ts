// Tests of the registry: what is not defined cannot be measured, counters do not fall, what is hidden is not told.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { counter, gauge, summary } from './metric-definition.ts';
import { MetricRegistry } from './metric-registry.ts';

const DEFINITIONS = [
  gauge('one_gauge', 'A gauge.', ['label']),
  counter('one_total', 'A counter.'),
  summary('one_seconds', 'A summary.'),
  gauge('two_gauge', 'Another.'),
];

test('a name or a label that is not defined is a mistake', () => {
  const metrics = new MetricRegistry(DEFINITIONS);
  assert.throws(() => metrics.set('other', 1), /cannot measure other/);
  assert.throws(() => metrics.add('one_gauge'), /cannot measure one_gauge/);
  assert.throws(() => metrics.set('one_gauge', 1, { other: 'x' }), /label/);
  assert.throws(() => metrics.add('one_total', -1));
});

test('series are replaced, sums are taken over, and readings ask first', async () => {
  const metrics = new MetricRegistry(DEFINITIONS);
  metrics.onCollect(() => metrics.total('one_total', 7));
  metrics.set('one_gauge', 1, { label: 'old' });
  metrics.replace('one_gauge', [{ labels: { label: 'new' }, value: 2 }]);
  metrics.observe('one_seconds', 0.5);
  for (let reading = 0; reading < 2; reading++) {
    const text = await metrics.text();
    assert.match(text, /^one_total 7$/m);
    assert.match(text, /^one_gauge\{label="new"\} 2$/m);
    assert.doesNotMatch(text, /old/);
    assert.match(text, /^one_seconds\{quantile="0.5"\} 0.5$/m);
  }
});

test('what is hidden is not told, until it is shown again', async () => {
  const metrics = new MetricRegistry(DEFINITIONS);
  metrics.set('two_gauge', 2);
  const all = await metrics.text();
  metrics.hide(['one_']);
  const text = await metrics.text();
  assert.match(text, /^two_gauge 2$/m);
  assert.doesNotMatch(text, /one_/);
  metrics.hide(['none_']);
  assert.equal((await metrics.text()).trim(), all.trim());
});
