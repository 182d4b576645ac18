// `tortie apply --confirm-within` and `tortie confirm` as processes, over a server that is killed in between.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { startServerProcess, temporaryFolder } from './server-process.ts';

const TORTIE = join(import.meta.dirname, '..', '..', 'bin', 'tortie');
const run = promisify(execFile);

const POLICY = `apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: cut-off}
spec: {selector: 'all()', applyOnForward: true, types: [Ingress, Egress]}
`;

async function begin(t: TestContext) {
  const folder = await temporaryFolder(t);
  const file = join(folder, 'policy.yaml');
  await writeFile(file, POLICY);
  const data = join(folder, 'data');
  const server = await startServerProcess(t, data);
  const tortie = async (words: readonly string[], kubeconfig = server.kubeconfig) => {
    const { stdout } = await run(TORTIE, [...words, '--kubeconfig', kubeconfig]);
    return stdout;
  };
  return { file, data, server, tortie };
}

void test('a change that nobody confirms is undone, though the server was killed meanwhile', async (t) => {
  const { file, data, server, tortie } = await begin(t);
  const said = await tortie(['apply', '--confirm-within', '3s', '-f', file]);
  assert.match(said, /change-\w+ is undone in 3 s unless "tortie confirm change-\w+" comes/);
  assert.match(await tortie(['get', 'globalnetworkpolicies']), /cut-off/);
  await server.end('SIGKILL');
  const again = await startServerProcess(t, data);
  for (let attempt = 0; ; attempt++) {
    const shown = await tortie(['get', 'globalnetworkpolicies'], again.kubeconfig);
    if (!shown.includes('cut-off')) break;
    assert.ok(attempt < 100, 'it is still there');
    await sleep(200);
  }
  await assert.rejects(tortie(['confirm'], again.kubeconfig), /Cannot find any change that waits/);
});

void test('a confirmed change stays', async (t) => {
  const { file, tortie } = await begin(t);
  await tortie(['apply', '--confirm-within', '5s', '-f', file]);
  assert.match(await tortie(['confirm']), /^change-\w+ confirmed\n$/);
  await sleep(6000);
  assert.match(await tortie(['get', 'globalnetworkpolicies']), /cut-off/);
  await assert.rejects(tortie(['apply', '--confirm-within', 'soon', '-f', file]), /such as 60s/);
});
