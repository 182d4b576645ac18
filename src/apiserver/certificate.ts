// Issues X.509 certificates (RFC 5280) with ECDSA P-256 keys.
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
} from 'node:crypto';
import { addressBytes, parseAddress } from '#lib';
import * as der from './der.ts';

/** PEM of a certificate and its private key. */
export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
}

export interface Validity {
  /** Milliseconds since 1970. */
  readonly from: number;
  readonly to: number;
}

export interface DistinguishedName {
  readonly commonName: string;
  readonly organizations?: readonly string[];
}

const ECDSA_WITH_SHA256 = der.sequence(der.objectIdentifier('1.2.840.10045.4.3.2'));
/** BIT STRINGs of RFC 5280, 4.2.1.3. */
const CERTIFICATE_SIGN = der.bitString(Buffer.from([0x06]), 1);
const DIGITAL_SIGNATURE = der.bitString(Buffer.from([0x80]), 7);
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';
const COMMON_NAME = '2.5.4.3';
const ORGANIZATION = '2.5.4.10';
/** Bytes of an uncompressed point, which ends the key's SubjectPublicKeyInfo. */
const POINT_LENGTH = 65;

/** A new authority that signs certificates of servers and clients, and no other authority's. */
export function issueAuthority(commonName: string, validity: Validity): KeyPair {
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const extensions = [
    extension('2.5.29.19', der.sequence(der.boolean(true), der.integer(Buffer.from([0]))), true),
    extension('2.5.29.15', CERTIFICATE_SIGN, true),
    extension('2.5.29.14', der.octetString(keyIdentifier(keys.publicKey))),
  ];
  const names = { issuer: { commonName }, subject: { commonName } };
  return issue({ ...names, validity, extensions, signer: keys.privateKey, keys });
}

/** A new server certificate for `hosts`, names or addresses. */
export function issueServer(
  authority: KeyPair & { commonName: string },
  hosts: readonly string[],
  validity: Validity,
): KeyPair {
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const signer = createPrivateKey(authority.key);
  const extensions = [
    ...endEntityExtensions(authority.key, SERVER_AUTH),
    extension('2.5.29.17', der.sequence(...hosts.map(generalName))),
  ];
  const issuer = { commonName: authority.commonName };
  const subject = { commonName: 'tortie-server' };
  return issue({ issuer, subject, validity, extensions, signer, keys });
}

/** A new client certificate; the API takes its common name for the user and its organizations for groups. */
export function issueClient(
  authority: KeyPair & { commonName: string },
  subject: DistinguishedName,
  validity: Validity,
): KeyPair {
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const signer = createPrivateKey(authority.key);
  const extensions = endEntityExtensions(authority.key, CLIENT_AUTH);
  const issuer = { commonName: authority.commonName };
  return issue({ issuer, subject, validity, extensions, signer, keys });
}

function endEntityExtensions(authorityKey: string, purpose: string): der.Der[] {
  const issuerKey = keyIdentifier(createPublicKey(authorityKey));
  return [
    extension('2.5.29.19', der.sequence(), true),
    extension('2.5.29.15', DIGITAL_SIGNATURE, true),
    extension('2.5.29.37', der.sequence(der.objectIdentifier(purpose))),
    extension('2.5.29.35', der.sequence(der.implicit(0, issuerKey))),
  ];
}

interface Issue {
  readonly issuer: DistinguishedName;
  readonly subject: DistinguishedName;
  readonly validity: Validity;
  readonly extensions: readonly der.Der[];
  readonly signer: KeyObject;
  readonly keys: { readonly publicKey: KeyObject; readonly privateKey: KeyObject };
}

function issue({ issuer, subject, validity, extensions, signer, keys }: Issue): KeyPair {
  const version3 = der.explicit(0, der.integer(Buffer.from([2])));
  const body = der.sequence(
    version3,
    der.integer(serialNumber()),
    ECDSA_WITH_SHA256,
    distinguishedName(issuer),
    der.sequence(der.time(validity.from), der.time(validity.to)),
    distinguishedName(subject),
    keys.publicKey.export({ type: 'spki', format: 'der' }),
    der.explicit(3, der.sequence(...extensions)),
  );
  const signature = der.bitString(sign('sha256', body, signer));
  const certificate = der.sequence(body, ECDSA_WITH_SHA256, signature);
  return {
    certificate: pem(certificate),
    key: keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

function extension(id: string, value: der.Der, critical = false): der.Der {
  const flag = critical ? [der.boolean(true)] : [];
  return der.sequence(der.objectIdentifier(id), ...flag, der.octetString(value));
}

function generalName(host: string): der.Der {
  const address = parseAddress(host);
  return address ? der.implicit(7, addressBytes(address)) : der.implicit(2, Buffer.from(host));
}

function distinguishedName({ commonName, organizations = [] }: DistinguishedName): der.Der {
  const attribute = (type: string, value: string): der.Der =>
    der.setOf(der.sequence(der.objectIdentifier(type), der.utf8String(value)));
  return der.sequence(
    ...organizations.map((name) => attribute(ORGANIZATION, name)),
    attribute(COMMON_NAME, commonName),
  );
}

/** Method 1 of RFC 5280, 4.2.1.2: SHA-1 over the key's bits. */
function keyIdentifier(key: KeyObject): Buffer {
  const point = key.export({ type: 'spki', format: 'der' }).subarray(-POINT_LENGTH);
  return createHash('sha1').update(point).digest();
}

/** Positive and without a leading zero byte (RFC 5280, 4.1.2.2). */
function serialNumber(): Buffer {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes;
}

function pem(certificate: Buffer): string {
  const lines = certificate.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}
