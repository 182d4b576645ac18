// Tests of the plugin as a function of its world, against an agent that answers what a test says.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { runPlugin } from './plugin.ts';
import type { CniResult } from './protocol.ts';

const ENV = {
  CNI_CONTAINERID: 'c1',
  CNI_NETNS: '/run/netns/pod',
  CNI_IFNAME: 'eth0',
  CNI_ARGS: 'IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web',
  CNI_PATH: '/opt/cni/bin',
};

const RESULT: CniResult = {
  interfaces: [
    { name: 'cali0', mac: 'ee:ee:ee:ee:ee:ee', mtu: 1500 },
    { name: 'eth0', mac: '02:00:00:00:00:01', mtu: 1500, sandbox: '/run/netns/pod' },
  ],
  ips: [
    { address: '10.0.0.1/32', gateway: '169.254.1.1', interface: 1 },
    { address: 'fd00::1/128', gateway: 'fe80::ecee:eeff:feee:eeee', interface: 1 },
  ],
  routes: [{ dst: '0.0.0.0/0', gw: '169.254.1.1' }],
};

interface Run {
  readonly exitCode: number;
  readonly output: string;
  readonly answer: Record<string, unknown>;
}

async function run(
  env: Record<string, string | undefined>,
  input: unknown,
  args: string[] = [],
): Promise<Run> {
  let output = '';
  const text = typeof input === 'string' ? input : JSON.stringify(input);
  const exitCode = await runPlugin({
    args,
    env,
    stdin: bytes(text),
    stdout: { write: (chunk) => (output += chunk) },
  });
  const answer = output.startsWith('{') ? (JSON.parse(output) as Record<string, unknown>) : {};
  return { exitCode, output, answer };
}

async function* bytes(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}

/** An agent that gives each connection the line that `reply` makes of the request. */
async function withAgent(
  reply: (request: Record<string, unknown>) => string | undefined,
  work: (socket: string) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'cni-plugin-'));
  const path = join(folder, 'cni.sock');
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (data) => {
      const line = reply(JSON.parse(String(data)) as Record<string, unknown>);
      if (line !== undefined) socket.end(line);
    });
  });
  await new Promise<void>((done) => server.listen(path, done));
  try {
    await work(path);
  } finally {
    await new Promise((done) => server.close(done));
    rmSync(folder, { recursive: true });
  }
}

function config(socket: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  return { cniVersion: '1.1.0', name: 'k8s-pod-network', type: 'tortie', socket, ...more };
}

const NO_AGENT = '/nonexistent/cni.sock';

