// OpenID Connect: ID tokens of one provider become users and groups, as kube-apiserver's --oidc-* flags say.
import { get } from 'node:https';
import { isObject } from '#lib';
import type { Identity } from './identity.ts';
import {
  type DecodedToken,
  type Expectation,
  SIGNING_ALGORITHMS,
  type VerificationKeys,
  verificationKeys,
  type Verdict,
  verifyToken,
} from './json-web-token.ts';

export interface OidcOptions {
  /** `https://`, exactly as in the tokens' `iss`. */
  readonly issuer: string;
  /** One of the tokens' audiences. */
  readonly clientId: string;
  /** Default `sub`. */
  readonly usernameClaim?: string | undefined;
  /** `-` for none; by default `<issuer>#`, and none for the claim `email`. */
  readonly usernamePrefix?: string | undefined;
  readonly groupsClaim?: string | undefined;
  readonly groupsPrefix?: string | undefined;
  /** Claims that must have these values. */
  readonly requiredClaims?: Readonly<Record<string, string>>;
  /** Default RS256 alone, as in Kubernetes. */
  readonly signingAlgorithms?: readonly string[] | undefined;
  /** PEM; the system's authorities when absent. */
  readonly ca?: string | undefined;
  readonly now: () => number;
  /** The provider could not be asked; tokens are refused until it can. */
  readonly onError: (error: unknown) => void;
}

const RESERVED = 'system:';
const TIMEOUT_MS = 10_000;
const MAX_ANSWER = 1024 * 1024;
/** Keys are asked for again at most this often, whatever key ids tokens name. */
const REFRESH_MS = 10_000;
/** And at least this often, so that a withdrawn key goes. */
const KEEP_MS = 60 * 60 * 1000;
const DISCOVERY = '/.well-known/openid-configuration';

export class OidcProvider {
  readonly #options: OidcOptions;
  readonly #algorithms: readonly string[];
  #keys: VerificationKeys | undefined;
  #asked = Number.NEGATIVE_INFINITY;
  #answered = Number.NEGATIVE_INFINITY;
  #asking: Promise<void> | undefined;

  /** Throws an Error that names the option that is wrong. The provider is asked at the first token. */
  constructor(options: OidcOptions) {
    this.#options = options;
    this.#algorithms = options.signingAlgorithms ?? ['RS256'];
    const { issuer, clientId } = options;
    if (!URL.canParse(issuer) || !issuer.startsWith('https://')) {
      throw new Error(
        `cannot use OpenID Connect: --oidc-issuer-url "${issuer}" must be an https:// URL`,
      );
    }
    if (clientId === '')
      throw new Error(
        'cannot use OpenID Connect: --oidc-client-id is required with --oidc-issuer-url',
      );
    const unknown = this.#algorithms.find((name) => !SIGNING_ALGORITHMS.includes(name));
    if (unknown !== undefined) {
      const known = SIGNING_ALGORITHMS.join(', ');
      throw new Error(
        `cannot use OpenID Connect: --oidc-signing-algs has "${unknown}"; use some of ${known}`,
      );
    }
  }

  get issuer(): string {
    return this.#options.issuer;
  }

