// Who asks late pays for what is there, not for what happened (SPEC.md: CG31).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SyncerUpdate } from '#datastore/syncer';
import { calico, HOST, namespace, pod, update } from './cluster-fixture.ts';
import { CalcGraph } from './graph.ts';

/** Its resource counts how often somebody looks at its specification. */
function watched(one: SyncerUpdate, onLook: () => void): SyncerUpdate {
  const resource = one.resource && { ...one.resource };
  if (!resource) return one;
  const spec: unknown = Reflect.get(resource, 'spec');
  Object.defineProperty(resource, 'spec', {
    get: () => {
      onLook();
      return spec;
    },
    enumerable: true,
  });
  return { ...one, resource };
}

const policy = (port: number) =>
  calico('NetworkPolicy', 'shop/p', {
    ingress: [{ action: 'Allow', protocol: 'TCP', destination: { ports: [port] } }],
  });

test('[CG31] many changes of few keys are worked in once a key', () => {
  const graph = new CalcGraph(HOST);
  graph.onUpdates([update(namespace('shop')), update(pod('shop/web', '10.0.0.1'))]);
  let looks = 0;
  for (let port = 1; port <= 10_000; port++) {
    graph.onUpdates([watched(update(policy(port)), () => looks++)]);
  }
  assert.equal(looks, 0, 'nobody has asked yet');
  const { policies } = graph.state();
  assert.deepEqual(policies.get('NetworkPolicy/shop/p')?.ingress[0]?.destination.ports, [
    [10_000, 10_000],
  ]);
  assert.ok(looks < 20, `looked ${looks} times at 10,000 values of one policy`);
});

test('[CG31] what waits is bounded: of many keys the first are worked in as the rest come', () => {
  const graph = new CalcGraph(HOST);
  let worked = 0;
  for (let n = 0; n < 5000; n++) {
    const one = update(pod(`shop/p${n}`, `10.1.${n >> 8}.${n & 255}`, { node: 'two' }));
    let isFirst = true;
    const count = () => {
      if (isFirst) worked++;
      isFirst = false;
    };
    graph.onUpdates([watched(one, count)]);
    assert.ok(n + 1 - worked <= 1001, `${n + 1 - worked} values wait`);
  }
  assert.ok(worked >= 4000);
});

test('[CG30] a state stays what it was', () => {
  const graph = new CalcGraph(HOST);
  const rule = { action: 'Allow', source: { selector: 'app == "db"' } };
  const db = (n: number) =>
    pod(`shop/db${n}`, `10.0.1.${n}`, { labels: { app: 'db' }, node: 'two' });
  graph.onUpdates(
    [
      namespace('shop'),
      pod('shop/web', '10.0.0.1'),
      calico('NetworkPolicy', 'shop/p', { ingress: [rule] }),
    ].map((one) => update(one)),
  );
  const states = Array.from({ length: 20 }, (_, n) => {
    graph.onUpdates([update(db(n)), ...(n > 4 ? [update(db(n - 5), true)] : [])]);
    return graph.state();
  });
  for (const [n, state] of [...states.entries()].reverse()) {
    const [set] = state.ipSets.values();
    const expected = [0, 1, 2, 3, 4].map((back) => n - back).filter((one) => one >= 0);
    assert.deepEqual(
      new Set(set?.members),
      new Set(expected.map((one) => `10.0.1.${one}/32`)),
      `state ${n}`,
    );
  }
});
