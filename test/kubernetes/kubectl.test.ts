// The real kubectl against `tortie server`: what it prints and how it ends.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { SERVED_KINDS } from '#api';
import { kubectlAt, minorVersion, options } from './kubectl-process.ts';

const SHOP = `
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: web}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: front, namespace: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: front, namespace: shop, labels: {app: front}}
spec:
  nodeName: n1
  serviceAccountName: front
  containers:
  - name: web
    image: web:1
    command: [node, server.js]
    env: [{name: A, value: "1"}, {name: B, value: "2"}]
    ports: [{containerPort: 80, name: http}]
---
apiVersion: v1
kind: Service
metadata: {name: front, namespace: shop}
spec: {selector: {app: front}, ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: front, namespace: shop}
spec:
  podSelector: {matchLabels: {app: front}}
  ingress: [{from: [{podSelector: {}}], ports: [{protocol: TCP, port: 80}]}]
---
apiVersion: projectcalico.org/v3
kind: Tier
metadata: {name: security}
spec: {order: 100}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: security.deny-bad}
spec:
  tier: security
  order: 10
  selector: all()
  types: [Ingress]
  ingress: [{action: Deny, source: {selector: role == "bad"}}, {action: Pass}]
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: allow-web, namespace: shop}
spec:
  selector: app == "front"
  ingress: [{action: Allow, protocol: TCP, destination: {ports: [80, "8000:8010"]}}]
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkSet
metadata: {name: bad, labels: {role: bad}}
spec: {nets: [192.0.2.0/24]}
`;

const words = (line: string): string[] => line.trim().split(/\s{2,}/);
const lines = (text: string): string[] => text.trim().split('\n');

test('kubectl applies, applies again, changes and deletes a manifest', options, async (context) => {
  const kubectl = await kubectlAt(context);
  const shop = await kubectl.file('shop.yaml', SHOP);
  for (const line of lines(await kubectl.ok('apply', '-f', shop))) assert.match(line, / created$/);
  for (const line of lines(await kubectl.ok('apply', '-f', shop)))
    assert.match(line, / unchanged$/);

  const changes = SHOP.replace('{name: B, value: "2"}', '{name: C, value: "3"}')
    .replace('image: web:1', 'image: web:2')
    .replace('order: 10\n', 'order: 20\n')
    .replace(', {action: Pass}', '');
  const changed = await kubectl.file('changed.yaml', changes);
  const applied = lines(await kubectl.ok('apply', '-f', changed));
  assert.deepEqual(
    applied.filter((line) => !line.endsWith(' unchanged')),
    ['pod/front configured', 'globalnetworkpolicy.projectcalico.org/security.deny-bad configured'],
  );
  const path = '{.spec.containers[0].image} {.spec.containers[0].env}';
  assert.equal(
    await kubectl.ok('get', 'pod', 'front', '-n', 'shop', '-o', `jsonpath=${path}`),
    'web:2 [{"name":"A","value":"1"},{"name":"C","value":"3"}]',
  );
  const policy = JSON.parse(await kubectl.ok('get', 'gnp', 'security.deny-bad', '-o', 'json'));
  assert.deepEqual([policy.spec.order, policy.spec.ingress.length], [20, 1]);
  assert.equal(policy.metadata.generation, 2);

  for (const line of lines(await kubectl.ok('delete', '-f', changed)))
    assert.match(line, / deleted$/);
  const left = await kubectl.ok('get', 'pods,cnp,netpol,services,gnp,globalnetworksets', '-A');
  assert.equal(left, '');
  assert.doesNotMatch(await kubectl.ok('get', 'ns,tiers'), /shop|security/);
});

test('kubectl prints every kind: tables, wide, YAML, JSON, names', options, async (context) => {
  const kubectl = await kubectlAt(context);
  await kubectl.ok('apply', '-f', await kubectl.file('shop.yaml', SHOP));
  const resources = lines(await kubectl.ok('api-resources', '--no-headers'));
  // Beside the kinds there are six reviews, which are only created.
  assert.equal(resources.length, SERVED_KINDS.length + 6);
  // In one go for each form: it asks for each kind, and fails where one cannot be printed.
  const names = SERVED_KINDS.map(({ group, plural }) => (group ? `${plural}.${group}` : plural));
  for (const form of ['wide', 'yaml', 'json', 'name']) {
    const printed = await kubectl.ok('get', names.join(','), '-A', '-o', form);
    for (const name of ['front', 'allow-web', 'kube-admin'])
      assert.ok(printed.includes(name), form);
  }
  const table = lines(await kubectl.ok('get', 'cnp', '-A'));
  assert.deepEqual(words(table[0] ?? '').slice(0, 2), ['NAMESPACE', 'NAME']);
  assert.match(table[0] ?? '', /TIER.*ORDER.*AGE$/);
  assert.deepEqual(words(table[1] ?? '').slice(0, 3), ['shop', 'allow-web', 'default']);
  assert.match(table[1] ?? '', /\s\d+s$/);
  const policies = lines(await kubectl.ok('get', 'netpol', '-n', 'shop'));
  assert.match(policies[1] ?? '', /^front\s+app=front\s+\d+s$/);
  const pods = await kubectl.ok('get', 'pods', '-A', '-o', 'wide', '--no-headers');
  assert.match(pods, /shop\s+front\s+0\/1\s+Pending.*\sn1\s/);
  const yaml = await kubectl.ok('get', 'tier', 'default', '-o', 'yaml');
  assert.match(yaml, /^apiVersion: projectcalico.org\/v3\nkind: Tier\n/);
  assert.match(yaml, /defaultAction: Deny/);
});

