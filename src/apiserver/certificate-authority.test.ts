// Certificates and tokens: what is made once, what is made anew, and that others accept it.
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { serverCertificate } from './certificate-authority.ts';
import { Tokens } from './auth/tokens.ts';

const DAY = 24 * 60 * 60 * 1000;
const NOW = Date.now();

async function folderOf(context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tortie-pki-'));
  context.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

test('the certificate is for its hosts, signed by the authority, and neither is more', async (context) => {
  const hosts = ['127.0.0.1', '::1', 'localhost', 'api.lab', '10.99.0.1'];
  const made = await serverCertificate(await folderOf(context), hosts, NOW);
  const ca = new X509Certificate(made.ca);
  const server = new X509Certificate(made.certificate);
  assert.ok(ca.ca && ca.verify(ca.publicKey));
  assert.ok(!server.ca && server.verify(ca.publicKey) && server.checkIssued(ca));
  for (const host of ['127.0.0.1', '::1', '10.99.0.1']) assert.equal(server.checkIP(host), host);
  for (const host of ['localhost', 'api.lab']) assert.equal(server.checkHost(host), host);
  assert.equal(server.checkHost('tortie-server'), undefined);
  assert.equal(server.checkIP('10.99.0.2'), undefined);
});

test('the certificate is kept while it fits, the authority always', async (context) => {
  const folder = await folderOf(context);
  const first = await serverCertificate(folder, ['127.0.0.1'], NOW);
  assert.deepEqual(await serverCertificate(folder, ['127.0.0.1'], NOW + DAY), first);
  const more = await serverCertificate(folder, ['127.0.0.1', 'a.lab'], NOW);
  assert.notEqual(more.certificate, first.certificate);
  const fewer = await serverCertificate(folder, ['127.0.0.1'], NOW);
  assert.equal(new X509Certificate(fewer.certificate).checkHost('a.lab'), undefined);
  const late = await serverCertificate(folder, ['127.0.0.1'], NOW + 340 * DAY);
  assert.notEqual(late.certificate, fewer.certificate);
  assert.equal(late.ca, first.ca);
});

test('a far end is written in the long form of time', async (context) => {
  const late = Date.parse('2055-06-01T00:00:00Z');
  const made = await serverCertificate(await folderOf(context), ['127.0.0.1'], late);
  assert.equal(new Date(new X509Certificate(made.certificate).validTo).getUTCFullYear(), 2056);
});

test('tokens are kept, and a node that is new gets its own', async (context) => {
  const path = join(await folderOf(context), 'tokens');
  const first = await Tokens.load(path, ['n1']);
  const second = await Tokens.load(path, ['n1', 'n2']);
  const admin = { kind: 'admin', name: 'admin' } as const;
  assert.equal(second.tokenOf(admin), first.tokenOf(admin));
  assert.deepEqual(second.userOf(second.tokenOf({ kind: 'node', name: 'n2' }) ?? ''), {
    kind: 'node',
    name: 'n2',
  });
  assert.equal(second.userOf(''), undefined);
  assert.equal(second.userOf(`${first.tokenOf(admin)} `), undefined);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  await assert.rejects(Tokens.load(path, ['../n3']), /cannot be a node's name/);
});

test('a broken tokens file is refused by its line, without quoting it', async (context) => {
  const path = join(await folderOf(context), 'tokens');
  await writeFile(path, 'admin admin secretsecretsecret\nroot x anothersecretsecret\n');
  await assert.rejects(Tokens.load(path, []), (error: Error) => {
    assert.match(error.message, /line 2 of ".*tokens"/);
    assert.doesNotMatch(error.message, /secret/);
    return true;
  });
  assert.match(await readFile(path, 'utf8'), /^admin/);
});
