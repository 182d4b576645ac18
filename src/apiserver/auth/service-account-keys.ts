// The keys that sign service-account tokens: kept in a file, replaced in time, published as a JWK set.
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isObject } from '#lib';
import { replaceFile } from '../certificate-authority.ts';
import { type VerificationKeys, verificationKeys } from './json-web-token.ts';

interface SigningKey {
  readonly keyId: string;
  /** Milliseconds since 1970. */
  readonly created: number;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

export interface KeyRotation {
  /** How long a key signs; milliseconds. */
  readonly signingMs: number;
  /** How long after that its tokens may still be good; milliseconds. */
  readonly verifyingMs: number;
}

const DAY = 24 * 60 * 60 * 1000;
export const DEFAULT_ROTATION: KeyRotation = { signingMs: 30 * DAY, verifyingMs: 2 * DAY };

/** Newest first; the newest signs. */
export class ServiceAccountKeys {
  readonly #path: string;
  readonly #rotation: KeyRotation;
  #keys: readonly SigningKey[];
  #verifying: VerificationKeys | undefined;

  private constructor(path: string, rotation: KeyRotation, keys: readonly SigningKey[]) {
    this.#path = path;
    this.#rotation = rotation;
    this.#keys = keys;
  }

  /** Reads the file, and makes what is missing or due. */
  static async open(
    path: string,
    now: number,
    rotation: KeyRotation = DEFAULT_ROTATION,
  ): Promise<ServiceAccountKeys> {
    const keys = new ServiceAccountKeys(path, rotation, await readKeys(path));
    await keys.rotate(now);
    return keys;
  }

  /** Makes a new key where the newest has signed for long enough, and drops keys without good tokens. */
  async rotate(now: number): Promise<boolean> {
    const [newest] = this.#keys;
    const due = !newest || now - newest.created >= this.#rotation.signingMs;
    const all = due ? [newKey(now), ...this.#keys] : this.#keys;
    const kept = all.filter((_, index) => {
      const successor = all[index - 1];
      return !successor || now - successor.created < this.#rotation.verifyingMs;
    });
    if (!due && kept.length === all.length) return false;
    // Durable before it signs: a token must not outlive the memory of its key.
    await replaceFile(this.#path, keysText(kept));
    this.#keys = kept;
    this.#verifying = undefined;
    return true;
  }

  get signing(): { readonly keyId: string; readonly key: KeyObject } {
    const [newest] = this.#keys;
    if (!newest) throw new Error('there is no key to sign service-account tokens with');
    return { keyId: newest.keyId, key: newest.privateKey };
  }

  get verifying(): VerificationKeys {
    this.#verifying ??= verificationKeys(this.jwks);
    return this.#verifying;
  }

  /** RFC 7517, as `/openid/v1/jwks` serves it. */
  get jwks(): { readonly keys: readonly object[] } {
    const keys = this.#keys.map(({ keyId, publicKey }) => {
      return { use: 'sig', alg: 'ES256', kid: keyId, ...publicKey.export({ format: 'jwk' }) };
    });
    return { keys };
  }
}

function newKey(created: number): SigningKey {
  return withId(created, generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
}

/** A key's id is the hash of its public half, as in Kubernetes. */
function withId(created: number, privateKey: KeyObject): SigningKey {
  const publicKey = createPublicKey(privateKey);
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const keyId = createHash('sha256').update(spki).digest('base64url');
  return { keyId, created, privateKey, publicKey };
}

function keysText(keys: readonly SigningKey[]): string {
  const entries = keys.map(({ created, privateKey }) => {
    const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    return { created: new Date(created).toISOString(), key };
  });
  return `${JSON.stringify(entries, undefined, 2)}\n`;
}

async function readKeys(path: string): Promise<SigningKey[]> {
  let content: string;
  try {
    content = await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
  try {
    const entries: unknown = JSON.parse(content);
    if (!Array.isArray(entries)) throw new Error('no list');
    const keys = entries.map((entry: unknown) => {
      const { created, key } = isObject(entry) ? entry : {};
      if (typeof created !== 'string' || typeof key !== 'string') throw new Error('no key');
      return withId(Date.parse(created), createPrivateKey(key));
    });
    return keys.sort((a, b) => b.created - a.created);
  } catch {
    // The cause would quote the text around the fault, which is a key.
    throw new Error(
      `cannot read "${path}": it does not hold service-account keys; restore it, or remove it`,
    );
  }
}