test('kubectl explains fields, compares and tries out', options, async (context) => {
  const kubectl = await kubectlAt(context);
  const explained = await kubectl.ok('explain', 'gnp.spec.ingress.action');
  assert.match(explained, /FIELD: +action <string>/);
  assert.match(explained, /(ENUM:|One of)\s+Allow,?\s+Deny/);
  const version = ['--api-version', 'projectcalico.org/v3'];
  const rules = await kubectl.ok('explain', 'networkpolicy.spec.ingress', ...version);
  assert.match(rules, /DESCRIPTION:\s+Rules for connections to the endpoints/);
  const shop = await kubectl.file('shop.yaml', SHOP);
  await kubectl.ok('apply', '-f', shop);
  assert.equal((await kubectl.run('diff', '-f', shop)).code, 0);
  const changed = await kubectl.file('changed.yaml', SHOP.replace('order: 100', 'order: 101'));
  assert.match((await kubectl.run('diff', '-f', changed)).out, /^\+ {2}order: 101$/m);
  const dry = ['apply', '-f', changed, '--dry-run=server'];
  assert.match(
    await kubectl.ok(...dry),
    /tier.projectcalico.org\/security configured \(server dry run\)/,
  );
  assert.equal(await kubectl.ok('get', 'tier', 'security', '-o', 'jsonpath={.spec.order}'), '100');
});

test('kubectl selects, labels and describes', options, async (context) => {
  const kubectl = await kubectlAt(context);
  const shop = await kubectl.file('shop.yaml', SHOP);
  await kubectl.ok('apply', '-f', shop);
  await kubectl.ok('create', 'namespace', 'made');
  await kubectl.ok('create', 'serviceaccount', 'made', '-n', 'made');
  assert.match((await kubectl.run('create', 'ns', 'made')).err, /\(AlreadyExists\)/);
  await kubectl.ok('label', 'ns', 'shop', 'stage=gold');
  await kubectl.ok('annotate', 'gnp', 'security.deny-bad', 'note=why');
  const selected = (...flags: string[]) => kubectl.ok('get', 'ns', '-o', 'name', ...flags);
  assert.equal(await selected('-l', 'team in (web),stage=gold'), 'namespace/shop\n');
  assert.equal(await selected('-l', 'team,stage!=gold'), '');
  assert.equal(await selected('--field-selector', 'metadata.name=shop'), 'namespace/shop\n');
  assert.match(await kubectl.ok('describe', 'pod', 'front', '-n', 'shop'), /Image:\s+web:1/);
  assert.match(await kubectl.ok('version'), /v1\.\d+\.\d+\+tortie-/);
});

test('kubectl tells in plain words what is refused', options, async (context) => {
  const kubectl = await kubectlAt(context);
  const wrong = `
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: wrong, namespace: default}
spec: {selectr: "all()", selector: "a == ", ingress: [{action: Alow}]}
`;
  // Before 1.25 the client itself checks first, with fewer words.
  const minor = await minorVersion(kubectl);
  const flags = minor < 25 ? ['--validate=false'] : [];
  const file = await kubectl.file('wrong.yaml', wrong);
  const refused = await kubectl.run('apply', '-f', file, ...flags);
  assert.notEqual(refused.code, 0);
  assert.match(refused.err, /The NetworkPolicy "wrong" is invalid/);
  assert.match(refused.err, /\* spec\.ingress\[0\]\.action: .*did you mean "Allow"\?/);
  assert.match(refused.err, /\* spec\.selectr: .*did you mean "selector"\?/);
  assert.match(refused.err, /\* spec\.selector: /);
  const fails = async (pattern: RegExp, ...command: string[]) => {
    const { code, err } = await kubectl.run(...command);
    assert.notEqual(code, 0, command.join(' '));
    assert.match(err, pattern);
  };
  const missing = /\(NotFound\): .*"nope" not found/;
  await fails(missing, 'get', 'pod', 'nope');
  await fails(missing, 'get', 'gnp', 'nope');
  await fails(missing, 'delete', 'ns', 'nope');
  await fails(/\(Forbidden\): tier "default" is built in/, 'delete', 'tier', 'default');
  const elsewhere = await kubectl.file('e.yaml', wrong.replace('default}', 'nowhere}'));
  const missingSpace = /is invalid|namespaces "nowhere" not found/;
  await fails(missingSpace, 'apply', '-f', elsewhere, ...flags);
  await fails(
    /Unauthorized|must be logged in/,
    'get',
    'ns',
    '--token',
    'not-the-right-token-at-all',
  );
});

