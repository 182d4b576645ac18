// JSON Web Tokens (RFC 7519): read, signed and verified by jose, with the algorithms of OpenID providers.
import {
  createLocalJWKSet,
  decodeJwt,
  errors,
  type JSONWebKeySet,
  type JWTPayload,
  type JWTVerifyOptions,
  jwtVerify,
  type KeyInput,
  type LocalJWKSet,
  SignJWT,
} from 'jose';
import type { KeyObject } from 'node:crypto';
import { isObject } from '#lib';

export interface DecodedToken {
  readonly text: string;
  /** Not verified. */
  readonly claims: Readonly<Record<string, unknown>>;
}

/** Keys of a JWK set (RFC 7517), each used for the algorithms and key ids that it is for. */
export type VerificationKeys = LocalJWKSet;

/** What the claims have to say; `now` in milliseconds since 1970. */
export interface Expectation {
  readonly issuer: string;
  /** The token must be for one of them. */
  readonly audiences: readonly string[];
  readonly algorithms: readonly string[];
  readonly now: number;
}

/** `unknownKey`: the set does not have the key that the token names. */
export type Verdict =
  | { readonly claims: Readonly<Record<string, unknown>> }
  | 'refused'
  | 'unknownKey';

const MAX_LENGTH = 16 * 1024;

/** RFC 7518, 3.1; neither `none` nor the symmetric ones. */
export const SIGNING_ALGORITHMS: readonly string[] = ['RS', 'PS', 'ES'].flatMap((family) =>
  ['256', '384', '512'].map((bits) => family + bits),
);

/** The claims of a token, not verified; undefined where it is none. */
export function decodeToken(text: string): DecodedToken | undefined {
  if (text.length > MAX_LENGTH) return undefined;
  try {
    return { text, claims: decodeJwt(text) };
  } catch {
    return undefined;
  }
}

/** The keys of a JWK set as its owner publishes it. Throws an Error where it is none. */
export function verificationKeys(set: unknown): VerificationKeys {
  const keys: unknown = isObject(set) ? set['keys'] : undefined;
  if (!Array.isArray(keys) || !keys.every(isObject)) throw new Error('it is no JWK set');
  const usable = keys.filter(({ kty }) => kty === 'RSA' || kty === 'EC');
  if (usable.length === 0) throw new Error('it has no key that can verify a signature');
  return createLocalJWKSet({ keys: usable } as JSONWebKeySet);
}

/** Whether one of the keys signed the token, it is in time, and its claims are as expected. */
export async function verifyToken(
  { text }: DecodedToken,
  keys: VerificationKeys,
  { issuer, audiences, algorithms, now }: Expectation,
): Promise<Verdict> {
  const options: JWTVerifyOptions = {
    issuer,
    audience: [...audiences],
    algorithms: [...algorithms],
    currentDate: new Date(now),
    requiredClaims: ['exp'],
  };
  try {
    return { claims: await verifiedClaims(text, keys, options) };
  } catch (error) {
    if (error instanceof errors.JWKSNoMatchingKey) return 'unknownKey';
    // A key that is too weak for its algorithm is a TypeError, the rest are of jose.
    if (error instanceof errors.JOSEError || error instanceof TypeError) return 'refused';
    throw error;
  }
}

/** Without a key id several keys may be meant: each is tried. */
async function verifiedClaims(
  text: string,
  keys: VerificationKeys,
  options: JWTVerifyOptions,
): Promise<JWTPayload> {
  try {
    return (await jwtVerify(text, keys, options)).payload;
  } catch (error) {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
    for await (const key of error as AsyncIterable<KeyInput>) {
      try {
        return (await jwtVerify(text, key, options)).payload;
      } catch (failure) {
        if (!(failure instanceof errors.JWSSignatureVerificationFailed)) throw failure;
      }
    }
    throw new errors.JWSSignatureVerificationFailed();
  }
}

/** A token with these claims, signed with an ECDSA P-256 key. */
export async function signToken(
  claims: Readonly<Record<string, unknown>>,
  { keyId, key }: { readonly keyId: string; readonly key: KeyObject },
): Promise<string> {
  const header = { alg: 'ES256', kid: keyId, typ: 'JWT' };
  return new SignJWT({ ...claims }).setProtectedHeader(header).sign(key);
}
