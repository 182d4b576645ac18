// The would-be verdict of staged policies beside the enforced one: what Set, Delete, Learn and Ignore would do.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Resource } from '#api';
import { evaluate } from './evaluate.ts';
import { formatExplanation } from './format-explanation.ts';
import { parseParty } from './party.ts';
import { readPolicyTest } from './policy-test.ts';
import { checkAssertion } from './run-policy-test.ts';
import { ask, globalPolicy, hostEndpoint, networkPolicy, node, pod } from './sample-cluster.ts';
import { resource, rule, tier } from './sample-cluster.ts';
import { buildWorld } from './world.ts';

const CLUSTER: readonly Resource[] = [
  node('one', '192.0.2.1'),
  pod('shop/web', ['10.0.0.1'], { labels: { app: 'web' } }),
  pod('shop/db', ['10.0.0.2'], { labels: { app: 'db' } }),
  pod('lab/spy', ['10.0.1.1'], { labels: { app: 'spy' } }),
];

const DENY = { selector: "app == 'db'", ingress: [rule('Deny')] };
const ALLOW = { selector: "app == 'db'", ingress: [rule('Allow')] };

/** Staged with the given action; undefined: none written. */
function staged(policy: Resource, stagedAction?: string): Resource {
  const { spec } = policy as Resource & { spec: object };
  const kubernetes = policy.apiVersion === 'networking.k8s.io/v1' ? 'Kubernetes' : '';
  return resource('projectcalico.org/v3', `Staged${kubernetes}${policy.kind}`, policy.metadata, {
    spec: stagedAction === undefined ? spec : { ...spec, stagedAction },
  });
}

/** `enforced`, or `enforced, pending`, from shop/web to shop/db. */
function verdicts(policies: readonly Resource[], from = 'shop/web', to = 'shop/db'): string {
  const { verdict, pending } = ask([...CLUSTER, ...policies], from, to);
  return pending ? `${verdict}, ${pending.verdict}` : verdict;
}

const kubernetes = resource(
  'networking.k8s.io/v1',
  'NetworkPolicy',
  { name: 'p', namespace: 'shop' },
  { spec: { podSelector: { matchLabels: { app: 'db' } } } },
);

test('Set, or no action, adds a policy or takes the place of its namesake, for each kind', () => {
  const denials = [networkPolicy('shop/p', DENY), globalPolicy('p', DENY), kubernetes];
  for (const denial of denials) {
    assert.equal(verdicts([staged(denial, 'Set')]), 'allow, deny');
    assert.equal(verdicts([staged(denial)]), 'allow, deny');
  }
  assert.equal(
    verdicts([networkPolicy('shop/p', DENY), staged(networkPolicy('shop/p', ALLOW))]),
    'deny, allow',
  );
  assert.equal(
    verdicts([globalPolicy('p', DENY), staged(globalPolicy('p', ALLOW))]),
    'deny, allow',
  );
  const open = { ...kubernetes, spec: { podSelector: {}, ingress: [{}] } };
  assert.equal(verdicts([kubernetes, staged(open)]), 'deny, allow');
});

test('Delete removes the namesake of the same kind and namespace, and without one changes nothing', () => {
  const remove = staged(networkPolicy('shop/p', {}), 'Delete');
  assert.equal(verdicts([networkPolicy('shop/p', DENY), remove]), 'deny, allow');
  assert.equal(verdicts([remove]), 'allow');
  assert.equal(verdicts([globalPolicy('p', DENY), remove]), 'deny');
  assert.equal(verdicts([networkPolicy('shop/other', DENY), remove]), 'deny');
  assert.equal(verdicts([kubernetes, remove]), 'deny');
  assert.equal(verdicts([kubernetes, staged(kubernetes, 'Delete')]), 'deny, allow');
  const elsewhere = staged(networkPolicy('lab/p', {}), 'Delete');
  assert.equal(verdicts([networkPolicy('shop/p', DENY), elsewhere]), 'deny');
});

test('Learn and Ignore do nothing', () => {
  for (const action of ['Learn', 'Ignore']) {
    assert.equal(verdicts([staged(networkPolicy('shop/p', DENY), action)]), 'allow');
    const set = staged(networkPolicy('shop/q', DENY));
    assert.equal(verdicts([staged(globalPolicy('p', ALLOW), action), set]), 'allow, deny');
  }
});

