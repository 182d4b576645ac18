// The server's own certificate authority, its certificate and those of clients, kept as PEM files.
import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import {
  type DistinguishedName,
  issueAuthority,
  issueClient,
  issueServer,
  type KeyPair,
} from './certificate.ts';

export interface ServerCertificate {
  /** PEM of the authority, for clients. */
  readonly ca: string;
  /** PEM of the certificate and its key. */
  readonly certificate: string;
  readonly key: string;
}

const DAY = 24 * 60 * 60 * 1000;
const CA_DAYS = 3650;
const SERVER_DAYS = 365;
/** Issued anew within this many days of its end. */
const RENEW_DAYS = 30;

/**
 * The authority in `folder` (made on first use) and a certificate for `hosts` (names or addresses),
 * issued anew where the kept one is for other hosts, near its end, or of another authority.
 */
export async function serverCertificate(
  folder: string,
  hosts: readonly string[],
  now: number,
): Promise<ServerCertificate> {
  const authority = (await readPair(folder, 'ca')) ?? (await createAuthority(folder, now));
  const kept = await readPair(folder, 'server');
  if (kept && stillFits(kept, authority, { hosts, now })) {
    return { ca: authority.certificate, ...kept };
  }
  const { issuer, to } = issuerOf(authority, now);
  const server = issueServer(issuer, hosts, { from: now - DAY, to });
  await writePair(folder, 'server', server);
  return { ca: authority.certificate, ...server };
}

/**
 * A certificate with which a client is `commonName` in the groups `organizations`, kept in `folder` as
 * `NAME.crt` and `NAME.key`; issued anew where the kept one is another's, near its end, or of another authority.
 */
export async function clientCertificate(
  folder: string,
  subject: DistinguishedName,
  { authorityFolder, now }: { authorityFolder: string; now: number },
): Promise<KeyPair> {
  const authority = await readPair(authorityFolder, 'ca');
  if (!authority) throw new Error(`there is no certificate authority in "${authorityFolder}"`);
  const kept = await readPair(folder, subject.commonName);
  if (kept && isOf(kept, subject) && isGood(kept, authority, now)) return kept;
  const { issuer, to } = issuerOf(authority, now);
  const client = issueClient(issuer, subject, { from: now - DAY, to });
  await writePair(folder, subject.commonName, client);
  return client;
}

function issuerOf(
  authority: KeyPair,
  now: number,
): { issuer: KeyPair & { commonName: string }; to: number } {
  const certificate = new X509Certificate(authority.certificate);
  const to = Math.min(now + SERVER_DAYS * DAY, Date.parse(certificate.validTo));
  const commonName = certificate.subject.replace(/^CN=/, '');
  return { issuer: { ...authority, commonName }, to };
}

function isOf(kept: KeyPair, { commonName, organizations = [] }: DistinguishedName): boolean {
  const wanted = [...organizations.map((name) => `O=${name}`), `CN=${commonName}`];
  return new X509Certificate(kept.certificate).subject === wanted.join('\n');
}

async function createAuthority(folder: string, now: number): Promise<KeyPair> {
  const commonName = `tortie-ca-${randomBytes(4).toString('hex')}`;
  const authority = issueAuthority(commonName, { from: now - DAY, to: now + CA_DAYS * DAY });
  await writePair(folder, 'ca', authority);
  return authority;
}

function stillFits(
  kept: KeyPair,
  authority: KeyPair,
  { hosts, now }: { hosts: readonly string[]; now: number },
): boolean {
  if (!isGood(kept, authority, now)) return false;
  const certificate = new X509Certificate(kept.certificate);
  const names = hosts.every((host) =>
    isIP(host) > 0
      ? certificate.checkIP(host) !== undefined
      : certificate.checkHost(host) !== undefined,
  );
  const count = (certificate.subjectAltName ?? '').split(',').length;
  return names && count === hosts.length;
}

function isGood(kept: KeyPair, authority: KeyPair, now: number): boolean {
  const certificate = new X509Certificate(kept.certificate);
  return (
    Date.parse(certificate.validTo) - now >= RENEW_DAYS * DAY &&
    certificate.verify(new X509Certificate(authority.certificate).publicKey) &&
    certificate.checkPrivateKey(createPrivateKey(kept.key))
  );
}

async function readPair(folder: string, name: string): Promise<KeyPair | undefined> {
  try {
    const certificate = await readFile(join(folder, `${name}.crt`), 'utf8');
    return { certificate, key: await readFile(join(folder, `${name}.key`), 'utf8') };
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** The key first: a pair counts only once its certificate is there. */
async function writePair(folder: string, name: string, pair: KeyPair): Promise<void> {
  await replaceFile(join(folder, `${name}.key`), pair.key);
  await replaceFile(join(folder, `${name}.crt`), pair.certificate);
}

/** Writes a file that only its owner may read, whole or not at all. */
export async function replaceFile(path: string, content: string): Promise<void> {
  const temporary = `${path}.new`;
  await writeFile(temporary, content, { mode: 0o600, flush: true });
  await rename(temporary, path);
}
