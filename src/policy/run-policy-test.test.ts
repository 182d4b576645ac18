// Policy tests: lists become combinations, and a failure says what was found.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readPolicyTest } from './policy-test.ts';
import { checkAssertion } from './run-policy-test.ts';
import { namespace, networkPolicy, pod, rule } from './sample-cluster.ts';
import { buildWorld } from './world.ts';

const WORLD = buildWorld([
  namespace('shop'),
  pod('shop/web', ['10.0.0.1'], { labels: { app: 'web' } }),
  pod('shop/db', ['10.0.0.2'], { labels: { app: 'db' } }),
  networkPolicy('shop/db', {
    selector: "app == 'db'",
    ingress: [rule('Allow', { selector: "app == 'web'" }, { ports: [5432] })],
  }),
]);

function readSpec(spec: object) {
  return readPolicyTest({ apiVersion: 'tortie.dev/v1', kind: 'PolicyTest', spec });
}

/** The failure of each combination; undefined where it holds. */
function failures(assertion: object): (string | undefined)[] {
  const { test: read, problems } = readSpec({ assertions: [assertion] });
  assert.deepEqual(problems, []);
  return (read?.assertions ?? []).map((it) => checkAssertion(WORLD, it).failure);
}

test('lists of ends and ports are every combination', () => {
  const from = ['shop/web', '203.0.113.7'];
  const found = failures({ from, to: 'shop/db', port: [5432, 'udp/53'], expect: 'deny' });
  assert.deepEqual(found, ['expected deny, but it is allow', undefined, undefined, undefined]);
});

test('the decider may be said in part, and is found on either side', () => {
  const allow = { from: 'shop/web', to: 'shop/db', port: 5432, expect: 'allow' };
  const by = (decider: object) => failures({ ...allow, by: decider })[0];
  assert.equal(by({ policy: 'shop/db', rule: 0 }), undefined);
  assert.equal(by({ policy: 'NetworkPolicy shop/db', tier: 'default' }), undefined);
  assert.equal(by({ direction: 'egress', tier: null, policy: null }), undefined);
  assert.match(
    by({ policy: 'GlobalNetworkPolicy shop/db' }) ?? '',
    /^it is allow, but not by policy/,
  );
  assert.match(by({ direction: 'egress', rule: 0 }) ?? '', /: egress by no policy$/);
});

test('an end that does not exist fails, whatever was expected', () => {
  const [failure] = failures({ from: 'shop/webb', to: 'shop/db', port: 1, expect: 'deny' });
  assert.equal(failure, 'Cannot find pod "shop/webb": did you mean shop/web?');
});

test('combinations are bounded', () => {
  const many = Array.from({ length: 400 }, (_, index) => `10.9.${index >> 8}.${index & 255}`);
  const { test: read, problems } = readSpec({
    assertions: [{ from: many, to: many, port: 1, expect: 'deny' }],
  });
  assert.equal(read, undefined);
  assert.match(problems[0]?.message ?? '', /^there are more than 100000 combinations/);
});
