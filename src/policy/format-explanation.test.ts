// What people read: the verdict first, each half's decider, why policies were passed over, what to change.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Resource } from '#api';
import { evaluate } from './evaluate.ts';
import { formatExplanation } from './format-explanation.ts';
import { parseParty } from './party.ts';
import { felix, globalPolicy, namespace, networkPolicy, node, pod } from './sample-cluster.ts';
import { hostEndpoint, resource, rule, tier } from './sample-cluster.ts';
import { buildWorld } from './world.ts';

const CLUSTER: readonly Resource[] = [
  node('one', '192.0.2.1'),
  namespace('shop'),
  pod('shop/web', ['10.0.0.1'], { labels: { app: 'web', tier: 'front' } }),
  pod('shop/db', ['10.0.0.2'], { labels: { app: 'db' } }),
  pod('lab/spy', ['10.0.1.1'], { labels: { run: 'true' } }),
];

const guard = networkPolicy('shop/db', {
  selector: "app == 'db'",
  ingress: [
    rule('Allow', { selector: "app == 'admin'" }, { ports: [22] }),
    rule('Allow', { selector: "app == 'web'" }, { ports: [5432, 6432] }),
  ],
});

const kubernetes = resource(
  'networking.k8s.io/v1',
  'NetworkPolicy',
  { name: 'db', namespace: 'shop' },
  {
    spec: {
      podSelector: { matchLabels: { app: 'db' } },
      ingress: [{ from: [{ podSelector: { matchLabels: { app: 'web' } } }] }],
    },
  },
);

function explain(resources: readonly Resource[], from: string, to: string, port = 80): string {
  const world = buildWorld(resources);
  const packet = { from: parseParty(world, from), to: parseParty(world, to), protocol: 6, port };
  return formatExplanation(evaluate(world, packet), packet, world);
}

test('the verdict stands first, then each half with what decided it', () => {
  const [first, ...rest] = explain([...CLUSTER, guard], 'shop/web', 'shop/db', 5432).split('\n');
  assert.equal(first, 'ALLOW  shop/web -> shop/db, TCP port 5432');
  assert.ok(rest.includes('egress at shop/web: allow, decided by no policy'));
  assert.ok(
    rest.includes('ingress at shop/db: allow, by rule 1 of NetworkPolicy shop/db in tier default'),
  );
  assert.ok(!rest.includes('What to change'));
});

test('where what is denied passes all the same, that is said', () => {
  const override = (action: string) => felix({ dropActionOverride: action });
  const note = 'dropActionOverride lets what is denied pass on node one';
  for (const action of ['Accept', 'LogAndAccept']) {
    const resources = [...CLUSTER, guard, override(action)];
    assert.ok(explain(resources, 'lab/spy', 'shop/db').includes(note));
    assert.ok(!explain(resources, 'shop/web', 'shop/db', 5432).includes(note));
  }
  for (const action of ['Drop', 'LogAndDrop']) {
    assert.ok(!explain([...CLUSTER, guard, override(action)], 'lab/spy', 'shop/db').includes(note));
  }
});

test('a denied half names the nearest rule, the condition that failed and a rule to add', () => {
  const text = explain([...CLUSTER, guard], 'shop/web', 'shop/db', 8080);
  assert.match(text, /^DENY {2}shop\/web -> shop\/db/);
  assert.match(text, /ingress at shop\/db: deny, by the default action of tier default/);
  const nearest =
    'nearest rule that allows is rule 1 of NetworkPolicy shop/db; it would match but for this: ' +
    'destination port 8080 is not in 5432,6432.';
  assert.ok(text.includes(nearest), text);
  assert.ok(text.includes("selector: app == 'web'\n"), text);
  assert.ok(text.includes('ports: [8080]'), text);
});

test('the label that differs is named', () => {
  const text = explain([...CLUSTER, guard], 'lab/spy', 'shop/db', 5432);
  assert.match(
    text,
    /source lab\/spy is not selected by app == 'web' in namespace shop \(label app is absent, its namespace is "lab"\)/,
  );
});

test('the rule to add speaks the language of its policy', () => {
  const text = explain([...CLUSTER, kubernetes], 'lab/spy', 'shop/db', 5432);
  assert.ok(text.includes('Add this ingress rule to KubernetesNetworkPolicy shop/db:'), text);
  assert.ok(
    text.includes('- namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: lab}}'),
  );
  assert.ok(text.includes('podSelector: {matchLabels: {run: "true"}}'), text);
  assert.ok(text.includes('- {protocol: TCP, port: 5432}'));
  const outside = explain([...CLUSTER, kubernetes], '198.51.100.7', 'shop/db');
  assert.ok(outside.includes('- ipBlock: {cidr: 198.51.100.7/32}'), outside);
});

test('against a rule that denies, the rule to add goes before it', () => {
  const deny = globalPolicy('no', {
    tier: 'first',
    selector: "app == 'db'",
    ingress: [rule('Deny')],
  });
  const text = explain([...CLUSTER, tier('first', 1), deny], 'shop/web', 'shop/db');
  const where =
    'Add this ingress rule to GlobalNetworkPolicy no before its rule 0, ' +
    'or to a policy that comes earlier in tier first:';
  assert.ok(text.includes(where), text);
  assert.ok(text.includes("namespaceSelector: projectcalico.org/name == 'shop'"), text);
});

test('policies of other namespaces are counted, and stand-in addresses told', () => {
  const far = ['a', 'b', 'c'].map((name) => networkPolicy(`lab/${name}`, { ingress: [] }));
  const text = explain([...CLUSTER, ...far, pod('shop/new', [])], 'shop/new', 'shop/db');
  assert.match(text, /tier default, 3 policies of other namespaces/);
  assert.match(text, /shop\/new has no address yet: 240\.0\.255\.254 stands in/);
});

test('[PE34] who may have to be asked in the place of whom, what that one would say and how to know', () => {
  const endpoints = [
    hostEndpoint('a', { node: 'one', interfaceName: 'eth0' }, { of: 'a' }),
    hostEndpoint('b', { node: 'one', expectedIPs: ['192.0.2.1'] }),
  ];
  const open = globalPolicy('open', { selector: "of == 'a'", ingress: [rule('Allow')] });
  const text = explain([...endpoints, open], '198.51.100.7', 'node:one');
  const [headline, ...lines] = text.split('\n').slice(0, 3);
  assert.equal(headline, 'DENY  198.51.100.7 -> node:one, TCP port 80');
  assert.deepEqual(lines, [
    'Not certain: ingress is judged by HostEndpoint b, ' +
      'and may be by HostEndpoint a: allow, by rule 0 of GlobalNetworkPolicy open in tier default',
    '  Node one does not say which interface has which address: ' +
      'set spec.interfaces, or annotation projectcalico.org/Interfaces',
  ]);
});
