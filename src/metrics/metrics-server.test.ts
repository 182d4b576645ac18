// Tests of the server of metrics: what it answers, whom it asks for a certificate, and certificates that change.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request as requestPlain } from 'node:http';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { gauge } from './metric-definition.ts';
import { MetricRegistry } from './metric-registry.ts';
import { MetricsServer, type MetricsTls } from './metrics-server.ts';

async function serve(
  context: TestContext,
  tls?: MetricsTls,
): Promise<{ server: MetricsServer; metrics: MetricRegistry; said: string[] }> {
  const metrics = new MetricRegistry([gauge('a_gauge', 'A gauge.')]);
  const said: string[] = [];
  const server = await MetricsServer.listen({
    metrics,
    where: { host: '127.0.0.1', port: 0 },
    log: (message) => said.push(message),
    ...(tls && { tls }),
  });
  context.after(() => server.close());
  return { server, metrics, said };
}

/** Makes authorities `one` and `two`, and of each a server and a client. */
function certificates(context: TestContext): (name: string) => string {
  const folder = mkdtempSync(join(tmpdir(), 'tortie-metrics-tls-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const file = (name: string): string => join(folder, name);
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const issue = (name: string, ...more: string[]): void => {
    const files = ['-keyout', file(`${name}.key`), '-out', file(`${name}.crt`)];
    const words = ['req', '-x509', ...key, ...files, '-subj', `/CN=${name}`, '-days', '2', ...more];
    execFileSync('openssl', words, { stdio: 'pipe' });
  };
  for (const name of ['one', 'two']) {
    issue(name);
    const signed = ['-CA', file(`${name}.crt`), '-CAkey', file(`${name}.key`)];
    const leaf = [...signed, '-addext', 'basicConstraints=critical,CA:FALSE'];
    issue(`${name}-server`, ...leaf, '-addext', 'subjectAltName=IP:127.0.0.1');
    issue(`${name}-client`, ...leaf);
  }
  return file;
}

interface Caller {
  readonly ca: string;
  readonly client?: string;
}

/** The status, or why there is none. */
async function ask(
  port: number,
  file: (name: string) => string,
  { ca, client }: Caller,
): Promise<number | string> {
  const own = client && {
    cert: readFileSync(file(`${client}-client.crt`)),
    key: readFileSync(file(`${client}-client.key`)),
  };
  const asking = request({
    port,
    host: '127.0.0.1',
    path: '/metrics',
    agent: false,
    ca: readFileSync(file(`${ca}.crt`)),
    ...own,
  });
  asking.end();
  try {
    const [response] = await once(asking, 'response');
    await text(response);
    return response.statusCode;
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : 'failed';
  }
}

test('metrics are at /metrics, for reading; what cannot be collected is said', async (context) => {
  const { server, metrics } = await serve(context);
  const get = async (path: string, method = 'GET') => {
    const asking = requestPlain({ port: server.port, host: '127.0.0.1', path, method });
    asking.end();
    const [response] = await once(asking, 'response');
    return {
      code: response.statusCode,
      type: response.headers['content-type'],
      body: await text(response),
    };
  };
  const { code, type, body } = await get('/metrics?x=1');
  assert.equal(code, 200);
  assert.match(type, /^text\/plain; version=0\.0\.4/);
  assert.match(body, /^a_gauge 0$/m);
  assert.deepEqual((await get('/metrics', 'HEAD')).body, '');
  assert.equal((await get('/')).code, 404);
  assert.equal((await get('/metrics', 'POST')).code, 405);
  metrics.onCollect(() => Promise.reject(new Error('no source')));
  assert.deepEqual((await get('/metrics')).body, 'Cannot collect: no source\n');
});

test('client certificates are needed, looked at where given, or not asked for', async (context) => {
  const file = certificates(context);
  const tls = { certFile: file('one-server.crt'), keyFile: file('one-server.key') };
  const modes = {
    require: [true, false, false],
    ask: [true, false, true],
    none: [true, true, true],
  };
  for (const [clientAuth, wanted] of Object.entries(modes)) {
    const mode = clientAuth as MetricsTls['clientAuth'];
    const ca = mode === 'none' ? {} : { caFile: file('one.crt') };
    const { server } = await serve(context, { ...tls, ...ca, clientAuth: mode });
    const clients = ['one', 'two', undefined];
    for (const [index, client] of clients.entries()) {
      const answer = await ask(server.port, file, { ca: 'one', ...(client && { client }) });
      assert.equal(answer === 200, wanted[index], `${mode}, client of ${client}: ${answer}`);
    }
  }
  const missing = { certFile: file('none.crt'), keyFile: file('one-server.key') };
  await assert.rejects(serve(context, { ...missing, clientAuth: 'none' }), /none\.crt/);
});

test('files that change are taken, broken ones are not', async (context) => {
  const file = certificates(context);
  const names = { certFile: 'now.crt', keyFile: 'now.key', caFile: 'now-ca.crt' };
  const put = (name: string): void => {
    copyFileSync(file(`${name}-server.crt`), file(names.certFile));
    copyFileSync(file(`${name}-server.key`), file(names.keyFile));
    copyFileSync(file(`${name}.crt`), file(names.caFile));
  };
  put('one');
  const { server, said } = await serve(context, {
    certFile: file(names.certFile),
    keyFile: file(names.keyFile),
    caFile: file(names.caFile),
    clientAuth: 'require',
  });
  const one = { ca: 'one', client: 'one' };
  const two = { ca: 'two', client: 'two' };
  assert.equal(await ask(server.port, file, one), 200);
  writeFileSync(file(names.keyFile), 'half a key');
  server.renew();
  assert.match(said.join(), /with the certificate there was/);
  assert.equal(await ask(server.port, file, one), 200);
  put('two');
  server.renew();
  assert.equal(await ask(server.port, file, two), 200);
  assert.notEqual(await ask(server.port, file, one), 200);
  assert.notEqual(await ask(server.port, file, { ca: 'two', client: 'one' }), 200);
  assert.equal(said.length, 1);
});
