// Tests of the agent's socket with a handler that tells what it was asked.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { type Socket, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { CniError } from './cni-error.ts';
import { MAX_LINE, type CniRequest, type CniResult } from './protocol.ts';
import { type CniHandler, CniServer } from './server.ts';

const NOTHING: CniResult = { interfaces: [], ips: [], routes: [] };

class Handler implements CniHandler {
  readonly calls: string[] = [];
  adding: (request: CniRequest, signal: AbortSignal) => Promise<void> = async () => undefined;

  async add(request: CniRequest, signal: AbortSignal): Promise<CniResult> {
    this.calls.push(`add ${request.containerId}`);
    await this.adding(request, signal);
    this.calls.push(`added ${request.containerId}`);
    return NOTHING;
  }

  async delete(request: CniRequest): Promise<void> {
    this.calls.push(`delete ${request.containerId}`);
  }

  async check(): Promise<void> {
    throw new CniError(102, 'eth0 is not up');
  }

  async collectGarbage(): Promise<void> {
    this.calls.push('collect');
  }

  async status(): Promise<void> {}
}

interface World {
  readonly path: string;
  readonly handler: Handler;
  readonly server: CniServer;
  readonly log: string[];
}

async function start(context: TestContext): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), 'cni-server-'));
  const path = join(folder, 'run', 'cni.sock');
  const handler = new Handler();
  const log: string[] = [];
  const server = new CniServer({ socketPath: path, handler, log: (line) => log.push(line) });
  await server.listen();
  context.after(async () => {
    await server.close();
    rmSync(folder, { recursive: true });
  });
  return { path, handler, server, log };
}

function request(command: string, containerId = 'c1'): string {
  const args = { K8S_POD_NAMESPACE: 'shop', K8S_POD_NAME: 'web' };
  const place = { network: 'n', netns: '/x', ifname: 'eth0' };
  return `${JSON.stringify({ command, containerId, args, ...place, validAttachments: [] })}\n`;
}

function open(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path, () => resolve(socket));
    socket.once('error', reject);
  });
}

async function ask(path: string, text: string): Promise<Record<string, unknown>> {
  const socket = await open(path);
  socket.write(text);
  let answer = '';
  for await (const chunk of socket) answer += String(chunk);
  return JSON.parse(answer) as Record<string, unknown>;
}

void test('[CNI5] only root may open the socket', async (context) => {
  const { path } = await start(context);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(statSync(join(path, '..')).mode & 0o777, 0o700);
});

void test('[CNI5] a socket that is served is left alone, and so is a file', async (context) => {
  const { path, handler, log } = await start(context);
  const rival = new CniServer({ socketPath: path, handler, log: (line) => log.push(line) });
  await assert.rejects(rival.listen(), /another agent serves it; stop it first/);
  assert.deepEqual(await ask(path, request('STATUS')), { result: null });
  const file = join(path, '..', 'file');
  writeFileSync(file, '');
  const onFile = new CniServer({ socketPath: file, handler, log: (line) => log.push(line) });
  await assert.rejects(onFile.listen(), /is there and is no socket; remove it/);
});

void test('[CNI5] the socket that a killed agent left behind is replaced', async (context) => {
  const { path, handler, server, log } = await start(context);
  await server.close();
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => console.log())`;
  const killed = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(killed.stdout, 'data');
  killed.kill('SIGKILL');
  await once(killed, 'exit');
  assert.ok(statSync(path).isSocket());
  const next = new CniServer({ socketPath: path, handler, log: (line) => log.push(line) });
  await next.listen();
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.deepEqual(await ask(path, request('STATUS')), { result: null });
  await next.close();
});

void test('[CNI6] what is not one short JSON line is refused', async (context) => {
  const { path, handler } = await start(context);
  const refused = ['hello\n', '{}\n', request('MOVE'), `${'x'.repeat(MAX_LINE + 1)}`];
  for (const text of refused) {
    const { error } = (await ask(path, text)) as { error: { code: number } };
    assert.equal(error.code, 6);
  }
  assert.deepEqual(handler.calls, []);
  // A second line on one connection is nobody's request.
  await ask(path, request('DEL', 'c1') + request('DEL', 'c2'));
  assert.deepEqual(handler.calls, ['delete c1']);
});

void test('[CNI7] one container waits for itself, not for others', async (context) => {
  const { path, handler } = await start(context);
  const gate = Promise.withResolvers<void>();
  const started = Promise.withResolvers<void>();
  handler.adding = () => {
    started.resolve();
    return gate.promise;
  };
  const adding = ask(path, request('ADD', 'c1'));
  await started.promise;
  const deleting = ask(path, request('DEL', 'c1'));
  assert.deepEqual(await ask(path, request('DEL', 'c2')), { result: null });
  assert.deepEqual(handler.calls, ['add c1', 'delete c2']);
  gate.resolve();
  assert.deepEqual(await adding, { result: NOTHING });
  await deleting;
  assert.deepEqual(handler.calls, ['add c1', 'delete c2', 'added c1', 'delete c1']);
});

void test('[CNI8] ADD is aborted when its plugin goes away', async (context) => {
  const { path, handler, log } = await start(context);
  const started = Promise.withResolvers<void>();
  const aborted = Promise.withResolvers<void>();
  handler.adding = (_, signal) => {
    started.resolve();
    return new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => {
        aborted.resolve();
        reject(signal.reason);
      });
    });
  };
  const socket = await open(path);
  socket.write(request('ADD'));
  await started.promise;
  socket.destroy();
  await aborted.promise;
  await ask(path, request('DEL'));
  assert.match(log[0] ?? '', /^ADD c1 of pod shop\/web: the plugin went away \(code 11\)$/);
  assert.deepEqual(handler.calls, ['add c1', 'delete c1']);
});

void test('[CNI8] closing aborts what is under way and answers it', async (context) => {
  const { path, handler, server } = await start(context);
  const started = Promise.withResolvers<void>();
  handler.adding = (_, signal) => {
    started.resolve();
    return new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason));
    });
  };
  const answer = ask(path, request('ADD'));
  await started.promise;
  await server.close();
  const { error } = (await answer) as { error: { code: number; msg: string } };
  assert.equal(error.code, 11);
  assert.match(error.msg, /the agent is stopping/);
  assert.throws(() => statSync(path), /ENOENT/);
});

void test('[CNI3] a failure keeps its code, and its message says what was attempted', async (context) => {
  const { path } = await start(context);
  const { error } = (await ask(path, request('CHECK'))) as { error: object };
  assert.deepEqual(error, { code: 102, msg: 'CHECK c1 of pod shop/web: eth0 is not up' });
});