  /** Whom an ID token stands for; undefined: it is not good. */
  async identify(token: DecodedToken): Promise<Identity | undefined> {
    if (token.claims['iss'] !== this.#options.issuer) return undefined;
    const verdict = await this.#verdict(token);
    if (typeof verdict === 'string') return undefined;
    const { claims } = verdict;
    for (const [name, value] of Object.entries(this.#options.requiredClaims ?? {})) {
      if (claims[name] !== value) return undefined;
    }
    return this.#identity(claims);
  }

  #identity(claims: Readonly<Record<string, unknown>>): Identity | undefined {
    const { issuer, usernameClaim = 'sub', usernamePrefix, groupsClaim } = this.#options;
    const username = claims[usernameClaim];
    if (typeof username !== 'string' || username === '') return undefined;
    // An address that nobody has verified could be anybody's.
    const { email_verified: verified = true } = claims;
    if (usernameClaim === 'email' && verified !== true) return undefined;
    const fallback = usernameClaim === 'email' ? '' : `${issuer}#`;
    const prefix = usernamePrefix === '-' ? '' : (usernamePrefix ?? fallback);
    const given = groupsClaim === undefined ? undefined : claims[groupsClaim];
    const groups = typeof given === 'string' ? [given] : (given ?? []);
    if (!Array.isArray(groups) || !groups.every((group) => typeof group === 'string')) {
      return undefined;
    }
    const { groupsPrefix = '' } = this.#options;
    const name = prefix + username;
    // Those are the cluster's own to give, whatever a provider claims.
    if (name.startsWith(RESERVED)) return undefined;
    const prefixed = groups.map((group) => groupsPrefix + group);
    return { name, groups: prefixed.filter((group) => !group.startsWith(RESERVED)) };
  }

  async #verdict(token: DecodedToken): Promise<Verdict> {
    const { issuer, clientId, now } = this.#options;
    if (now() - this.#answered > KEEP_MS) await this.#refresh();
    // Keys that cannot be confirmed any more are not trusted.
    if (!this.#keys || now() - this.#answered > 2 * KEEP_MS) return 'refused';
    const algorithms = this.#algorithms;
    const expected: Expectation = { issuer, audiences: [clientId], algorithms, now: now() };
    const verdict = await verifyToken(token, this.#keys, expected);
    if (verdict !== 'unknownKey') return verdict;
    await this.#refresh();
    return verifyToken(token, this.#keys, expected);
  }

  /** Asks for the provider's keys, unless it was asked just now. Does not throw. */
  async #refresh(): Promise<void> {
    if (this.#asking) return this.#asking;
    const now = this.#options.now();
    if (now - this.#asked < REFRESH_MS) return;
    this.#asked = now;
    this.#asking = this.#fetchKeys()
      .catch(this.#options.onError)
      .finally(() => {
        this.#asking = undefined;
      });
    await this.#asking;
  }

  async #fetchKeys(): Promise<void> {
    const { issuer, ca } = this.#options;
    const document = await fetchJson(issuer.replace(/\/$/, '') + DISCOVERY, ca);
    if (!isObject(document) || document['issuer'] !== issuer) {
      const named = isObject(document) ? JSON.stringify(document['issuer']) : 'nothing';
      throw new Error(`the OpenID provider at "${issuer}" says that its issuer is ${named}`);
    }
    const { jwks_uri: uri } = document;
    if (typeof uri !== 'string' || !uri.startsWith('https://')) {
      throw new Error(`the OpenID provider at "${issuer}" names no https:// jwks_uri`);
    }
    this.#keys = keysAt(uri, await fetchJson(uri, ca));
    this.#answered = this.#options.now();
  }
}

function keysAt(uri: string, set: unknown): VerificationKeys {
  try {
    return verificationKeys(set);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`cannot use the keys at "${uri}": ${why}`, { cause });
  }
}

/** A JSON document over HTTPS, without redirects; rejects with an Error that names the URL. */
async function fetchJson(url: string, ca: string | undefined): Promise<unknown> {
  const text = await new Promise<string>((resolve, reject) => {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const options = { signal, agent: false, ...(ca === undefined ? {} : { ca }) };
    const request = get(url, options, (response) => {
      if (response.statusCode !== 200) {
        response.destroy();
        return reject(new Error(`answered with status ${response.statusCode}`));
      }
      const chunks: Buffer[] = [];
      let length = 0;
      response.on('data', (chunk: Buffer) => {
        length += chunk.length;
        if (length > MAX_ANSWER) response.destroy(new Error(`is over ${MAX_ANSWER} bytes`));
        chunks.push(chunk);
      });
      response.on('end', () => resolve(Buffer.concat(chunks).toString('utf8')));
      response.on('error', reject);
    });
    request.on('error', reject);
  }).catch((cause: unknown) => {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`cannot read "${url}": ${reason}`, { cause });
  });
  return JSON.parse(text) as unknown;
}
