// Limits of requests and of TLS: in flight, by user, by size, versions, and certificates that change while it serves.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { Agent, request, type RequestOptions } from 'node:https';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { X509Certificate } from 'node:crypto';
import type { Attributes, Identity } from './auth/identity.ts';
import { issueAuthority, issueClient, issueServer } from './certificate.ts';
import { RequestLimits } from './request-limits.ts';
import { type ServerFixture, startServer } from './server-fixture.ts';

const DAY = 24 * 60 * 60 * 1000;
const bob: Identity = { name: 'bob', groups: [] };
const amy: Identity = { name: 'amy', groups: [] };
const root: Identity = { name: 'root', groups: ['system:masters'] };
const verb = (name: string): Attributes => ({ verb: name, path: '/x' });
const tooMany = { code: 429, reason: 'TooManyRequests' };

test('[AZ15] reads and writes under way are limited apart; masters and watches are not', () => {
  const many = { userRate: 1000, userBurst: 1000, now: () => 0 };
  const limits = new RequestLimits({ maxInFlight: 2, maxMutatingInFlight: 1, ...many });
  const first = limits.enter(bob, verb('get'));
  limits.enter(amy, verb('list'));
  assert.throws(() => limits.enter(bob, verb('get')), tooMany);
  const write = limits.enter(bob, verb('patch'));
  assert.throws(() => limits.enter(amy, verb('create')), tooMany);
  for (let index = 0; index < 10; index++) {
    limits.enter(bob, verb('watch'));
    limits.enter(root, verb('delete'));
  }
  first();
  first();
  limits.enter(bob, verb('get'));
  assert.throws(() => limits.enter(bob, verb('get')), tooMany, 'ending twice frees one place');
  write();
  limits.enter(amy, verb('create'));
});

test("[AZ15] a user's requests fill up with time, up to the burst", () => {
  let now = 0;
  const limits = new RequestLimits({
    maxInFlight: 1000,
    maxMutatingInFlight: 1000,
    userRate: 2,
    userBurst: 3,
    now: () => now,
  });
  const ask = (who: Identity): void => limits.enter(who, verb('get'))();
  for (let index = 0; index < 3; index++) ask(bob);
  assert.throws(() => ask(bob), { ...tooMany, details: { retryAfterSeconds: 1 } });
  ask(amy);
  now += 500;
  ask(bob);
  assert.throws(() => ask(bob), tooMany);
  now += 60_000;
  for (let index = 0; index < 3; index++) ask(bob);
  assert.throws(() => ask(bob), tooMany);
});

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

interface SendOptions extends Omit<RequestOptions, 'headers'> {
  readonly headers?: Record<string, string>;
  readonly body?: string | Buffer;
  readonly token?: string;
}

async function send(
  { url, ca, adminToken }: ServerFixture,
  path: string,
  { body, ...options }: SendOptions = {},
): Promise<Answer> {
  const authorization = `Bearer ${options.token ?? adminToken}`;
  const headers = { authorization, 'content-type': 'application/json', ...options.headers };
  const sent = request(`${url}${path}`, { ca, agent: false, ...options, headers });
  sent.end(body);
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  return { status: answer.statusCode ?? 0, headers: answer.headers, body: await text(answer) };
}

test('[AZ15] a 429 says when to come back, and who waits gets through', async (context) => {
  const server = await startServer(context, { limits: { userRate: 0.5, userBurst: 2 } });
  const token = server.access.tokens.tokenOf({ kind: 'node', name: 'n1' }) ?? '';
  const statuses: Answer[] = [];
  for (let index = 0; index < 3; index++) {
    statuses.push(await send(server, '/api/v1/namespaces', { token }));
  }
  assert.deepEqual(
    statuses.map(({ status }) => status),
    [200, 200, 429],
  );
  const [, , last] = statuses;
  assert.equal(last?.headers['retry-after'], '2');
  assert.match(last?.body ?? '', /"reason":"TooManyRequests","details":\{"retryAfterSeconds":2\}/);
  assert.equal((await send(server, '/api/v1/namespaces')).status, 200);
});

