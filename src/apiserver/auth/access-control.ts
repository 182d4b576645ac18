// Builds authentication and authorisation from what a server is started with.
import { join } from 'node:path';
import type { Resources } from '../resources.ts';
import { Authentication } from './authentication.ts';
import type { Authorizer } from './authorization.ts';
import { ClientAuthorities } from './client-certificate.ts';
import { seedRoles } from './default-roles.ts';
import { type OidcOptions, OidcProvider } from './oidc.ts';
import { RbacIndex } from './rbac-index.ts';
import { type KeyRotation, ServiceAccountKeys } from './service-account-keys.ts';
import { ServiceAccountTokens } from './service-account-tokens.ts';
import { Tokens } from './tokens.ts';

export interface AccessControlOptions {
  /** Holds the file `tokens`, and in `pki` the keys of service-account tokens. */
  readonly folder: string;
  readonly resources: Resources;
  /** Nodes that get a token. */
  readonly nodes: readonly string[];
  /** PEM of whose certificates clients may show. */
  readonly clientCa: string;
  /** `iss` of service-account tokens. */
  readonly issuer?: string | undefined;
  /** Whom tokens must be for to be let in; default the issuer. */
  readonly audiences?: readonly string[] | undefined;
  readonly oidc?: Omit<OidcOptions, 'now' | 'onError'> | undefined;
  readonly keyRotation?: KeyRotation | undefined;
  /** Work that goes on after requests failed. */
  readonly onError: (error: unknown) => void;
  /** Milliseconds since 1970. */
  readonly now?: (() => number) | undefined;
}

export const DEFAULT_ISSUER = 'https://kubernetes.default.svc';
const ROTATION_CHECK_MS = 60 * 60 * 1000;

export class AccessControl {
  readonly authentication: Authentication;
  readonly tokens: Tokens;
  readonly clientAuthorities: ClientAuthorities;
  readonly keys: ServiceAccountKeys;
  readonly #rbac: RbacIndex;
  readonly #timer: NodeJS.Timeout;

  private constructor(
    parts: Pick<AccessControl, 'tokens' | 'keys' | 'clientAuthorities'> & {
      readonly rbac: RbacIndex;
      readonly oidc: OidcProvider | undefined;
    },
    options: AccessControlOptions,
  ) {
    const { resources, issuer = DEFAULT_ISSUER, onError, now = Date.now } = options;
    this.tokens = parts.tokens;
    this.keys = parts.keys;
    this.#rbac = parts.rbac;
    this.clientAuthorities = parts.clientAuthorities;
    this.authentication = new Authentication({
      clientAuthorities: this.clientAuthorities,
      tokens: this.tokens,
      serviceAccounts: new ServiceAccountTokens({
        keys: this.keys,
        issuer,
        audiences: options.audiences ?? [issuer],
        find: (target) => resources.find(target),
        now,
      }),
      oidc: parts.oidc,
      now,
    });
    this.#timer = setInterval(() => {
      this.keys.rotate(now()).catch(onError);
    }, ROTATION_CHECK_MS);
    this.#timer.unref();
  }

  /** Seeds the default roles, and resolves once every role and binding is known. */
  static async open(options: AccessControlOptions): Promise<AccessControl> {
    const { folder, resources, nodes, onError, now = Date.now, keyRotation } = options;
    // What may be wrong with the options is known before anything runs.
    const clientAuthorities = new ClientAuthorities(options.clientCa);
    const oidc = options.oidc && new OidcProvider({ ...options.oidc, now, onError });
    const tokens = await Tokens.load(join(folder, 'tokens'), nodes);
    const path = join(folder, 'pki', 'service-account-keys.json');
    const keys = await ServiceAccountKeys.open(path, now(), keyRotation);
    await seedRoles(resources);
    const rbac = await RbacIndex.open(resources, onError);
    return new AccessControl({ tokens, keys, clientAuthorities, oidc, rbac }, options);
  }

  get authorizer(): Authorizer {
    return this.#rbac.authorizer;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#rbac.close();
  }
}
