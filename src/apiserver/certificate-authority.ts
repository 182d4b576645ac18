// The server's own certificate authority and certificate (ECDSA P-256), kept as PEM files.
import { randomBytes, webcrypto, X509Certificate } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';

export interface ServerCertificate {
  /** PEM of the authority, for clients. */
  readonly ca: string;
  /** PEM of the certificate and its key. */
  readonly certificate: string;
  readonly key: string;
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY = 24 * 60 * 60 * 1000;
const CA_DAYS = 3650;
const SERVER_DAYS = 365;
/** Issued anew at a start within this many days of its end. */
const RENEW_DAYS = 30;

interface KeyPair {
  readonly certificate: string;
  readonly key: string;
}

/**
 * The authority in `folder` (made on first use) and a certificate for `hosts` (names or addresses),
 * issued anew where the kept one is of other hosts, near its end, or of another authority.
 */
export async function serverCertificate(
  folder: string,
  hosts: readonly string[],
  now: number,
): Promise<ServerCertificate> {
  x509.cryptoProvider.set(webcrypto as Crypto);
  const authority = (await readPair(folder, 'ca')) ?? (await createAuthority(folder, now));
  const kept = await readPair(folder, 'server');
  const fits = kept && stillFits(kept.certificate, authority.certificate, { hosts, now });
  const server = kept && fits ? kept : await issue(folder, authority, { hosts, now });
  return { ca: authority.certificate, ...server };
}

async function createAuthority(folder: string, now: number): Promise<KeyPair> {
  const keys = await generateKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: `CN=tortie-ca-${randomBytes(4).toString('hex')}`,
    notBefore: new Date(now - DAY),
    notAfter: new Date(now + CA_DAYS * DAY),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
        true,
      ),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return writePair(folder, 'ca', await pairOf(certificate, keys.privateKey));
}

async function issue(
  folder: string,
  authority: KeyPair,
  { hosts, now }: { hosts: readonly string[]; now: number },
): Promise<KeyPair> {
  const issuer = new x509.X509Certificate(authority.certificate);
  const keys = await generateKeys();
  const end = Math.min(now + SERVER_DAYS * DAY, issuer.notAfter.getTime());
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: 'CN=tortie-server',
    issuer: issuer.subject,
    notBefore: new Date(now - DAY),
    notAfter: new Date(end),
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey: await importKey(authority.key),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(
        hosts.map((value) => ({ type: isIP(value) > 0 ? 'ip' : 'dns', value })),
      ),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
    ],
  });
  return writePair(folder, 'server', await pairOf(certificate, keys.privateKey));
}

function stillFits(
  certificate: string,
  authority: string,
  { hosts, now }: { hosts: readonly string[]; now: number },
): boolean {
  const kept = new X509Certificate(certificate);
  if (Date.parse(kept.validTo) - now < RENEW_DAYS * DAY) return false;
  if (!kept.verify(new X509Certificate(authority).publicKey)) return false;
  const names = hosts.every((host) =>
    isIP(host) > 0 ? kept.checkIP(host) !== undefined : kept.checkHost(host) !== undefined,
  );
  const count = (kept.subjectAltName ?? '').split(',').length;
  return names && count === hosts.length;
}

async function generateKeys(): Promise<CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
}

async function importKey(pem: string): Promise<CryptoKey> {
  const [block] = x509.PemConverter.decode(pem);
  if (!block) throw new Error('the key of the certificate authority is not PEM');
  return webcrypto.subtle.importKey('pkcs8', block, ALGORITHM, false, ['sign']);
}

async function pairOf(certificate: x509.X509Certificate, key: CryptoKey): Promise<KeyPair> {
  const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', key);
  return {
    certificate: `${certificate.toString('pem')}\n`,
    key: `${x509.PemConverter.encode(pkcs8, x509.PemConverter.PrivateKeyTag)}\n`,
  };
}

function serialNumber(): string {
  // Positive and without a leading zero byte (RFC 5280, 4.1.2.2).
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.toString('hex');
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
async function writePair(folder: string, name: string, pair: KeyPair): Promise<KeyPair> {
  await replaceFile(join(folder, `${name}.key`), pair.key);
  await replaceFile(join(folder, `${name}.crt`), pair.certificate);
  return pair;
}

/** Writes a file that only its owner may read, whole or not at all. */
export async function replaceFile(path: string, content: string): Promise<void> {
  const temporary = `${path}.new`;
  await writeFile(temporary, content, { mode: 0o600, flush: true });
  await rename(temporary, path);
}