test('[AZ16] bodies and heads that are too large are refused; strangers before their body is read', async (context) => {
  const server = await startServer(context);
  const path = '/apis/projectcalico.org/v3/globalnetworksets';
  const post = (bytes: number, more: object = {}): Promise<Answer> =>
    send(server, path, { method: 'POST', body: Buffer.alloc(bytes, 'x'), ...more });
  const large = await post(3 * 1024 * 1024 + 1);
  assert.equal(large.status, 413);
  assert.match(large.body, /"reason":"RequestEntityTooLarge"/);
  assert.equal((await post(3 * 1024 * 1024)).status, 400, 'that is read, and no JSON');
  assert.equal((await send(server, `/api?${'x'.repeat(20_000)}`)).status, 431);
  const headers = { 'x-long': 'y'.repeat(20_000) };
  assert.equal((await send(server, '/api', { headers })).status, 431);

  const sent = request(`${server.url}${path}`, {
    ca: server.ca,
    agent: false,
    method: 'POST',
    headers: { 'content-length': '1000000' },
  });
  sent.on('error', () => undefined);
  sent.write('{');
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  assert.equal(answer.statusCode, 401);
  sent.destroy();
});

const openssl = await new Promise<boolean>((resolve) => {
  execFile('openssl', ['version'], (error) => resolve(!error));
});

test('[AZ17] TLS 1.2 and 1.3 alone', {
  skip: openssl ? false : 'openssl is not installed',
}, async (context) => {
  const { url, folder } = await startServer(context);
  const shake = (...flags: string[]): Promise<string> =>
    new Promise((resolve) => {
      const { host } = new URL(url);
      const words = ['s_client', '-connect', host, '-CAfile', join(folder, 'ca.crt'), ...flags];
      const child = execFile('openssl', words, { timeout: 20_000 }, (_error, out, err) =>
        resolve(out + err),
      );
      child.stdin?.end();
    });
  for (const version of ['-tls1_2', '-tls1_3']) {
    const said = await shake(version);
    assert.match(said, /Verify return code: 0 \(ok\)/, version);
    assert.match(said, /Cipher is (?!\(NONE\))/, version);
  }
  // Without its own limit, so that the refusal is the server's.
  for (const version of ['-tls1', '-tls1_1']) {
    const said = await shake(version, '-cipher', 'DEFAULT@SECLEVEL=0');
    assert.match(said, /alert protocol version|Cipher is \(NONE\)/, version);
    assert.doesNotMatch(said, /Verify return code: 0 \(ok\)[\s\S]*Cipher is TLS/);
  }
});

test('[AZ18] new connections get the new certificate and authorities, open ones go on', async (context) => {
  const server = await startServer(context);
  const { url, ca, access, folder, api } = server;
  const { hostname, port } = new URL(url);
  const serialOf = async (authorities: string[]): Promise<string> => {
    const socket: TLSSocket = connect({ host: hostname, port: Number(port), ca: authorities });
    await once(socket, 'secureConnect');
    const { serialNumber } = socket.getPeerCertificate();
    socket.destroy();
    return serialNumber;
  };
  const before = await serialOf([ca]);
  const agent = new Agent({ keepAlive: true, maxSockets: 1, ca });
  context.after(() => agent.destroy());
  assert.equal((await send(server, '/api', { agent })).status, 200);

  const validity = { from: Date.now() - DAY, to: Date.now() + DAY };
  const other = { ...issueAuthority('other', validity), commonName: 'other' };
  const user = issueClient(
    other,
    { commonName: 'alice', organizations: ['system:masters'] },
    validity,
  );
  const asAlice = {
    cert: user.certificate,
    key: user.key,
    token: 'none',
    ca: [ca, other.certificate],
  };
  assert.equal((await send(server, '/api', asAlice)).status, 401);
  const own = await readFile(join(folder, 'ca.crt'), 'utf8');
  access.clientAuthorities.replace(own + other.certificate);
  api.renew(issueServer(other, ['127.0.0.1'], validity));
  assert.equal((await send(server, '/api', { agent })).status, 200, 'the open connection goes on');
  assert.notEqual(await serialOf([other.certificate]), before);
  await assert.rejects(serialOf([ca]), /certificate/);
  assert.equal((await send(server, '/api', asAlice)).status, 200);
  assert.ok(new X509Certificate(own).ca);
});
