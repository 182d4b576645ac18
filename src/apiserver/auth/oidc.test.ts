// OpenID Connect against a real provider on loopback: a login with code and PKCE, and what its tokens are worth.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:https';
import type { RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { Agent, type Dispatcher, request } from 'undici';
import { issueAuthority, issueServer } from '../certificate.ts';
import { startServer } from '../server-fixture.ts';
import { decodeToken } from './json-web-token.ts';
import { type OidcOptions, OidcProvider } from './oidc.ts';

const DAY = 24 * 60 * 60 * 1000;
const CLIENT = 'kubectl';
/** The package has no types. */
const PACKAGE: string = 'oidc-provider';
interface ProviderModule {
  readonly Provider: new (issuer: string, options: object) => { callback(): RequestListener };
}
const REDIRECT = 'http://127.0.0.1/callback';

interface Https {
  readonly issuer: string;
  readonly ca: string;
  readonly server: Server;
}

/** An HTTPS server with an authority of its own; it goes with the test. */
async function startHttps(context: TestContext): Promise<Https> {
  const validity = { from: Date.now() - DAY, to: Date.now() + DAY };
  const authority = { ...issueAuthority('idp-ca', validity), commonName: 'idp-ca' };
  const { certificate, key } = issueServer(authority, ['localhost', '127.0.0.1'], validity);
  const server = createServer({ cert: certificate, key });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { issuer: `https://localhost:${port}`, ca: authority.certificate, server };
}

async function startProvider(context: TestContext): Promise<Https> {
  // It tells of its development defaults, which are what a test wants.
  context.mock.method(console, 'warn', () => undefined);
  context.mock.method(console, 'info', () => undefined);
  const https = await startHttps(context);
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  const { Provider } = (await import(PACKAGE)) as ProviderModule;
  const provider = new Provider(https.issuer, {
    clients: [
      {
        client_id: CLIENT,
        token_endpoint_auth_method: 'none',
        application_type: 'native',
        redirect_uris: [REDIRECT],
        grant_types: ['authorization_code'],
        response_types: ['code'],
      },
    ],
    jwks: { keys: [{ ...(await exportJWK(privateKey)), kid: 'k1', alg: 'RS256', use: 'sig' }] },
    cookies: { keys: ['only for this test'] },
    scopes: ['openid', 'email', 'groups'],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], groups: ['groups'] },
    conformIdTokenClaims: false,
    findAccount: (_context: unknown, id: string) => ({
      accountId: id,
      claims: () => ({
        sub: id,
        email: `${id}@example.com`,
        email_verified: id !== 'mallory',
        groups: ['dev', 'ops', 'system:masters'],
      }),
    }),
  });
  https.server.on('request', provider.callback());
  return https;
}

/** Logs in as a browser would, by the provider's own forms; returns the ID token. */
async function logIn({ issuer, ca }: Https, login: string): Promise<string> {
  const agent = new Agent({ connect: { ca } });
  const cookies = new Map<string, string>();
  const verifier = randomBytes(32).toString('base64url');
  const send = async (url: URL, form?: object): Promise<Dispatcher.ResponseData> => {
    const cookie = Array.from(cookies, ([name, value]) => `${name}=${value}`).join('; ');
    const type = { 'content-type': 'application/x-www-form-urlencoded' };
    const answer = await request(url, {
      dispatcher: agent,
      method: form ? 'POST' : 'GET',
      headers: { cookie, ...(form ? type : {}) },
      body: form ? new URLSearchParams(form as Record<string, string>).toString() : null,
    });
    for (const line of [answer.headers['set-cookie'] ?? []].flat()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      if (value === '') cookies.delete(name);
      else cookies.set(name, value);
    }
    return answer;
  };
  try {
    const asked = new URL('/auth', issuer);
    asked.search = new URLSearchParams({
      client_id: CLIENT,
      response_type: 'code',
      scope: 'openid email groups',
      redirect_uri: REDIRECT,
      code_challenge: createHash('sha256').update(verifier).digest('base64url'),
      code_challenge_method: 'S256',
      nonce: randomBytes(8).toString('hex'),
    }).toString();
    let at = asked;
    let prompt = 'login';
    for (let step = 0; step < 10 && !at.href.startsWith(REDIRECT); step++) {
      const isForm = at.pathname.startsWith('/interaction/');
      const form = { prompt, login, password: 'any' };
      const answer = await send(at, isForm ? form : undefined);
      await answer.body.dump();
      const { location } = answer.headers;
      assert.ok(typeof location === 'string', `${answer.statusCode} at ${at.href}`);
      if (isForm) prompt = 'consent';
      at = new URL(location, issuer);
    }
    const code = at.searchParams.get('code');
    assert.ok(code, at.href);
    const answer = await send(new URL('/token', issuer), {
      grant_type: 'authorization_code',
      client_id: CLIENT,
      redirect_uri: REDIRECT,
      code,
      code_verifier: verifier,
    });
    const { id_token: token } = (await answer.body.json()) as { id_token: string };
    return token;
  } finally {
    await agent.close();
  }
}

function providerOf(https: Https, options: Partial<OidcOptions> = {}): OidcProvider {
  return new OidcProvider({
    issuer: https.issuer,
    ca: https.ca,
    clientId: CLIENT,
    now: Date.now,
    onError: () => undefined,
    ...options,
  });
}

async function nameOf(provider: OidcProvider, token: string): Promise<string | undefined> {
  const decoded = decodeToken(token);
  assert.ok(decoded);
  return (await provider.identify(decoded))?.name;
}