/** What is given, and the code and message of the error it must be. */
const REFUSALS: readonly {
  readonly rule: string;
  readonly says: string;
  readonly env: Record<string, string | undefined>;
  readonly input: unknown;
  readonly code: number;
  readonly message: RegExp;
}[] = [
  {
    rule: 'CNI1',
    says: 'ADD without its variables',
    env: { CNI_COMMAND: 'ADD' },
    input: config(NO_AGENT),
    code: 4,
    message: /CNI_CONTAINERID is missing; CNI_NETNS is missing; CNI_IFNAME is missing/,
  },
  {
    rule: 'CNI1',
    says: 'CHECK without a namespace',
    env: { ...ENV, CNI_COMMAND: 'CHECK', CNI_NETNS: '' },
    input: config(NO_AGENT),
    code: 4,
    message: /CHECK: CNI_NETNS is missing$/,
  },
  {
    rule: 'CNI1',
    says: 'DEL without an interface name',
    env: { CNI_COMMAND: 'DEL', CNI_CONTAINERID: 'c1' },
    input: config(NO_AGENT),
    code: 4,
    message: /DEL: CNI_IFNAME is missing$/,
  },
  {
    rule: 'CNI1',
    says: 'values that cannot be',
    env: { ...ENV, CNI_COMMAND: 'ADD', CNI_CONTAINERID: '../x', CNI_IFNAME: 'a/b', CNI_ARGS: 'x' },
    input: config(NO_AGENT),
    code: 4,
    message: /"\.\.\/x" is not a container ID; CNI_IFNAME "a\/b" .*; CNI_ARGS "x" is not/,
  },
  {
    rule: 'CNI1',
    says: 'a command of its own invention',
    env: { ...ENV, CNI_COMMAND: 'MOVE' },
    input: config(NO_AGENT),
    code: 4,
    message: /CNI_COMMAND "MOVE" is unknown; use ADD, DEL/,
  },
  {
    rule: 'CNI2',
    says: 'a version it does not know',
    env: { ...ENV, CNI_COMMAND: 'ADD' },
    input: config(NO_AGENT, { cniVersion: '0.2.0' }),
    code: 1,
    message: /cniVersion "0\.2\.0" is not supported; use one of 0\.4\.0, 1\.0\.0, 1\.1\.0/,
  },
  {
    rule: 'CNI2',
    says: 'STATUS from before there was one',
    env: { CNI_COMMAND: 'STATUS' },
    input: config(NO_AGENT, { cniVersion: '1.0.0' }),
    code: 1,
    message: /STATUS needs cniVersion 1\.1\.0/,
  },
  {
    rule: 'CNI3',
    says: 'input that is no JSON',
    env: { ...ENV, CNI_COMMAND: 'ADD' },
    input: '{"cniVersion":',
    code: 6,
    message: /on stdin is not a JSON object/,
  },
  {
    rule: 'CNI3',
    says: 'a configuration with several faults',
    env: { ...ENV, CNI_COMMAND: 'ADD' },
    input: config('cni.sock', { name: '', timeoutSeconds: 0 }),
    code: 7,
    message: /name: "" .*; socket: "cni\.sock" .*; timeoutSeconds: 0 /,
  },
  {
    rule: 'CNI3',
    says: 'a chain in which it is not the first',
    env: { ...ENV, CNI_COMMAND: 'ADD' },
    input: config(NO_AGENT, { prevResult: { cniVersion: '1.1.0' } }),
    code: 7,
    message: /put tortie first in the chain/,
  },
  {
    rule: 'CNI3',
    says: 'GC without the list of what is valid',
    env: { CNI_COMMAND: 'GC' },
    input: config(NO_AGENT),
    code: 7,
    message: /without it everything would go/,
  },
  {
    rule: 'CNI3',
    says: 'ADD without an agent',
    env: { ...ENV, CNI_COMMAND: 'ADD' },
    input: config(NO_AGENT),
    code: 11,
    message: /cannot reach the agent at \/nonexistent\/cni\.sock \(ENOENT\)/,
  },
  {
    rule: 'CNI3',
    says: 'STATUS without an agent',
    env: { CNI_COMMAND: 'STATUS' },
    input: config(NO_AGENT),
    code: 50,
    message: /STATUS: cannot reach the agent/,
  },
];

for (const { rule, says, env, input, code, message } of REFUSALS) {
  void test(`[${rule}] refuses ${says}`, async () => {
    const { exitCode, answer } = await run(env, input);
    assert.equal(exitCode, 1);
    assert.equal(answer['code'], code);
    assert.match(String(answer['msg']), message);
    assert.equal(typeof answer['cniVersion'], 'string');
  });
}

void test('[CNI4] VERSION needs no agent', async () => {
  const { exitCode, answer } = await run({ CNI_COMMAND: 'VERSION' }, { cniVersion: '1.0.0' });
  assert.equal(exitCode, 0);
  assert.deepEqual(answer, {
    cniVersion: '1.0.0',
    supportedVersions: ['0.4.0', '1.0.0', '1.1.0'],
  });
});

void test('[CNI4] the plugin loads node:net and its own protocol, and nothing else', () => {
  const imported = (file: string) => {
    const text = readFileSync(new URL(file, import.meta.url), 'utf8');
    return [...text.matchAll(/from '([^']+)'/g)].map((match) => match[1]);
  };
  assert.deepEqual(imported('plugin.ts'), ['node:net', './protocol.ts']);
  assert.deepEqual(imported('protocol.ts'), []);
});

