// What users may ask for, what it means, and what they are told when it makes no sense.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DB, end, flow, OUTSIDE, step } from './flow-fixture.ts';
import { FlowAggregator } from './flow-aggregator.ts';
import { conditionOf, InvalidFlowFilter, matchesFlow, parseFlowFilter } from './flow-filter.ts';
import { matchesRecord } from './flow-query.ts';

const NOW = Date.UTC(2026, 0, 31, 12, 0, 0);
const asked = (params: Record<string, string>, one = flow({ endTime: NOW - 60_000 })) =>
  matchesFlow(parseFlowFilter(params, NOW), one);

test('each end by namespace, name, address and prefix', () => {
  const matching = [
    'shop/web',
    'shop/',
    'web',
    'shop/*',
    'we*',
    '*',
    'shop/w*',
    '/web',
    '10.0.1.1',
    '10.0.0.0/8',
  ];
  for (const from of matching) assert.ok(asked({ from }), from);
  const others = [
    'shop/db',
    'data/',
    'db',
    'sho/',
    'shop',
    'e*',
    '10.0.1.2',
    '10.0.2.0/24',
    '::/0',
  ];
  for (const from of others) assert.ok(!asked({ from }), from);
  assert.ok(asked({ to: 'data/db' }));
  assert.ok(!asked({ to: 'shop/web' }));
  const host = flow({ source: end('one', '172.16.0.1', { type: 'host', namespace: null }) });
  assert.ok(asked({ from: 'one' }, host));
  assert.ok(!asked({ from: 'shop/one' }, host));
  const v6 = flow({ destination: end('data/db', 'fd00::7') });
  assert.ok(asked({ to: 'fd00::/64' }, v6));
  assert.ok(asked({ to: 'fd00:0::7' }, v6));
});

test('policy by name, tier, tier/name and namespace/name, anywhere in the trace', () => {
  const one = flow({
    endTime: NOW,
    policies: [
      step('egress', 'pass', { tier: 'platform', name: 'passer', namespace: null }),
      step('egress', 'deny', { name: null, kind: null, namespace: null, rule: -1 }),
    ],
  });
  for (const policy of [
    'passer',
    'platform',
    'platform/passer',
    'default',
    'pass*',
    'platform/*',
  ]) {
    assert.ok(asked({ policy }, one), policy);
  }
  for (const policy of ['other', 'default/passer', 'default/x*']) {
    assert.ok(!asked({ policy }, one), policy);
  }
  assert.ok(asked({ policy: 'data/db' }));
});

test('verdict, port, protocol and time', () => {
  assert.ok(asked({ verdict: 'allow', port: '5432', protocol: 'TCP' }));
  assert.ok(!asked({ verdict: 'deny' }));
  assert.ok(!asked({ port: '80' }));
  assert.ok(!asked({ protocol: 'udp' }));
  assert.ok(asked({ since: '60s' }));
  assert.ok(asked({ since: '5m' }));
  assert.ok(!asked({ since: '59s' }));
  assert.ok(asked({ since: '2026-01-31T12:59:00+01:00' }));
  assert.ok(!asked({ since: '2026-01-31T11:59:00.5Z' }));
});

test('all problems are told at once', () => {
  const params = {
    from: 'a/b/c',
    to: 'a*b',
    verdict: 'maybe',
    policy: 'a/',
    since: 'yesterday',
    port: '0',
    protocol: 'tcp/80',
    limit: '-1',
    form: 'typo',
    constructor: 'x',
  };
  assert.throws(
    () => parseFlowFilter(params, NOW),
    (error) => {
      assert.ok(error instanceof InvalidFlowFilter);
      assert.deepEqual(
        error.problems.map((problem) => problem.split(' ')[0]),
        Object.keys(params),
      );
      assert.match(error.message, /form "typo" is no filter; use from, to/);
      return true;
    },
  );
  assert.throws(() => parseFlowFilter({ from: 'x'.repeat(1000) }, NOW), /longer than 512/);
});

test('what is absent or empty is no condition', () => {
  assert.deepEqual(parseFlowFilter({ from: '', to: undefined }, NOW), {});
  assert.deepEqual(parseFlowFilter({ limit: '20' }, NOW), { limit: 20 });
  assert.ok(matchesFlow({}, flow({ source: end('x', OUTSIDE), destination: end('y', DB) })));
});

test('a filter means the same for kept records', () => {
  const flows = [
    flow({ endTime: NOW }),
    flow({ endTime: NOW, verdict: 'deny', port: 53, protocol: 'udp' }),
    flow({ endTime: NOW, source: end('one', '172.16.0.1', { type: 'host', namespace: null }) }),
    flow({
      endTime: NOW,
      source: end('shop/web', '10.0.1.1', { labels: { app: 'web' } }),
      destination: end('data/db', 'fd00::7', { labels: { app: 'db', tier: 'back' } }),
      service: { namespace: 'data', name: 'db', portName: 'sql', port: 5432 },
      process: { name: 'curl', pid: 7, args: [] },
      pending: [step('egress', 'deny', { tier: 'security', name: 'security.block' })],
    }),
  ];
  const filters: Record<string, string>[] = [
    { from: 'shop/web' },
    { from: 'shop/' },
    { from: '*' },
    { from: '*/*' },
    { to: 'fd00::/64' },
    { from: '10.0.0.0/8', verdict: 'deny' },
    { verdict: 'allow', port: '5432' },
    { protocol: 'udp' },
    { namespace: 'data' },
    { namespace: '*' },
    { selector: "app == 'db'" },
    { 'from-selector': "app == 'db'" },
    { 'to-selector': 'has(tier)' },
    { service: 'db' },
    { service: 'data/d*' },
    { service: 'shop/db' },
    { process: 'curl' },
    { reporter: 'src' },
    { reporter: 'dst' },
    { pending: 'security.block' },
    { pending: 'other' },
  ];
  for (const params of filters) {
    const filter = parseFlowFilter(params, NOW);
    for (const one of flows) {
      const aggregator = new FlowAggregator({ allowedLevel: 0, deniedLevel: 0 });
      aggregator.add(one, NOW);
      const [record] = aggregator.current();
      assert.ok(record);
      const said = `${JSON.stringify(params)} of ${one.source.name} to ${one.destination.name}`;
      assert.equal(matchesRecord(conditionOf(filter), record), matchesFlow(filter, one), said);
    }
  }
});

test('policies of kept records by name, tier and namespace', () => {
  const aggregator = new FlowAggregator();
  aggregator.add(
    flow({
      endTime: NOW,
      policies: [step('egress', 'deny', { tier: 'security', namespace: 'shop', name: 'block' })],
    }),
    NOW,
  );
  const [record] = aggregator.current();
  const found = (policy: string): boolean =>
    record !== undefined && matchesRecord(conditionOf(parseFlowFilter({ policy }, NOW)), record);
  for (const policy of ['block', 'security', 'security/block', 'shop/block', 'bl*', 'shop/*']) {
    assert.ok(found(policy), policy);
  }
  for (const policy of ['lock', 'data/block', 'default/block', 'shop/lock']) {
    assert.ok(!found(policy), policy);
  }
});

test('wrong selectors, services and times are told', () => {
  assert.throws(
    () =>
      parseFlowFilter({ selector: 'app ==', until: 'soon', service: 'a/b/c', reporter: 'x' }, NOW),
    (error: unknown) => error instanceof InvalidFlowFilter && error.problems.length === 4,
  );
});
