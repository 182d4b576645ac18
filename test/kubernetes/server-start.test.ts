// A server that cannot start says why in a line, and ends: nothing of it goes on trying.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
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
  const oidc = ['--oidc-client-id', 'a', '--oidc-issuer-url', 'http://idp'];
  const starts: readonly (readonly [flags: readonly string[], why: RegExp])[] = [
    [['--tls-cert-file', '/x'], /^Cannot serve TLS: .* go together; give both$/],
    [oidc, /^Cannot use OpenID Connect: --oidc-issuer-url "http:\/\/idp" must be an https:/],
    [['--audit-policy-file', '/x'], /^Cannot audit: .*give --audit-log-path too$/],
    [['--listen', `127.0.0.1:${port}`], /^Cannot listen on 127\.0\.0\.1:\d+: .*EADDRINUSE/],
    [['--datastore-type', 'paper'], /^Cannot open the store: the datastore type is "paper"/],
  ];
  for (const [index, [flags, why]] of starts.entries()) {
    const words = ['server', '--data', join(folder, String(index)), '--listen', '127.0.0.1:0'];
    const { code, signal, err } = await run([...words, '--flow-storage', 'none', ...flags]);
    // The rest is the log.
    const said = err.split('\n').filter((line) => line !== '' && !line.startsWith('{"level":30'));
    assert.deepEqual([code, signal], [1, undefined], err);
    assert.equal(said.length, 1, err);
    assert.match(said[0] ?? '', why);
  }
});
