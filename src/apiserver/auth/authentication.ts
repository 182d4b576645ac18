// Who asks: a client certificate, else a bearer token of the server's, of a service account or of the OpenID provider.
import { TLSSocket } from 'node:tls';
import type { IncomingMessage } from 'node:http';
import { RequestError } from '../request-error.ts';
import type { ClientAuthorities } from './client-certificate.ts';
import { authenticated, type Identity, MASTERS, nodeIdentity } from './identity.ts';
import { decodeToken } from './json-web-token.ts';
import type { OidcProvider } from './oidc.ts';
import type { ServiceAccountTokens } from './service-account-tokens.ts';
import type { Tokens, User } from './tokens.ts';

export interface AuthenticationOptions {
  readonly clientAuthorities: ClientAuthorities;
  readonly tokens: Tokens;
  readonly serviceAccounts: ServiceAccountTokens;
  readonly oidc?: OidcProvider | undefined;
  readonly now: () => number;
}

export class Authentication {
  readonly #options: AuthenticationOptions;

  constructor(options: AuthenticationOptions) {
    this.#options = options;
  }

  get serviceAccounts(): ServiceAccountTokens {
    return this.#options.serviceAccounts;
  }

  /** Throws a 401 where nobody is recognised. */
  async identify(request: IncomingMessage): Promise<Identity> {
    const { clientAuthorities, now } = this.#options;
    const { socket } = request;
    const shown =
      socket instanceof TLSSocket ? clientAuthorities.identityOf(socket, now()) : undefined;
    if (shown) return authenticated(shown);
    const token = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
    const found = token === undefined ? undefined : await this.identityOfToken(token);
    if (found) return authenticated(found.identity);
    const advice = 'send a bearer token or a client certificate that the server knows';
    throw new RequestError(401, 'Unauthorized', `Unauthorized: ${advice} (a kubeconfig has one)`);
  }

  /** Whom a bearer token stands for, and which of `audiences` it is for; undefined: nobody. */
  async identityOfToken(
    token: string,
    audiences: readonly string[] = this.#options.serviceAccounts.audiences,
  ): Promise<{ identity: Identity; audiences: readonly string[] } | undefined> {
    const { tokens, serviceAccounts, oidc } = this.#options;
    // What is not made for an audience is for this server's own.
    const own = audiences.filter((audience) => serviceAccounts.audiences.includes(audience));
    const user = tokens.userOf(token);
    if (user) return own.length > 0 ? { identity: identityOf(user), audiences: own } : undefined;
    const decoded = decodeToken(token);
    if (!decoded) return undefined;
    const issuer = decoded.claims['iss'];
    if (issuer === serviceAccounts.issuer) return serviceAccounts.identify(decoded, audiences);
    if (!oidc || issuer !== oidc.issuer || own.length === 0) return undefined;
    const identity = await oidc.identify(decoded);
    return identity && { identity, audiences: own };
  }
}

/** The identity of who has a token of the server's own. */
export function identityOf(user: User): Identity {
  return user.kind === 'node' ? nodeIdentity(user.name) : { name: user.name, groups: [MASTERS] };
}
