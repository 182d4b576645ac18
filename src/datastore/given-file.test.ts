// Files that flags name: each way in which one cannot be used is told with the flag, the path and what to do.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { checkGivenFiles, type Holds, readGivenFile } from './given-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'tortie-given-'));
after(() => rmSync(folder, { recursive: true }));

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

/** PEM that begins as it should, around what is no key or certificate. */
function broken(what: string): string {
  return `-----BEGIN ${what}-----\nAAAA\n-----END ${what}-----\n`;
}

const key = join(folder, 'tls.key');
const certificate = join(folder, 'tls.crt');
const words = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=test -days 1';
execFileSync('openssl', [...words.split(' '), '-keyout', key, '-out', certificate], {
  stdio: 'ignore',
});

test('what is right is read', () => {
  const read = (path: string, holds: Holds): string =>
    readGivenFile({ name: '--x', path, holds }).toString();
  assert.match(read(key, 'key'), /PRIVATE KEY/);
  assert.match(read(certificate, 'certificates'), /BEGIN CERTIFICATE/);
  assert.equal(read(file('a.txt', 'text'), 'text'), 'text');
});

test('what is wrong is told: flag, path, reason, advice, and nothing of the content', () => {
  const loop = join(folder, 'loop');
  symlinkSync(loop, loop);
  const cases: readonly (readonly [path: string, holds: Holds, why: string])[] = [
    [join(folder, 'none'), 'certificates', 'there is no such file; give a PEM file with a cert'],
    [join(key, 'below'), 'text', 'a part of the path is no folder; give the path of a file'],
    [folder, 'key', 'it is a folder, not a file; give a PEM file with a private key without pass'],
    [loop, 'text', 'its symbolic links go round in a circle; give'],
    [file('empty', ''), 'key', 'it is empty; give a PEM file'],
    [file('secret.txt', 'geheim'), 'key', 'it is not PEM; give a PEM file with a private key'],
    [file('secret2.txt', 'geheim'), 'certificates', 'it is not PEM; give a PEM file with a cert'],
    [key, 'certificates', 'it holds a private key alone; give a PEM file with a certificate'],
    [certificate, 'key', 'it holds a certificate alone; give a PEM file with a private key'],
    [file('broken.crt', broken('CERTIFICATE')), 'certificates', 'its certificate is broken; give'],
    [file('broken.key', broken('PRIVATE KEY')), 'key', 'its key is broken; give a PEM file'],
    [file('locked.key', broken('ENCRYPTED PRIVATE KEY')), 'key', 'it has a passphrase; give a'],
  ];
  for (const [path, holds, why] of cases) {
    assert.throws(
      () => readGivenFile({ name: '--some-file', path, holds }),
      ({ message }: Error) => {
        assert.ok(message.startsWith(`cannot use --some-file ${JSON.stringify(path)}: ${why}`));
        return !message.includes('geheim') && !message.endsWith('.');
      },
      why,
    );
  }
});

test('all that is wrong is told at once', () => {
  const files = ['a', 'b'].map((name) => ({
    name: `--${name}`,
    path: join(folder, `none-${name}`),
    holds: 'text' as const,
  }));
  const both = /cannot use --a ".*none-a": there .*; cannot use --b ".*none-b": there/;
  assert.throws(() => checkGivenFiles(files), both);
  checkGivenFiles([]);
});
