// Kubeconfig files: what is read, and that errors name the file and never a secret.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { loadKubeconfig } from './client.ts';

const valid = `
apiVersion: v1
kind: Config
current-context: a
contexts:
- {name: a, context: {cluster: c, user: u, namespace: shop}}
- {name: files, context: {cluster: f, user: f}}
clusters:
- {name: c, cluster: {server: "https://127.0.0.1:6443/", certificate-authority-data: Q0E=}}
- {name: f, cluster: {server: "https://h", certificate-authority: ca.crt}}
users:
- {name: u, user: {token: top-secret-token}}
- {name: f, user: {tokenFile: token}}
`;

async function write(context: TestContext, content: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tortie-kubeconfig-'));
  context.after(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, 'config');
  await writeFile(path, content);
  await writeFile(join(folder, 'ca.crt'), 'FILE CA');
  return path;
}

test('the current context is read, or the one that is named', async (context) => {
  const path = await write(context, valid);
  assert.deepEqual(loadKubeconfig(path), {
    server: 'https://127.0.0.1:6443',
    ca: 'CA',
    token: 'top-secret-token',
    namespace: 'shop',
  });
  assert.deepEqual(loadKubeconfig(path, 'files'), {
    server: 'https://h',
    ca: 'FILE CA',
    tokenFile: join(path, '..', 'token'),
  });
});

test('what is wrong is said with the path, never with a secret', async (context) => {
  const faults: [string, RegExp][] = [
    [valid.replace('current-context: a', ''), /has no current-context/],
    [valid.replace('current-context: a', 'current-context: b'), /has no context "b"/],
    [valid.replace('cluster: c,', 'cluster: x,'), /has no cluster "x" in its clusters/],
    [valid.replace('https://127.0.0.1:6443/', 'localhost'), /needs a server such as/],
    [valid.replace('{token: top', '{exec: {}, token: top'), /"exec", which is not supported/],
    [valid.replace('{token:', '{client-certificate-data: QQ==, token:'), /only one of/],
    [valid.replace('{token:', '{{token:'), /is not valid YAML/],
    ['just text', /is not a YAML object/],
  ];
  for (const [content, message] of faults) {
    const path = await write(context, content);
    assert.throws(
      () => loadKubeconfig(path),
      (error: Error) => {
        assert.match(error.message, message);
        assert.ok(error.message.includes(path));
        assert.doesNotMatch(error.message, /top-secret/);
        return true;
      },
    );
  }
  assert.throws(
    () => loadKubeconfig('/nowhere/config'),
    /cannot read .*"\/nowhere\/config": there is no such file; name another with --kubeconfig/,
  );
});
