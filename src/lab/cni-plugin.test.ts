// Tests of the CNI protocol from the runtime's side, against a plugin that tells what it was given.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { addressesOf, CniError, runCniPlugin } from './cni-plugin.ts';

const NAMESPACE = '/proc/self/ns/net';
const skip = process.getuid?.() === 0 ? false : 'entering a network namespace needs root';

function invoke(t: TestContext, program: string): Promise<unknown> {
  const folder = mkdtempSync(join(tmpdir(), 'tortie-cni-test-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const plugin = join(folder, 'plugin');
  writeFileSync(plugin, `#!${process.execPath}\n${program}`, { mode: 0o755 });
  return runCniPlugin({
    command: 'ADD',
    lab: 'test',
    plugin,
    nodeNamespace: NAMESPACE,
    socket: '/run/x/cni.sock',
    containerId: 'c1',
    namespace: '/run/netns/pod',
    pod: 'shop/cart',
    uid: 'u1',
  });
}

test('the plugin gets its parameters, and its result is read', { skip }, async (t) => {
  const program = `
    const input = JSON.parse(require('fs').readFileSync(0, 'utf8'));
    const { CNI_COMMAND, CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME, CNI_ARGS, CNI_PATH } = process.env;
    const seen = { CNI_COMMAND, CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME, CNI_ARGS, CNI_PATH: !!CNI_PATH };
    console.log(JSON.stringify({ input, seen, ips: [{ address: '10.0.0.1/32' }, { address: 'fd00::1/128' }] }));`;
  const result = await invoke(t, program);
  assert.deepEqual(addressesOf(result), ['10.0.0.1', 'fd00::1']);
  const { input, seen } = result as { input: object; seen: object };
  const socket = '/run/x/cni.sock';
  assert.deepEqual(input, { cniVersion: '1.1.0', name: 'tortie', type: 'tortie', socket });
  const pod = 'K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart';
  assert.deepEqual(seen, {
    CNI_COMMAND: 'ADD',
    CNI_CONTAINERID: 'c1',
    CNI_NETNS: '/run/netns/pod',
    CNI_IFNAME: 'eth0',
    CNI_ARGS: `IgnoreUnknown=1;${pod};K8S_POD_INFRA_CONTAINER_ID=c1;K8S_POD_UID=u1`,
    CNI_PATH: true,
  });
});

test('a refusal carries the code and the message of the plugin', { skip }, async (t) => {
  const refused = `console.log(JSON.stringify({ code: 11, msg: 'later', details: 'busy' })); process.exit(1)`;
  await assert.rejects(invoke(t, refused), (error: unknown) => {
    assert.ok(error instanceof CniError);
    assert.equal(error.code, 11);
    assert.equal(error.message, 'CNI ADD failed (code 11): later: busy');
    return true;
  });
  await assert.rejects(invoke(t, `console.error('no idea'); process.exit(3)`), /no idea/);
});

test('a result without an address is none', () => {
  assert.throws(() => addressesOf({ ips: [] }), CniError);
  assert.throws(() => addressesOf(undefined), CniError);
});