test('[AZ4] a login at a real provider is a user with groups', async (context) => {
  const https = await startProvider(context);
  const { issuer, ca } = https;
  const claims = { usernameClaim: 'email', groupsClaim: 'groups', groupsPrefix: 'idp:' };
  const oidc = { issuer, ca, clientId: CLIENT, ...claims };
  const { clientOf } = await startServer(context, { access: { oidc } });
  const token = await logIn(https, 'alice');
  const path = '/apis/authentication.k8s.io/v1/selfsubjectreviews';
  const answer = await clientOf({ token }).request('POST', path, { body: {} });
  assert.deepEqual((answer as { status: unknown }).status, {
    userInfo: {
      username: 'alice@example.com',
      groups: ['idp:dev', 'idp:ops', 'idp:system:masters', 'system:authenticated'],
    },
  });
  const unverified = clientOf({ token: await logIn(https, 'mallory') });
  await assert.rejects(unverified.request('POST', path, { body: {} }), { status: 401 });

  const decoded = decodeToken(token);
  assert.ok(decoded);
  const unprefixed = await providerOf(https, { groupsClaim: 'groups' }).identify(decoded);
  assert.deepEqual(
    unprefixed?.groups,
    ['dev', 'ops'],
    "the cluster's own groups are not for a provider",
  );

  const accepted = async (options: Partial<OidcOptions>): Promise<string | undefined> =>
    nameOf(providerOf(https, options), token);
  assert.equal(await accepted({}), `${issuer}#alice`);
  assert.equal(await accepted({ usernamePrefix: '-' }), 'alice');
  assert.equal(await accepted({ usernamePrefix: 'idp:' }), 'idp:alice');
  assert.equal(await accepted({ requiredClaims: { sub: 'alice' }, usernamePrefix: '-' }), 'alice');
  assert.equal(await accepted({ requiredClaims: { sub: 'bob' } }), undefined);
  assert.equal(await accepted({ clientId: 'another' }), undefined);
  assert.equal(await accepted({ usernameClaim: 'nickname' }), undefined);
  assert.equal(await accepted({ signingAlgorithms: ['ES256'] }), undefined);
  assert.equal(await accepted({ now: () => Date.now() + DAY }), undefined, 'it has expired');
  assert.equal(
    await accepted({ ca: issueAuthority('x', { from: 0, to: DAY }).certificate }),
    undefined,
  );
});

test('[AZ4] keys that the provider changes are followed, not asked for at will', async (context) => {
  const https = await startHttps(context);
  const { issuer } = https;
  let now = Date.now();
  let asked = 0;
  const makeKey = async (kid: string) => {
    const { privateKey, publicKey } = await generateKeyPair('RS256');
    return { kid, privateKey, jwk: { ...(await exportJWK(publicKey)), kid } };
  };
  let current = await makeKey('one');
  let named = issuer;
  https.server.on('request', (incoming, response) => {
    asked++;
    const isKeys = incoming.url === '/keys';
    const document = { issuer: named, jwks_uri: `${issuer}/keys` };
    response.end(JSON.stringify(isKeys ? { keys: [current.jwk] } : document));
  });
  const sign = (key: typeof current, claims: object = {}): Promise<string> =>
    new SignJWT({ sub: 'a', aud: CLIENT, iss: issuer, exp: Math.floor(now / 1000) + 60, ...claims })
      .setProtectedHeader({ alg: 'RS256', kid: key.kid })
      .sign(key.privateKey);
  const errors: unknown[] = [];
  const provider = providerOf(https, {
    now: () => now,
    usernamePrefix: '-',
    onError: (error) => errors.push(error),
  });
  const before = current;
  assert.equal(await nameOf(provider, await sign(before)), 'a');
  assert.equal(await nameOf(provider, await sign(before, { iss: 'https://other' })), undefined);
  assert.equal(await nameOf(provider, await sign(before, { nbf: now / 1000 + 50 })), undefined);
  assert.equal(await nameOf(provider, await sign(before, { aud: ['x', CLIENT] })), 'a');
  assert.equal(await nameOf(provider, await sign(before, { sub: 'system:admin' })), undefined);
  assert.equal(asked, 2);

  current = await makeKey('two');
  assert.equal(await nameOf(provider, await sign(current)), undefined, 'asked just now');
  now += 11_000;
  assert.equal(await nameOf(provider, await sign(current)), 'a');
  assert.equal(await nameOf(provider, await sign(before)), undefined, 'the key was taken back');
  const many = await Promise.all(Array.from({ length: 20 }, (_, index) => makeKey(`k${index}`)));
  for (const key of many) assert.equal(await nameOf(provider, await sign(key)), undefined);
  assert.equal(asked, 4, 'unknown keys do not make us ask again and again');

  named = 'https://other';
  now += 60 * 60_000 + 1;
  assert.equal(await nameOf(provider, await sign(current)), 'a', 'known keys hold for a while');
  assert.match(String(errors.at(-1)), /says that its issuer is "https:\/\/other"/);
  now += 60 * 60_000 + 1;
  assert.equal(await nameOf(provider, await sign(current)), undefined, 'and then no more');
});

test('wrong options are told by their flag', () => {
  const make = (options: object): OidcProvider =>
    providerOf({ issuer: 'https://idp', ca: '', server: createServer() }, options);
  assert.throws(
    () => make({ issuer: 'http://idp' }),
    /--oidc-issuer-url "http:\/\/idp" must be an https/,
  );
  assert.throws(() => make({ clientId: '' }), /--oidc-client-id is required/);
  assert.throws(() => make({ signingAlgorithms: ['HS256'] }), /--oidc-signing-algs has "HS256"/);
});
