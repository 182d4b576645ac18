// The real kubectl, curl and openssl against access control: certificates, tokens, questions, denials, the audit log.
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { readAuditPolicy } from '#apiserver';
import { startServerProcess, temporaryFolder } from './server-process.ts';

const has = (program: string, ...words: string[]): boolean =>
  spawnSync(program, words).status === 0;
const installed = has('kubectl', 'version', '--client') && has('curl', '--version');
/** Of kubectl: 32 for v1.32. */
const MINOR = minorOf(spawnSync('kubectl', ['version', '--client', '-o', 'json']).stdout);
const options = { skip: installed ? false : 'kubectl or curl is not installed', timeout: 120_000 };

function minorOf(version: Buffer | undefined): number {
  const { clientVersion } = JSON.parse(String(version || '{}')) as {
    clientVersion?: { minor?: string };
  };
  return Number.parseInt(clientVersion?.minor ?? '0', 10);
}

interface Output {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

interface Cluster {
  readonly data: string;
  readonly url: string;
  /** Runs kubectl with this kubeconfig to its end. */
  readonly as: (kubeconfig: string, ...words: string[]) => Promise<Output>;
  /** As the administrator; fails the test unless it succeeds. */
  readonly admin: (...words: string[]) => Promise<string>;
  readonly alice: (...words: string[]) => Promise<Output>;
  readonly file: (name: string, content: string) => Promise<string>;
}

async function run(program: string, words: readonly string[], env = process.env): Promise<Output> {
  return new Promise((resolve) => {
    execFile(program, [...words], { env, timeout: 60_000 }, (error, out, err) => {
      const code = error ? (typeof error.code === 'number' ? error.code : -1) : 0;
      resolve({ code, out, err });
    });
  });
}

async function startCluster(context: TestContext, ...flags: string[]): Promise<Cluster> {
  const folder = await temporaryFolder(context);
  const data = join(folder, 'data');
  const all = ['--user', 'alice=dev,ops', ...flags];
  const { kubeconfig, url } = await startServerProcess(context, data, { flags: all });
  const as = (config: string, ...words: string[]): Promise<Output> => {
    const env = { ...process.env, HOME: folder, KUBECONFIG: config };
    return run('kubectl', [...words, '--cache-dir', join(folder, 'cache')], env);
  };
  return {
    data,
    url,
    as,
    admin: async (...words) => {
      const { code, out, err } = await as(kubeconfig, ...words);
      assert.equal(code, 0, `kubectl ${words.join(' ')}\n${out}${err}`);
      return out;
    },
    alice: (...words) => as(join(data, 'users', 'alice.kubeconfig'), ...words),
    file: async (name, content) => {
      const path = join(folder, name);
      await writeFile(path, content);
      return path;
    },
  };
}

test(
  'kubectl with a client certificate: who am I, what may I, what not',
  options,
  async (context) => {
    const { admin, alice, file } = await startCluster(context);
    const review = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' };
    const asked = await file('review.json', JSON.stringify(review));
    const reviews = '/apis/authentication.k8s.io/v1/selfsubjectreviews';
    const me =
      MINOR < 28
        ? await alice('create', '--raw', reviews, '-f', asked)
        : await alice('auth', 'whoami', '-o', 'json');
    assert.equal(me.code, 0, me.err);
    const { userInfo } = (JSON.parse(me.out) as { status: { userInfo: object } }).status;
    assert.deepEqual(
      { ...userInfo, extra: {} },
      {
        username: 'alice',
        groups: ['dev', 'ops', 'system:authenticated'],
        extra: {},
      },
    );
    const can = async (...words: string[]): Promise<string> =>
      (await alice('auth', 'can-i', ...words)).out.trim();
    assert.equal(await can('list', 'pods'), 'no');
    const denied = await alice('get', 'pods');
    assert.equal(
      denied.err.trim(),
      'Error from server (Forbidden): pods is forbidden: User "alice" cannot list resource "pods" ' +
        'in API group "" in the namespace "default"',
    );
    await admin('create', 'namespace', 'shop');
    await admin('create', 'role', 'pods', '-n', 'shop', '--verb=get,list', '--resource=pods');
    await admin('create', 'rolebinding', 'pods', '-n', 'shop', '--role=pods', '--group=dev');
    assert.equal(await can('list', 'pods', '-n', 'shop'), 'yes');
    assert.equal(await can('list', 'pods'), 'no');
    assert.equal(await can('get', '/api/v1'), 'yes');
    assert.equal((await alice('get', 'pods', '-n', 'shop')).code, 0);
    const listed = await can('--list', '-n', 'shop');
    assert.match(listed, /^pods +\[\] +\[\] +\[get list\]$/m);
    await admin('create', 'clusterrolebinding', 'edit', '--clusterrole=edit', '--user=alice');
    assert.equal((await alice('create', 'serviceaccount', 'robot', '-n', 'shop')).code, 0);
    const escalation = await alice(
      'create',
      'clusterrolebinding',
      'x',
      '--clusterrole=cluster-admin',
      '--user=alice',
    );
    assert.match(escalation.err, /User "alice" cannot create resource "clusterrolebindings"/);
    assert.equal(
      (await admin('get', 'clusterroles', '-o', 'name')).match(/aggregate-to/g)?.length,
      3,
    );
    await admin('create', 'clusterrole', 'sum', '--aggregation-rule=rbac.example.com/sum=true');
  },
);

/** Of the account `robot`, by the verb that kubectl has from 1.24 on or by the request that it makes. */
async function createToken({ admin, file }: Cluster): Promise<string> {
  if (MINOR >= 24) return (await admin('create', 'token', 'robot', '--duration=15m')).trim();
  const request = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest' };
  const body = await file('token.json', JSON.stringify({ ...request, spec: {} }));
  const path = '/api/v1/namespaces/default/serviceaccounts/robot/token';
  const made = JSON.parse(await admin('create', '--raw', path, '-f', body)) as {
    status: { token: string };
  };
  return made.status.token;
}

test(
  'kubectl create token: it works, for its account, and not for others',
  options,
  async (context) => {
    const cluster = await startCluster(context);
    const { admin, url, data } = cluster;
    await admin('create', 'serviceaccount', 'robot');
    await admin(
      'create',
      'clusterrolebinding',
      'view',
      '--clusterrole=view',
      '--serviceaccount=default:robot',
    );
    const token = await createToken(cluster);
    const ca = join(data, 'pki', 'ca.crt');
    const curl = async (path: string, bearer = token): Promise<{ code: string; body: string }> => {
      const words = [
        '-s',
        '--cacert',
        ca,
        '-H',
        `Authorization: Bearer ${bearer}`,
        '-w',
        '\n%{http_code}',
      ];
      const { out } = await run('curl', [...words, `${url}${path}`]);
      const [code = '', ...body] = out.split('\n').reverse();
      return { code, body: body.reverse().join('\n') };
    };
    assert.equal((await curl('/api/v1/pods')).code, '200');
    assert.equal((await curl('/apis/rbac.authorization.k8s.io/v1/clusterroles')).code, '403');
    const jwks = JSON.parse((await curl('/openid/v1/jwks')).body) as { keys: { alg: string }[] };
    assert.deepEqual(
      jwks.keys.map(({ alg }) => alg),
      ['ES256'],
    );
    assert.equal((await curl('/api/v1/pods', `${token}x`)).code, '401');
    assert.equal((await curl('/healthz', 'none')).code, '200');
    await admin('delete', 'serviceaccount', 'robot');
    const gone = await curl('/api/v1/pods');
    assert.equal(gone.code, '401');
    assert.equal((JSON.parse(gone.body) as { kind: string }).kind, 'Status');
    const old = await run('curl', ['-s', '--cacert', ca, '--tls-max', '1.1', `${url}/healthz`]);
    assert.notEqual(old.code, 0);
  },
);

test('kubectl --as: policies by tier, for whom it is allowed', options, async (context) => {
  const { admin, alice, file } = await startCluster(context);
  const manifest = await file(
    'app.yaml',
    `
apiVersion: projectcalico.org/v3
kind: Tier
metadata: {name: app}
spec: {order: 10}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: app-tier}
rules:
- {apiGroups: [projectcalico.org], resources: [tiers], resourceNames: [app], verbs: [get]}
- apiGroups: [projectcalico.org]
  resources: [tier.networkpolicies, tier.globalnetworkpolicies]
  resourceNames: [app.*]
  verbs: ["*"]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: app-tier}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: app-tier}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: bob}]
`,
  );
  await admin('apply', '-f', manifest);
  const policy = (tier: string): string => `
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: ${tier}.p}
spec: {tier: ${tier}, selector: all()}
`;
  const own = await file('own.yaml', policy('app'));
  const other = await file('other.yaml', policy('default'));
  await admin('apply', '-f', own, '--as', 'bob');
  await admin('apply', '--server-side', '-f', own, '--as', 'bob', '--force-conflicts');
  await admin('apply', '-f', other);
  assert.equal(
    (await admin('get', 'gnp', '-o', 'name', '--as', 'bob')).trim().split('\n').length,
    1,
  );
  assert.equal((await admin('get', 'gnp', '-o', 'name')).trim().split('\n').length, 2);
  const refused = await alice('get', 'gnp', '--as', 'bob');
  assert.match(
    refused.err,
    /\(Forbidden\): users "bob" is forbidden: User "alice" cannot impersonate/,
  );
  await assert.rejects(
    admin('delete', 'gnp', 'default.p', '--as', 'bob'),
    /in tier "default": needs/,
  );
  await admin('delete', 'gnp', 'app.p', '--as', 'bob');
  await admin('delete', '-f', manifest);
});

test('the audit log of a running server', options, async (context) => {
  const folder = await temporaryFolder(context);
  const log = join(folder, 'audit.log');
  const policy = join(folder, 'policy.yaml');
  const rules = '[{level: Request, resources: [{group: ""}]}, {level: None}]';
  await writeFile(policy, `apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: ${rules}\n`);
  const flags = ['--audit-log-path', log, '--audit-policy-file', policy];
  const { admin } = await startCluster(context, ...flags);
  await admin('create', 'namespace', 'seen');
  await admin('get', 'tiers');
  let events: { stage: string; requestObject?: { metadata?: { name?: string } } }[] = [];
  for (let tries = 0; !events.some(({ stage }) => stage === 'ResponseComplete'); tries++) {
    assert.ok(tries < 200, 'no event came');
    await setTimeout(25);
    const lines = (await readFile(log, 'utf8')).split('\n').filter((line) => line !== '');
    events = lines.map((line) => JSON.parse(line) as (typeof events)[number]);
  }
  assert.ok(events.some(({ requestObject }) => requestObject?.metadata?.name === 'seen'));
  assert.ok(!JSON.stringify(events).includes('tiers'));
});

test(
  'the example roles do what they say, the example audit policy is one',
  options,
  async (context) => {
    const example = join(import.meta.dirname, '..', '..', 'examples', 'access');
    readAuditPolicy(await readFile(join(example, 'audit-policy.yaml'), 'utf8'));
    const { admin, file } = await startCluster(context);
    await admin('apply', '-f', join(example, 'roles.yaml'));
    await admin('create', 'namespace', 'shop');
    const tier =
      'apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: security}\nspec: {}\n';
    await admin('apply', '-f', await file('tier.yaml', tier));
    const bind = (kind: string, role: string, user: string, ...more: string[]): Promise<string> =>
      admin('create', kind, role, `--clusterrole=${role}`, `--user=${user}`, ...more);
    await bind('clusterrolebinding', 'network-admin', 'nadia');
    await bind('rolebinding', 'network-service-owner', 'otto', '-n', 'shop');
    await bind('clusterrolebinding', 'security-tier-owner', 'sam');
    const policy = (name: string, of: string): string =>
      `apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {name: ${name}, namespace: shop}\n` +
      `spec: {tier: ${of}, selector: all()}\n`;
    const own = await file('own.yaml', policy('own', 'default'));
    const guarded = await file('guarded.yaml', policy('security.guarded', 'security'));
    const may = async (user: string, path: string): Promise<boolean> =>
      admin('apply', '-f', path, '--as', user, '--dry-run=server').then(
        () => true,
        (error: unknown) => {
          assert.match(String(error), /\(Forbidden\)/);
          return false;
        },
      );
    for (const [user, mayOwn, mayGuarded] of [
      ['nadia', true, true],
      ['otto', true, false],
      ['sam', false, true],
      ['nobody', false, false],
    ] as const) {
      assert.equal(await may(user, own), mayOwn, `${user} in the default tier`);
      assert.equal(await may(user, guarded), mayGuarded, `${user} in the tier security`);
    }
  },
);
