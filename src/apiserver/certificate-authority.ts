// The server's own certificate authority and certificate, kept as PEM files.
import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { issueAuthority, issueServer, type KeyPair } from './certificate.ts';

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
/** Issued anew at a start within this many days of its end. */
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
  const issuer = new X509Certificate(authority.certificate);
  const to = Math.min(now + SERVER_DAYS * DAY, Date.parse(issuer.validTo));
  const commonName = issuer.subject.replace(/^CN=/, '');
  const server = issueServer({ ...authority, commonName }, hosts, { from: now - DAY, to });
  await writePair(folder, 'server', server);
  return { ca: authority.certificate, ...server };
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
  const certificate = new X509Certificate(kept.certificate);
  if (Date.parse(certificate.validTo) - now < RENEW_DAYS * DAY) return false;
  if (!certificate.verify(new X509Certificate(authority.certificate).publicKey)) return false;
  if (!certificate.checkPrivateKey(createPrivateKey(kept.key))) return false;
  const names = hosts.every((host) =>
    isIP(host) > 0
      ? certificate.checkIP(host) !== undefined
      : certificate.checkHost(host) !== undefined,
  );
  const count = (certificate.subjectAltName ?? '').split(',').length;
  return names && count === hosts.length;
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
