// Manifests: documents, lists, YAML as Kubernetes reads it, and problems with their lines.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadManifests } from './load-manifests.ts';

const POLICY = `apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: web
  namespace: shop
spec:
  selector: app == "web"
  ingress:
  - action: Allow
    protocol: TCP
    destination:
      ports: [80, 1000:2000, 10:20]
`;

test('several documents, JSON among them, in order and with defaults', () => {
  const json = JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } });
  const { resources, problems } = loadManifests(
    `${json}\n---\n# only a comment\n---\n${POLICY}`,
    'a',
  );
  assert.deepEqual(problems, []);
  assert.deepEqual(
    resources.map(({ kind }) => kind),
    ['Namespace', 'NetworkPolicy'],
  );
  const spec = (resources[1] as unknown as { spec: Record<string, unknown> }).spec;
  assert.equal(spec['tier'], 'default');
  assert.deepEqual(spec['types'], ['Ingress']);
});

test('a range of ports is a text and no number to the base 60', () => {
  const { resources } = loadManifests(POLICY, 'a');
  assert.match(JSON.stringify(resources[0]), /\[80,"1000:2000","10:20"\]/);
});

test('a name that looks like an exponent stays a name, a number a number', () => {
  for (const [text, value] of [
    ['e1', 'e1'],
    ['.e1', '.e1'],
    ['1e3', 1000],
    ['1.5', 1.5],
    ['.5', 0.5],
    ['-2.5e1', -25],
  ] as const) {
    const { resources, problems } = loadManifests(
      `apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [], it: ${text}}\n`,
      'a',
    );
    assert.deepEqual(problems, []);
    assert.equal((resources[0] as unknown as { spec: { it: unknown } }).spec.it, value);
  }
});

test('booleans as in YAML 1.1, times as texts', () => {
  const text = `apiVersion: v1
kind: Pod
metadata: {name: a, creationTimestamp: 2026-01-02T03:04:05Z}
spec: {hostNetwork: yes, containers: []}
`;
  const { resources, problems } = loadManifests(text, 'a');
  assert.deepEqual(problems, []);
  assert.match(JSON.stringify(resources[0]), /"2026-01-02T03:04:05Z".*"hostNetwork":true/);
});

test('a word that YAML takes for true or false is told to need quotes', () => {
  const text = 'apiVersion: v1\nkind: Namespace\nmetadata: {name: no}\n';
  const { problems } = loadManifests(text, 'a');
  assert.equal(problems[0]?.message, 'must be a text, is false; put the value in quotes');
});

test('lists are taken apart, also in lists', () => {
  const item = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'a' } };
  const inner = { apiVersion: 'v1', kind: 'NamespaceList', items: [item, item] };
  const text = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [inner, item] });
  assert.equal(loadManifests(text, 'a').resources.length, 3);
});

test('problems carry source, document and the line of the field', () => {
  const text = `${POLICY}---\n${POLICY.replace('selector: app ==', 'selectr: app ==')
    .replace('protocol: TCP', 'protocol: TPC')
    .replace('name: web', 'name: Web')}`;
  const { resources, problems } = loadManifests(text, 'web.yaml');
  assert.equal(resources.length, 1);
  assert.deepEqual(
    problems.map(({ source, document, line, path }) => [source, document, line, path]),
    [
      ['web.yaml', 2, 20, 'spec.selectr'],
      ['web.yaml', 2, 23, 'spec.ingress[0].protocol'],
    ],
  );
  assert.match(problems[0]?.message ?? '', /did you mean "selector"\?/);
});

test('an item of a list that is wrong leaves the others', () => {
  const text = `kind: List
apiVersion: v1
items:
- apiVersion: v1
  kind: Namespace
  metadata: {name: a}
- apiVersion: v1
  kind: Namespace
  metadata:
    name: A b
`;
  const { resources, problems } = loadManifests(text, 'a');
  assert.equal(resources.length, 1);
  assert.deepEqual(
    problems.map(({ line, path }) => [line, path]),
    [[10, 'metadata.name']],
  );
});

test('kinds of others are left out with a warning, misspelt ones are errors', () => {
  const text = `apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
---
apiVersion: v1
kind: LimitRange
metadata: {name: a}
---
apiVersion: projectcalico.org/v3
kind: NetworkPolcy
metadata: {name: a}
---
apiVersion: v1
kind: NetworkPolicy
metadata: {name: a}
`;
  const { problems } = loadManifests(text, 'a');
  assert.deepEqual(
    problems.map(({ severity, line }) => [severity, line]),
    [
      ['warning', 1],
      ['warning', 5],
      ['error', 10],
      ['error', 13],
    ],
  );
  assert.match(problems[2]?.message ?? '', /did you mean "NetworkPolicy"/);
  assert.match(problems[3]?.message ?? '', /"networking.k8s.io\/v1" or "projectcalico.org\/v3"/);
});

test('broken, hostile and huge texts are problems, not exceptions', () => {
  const bomb = `a: &a [x,x,x,x,x,x,x,x,x,x]
b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]
c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]
d: [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]
`;
  const texts = [
    'a: [',
    'a: 1\na: 2',
    bomb,
    '['.repeat(50_000),
    'x'.repeat(16_777_217),
    '- 1',
    'text',
  ];
  for (const text of texts) {
    const { resources, problems } = loadManifests(text, 'a');
    assert.deepEqual(resources, []);
    assert.ok(
      problems.some(({ severity }) => severity === 'error'),
      text.slice(0, 20),
    );
  }
  assert.deepEqual(loadManifests('', 'a'), { resources: [], problems: [] });
});
