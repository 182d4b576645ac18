// Tests of per-rule metrics: readable labels, sums that survive merging, series that go when they are silent.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Flow } from '#flows';
import { MetricRegistry, RuleMetrics } from '#metrics';
import { shopFlow } from './shop-flow.ts';

const flow = (more: Partial<Flow> = {}): Flow => shopFlow(0, more);

function denied(rule: number, address: string): Flow {
  const [hit] = flow().policies;
  return flow({
    verdict: 'deny',
    source: { ...flow().source, address },
    packets: { in: 0, out: 1 },
    bytes: { in: 0, out: 60 },
    connections: { started: 0, completed: 0, live: 0 },
    policies: hit ? [{ ...hit, rule, action: 'deny' }] : [],
  });
}

function values(text: string, name: string): number[] {
  return [...text.matchAll(new RegExp(`^${name}\\{.*\\} (\\S+)$`, 'gm'))].map(([, it]) =>
    Number(it),
  );
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

test('an allowed connection counts both ways under its rule', async () => {
  const metrics = new MetricRegistry([]);
  const rules = new RuleMetrics(metrics, { instance: 'one' });
  rules.onFlows([flow(), flow({ connections: { started: 0, completed: 1, live: 0 } })]);
  const text = await metrics.text();
  const labels =
    'tier="default",policy="shop/default.db",namespace="shop",rule_index="1",action="allow"';
  assert.match(
    text,
    new RegExp(
      `cnx_policy_rule_packets\\{${labels},traffic_direction="inbound",rule_direction="ingress",instance="one"\\} 8`,
    ),
  );
  assert.match(
    text,
    new RegExp(`cnx_policy_rule_bytes\\{${labels},traffic_direction="outbound".*\\} 60`),
  );
  assert.deepEqual(values(text, 'cnx_policy_rule_connections'), [1]);
});

test('a staged policy counts what it would decide, beside what did', async () => {
  const metrics = new MetricRegistry([]);
  const [hit] = flow().policies;
  assert.ok(hit);
  const staged = {
    ...hit,
    kind: 'StagedNetworkPolicy',
    name: 'next',
    rule: 0,
    action: 'deny',
  } as const;
  new RuleMetrics(metrics, { instance: 'one' }).onFlows([flow({ pending: [staged, hit] })]);
  const text = await metrics.text();
  const labels = 'tier="default",policy="shop/staged:default.next",namespace="shop",rule_index="0"';
  const way = 'action="deny",traffic_direction="inbound"';
  const series = `cnx_policy_rule_packets{${labels},${way},rule_direction="ingress",instance="one"}`;
  assert.ok(text.split('\n').includes(`${series} 4`), text);
  assert.equal(values(text, 'cnx_policy_rule_connections').length, 2);
  assert.equal(values(text, 'calico_denied_packets').length, 0, 'nothing was denied');
});

test('a denied packet counts under its rule and its source', async () => {
  const metrics = new MetricRegistry([]);
  new RuleMetrics(metrics, { instance: 'one' }).onFlows([denied(-1, '192.0.2.7')]);
  const text = await metrics.text();
  assert.match(
    text,
    /calico_denied_packets\{policy="default\|shop\/default\.db\|-1\|deny",srcIP="192\.0\.2\.7",instance="one"\} 1/,
  );
  assert.deepEqual(values(text, 'calico_denied_bytes'), [60]);
});

test('above the limit sums stay exact, and merging is said while it lasts', async () => {
  const metrics = new MetricRegistry([]);
  let now = 0;
  const rules = new RuleMetrics(metrics, { instance: 'one', seriesMax: 5, now: () => now });
  for (let index = 0; index < 100; index++) rules.onFlows([denied(index, `10.1.0.${index}`)]);
  const text = await metrics.text();
  for (const name of ['cnx_policy_rule_packets', 'calico_denied_packets']) {
    assert.equal(sum(values(text, name)), 100, name);
    assert.ok(values(text, name).length <= 11, `${name}: ${values(text, name).length}`);
  }
  assert.match(text, /^tortie_rule_series_merged [1-9]\d*$/m);
  now = 60_000;
  assert.match(await metrics.text(), /^tortie_rule_series_merged 0$/m, 'they were silent');
});

test('a series without packets goes after a while', async () => {
  const metrics = new MetricRegistry([]);
  let now = 0;
  const rules = new RuleMetrics(metrics, { instance: 'one', retentionMs: 30_000, now: () => now });
  rules.onFlows([flow()]);
  now = 30_000;
  assert.equal(values(await metrics.text(), 'cnx_policy_rule_connections').length, 1);
  now = 30_001;
  assert.equal(values(await metrics.text(), 'cnx_policy_rule_connections').length, 0);
});
