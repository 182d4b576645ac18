// A server that cannot start says why in a line, and ends: nothing of it goes on trying.
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryFolder } from './server-process.ts';

const TORTIE = join(import.meta.dirname, '..', '..', 'bin', 'tortie');

interface Ended {
  readonly code: unknown;
  readonly signal: unknown;
  readonly err: string;
}

function run(words: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(TORTIE, words, { timeout: 60_000 }, (error, _, err) => {
      resolve({ code: error?.code ?? 0, signal: error?.signal ?? undefined, err });
    });
  });
}

test('a server that cannot start says why and ends', async (context) => {
  const folder = await temporaryFolder(context);
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  context.after(() => taken.close());
  const { port } = taken.address() as AddressInfo;
  const certificate = join(folder, 'tls.crt');
  const words = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=test';
  const files = ['-keyout', join(folder, 'tls.key'), '-out', certificate];
  execFileSync('openssl', [...words.split(' '), ...files], { stdio: 'ignore' });
  const oidc = ['--oidc-client-id', 'a', '--oidc-issuer-url', 'http://idp'];
  const starts: readonly (readonly [flags: readonly string[], why: RegExp])[] = [
    [['--tls-cert-file', certificate], /^Cannot serve TLS: .* go together; give both$/],
    [
      ['--client-ca-file', '/x', '--oidc-ca-file', folder],
      /^Cannot use --client-ca-file "\/x": there is no such file; .*cannot use --oidc-ca-file ".*": it is a folder/,
    ],
    [
      [
        '--datastore-type',
        'etcd',
        '--etcd-endpoints',
        'https://127.0.0.1:1',
        '--etcd-ca-cert-file',
        '/x',
      ],
      /^Cannot use --etcd-ca-cert-file "\/x": there is no such file; give a PEM file/,
    ],
    [oidc, /^Cannot use OpenID Connect: --oidc-issuer-url "http:\/\/idp" must be an https:/],
    [['--audit-policy-file', certificate], /^Cannot audit: .*give --audit-log-path too$/],
    [['--listen', `127.0.0.1:${port}`], /^Cannot listen on 127\.0\.0\.1:\d+: .*EADDRINUSE/],
    [['--datastore-type', 'paper'], /^Cannot open the store: the datastore type is "paper"/],
  ];
  for (const [index, [flags, why]] of starts.entries()) {
    const start = ['server', '--data', join(folder, String(index)), '--listen', '127.0.0.1:0'];
    const { code, signal, err } = await run([...start, '--flow-storage', 'none', ...flags]);
    // The rest is the log.
    const said = err.split('\n').filter((line) => line !== '' && !line.startsWith('{"level":30'));
    assert.deepEqual([code, signal], [1, undefined], err);
    assert.equal(said.length, 1, err);
    assert.match(said[0] ?? '', why);
  }
});
