// The state forgets how it came about, and keeps what did not change (SPEC.md: CG1, CG2).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Resource } from '#api';
import type { SyncerUpdate } from '#datastore/syncer';
import {
  calico,
  graphOf,
  HOST,
  namespace,
  pod,
  serviceAccount,
  update,
  plain,
} from './cluster-fixture.ts';
import { CalcGraph } from './graph.ts';

const SEED = Number(process.env['SEED'] ?? Math.trunc(Math.random() * 2 ** 31));

const label = fc.constantFrom({}, { app: 'web' }, { app: 'db' }, { app: 'web', zone: 'a' });
const selector = fc.constantFrom('all()', 'app == "web"', 'has(zone)', '!has(app)', 'app ==');
const rule = fc.record({
  action: fc.constantFrom('Allow', 'Deny', 'Pass'),
  source: fc.record({ selector, notSelector: selector }, { requiredKeys: [] }),
});
const policySpec = fc.record({
  order: fc.constantFrom(1, 1, 2, undefined),
  tier: fc.constantFrom('default', 'first'),
  selector,
  ingress: fc.array(rule, { maxLength: 2 }),
});
/** Several values of few keys, so that sequences replace and remove. */
const anyResource: fc.Arbitrary<Resource> = fc.oneof(
  label.map((labels) => namespace('shop', labels)),
  label.map((labels) => serviceAccount('shop/default', labels)),
  fc
    .tuple(fc.constantFrom('web', 'db', 'cart'), fc.constantFrom(HOST, 'two'), label, fc.nat(3))
    .map(([name, node, labels, n]) => pod(`shop/${name}`, `10.0.0.${n}`, { node, labels })),
  fc
    .tuple(fc.constantFrom('a', 'b', 'a-b'), policySpec)
    .map(([name, spec]) => calico('NetworkPolicy', `shop/${name}`, spec)),
  fc
    .tuple(fc.constantFrom('a', 'b'), policySpec)
    .map(([name, spec]) => calico('GlobalNetworkPolicy', name, spec)),
  fc.constantFrom(1, 2e6).map((order) => calico('Tier', 'first', { order })),
  fc
    .tuple(label, fc.subarray(['192.0.2.0/24', '10.0.0.1/32', 'fd00::/8']))
    .map(([labels, nets]) => calico('GlobalNetworkSet', 'set', { nets }, labels)),
);
const step = fc
  .tuple(anyResource, fc.constantFrom(false, false, true))
  .map(([one, gone]) => update(one, gone));

function resultOf(updates: readonly SyncerUpdate[]) {
  const graph = new CalcGraph(HOST);
  graph.onUpdates(updates);
  return { state: plain(graph.state()), problems: graph.problems() };
}

/** The last value of each key: what the datastore holds in the end. */
function remaining(updates: readonly SyncerUpdate[]): SyncerUpdate[] {
  const last = new Map(updates.map((one) => [one.key, one]));
  return [...last.values()].filter((one) => one.resource !== undefined);
}

test('[CG1] any way to the same resources gives the same state', (t) => {
  const shuffle = fc.array(fc.nat(), { minLength: 40, maxLength: 40 });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), shuffle, (updates, keys) => {
      const direct = remaining(updates);
      const expected = resultOf(direct);
      assert.deepEqual(resultOf(direct.toReversed()), expected, 'reversed');
      const shuffled = direct
        .map((one, index) => ({ one, key: keys[index] ?? 0 }))
        .sort((a, b) => a.key - b.key)
        .map(({ one }) => one);
      assert.deepEqual(resultOf([...shuffled, ...shuffled]), expected, 'shuffled and repeated');
      const stepwise = new CalcGraph(HOST);
      for (const one of updates) {
        stepwise.onUpdates([one]);
        stepwise.state();
      }
      assert.deepEqual(
        { state: plain(stepwise.state()), problems: stepwise.problems() },
        expected,
        'stepwise',
      );
    }),
    { seed: SEED, numRuns: 300 },
  );
  t.diagnostic(`seed ${SEED}`);
});

test('[CG1] the state of nothing is empty, also after everything has gone', () => {
  const all = [namespace('shop'), pod('shop/web', '10.0.0.1')];
  const graph = graphOf(...all);
  graph.state();
  graph.onUpdates(all.map((one) => update(one, true)));
  assert.deepEqual(plain(graph.state()), plain(graphOf().state()));
  assert.equal(graph.state().endpoints.size, 0);
});

const CLUSTER = [
  namespace('shop'),
  pod('shop/web', '10.0.0.1', { labels: { app: 'web' } }),
  pod('shop/db', '10.0.0.2', { labels: { app: 'db' } }),
  calico('NetworkPolicy', 'shop/p', {
    selector: 'app == "db"',
    ingress: [{ action: 'Allow', source: { selector: 'app == "web"' } }],
  }),
  calico('NetworkPolicy', 'shop/q', {
    selector: 'app == "web"',
    egress: [{ action: 'Allow', destination: { selector: 'app == "db"' } }],
  }),
];

test('[CG2] without a change, and after one that changes nothing, the state is the same object', () => {
  const graph = graphOf(...CLUSTER);
  const before = graph.state();
  assert.equal(graph.state(), before);
  graph.onUpdates(structuredClone(CLUSTER).map((one) => update(one)));
  assert.equal(graph.state(), before, 'equal resources');
  graph.onUpdates([update(pod('other/remote', '10.0.9.9', { node: 'two' }))]);
  assert.equal(graph.state(), before, 'a pod that no selector reaches');
});

test('[CG2] a change leaves the identity of everything that it does not touch', () => {
  const graph = graphOf(...CLUSTER);
  const before = graph.state();
  graph.onUpdates([update(pod('shop/web-2', '10.0.1.3', { node: 'two', labels: { app: 'web' } }))]);
  const after = graph.state();
  assert.notEqual(after, before);
  assert.equal(after.policies, before.policies);
  assert.equal(after.endpoints, before.endpoints);
  assert.equal(after.routes, before.routes);
  const changed = [...after.ipSets].filter(([id, set]) => before.ipSets.get(id) !== set);
  assert.deepEqual(
    changed.map(([, set]) => [...set.members]),
    [['10.0.0.1/32', '10.0.1.3/32']],
  );
  assert.deepEqual([...(before.ipSets.get(changed[0]?.[0] ?? '')?.members ?? [])], ['10.0.0.1/32']);
});

test('[CG2] a policy that only got an annotation stays the same object', () => {
  const graph = graphOf(...CLUSTER);
  const before = graph.state();
  const [, , , policy] = structuredClone(CLUSTER);
  assert.ok(policy);
  const metadata = { ...policy.metadata, annotations: { note: 'new' } };
  graph.onUpdates([update({ ...policy, metadata } as Resource)]);
  assert.equal(graph.state(), before);
});
