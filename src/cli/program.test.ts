// Tests of the command line as its users meet it: help, mistakes, exit codes, and verdicts from files.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run } from './test-terminal.ts';

const WORLD = `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: cart, namespace: shop, labels: {app: cart}}
spec: {nodeName: one, containers: [{name: main}]}
status: {podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
spec: {nodeName: one, containers: [{name: main}]}
status: {podIP: 10.0.0.2, podIPs: [{ip: 10.0.0.2}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress: [{ports: [{protocol: TCP, port: 5432}]}]
`;

test('help is there for every command, with examples, and is no failure', async () => {
  for (const name of ['get', 'apply', 'delete', 'explain', 'flows', 'lab', 'version']) {
    const { exitCode, out, err } = await run([name, '--help']);
    assert.equal(exitCode, 0, name);
    assert.match(out, new RegExp(`^Usage: tortie ${name}`));
    assert.equal(err, '');
  }
  const { out } = await run(['--help']);
  for (const name of ['get', 'apply', 'delete', 'explain', 'flows', 'lab', 'version']) {
    assert.match(out, new RegExp(`^  ${name} `, 'm'));
  }
  assert.doesNotMatch((await run(['lab', '--help'])).out, /keep/);
});

test('what is misspelt ends with code 2 and what was meant', async () => {
  const command = await run(['gett']);
  assert.equal(command.exitCode, 2);
  assert.match(command.err, /unknown command 'gett'[^]*get/);
  const option = await run(['get', 'pods', '--outptu', 'json']);
  assert.equal(option.exitCode, 2);
  assert.match(option.err, /--output/);
  const kind = await run(['get', 'teirs']);
  assert.deepEqual([kind.exitCode, kind.out], [2, '']);
  assert.match(kind.err, /did you mean tiers\?/);
  const output = await run(['get', 'pods', '-o', 'xml']);
  assert.equal(output.exitCode, 2);
  assert.match(output.err, /use -o json\|yaml\|ps\|wide\|name/);
});

test('a cluster that is not there ends with code 1 and says which kubeconfig was meant', async () => {
  const { exitCode, err, out } = await run(['get', 'pods']);
  assert.deepEqual([exitCode, out], [1, '']);
  assert.match(err, /\/nonexistent\/kubeconfig/);
});

test('version says itself as text and as JSON', async () => {
  assert.match((await run(['version'])).out, /^tortie 1\.2\.3 /);
  assert.equal(JSON.parse((await run(['version', '-o', 'json'])).out).version, '1.2.3');
});

test('explain judges files and ends with code 0 whatever the verdict', async () => {
  const ask = (port: string, ...more: string[]) =>
    run(['explain', 'shop/cart', 'shop/db', '--port', port, '-f', '-', ...more], WORLD);
  const allowed = await ask('5432', '-o', 'json');
  const denied = await ask('80', '-o', 'json');
  assert.deepEqual([allowed.exitCode, denied.exitCode], [0, 0]);
  assert.equal(JSON.parse(allowed.out).verdict, 'allow');
  const explanation = JSON.parse(denied.out);
  assert.equal(explanation.verdict, 'deny');
  assert.equal(explanation.ingress.tier, 'default');
  assert.equal(explanation.ingress.rule, -1);
  assert.match((await ask('80')).out, /^DENY {2}shop\/cart -> shop\/db, TCP port 80\n/);
});

test('explain says everything that is wrong with a question, and ends with code 2', async () => {
  const wrong = ['--protocol', 'tpc', '--port', '0', '--icmp-type', '300', '--family', '5'];
  const { exitCode, err } = await run(['explain', 'a/b', 'c/d', ...wrong]);
  assert.equal(exitCode, 2);
  for (const part of ['"tpc"', '--port "0"', '--icmp-type "300"', '--family "5"']) {
    assert.ok(err.includes(part), part);
  }
  const noPort = await run(['explain', 'shop/cart', 'shop/db', '-f', '-'], WORLD);
  assert.match(noPort.err, /--port is missing: TCP needs a port/);
  const icmpPort = await run(['explain', 'a/b', 'c/d', '--protocol', 'icmp', '--port', '1']);
  assert.match(icmpPort.err, /ICMP has no ports/);
  const unknown = await run(['explain', 'shop/cat', 'shop/db', '--port', '1', '-f', '-'], WORLD);
  assert.equal(unknown.exitCode, 2);
  assert.match(unknown.err, /did you mean shop\/cart/);
});

test('malformed manifests are told all at once, with their lines', async () => {
  const text = 'apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {}\n---\nkind: Pod\n';
  const { exitCode, err } = await run(['apply', '-f', '-'], text);
  assert.equal(exitCode, 2);
  assert.match(err, /stdin:4: spec\.containers: is required/);
  assert.match(err, /stdin:6: apiVersion: is required/);
});

test('a wrong Lab manifest is refused before anything starts', {
  skip: process.getuid?.() === 0 ? false : 'needs root',
}, async () => {
  const text = 'apiVersion: lab.tortie.dev/v1\nkind: Lab\nspec: {nodes: 0, outside: [{name: A}]}\n';
  const { exitCode, err } = await run(['lab', 'up', '-f', '-', '--name', 'never'], text);
  assert.equal(exitCode, 2);
  assert.match(err, /spec\.nodes: must be a whole number/);
  assert.match(err, /spec\.outside\[0\]\.name/);
  const pod =
    'apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {nodeName: x, containers: [{name: c}]}\n';
  const refused = await run(['lab', 'up', '-f', '-', '--name', 'never'], pod);
  assert.match(refused.err, /container c has no command/);
  assert.match(refused.err, /there is no node x/);
});