test('kubectl reads long lists in pages', options, async (context) => {
  const kubectl = await kubectlAt(context);
  const names = ['a', 'b', 'c', 'd', 'e'];
  const manifest = names.map(
    (name) =>
      `apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata: {name: ${name}}\n`,
  );
  await kubectl.ok('apply', '-f', await kubectl.file('sets.yaml', manifest.join('---\n')));
  for (const form of ['name', 'wide', 'custom-columns=N:.metadata.name']) {
    const flags = ['--chunk-size=2', '-v=8', '--no-headers', '-o', form];
    const { code, out, err } = await kubectl.run('get', 'globalnetworksets', ...flags);
    assert.equal(code, 0, err);
    assert.deepEqual(
      lines(out).map((line) => words(line)[0]?.split('/').at(-1)),
      names,
    );
    assert.equal(err.match(/GET https:\S+limit=2/g)?.length, 3, form);
  }
});

test('kubectl applies on the server', options, async (context) => {
  const kubectl = await kubectlAt(context);
  const shop = await kubectl.file('shop.yaml', SHOP);
  const apply = ['apply', '--server-side', '-f'];
  const version = ['get', 'gnp/security.deny-bad', '-o', 'jsonpath={.metadata.resourceVersion}'];
  for (const line of lines(await kubectl.ok(...apply, shop)))
    assert.match(line, / serverside-applied$/);
  const first = await kubectl.ok(...version);
  await kubectl.ok(...apply, shop);
  assert.equal(await kubectl.ok(...version), first, 'the second time changes nothing');
  assert.equal((await kubectl.run('diff', '--server-side', '-f', shop)).code, 0);

  const changes = SHOP.replace('order: 10\n', 'order: 20\n').replace('web:1', 'web:2');
  const changed = await kubectl.file('changed.yaml', changes);
  const other = ['--field-manager', 'other'];
  const refused = await kubectl.run(...apply, changed, ...other);
  assert.notEqual(refused.code, 0);
  assert.match(refused.err, /conflict with "kubectl": \.spec\.order/);
  assert.match(refused.err, /conflict with "kubectl": \.spec\.containers\[name="web"\]\.image/);
  assert.match(refused.err, /--force-conflicts/);
  const compared = await kubectl.run('diff', '--server-side', '-f', changed);
  assert.match(compared.out, /^\+ {2}order: 20$/m);
  const forced = [...apply, changed, ...other, '--force-conflicts'];
  await kubectl.ok(...forced, '--dry-run=server');
  assert.equal(await kubectl.ok(...version), first);
  await kubectl.ok(...forced);
  const pod = ['get', 'pod', 'front', '-n', 'shop', '-o'];
  assert.equal(await kubectl.ok(...pod, 'jsonpath={.spec.containers[0].image}'), 'web:2');
  const minor = await minorVersion(kubectl);
  const isHiding = minor >= 21;
  if (isHiding) assert.doesNotMatch(await kubectl.ok(...pod, 'yaml'), /managedFields/);
  const shown = isHiding ? ['--show-managed-fields'] : [];
  assert.match(await kubectl.ok(...pod, 'yaml', ...shown), /manager: other/);

  // From 1.26 on, what the client applied before becomes the server's with the next apply, without a conflict.
  if (minor < 26) return;
  const tier = (order: number): string =>
    `apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: t}\nspec: {order: ${order}}\n`;
  await kubectl.ok('apply', '-f', await kubectl.file('t1.yaml', tier(1)));
  await kubectl.ok(...apply, await kubectl.file('t1.yaml', tier(1)));
  const moved = JSON.parse(
    await kubectl.ok('get', 'tier', 't', '-o', 'json', '--show-managed-fields'),
  );
  const seen = moved.metadata.managedFields.map(
    (entry: { manager: string; operation: string }) => `${entry.operation} ${entry.manager}`,
  );
  assert.deepEqual(seen, ['Apply kubectl', 'Apply kubectl-last-applied']);
  await kubectl.ok(...apply, await kubectl.file('t2.yaml', tier(2)));
});

test('kubectl watches', options, async (context) => {
  const kubectl = await kubectlAt(context);
  const watching = kubectl.start('get', 'ns', '-w', '--no-headers');
  const seen: string[] = [];
  const reader = createInterface({ input: watching.stdout as NodeJS.ReadableStream });
  reader.on('line', (line) => seen.push(line));
  const until = async (pattern: RegExp): Promise<void> => {
    while (!seen.some((line) => pattern.test(line))) await once(reader, 'line');
  };
  await until(/^kube-system/);
  const shop = await kubectl.file(
    'ns.yaml',
    'apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n',
  );
  await Promise.all([kubectl.ok('apply', '-f', shop), until(/^shop\s+Active\s+\d+s$/)]);
  await Promise.all([kubectl.ok('delete', 'ns', 'shop'), until(/^shop\s+Terminating/)]);
});
