// Who is let in: client certificates, service-account tokens, impersonation, and nobody else.
import assert from 'node:assert/strict';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createLocalJWKSet, exportJWK, jwtVerify, SignJWT } from 'jose';
import { podKind, type Resource, serviceAccountKind } from '#api';
import { clientCertificate } from '../certificate-authority.ts';
import { issueAuthority, issueClient, issueServer } from '../certificate.ts';
import { type ServerFixture, startServer } from '../server-fixture.ts';
import { decodeToken, signToken, verificationKeys, verifyToken } from './json-web-token.ts';
import { ServiceAccountKeys } from './service-account-keys.ts';

const DAY = 24 * 60 * 60 * 1000;
const whoami = '/apis/authentication.k8s.io/v1/selfsubjectreviews';

interface UserInfo {
  readonly username: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

type Client = ReturnType<ServerFixture['clientOf']>;

async function userOf(client: Client): Promise<UserInfo> {
  const answer = await client.request('POST', whoami, { body: {} });
  return (answer as { status: { userInfo: UserInfo } }).status.userInfo;
}

async function folderOf(context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tortie-auth-'));
  context.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

test('[AZ1] a client certificate is its common name and organizations', async (context) => {
  const { folder, clientOf, access } = await startServer(context);
  const subject = { commonName: 'alice', organizations: ['dev', 'ops'] };
  const issuer = { authorityFolder: folder, now: Date.now() };
  const made = await clientCertificate(folder, subject, issuer);
  const alice = clientOf(made);
  const user = await userOf(alice);
  assert.equal(user.username, 'alice');
  assert.deepEqual(user.groups, ['dev', 'ops', 'system:authenticated']);
  assert.deepEqual(await clientCertificate(folder, subject, issuer), made, 'it is kept');
  const fewer = await clientCertificate(folder, { commonName: 'alice' }, issuer);
  assert.notEqual(fewer.certificate, made.certificate, 'other groups need another');

  access.clientAuthorities.replace(issueAuthority('other', validity()).certificate);
  await assert.rejects(userOf(alice), { status: 401 }, 'the open connection is refused too');
});

const validity = (from = -DAY, to = DAY) => ({ from: Date.now() + from, to: Date.now() + to });

test('[AZ1] certificates of others, for servers, and past their end are nobody', async (context) => {
  const { folder, clientOf } = await startServer(context);
  const authority = {
    certificate: await readFile(join(folder, 'ca.crt'), 'utf8'),
    key: await readFile(join(folder, 'ca.key'), 'utf8'),
  };
  const { subject } = new X509Certificate(authority.certificate);
  const ours = { ...authority, commonName: subject.replace('CN=', '') };
  const name = { commonName: 'eve', organizations: ['system:masters'] };
  const other = { ...issueAuthority(ours.commonName, validity()), commonName: ours.commonName };
  const wrong = {
    'of another authority': issueClient(other, name, validity()),
    'past its end': issueClient(ours, name, validity(-2 * DAY, -DAY)),
    'before its time': issueClient(ours, name, validity(DAY, 2 * DAY)),
    'of a server': issueServer(ours, ['eve'], validity()),
    'of its own': other,
  };
  for (const [what, credential] of Object.entries(wrong)) {
    await assert.rejects(userOf(clientOf(credential)), { status: 401 }, what);
  }
  assert.equal((await userOf(clientOf(issueClient(ours, name, validity())))).username, 'eve');
});

interface TokenRequest {
  readonly spec: { readonly audiences: readonly string[]; readonly expirationSeconds: number };
  readonly status: { readonly token: string; readonly expirationTimestamp: string };
}

async function requestToken(
  admin: Client,
  spec: object = {},
  name = 'robot',
): Promise<TokenRequest> {
  const path = `/api/v1/namespaces/default/serviceaccounts/${name}/token`;
  return (await admin.request('POST', path, { body: { spec } })) as TokenRequest;
}

function object(kind: 'ServiceAccount' | 'Pod', name: string, rest: object = {}): Resource {
  return { apiVersion: 'v1', kind, metadata: { name, namespace: 'default' }, ...rest };
}

test('[AZ2] a service-account token holds until it expires, for its audience', async (context) => {
  let now = Date.now();
  const { admin, clientOf, access } = await startServer(context, { access: { now: () => now } });
  const account = await admin.create(serviceAccountKind, object('ServiceAccount', 'robot'));
  const { spec, status } = await requestToken(admin);
  assert.equal(spec.expirationSeconds, 3600);
  const user = await userOf(clientOf({ token: status.token }));
  assert.equal(user.username, 'system:serviceaccount:default:robot');
  assert.equal(user.uid, account.metadata.uid);
  const groups = ['system:serviceaccounts', 'system:serviceaccounts:default'];
  assert.deepEqual(user.groups, [...groups, 'system:authenticated']);

  // Another implementation finds the key and reads the same.
  const jwks = (await clientOf({ token: status.token }).request('GET', '/openid/v1/jwks')) as never;
  const issuer = 'https://kubernetes.default.svc';
  const { payload } = await jwtVerify(status.token, createLocalJWKSet(jwks), { issuer });
  assert.equal(payload.sub, user.username);
  assert.deepEqual(payload.aud, [issuer]);
  assert.equal(
    new Date(Number(payload.exp) * 1000).getTime(),
    Date.parse(status.expirationTimestamp),
  );
  const discovery = await admin.request('GET', '/.well-known/openid-configuration');
  assert.equal((discovery as { issuer: string }).issuer, issuer);

  const elsewhere = await requestToken(admin, { audiences: ['vault'] });
  await assert.rejects(userOf(clientOf({ token: elsewhere.status.token })), { status: 401 });
  const decoded = decodeToken(elsewhere.status.token);
  assert.ok(decoded);
  const { serviceAccounts } = access.authentication;
  assert.deepEqual((await serviceAccounts.identify(decoded, ['vault', 'x']))?.audiences, ['vault']);
  const forged = await signToken(
    { ...payload },
    {
      keyId: access.keys.signing.keyId,
      key: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
    },
  );
  await assert.rejects(userOf(clientOf({ token: forged })), { status: 401 });

  now += 3600_000;
  await assert.rejects(userOf(clientOf({ token: status.token })), { status: 401 });
});

test('[AZ2] a token goes with its account or pod, by uid', async (context) => {
  const { admin, clientOf } = await startServer(context);
  const account = object('ServiceAccount', 'robot');
  await admin.create(serviceAccountKind, account);
  const spec = { serviceAccountName: 'robot', containers: [{ name: 'a' }] };
  const pod = await admin.create(podKind, object('Pod', 'p', { spec }));
  const reference = { kind: 'Pod', apiVersion: 'v1', name: 'p' };
  await assert.rejects(requestToken(admin, { boundObjectRef: { ...reference, uid: 'another' } }), {
    status: 409,
  });
  const bound = await requestToken(admin, { boundObjectRef: reference });
  const client = clientOf({ token: bound.status.token });
  const { extra } = await userOf(client);
  assert.deepEqual(extra?.['authentication.kubernetes.io/pod-uid'], [pod.metadata.uid]);
  await admin.delete(podKind, { namespace: 'default', name: 'p' });
  await admin.create(podKind, object('Pod', 'p', { spec }));
  await assert.rejects(userOf(client), { status: 401 }, 'a namesake is not the pod');

  const free = clientOf({ token: (await requestToken(admin)).status.token });
  await userOf(free);
  await admin.delete(serviceAccountKind, { namespace: 'default', name: 'robot' });
  await admin.create(serviceAccountKind, account);
  await assert.rejects(userOf(free), { status: 401 }, 'nor is a namesake the account');
  await assert.rejects(requestToken(admin, {}, 'nobody'), { status: 404 });
  for (const wrong of [{ expirationSeconds: 599 }, { audiences: [''] }, { boundObjectRef: {} }]) {
    await assert.rejects(requestToken(admin, wrong), { status: 422 });
  }
});

test('[AZ3] keys that sign are replaced in time and kept while tokens may be good', async (context) => {
  const path = join(await folderOf(context), 'keys.json');
  const rotation = { signingMs: 30 * DAY, verifyingMs: 2 * DAY };
  const keys = await ServiceAccountKeys.open(path, 0, rotation);
  const first = keys.signing.keyId;
  const token = decodeToken(await signToken({ iss: 'i', aud: 'a', exp: 1 }, keys.signing));
  assert.ok(token);
  const expected = { issuer: 'i', audiences: ['a'], algorithms: ['ES256'], now: 0 };
  const verifies = async (): Promise<boolean> =>
    typeof (await verifyToken(token, keys.verifying, expected)) === 'object';
  assert.equal(await keys.rotate(29 * DAY), false);
  assert.equal(await keys.rotate(30 * DAY), true);
  assert.notEqual(keys.signing.keyId, first);
  assert.ok(await verifies());
  const again = await ServiceAccountKeys.open(path, 31 * DAY, rotation);
  assert.deepEqual(again.jwks, keys.jwks);
  assert.equal(await keys.rotate(32 * DAY), true);
  assert.equal(await verifies(), false);
  assert.equal(keys.jwks.keys.length, 1);
  assert.doesNotMatch(JSON.stringify(keys.jwks), /"d":/, 'no private key is published');
});

test('tokens with algorithms, keys or parts that are not right are none', async () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const small = generateKeyPairSync('rsa', { modulusLength: 1024 });
  const set = { keys: [{ ...(await exportJWK(rsa.publicKey)), kid: 'a' }] };
  const right = { sub: 'x', iss: 'i', aud: ['b', 'a'], exp: 2 };
  const sign = (
    alg: string,
    key = rsa.privateKey,
    kid: string | undefined = 'a',
    claims: object = right,
  ): Promise<string> =>
    new SignJWT({ ...claims })
      .setProtectedHeader(kid === undefined ? { alg } : { alg, kid })
      .sign(key);
  const good = async (token: string, keys: object = set): Promise<boolean> => {
    const decoded = decodeToken(token);
    if (!decoded) return false;
    const algorithms = ['RS256', 'PS512'];
    const expected = { issuer: 'i', audiences: ['a'], algorithms, now: 1000 };
    return typeof (await verifyToken(decoded, verificationKeys(keys), expected)) === 'object';
  };
  assert.ok(await good(await sign('RS256')));
  assert.ok(await good(await sign('PS512')));
  const another = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const both = { keys: [{ ...(await exportJWK(another.publicKey)), kid: 'b' }, ...set.keys] };
  const unnamed = await new SignJWT(right)
    .setProtectedHeader({ alg: 'RS256' })
    .sign(rsa.privateKey);
  assert.ok(await good(unnamed, both), 'without a key id each is tried');
  const third = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  const stranger = await new SignJWT(right).setProtectedHeader({ alg: 'RS256' }).sign(third);
  assert.ok(!(await good(stranger, both)));
  assert.ok(!(await good(await sign('RS384'))), 'not one of the algorithms');
  assert.ok(!(await good(await sign('RS256', rsa.privateKey, 'b'))), 'not the key it names');
  assert.ok(!(await good(await sign('RS256', third))), 'another key of that name');
  const only = { keys: [{ ...set.keys[0], alg: 'PS512' }] };
  assert.ok(!(await good(await sign('RS256'), only)), 'not what the key is for');
  assert.ok(!(await good(await sign('RS256'), { keys: [{ ...set.keys[0], use: 'enc' }] })));
  const weak = { keys: [{ ...(await exportJWK(small.publicKey)), kid: 'a' }] };
  assert.ok(!(await good(await sign('RS256'), weak)));
  for (const change of [
    { iss: 'j' },
    { aud: 'c' },
    { aud: undefined },
    { exp: 1 },
    { exp: undefined },
    { exp: 'never' },
    { nbf: 2 },
  ]) {
    const token = await sign('RS256', rsa.privateKey, 'a', { ...right, ...change });
    assert.ok(!(await good(token)), JSON.stringify(change));
  }
  const [header, payload, signature] = (await sign('RS256')).split('.');
  const text = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  for (const token of [
    `${text({ alg: 'none' })}.${payload}.`,
    `${text({ alg: 'none' })}.${payload}.${signature}`,
    `${text({ alg: 'HS256' })}.${payload}.${signature}`,
    `${text({ alg: 'RS256', kid: 'a', crit: ['x'], x: 1 })}.${payload}.${signature}`,
    `${header}.${text({ ...right, sub: 'y' })}.${signature}`,
    `${header}.${payload}`,
    `${header}.${payload}.${signature}.x`,
    '',
    '..',
    'x'.repeat(20_000),
  ]) {
    assert.ok(!(await good(token)), token.slice(0, 100));
  }
  for (const none of [undefined, {}, { keys: 1 }, { keys: [1] }, { keys: [{ kty: 'oct' }] }]) {
    assert.throws(() => verificationKeys(none), /JWK set|no key/);
  }
});

async function asOther(
  { url, ca, adminToken }: ServerFixture,
  headers: Record<string, string | string[]>,
  token = adminToken,
): Promise<{ status: number; body: { message?: string; status?: { userInfo?: UserInfo } } }> {
  return new Promise((resolve, reject) => {
    const authorization = `Bearer ${token}`;
    const type = { 'content-type': 'application/json' };
    const options = { ca, method: 'POST', headers: { authorization, ...type, ...headers } };
    const sent = request(`${url}${whoami}`, options, (answer) => {
      let text = '';
      answer.on('data', (chunk: Buffer) => (text += chunk.toString()));
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body: JSON.parse(text) }));
    });
    sent.on('error', reject);
    sent.end('{}');
  });
}