test('[PE13] a would-be verdict is told where a staged policy applies to an end, in the way that counts', () => {
  const guard = staged(networkPolicy('shop/p', ALLOW));
  assert.equal(verdicts([guard]), 'allow, allow');
  assert.equal(verdicts([guard], 'shop/db', 'shop/web'), 'allow');
  assert.equal(verdicts([guard], 'shop/web', 'lab/spy'), 'allow');
  const out = staged(networkPolicy('shop/p', { selector: "app == 'web'", egress: [rule('Deny')] }));
  assert.equal(verdicts([out]), 'allow, deny');
  const narrower = staged(networkPolicy('shop/p', { ...DENY, selector: "app == 'other'" }));
  assert.equal(verdicts([networkPolicy('shop/p', DENY), narrower]), 'deny, allow');
  const earlier = globalPolicy('a', { ...DENY, order: 1 });
  assert.equal(
    verdicts([earlier, staged(networkPolicy('shop/p', { ...ALLOW, order: 2 }))]),
    'deny, deny',
  );
});

test('[PE13] the enforced answer stays, and the would-be one names the policy that there would be', () => {
  const answer = ask([...CLUSTER, staged(networkPolicy('shop/p', DENY))], 'shop/web', 'shop/db');
  const { pending, ...enforced } = answer;
  assert.deepEqual(Object.keys(enforced), ['verdict', 'egress', 'ingress', 'steps']);
  assert.deepEqual(enforced.ingress, { verdict: 'allow', tier: null, policy: null, rule: -1 });
  assert.ok(enforced.steps.some(({ outcome }) => outcome === 'staged'));
  assert.deepEqual(
    pending,
    ask([...CLUSTER, networkPolicy('shop/p', DENY)], 'shop/web', 'shop/db'),
  );
});

test('a tier in which only staged policies apply passes, and would do what it says', () => {
  const silent = { tier: 'ops', selector: "app == 'db'", ingress: [] };
  const policies = [staged(globalPolicy('ops.p', silent))];
  assert.equal(verdicts([tier('ops', 1), ...policies]), 'allow, deny');
  assert.equal(verdicts([tier('ops', 1, 'Pass'), ...policies]), 'allow, allow');
  const { pending } = ask([...CLUSTER, tier('ops', 1), ...policies], 'shop/web', 'shop/db');
  assert.deepEqual(pending?.ingress, { verdict: 'deny', tier: 'ops', policy: null, rule: -1 });
});

test('host endpoints are ends too', () => {
  const endpoint = hostEndpoint('one', { node: 'one', interfaceName: '*' }, { role: 'host' });
  const policy = staged(
    globalPolicy('p', { selector: "role == 'host'", ingress: [rule('Allow')] }),
  );
  assert.equal(verdicts([endpoint, policy], '198.51.100.7', 'node:one'), 'deny, allow');
});

test('people read it in one line', () => {
  const line = (policies: readonly Resource[]) => {
    const world = buildWorld([...CLUSTER, ...policies]);
    const [from, to] = [parseParty(world, 'shop/web'), parseParty(world, 'shop/db')];
    const packet = { from, to, protocol: 6, port: 80 };
    return formatExplanation(evaluate(world, packet), packet, world).split('\n')[1];
  };
  const start = 'If staged policies were enforced: ';
  assert.equal(
    line([staged(networkPolicy('shop/p', DENY))]),
    `${start}DENY (was ALLOW), ingress by rule 0 of NetworkPolicy shop/p in tier default`,
  );
  const denial = networkPolicy('shop/p', DENY);
  assert.equal(
    line([denial, staged(denial, 'Delete')]),
    `${start}ALLOW (was DENY), decided by no policy`,
  );
  assert.equal(
    line([staged(networkPolicy('shop/p', ALLOW))]),
    `${start}ALLOW (as now), ingress by rule 0 of NetworkPolicy shop/p in tier default`,
  );
  assert.equal(line([]), '');
});

test('a policy test may say what staged policies would do', () => {
  const world = buildWorld([...CLUSTER, staged(networkPolicy('shop/p', DENY))]);
  const failure = (from: string, to: string, pending: string) => {
    const { test: read, problems } = readPolicyTest({
      apiVersion: 'tortie.dev/v1',
      kind: 'PolicyTest',
      spec: { assertions: [{ from, to, port: 80, expect: 'allow', pending }] },
    });
    const [assertion] = read?.assertions ?? [];
    return assertion ? checkAssertion(world, assertion).failure : problems[0]?.message;
  };
  assert.equal(failure('shop/web', 'shop/db', 'deny'), undefined);
  assert.equal(failure('shop/db', 'shop/web', 'allow'), undefined);
  assert.equal(
    failure('shop/web', 'shop/db', 'allow'),
    'expected allow if staged policies were enforced, but it would be deny',
  );
  assert.equal(failure('shop/web', 'shop/db', 'no'), '"no" is neither allow nor deny');
});
