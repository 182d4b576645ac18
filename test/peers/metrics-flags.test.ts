// `tortie server` with the flags of metrics: TLS with client certificates, requests counted, a place that is taken.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { tierKind } from '#api';
import { startServerProcess, temporaryFolder } from '../kubernetes/server-process.ts';

const TORTIE = join(import.meta.dirname, '..', '..', 'bin', 'tortie');

async function takenPort(): Promise<{ port: number; free: () => Promise<void> }> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address);
  const free = async (): Promise<void> => {
    server.close();
    await once(server, 'close');
  };
  return { port: address.port, free };
}

test('metrics with a client certificate alone, and requests by verb and code', async (context) => {
  const folder = await temporaryFolder(context);
  const file = (name: string): string => join(folder, name);
  const words = [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
  ];
  const pair = ['-keyout', file('m.key'), '-out', file('m.crt'), '-subj', '/CN=m', '-days', '2'];
  const host = ['-addext', 'subjectAltName=IP:127.0.0.1'];
  execFileSync('openssl', [...words, ...pair, ...host], { stdio: 'pipe' });
  const { port, free } = await takenPort();
  await free();
  const tls = ['--metrics-cert-file', file('m.crt'), '--metrics-key-file', file('m.key')];
  const clients = ['--metrics-client-ca-file', file('m.crt')];
  const { client } = await startServerProcess(context, file('data'), {
    flags: ['--metrics-listen', `127.0.0.1:${port}`, ...tls, ...clients],
  });
  const read = (...more: string[]) =>
    spawnSync(
      'curl',
      ['-sS', '--fail', '--cacert', file('m.crt'), ...more, `https://127.0.0.1:${port}/metrics`],
      { encoding: 'utf8', timeout: 10_000 },
    );
  const own = ['--cert', file('m.crt'), '--key', file('m.key')];
  assert.notEqual(read().status, 0, 'without a certificate');
  const gets = (): number =>
    Number(
      /^tortie_requests_total\{verb="get",code="404"\} (\d+)$/m.exec(read(...own).stdout)?.[1] ?? 0,
    );
  const before = gets();
  for (let turn = 0; turn < 7; turn++) await client.get(tierKind, { name: 'none' });
  assert.equal(gets() - before, 7);
});

test('a place that is taken, and files without one, are said', async (context) => {
  const data = join(await temporaryFolder(context), 'data');
  const { port, free } = await takenPort();
  context.after(free);
  const server = (...flags: string[]) =>
    spawnSync(TORTIE, ['server', '--data', data, '--listen', '127.0.0.1:0', ...flags], {
      encoding: 'utf8',
      timeout: 30_000,
    });
  const taken = server('--metrics-listen', `127.0.0.1:${port}`);
  assert.equal(taken.status, 1);
  assert.match(taken.stderr, new RegExp(`Cannot serve metrics at 127.0.0.1:${port}.*EADDRINUSE`));
  assert.doesNotMatch(taken.stdout, /ready/);
  const noPlace = server('--metrics-cert-file', 'x', '--metrics-key-file', 'y');
  assert.match(noPlace.stderr, /give --metrics-listen/);
});
