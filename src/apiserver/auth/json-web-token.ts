// JSON Web Tokens (RFC 7519) in compact form: signed with ES256, verified with the algorithms of OpenID providers.
import { constants, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { isObject } from '#lib';

export interface DecodedToken {
  readonly algorithm: string;
  readonly keyId: string | undefined;
  readonly claims: Readonly<Record<string, unknown>>;
  /** What the signature is over. */
  readonly signed: string;
  readonly signature: Buffer;
}

/** A public key of a JWK set (RFC 7517). */
export interface VerificationKey {
  readonly keyId: string | undefined;
  /** Undefined: whichever goes with the key. */
  readonly algorithm: string | undefined;
  readonly key: KeyObject;
}

const MAX_LENGTH = 16 * 1024;
const MIN_RSA_BITS = 2048;
const PART = /^[A-Za-z0-9_-]+$/;

interface Algorithm {
  readonly hash: string;
  readonly keyType: 'rsa' | 'ec';
  readonly curve?: string;
  readonly pss?: boolean;
}

/** RFC 7518, 3.1; neither `none` nor the symmetric ones. */
const ALGORITHMS: ReadonlyMap<string, Algorithm> = new Map([
  ['RS256', { hash: 'sha256', keyType: 'rsa' }],
  ['RS384', { hash: 'sha384', keyType: 'rsa' }],
  ['RS512', { hash: 'sha512', keyType: 'rsa' }],
  ['PS256', { hash: 'sha256', keyType: 'rsa', pss: true }],
  ['PS384', { hash: 'sha384', keyType: 'rsa', pss: true }],
  ['PS512', { hash: 'sha512', keyType: 'rsa', pss: true }],
  ['ES256', { hash: 'sha256', keyType: 'ec', curve: 'prime256v1' }],
  ['ES384', { hash: 'sha384', keyType: 'ec', curve: 'secp384r1' }],
  ['ES512', { hash: 'sha512', keyType: 'ec', curve: 'secp521r1' }],
]);

export const SIGNING_ALGORITHMS: readonly string[] = [...ALGORITHMS.keys()];

/** The parts of a token, not verified; undefined where it is none. */
export function decodeToken(token: string): DecodedToken | undefined {
  if (token.length > MAX_LENGTH) return undefined;
  const parts = token.split('.');
  const [header = '', payload = '', signature = ''] = parts;
  if (parts.length !== 3 || !parts.every((part) => PART.test(part))) return undefined;
  const fields = jsonObject(header);
  const claims = jsonObject(payload);
  // A critical extension (RFC 7515, 4.1.11) is one that must be understood; none is.
  if (!fields || !claims || fields['crit'] !== undefined) return undefined;
  const { alg, kid } = fields;
  if (typeof alg !== 'string') return undefined;
  return {
    algorithm: alg,
    keyId: typeof kid === 'string' ? kid : undefined,
    claims,
    signed: `${header}.${payload}`,
    signature: Buffer.from(signature, 'base64url'),
  };
}

/** Whether one of `keys` signed the token, with one of `algorithms`. */
export function isSignedBy(
  token: DecodedToken,
  keys: readonly VerificationKey[],
  algorithms: readonly string[],
): boolean {
  const algorithm = ALGORITHMS.get(token.algorithm);
  if (!algorithm || !algorithms.includes(token.algorithm)) return false;
  return keys.some(
    ({ keyId, algorithm: only, key }) =>
      (token.keyId === undefined || keyId === undefined || keyId === token.keyId) &&
      (only === undefined || only === token.algorithm) &&
      fits(key, algorithm) &&
      isSignature(token, key, algorithm),
  );
}

/** A token with these claims, signed with an ECDSA P-256 key. */
export function signToken(
  claims: Readonly<Record<string, unknown>>,
  { keyId, key }: { readonly keyId: string; readonly key: KeyObject },
): string {
  const header = encoded({ alg: 'ES256', kid: keyId, typ: 'JWT' });
  const signed = `${header}.${encoded(claims)}`;
  const signature = sign('sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' });
  return `${signed}.${signature.toString('base64url')}`;
}

/** The keys of a JWK set that can verify signatures; others are left out. */
export function verificationKeys(set: unknown): VerificationKey[] {
  const keys: unknown = isObject(set) ? set['keys'] : undefined;
  return (Array.isArray(keys) ? keys.slice(0, 100) : []).flatMap((jwk: unknown) => {
    if (!isObject(jwk) || (jwk['use'] !== undefined && jwk['use'] !== 'sig')) return [];
    if (jwk['kty'] !== 'RSA' && jwk['kty'] !== 'EC') return [];
    const { kid, alg } = jwk;
    try {
      return {
        keyId: typeof kid === 'string' ? kid : undefined,
        algorithm: typeof alg === 'string' ? alg : undefined,
        key: createPublicKey({ key: jwk, format: 'jwk' }),
      };
    } catch {
      return [];
    }
  });
}

function isSignature(token: DecodedToken, key: KeyObject, { hash, pss }: Algorithm): boolean {
  const padding = pss
    ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
    : {};
  const data = Buffer.from(token.signed);
  try {
    return verify(hash, data, { key, dsaEncoding: 'ieee-p1363', ...padding }, token.signature);
  } catch {
    return false;
  }
}

function fits(key: KeyObject, { keyType, curve }: Algorithm): boolean {
  const { modulusLength = 0, namedCurve } = key.asymmetricKeyDetails ?? {};
  if (key.asymmetricKeyType !== keyType) return false;
  return keyType === 'rsa' ? modulusLength >= MIN_RSA_BITS : namedCurve === curve;
}

function encoded(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function jsonObject(part: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
