// Certificates that change in their files: taken when they are good, told when they are not, kept otherwise.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ClientAuthorities } from './auth/client-certificate.ts';
import { CertificateKeeper, readCertificate } from './certificate-keeper.ts';
import { issueAuthority, issueServer, type KeyPair } from './certificate.ts';

const DAY = 24 * 60 * 60 * 1000;
const validity = { from: Date.now() - DAY, to: Date.now() + DAY };

test('[AZ18] what is good in the files is taken, what is not is told once', async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'tortie-keeper-'));
  context.after(() => rm(folder, { recursive: true, force: true }));
  const authority = { ...issueAuthority('a', validity), commonName: 'a' };
  const files = { certificate: join(folder, 'tls.crt'), key: join(folder, 'tls.key') };
  const write = async (pair: KeyPair): Promise<void> => {
    await writeFile(files.certificate, pair.certificate);
    await writeFile(files.key, pair.key);
  };
  const one = issueServer(authority, ['a.lab'], validity);
  const two = issueServer(authority, ['b.lab'], validity);
  await write(one);
  let clientCa = authority.certificate;
  const authorities = new ClientAuthorities(clientCa);
  const taken: KeyPair[] = [];
  const errors: string[] = [];
  const keeper = new CertificateKeeper(
    { certificate: one, clientCa },
    {
      certificate: () => readCertificate(files.certificate, files.key),
      clientCa: async () => clientCa,
      onCertificate: (pair) => taken.push(pair),
      onClientCa: (pem) => authorities.replace(pem),
      onError: ({ message }) => errors.push(message),
    },
  );
  context.after(() => keeper.close());
  await keeper.check();
  assert.deepEqual([taken.length, errors.length], [0, 0]);

  await write({ certificate: two.certificate, key: one.key });
  await keeper.check();
  await keeper.check();
  assert.equal(taken.length, 0);
  assert.equal(errors.length, 1);
  assert.match(
    errors[0] ?? '',
    /tls\.crt" and ".*tls\.key" are no certificate and its key: the key/,
  );
  assert.doesNotMatch(errors[0] ?? '', /PRIVATE KEY/);

  await write(two);
  await keeper.check();
  assert.deepEqual(taken, [two]);

  clientCa = 'nonsense';
  await keeper.check();
  assert.match(errors[1] ?? '', /holds no PEM certificate/);
  assert.equal(authorities.pem, authority.certificate);
  clientCa = issueAuthority('b', validity).certificate;
  await keeper.check();
  assert.equal(authorities.pem, clientCa);
  assert.deepEqual(taken, [two, two], 'servers ask for the new authorities too');
  await rm(files.key);
  await keeper.check();
  assert.match(errors[2] ?? '', /ENOENT/);
  assert.equal(errors.length, 3);
});