test('[AZ5] impersonation: users, groups and extras, each allowed by name', async (context) => {
  const server = await startServer(context);
  const { admin } = server;
  const { status, body } = await asOther(server, {
    'Impersonate-User': 'bob',
    'Impersonate-Group': ['dev', 'ops'],
    'Impersonate-Extra-Scopes%2Fa': 'view',
    'Impersonate-Uid': '7',
  });
  assert.equal(status, 201);
  assert.deepEqual(body.status?.userInfo, {
    username: 'bob',
    uid: '7',
    groups: ['dev', 'ops', 'system:authenticated'],
    extra: { 'scopes/a': ['view'] },
  });
  const account = await asOther(server, {
    'Impersonate-User': 'system:serviceaccount:default:robot',
  });
  const { groups = [] } = account.body.status?.userInfo ?? {};
  assert.ok(groups.includes('system:serviceaccounts:default'));
  assert.equal((await asOther(server, { 'Impersonate-Group': 'dev' })).status, 400);

  const rbac = '/apis/rbac.authorization.k8s.io/v1';
  const rules = [
    { apiGroups: [''], resources: ['users'], resourceNames: ['bob'], verbs: ['impersonate'] },
  ];
  await admin.request('POST', `${rbac}/clusterroles`, {
    body: { metadata: { name: 'as-bob' }, rules },
  });
  await admin.create(serviceAccountKind, object('ServiceAccount', 'robot'));
  const subjects = [{ kind: 'ServiceAccount', namespace: 'default', name: 'robot' }];
  const roleRef = { kind: 'ClusterRole', name: 'as-bob' };
  const binding = { metadata: { name: 'as-bob' }, roleRef, subjects };
  await admin.request('POST', `${rbac}/clusterrolebindings`, { body: binding });
  const { token } = (await requestToken(admin)).status;
  assert.equal((await asOther(server, { 'Impersonate-User': 'bob' }, token)).status, 201);
  const refused = await asOther(server, { 'Impersonate-User': 'alice' }, token);
  assert.equal(refused.status, 403);
  const robot = 'User "system:serviceaccount:default:robot" cannot impersonate';
  assert.equal(
    refused.body.message,
    `users "alice" is forbidden: ${robot} resource "users" in API group "" at the cluster scope`,
  );
  const masters = { 'Impersonate-User': 'bob', 'Impersonate-Group': 'system:masters' };
  assert.equal((await asOther(server, masters, token)).status, 403);
});