void test('without a command, or asked for help, it says what it is', async () => {
  for (const [env, args] of [
    [{}, []],
    [{ CNI_COMMAND: 'ADD' }, ['--help']],
  ] as const) {
    const { exitCode, output } = await run(env, '', [...args]);
    assert.equal(exitCode, 0);
    assert.match(output, /^Usage: tortie cni/);
  }
});

void test('[CNI1] the agent is asked with what the runtime gave', async () => {
  let asked: Record<string, unknown> = {};
  const reply = (request: Record<string, unknown>) => {
    asked = request;
    return '{"result":null}\n';
  };
  await withAgent(reply, async (socket) => {
    const { exitCode, output } = await run({ ...ENV, CNI_COMMAND: 'DEL' }, config(socket));
    assert.deepEqual({ exitCode, output }, { exitCode: 0, output: '' });
    assert.deepEqual(asked, {
      command: 'DEL',
      network: 'k8s-pod-network',
      containerId: 'c1',
      netns: '/run/netns/pod',
      ifname: 'eth0',
      args: { IgnoreUnknown: '1', K8S_POD_NAMESPACE: 'shop', K8S_POD_NAME: 'web' },
      validAttachments: [],
    });
    const valid = [{ containerID: 'c1', ifname: 'eth0' }];
    const list = { 'cni.dev/valid-attachments': valid };
    assert.equal((await run({ CNI_COMMAND: 'GC' }, config(socket, list))).exitCode, 0);
    assert.deepEqual(asked['validAttachments'], valid);
    // DEL is also called when the namespace is gone.
    const bare = { CNI_COMMAND: 'DEL', CNI_CONTAINERID: 'c1', CNI_IFNAME: 'eth0' };
    assert.equal((await run(bare, config(socket))).exitCode, 0);
    assert.equal(asked['netns'], '');
  });
});

void test('[CNI2] the result has the form of the version that was asked for', async () => {
  await withAgent(
    () => `${JSON.stringify({ result: RESULT })}\n`,
    async (socket) => {
      const answerIn = async (cniVersion: string) => {
        const input = config(socket, { cniVersion });
        const { exitCode, answer } = await run({ ...ENV, CNI_COMMAND: 'ADD' }, input);
        assert.equal(exitCode, 0);
        assert.equal(answer['cniVersion'], cniVersion);
        return answer as { ips: object[]; interfaces: object[]; routes: object[] };
      };
      assert.deepEqual(await answerIn('1.1.0'), { cniVersion: '1.1.0', ...RESULT, dns: {} });
      const middle = await answerIn('1.0.0');
      assert.deepEqual(middle.ips, RESULT.ips);
      assert.ok(middle.interfaces.every((each) => !('mtu' in each)));
      const old = await answerIn('0.4.0');
      assert.deepEqual(
        old.ips.map((ip) => ('version' in ip ? ip.version : undefined)),
        ['4', '6'],
      );
      assert.deepEqual(old.routes, RESULT.routes);
    },
  );
});

void test("[CNI3] the agent's error is the plugin's", async () => {
  const error = { code: 100, msg: 'ADD c1: no address', details: 'pool full' };
  await withAgent(
    () => `${JSON.stringify({ error })}\n`,
    async (socket) => {
      const { exitCode, answer } = await run({ ...ENV, CNI_COMMAND: 'ADD' }, config(socket));
      assert.equal(exitCode, 1);
      assert.deepEqual(answer, { cniVersion: '1.1.0', ...error });
    },
  );
});

void test('[CNI3] an agent that is silent, or talks nonsense, is tried again later', async () => {
  await withAgent(
    () => undefined,
    async (socket) => {
      const input = config(socket, { timeoutSeconds: 0.05 });
      const { answer } = await run({ ...ENV, CNI_COMMAND: 'ADD' }, input);
      assert.equal(answer['code'], 11);
      assert.match(String(answer['msg']), /did not answer within 0\.05 s/);
    },
  );
  await withAgent(
    () => 'hello\n',
    async (socket) => {
      const { answer } = await run({ ...ENV, CNI_COMMAND: 'ADD' }, config(socket));
      assert.equal(answer['code'], 11);
      assert.match(String(answer['msg']), /ended without an answer/);
    },
  );
});
