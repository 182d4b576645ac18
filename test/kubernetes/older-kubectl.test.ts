// kubectl 1.20, which a plain Debian has: explain, diff, dry runs, client-side validation and apply by OpenAPI v2.
import assert from 'node:assert/strict';
import { delimiter } from 'node:path';
import { test } from 'node:test';
import { kubectlAt, minorVersion } from './kubectl-process.ts';
import { olderKubectl } from './older-kubectl.ts';

const older = olderKubectl();
const missing = 'missing' in older ? older.missing : undefined;
const options = { skip: missing ?? false, timeout: 120_000 };
const folder = 'folder' in older ? older.folder : '';
const environment = { PATH: [folder, process.env['PATH']].filter(Boolean).join(delimiter) };

const tier = (order: string): string =>
  `apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: t}\nspec: {${order}}\n`;

const pod = (...containers: string[]): string => `
apiVersion: v1
kind: Pod
metadata: {name: web, finalizers: [example.com/keep]}
spec:
  containers: [${containers.map((name) => `{name: ${name}, image: i}`).join(', ')}]
  volumes: [{name: data, emptyDir: {}}]
  tolerations: [{operator: Exists}]
  affinity: {nodeAffinity: {}}
`;

test('it explains kinds and what their fields are for', options, async (context) => {
  const kubectl = await kubectlAt(context, environment);
  assert.ok((await minorVersion(kubectl)) < 27);
  const rules = ['--api-version', 'projectcalico.org/v3'];
  const ingress = await kubectl.ok('explain', 'networkpolicy.spec.ingress', ...rules);
  assert.match(ingress, /RESOURCE: ingress <\[\]Object>/);
  assert.match(ingress, /Rules for connections to the endpoints/);
  assert.match(ingress, /action\t<string> -required-\s+What happens to a connection/);
  assert.match(
    await kubectl.ok('explain', 'gnp.spec.egress.action'),
    /One of Allow, Deny, Log,\s+Pass/,
  );
  for (const [plural, version] of [
    ['pods.spec.containers', 'v1'],
    ['nodes', 'v1'],
    ['nodes.spec.bgp', 'projectcalico.org/v3'],
    ['felixconfigurations.spec', 'projectcalico.org/v3'],
    ['networkpolicies.spec.ingress', 'networking.k8s.io/v1'],
    ['clusternetworkpolicies', 'policy.networking.k8s.io/v1alpha2'],
  ] as const) {
    const told = await kubectl.ok('explain', plural, '--api-version', version);
    assert.doesNotMatch(told, /<empty>|<no description>/, plural);
  }
});

test('it compares, tries out and checks before it sends', options, async (context) => {
  const kubectl = await kubectlAt(context, environment);
  const file = await kubectl.file('t.yaml', tier('order: 1'));
  assert.match(await kubectl.ok('apply', '-f', file, '--dry-run=server'), /server dry run/);
  assert.match((await kubectl.run('get', 'tier', 't')).err, /NotFound/);
  await kubectl.ok('apply', '-f', file);
  assert.equal((await kubectl.run('diff', '-f', file)).code, 0);
  const changed = await kubectl.file('changed.yaml', tier('order: 2'));
  const compared = await kubectl.run('diff', '-f', changed);
  assert.equal(compared.code, 1, compared.err);
  assert.match(compared.out, /^\+ {2}order: 2$/m);
  const misspelt = await kubectl.file('misspelt.yaml', tier('ordr: 2'));
  assert.match((await kubectl.run('apply', '-f', misspelt)).err, /unknown field "ordr"/);
  const mistyped = await kubectl.file('mistyped.yaml', tier('order: {}'));
  assert.match((await kubectl.run('apply', '-f', mistyped)).err, /invalid type for .*order/);
});

test(
  '[AP27] it merges lists of pods by their keys, by what is published',
  options,
  async (context) => {
    const kubectl = await kubectlAt(context, environment);
    const apply = async (...containers: string[]): Promise<string> => {
      const path = await kubectl.file('pod.yaml', pod(...containers));
      const { code, out, err } = await kubectl.run('apply', '-f', path);
      assert.deepEqual([code, err], [0, ''], out);
      return kubectl.ok('get', 'pod', 'web', '-o', 'jsonpath={.spec.containers[*].name}');
    };
    assert.equal(await apply('a', 'b'), 'a b');
    assert.equal(await apply('b', 'c'), 'b c');
    const merged = await kubectl.ok('get', 'pod', 'web', '-o', 'jsonpath={.spec.volumes[*].name}');
    assert.equal(merged, 'data');
  },
);
