// What each may do: RBAC over a running server, tiers for policies, escalation, reviews, and the words of denials.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import {
  clusterInformationKind,
  clusterRoleBindingKind,
  clusterRoleKind,
  globalNetworkPolicyKind,
  type KindDefinition,
  namespaceKind,
  networkPolicyKind,
  podKind,
  type PolicyRule,
  type Resource,
  roleBindingKind,
  roleKind,
  serviceAccountKind,
  tierKind,
} from '#api';
import { apiVersionOf } from '#api';
import { type ServerFixture, startServer } from '../server-fixture.ts';

type Client = ReturnType<ServerFixture['clientOf']>;

function make(kind: KindDefinition, name: string, rest: object = {}, namespace = ''): Resource {
  const metadata = { name, ...(kind.namespaced ? { namespace } : {}) };
  return { apiVersion: apiVersionOf(kind), kind: kind.kind, metadata, ...rest };
}

interface Cluster extends ServerFixture {
  /** A client as a service account of this name in `default`. */
  readonly as: (name: string) => Promise<Client>;
  /** Gives `name` these rules, in the namespace or everywhere. */
  readonly grant: (name: string, rules: readonly PolicyRule[], namespace?: string) => Promise<void>;
}

async function startCluster(context: TestContext): Promise<Cluster> {
  const server = await startServer(context);
  const { admin } = server;
  await admin.create(namespaceKind, make(namespaceKind, 'shop'));
  let roles = 0;
  return {
    ...server,
    as: async (name) => {
      await admin.create(serviceAccountKind, make(serviceAccountKind, name, {}, 'default'));
      const path = `/api/v1/namespaces/default/serviceaccounts/${name}/token`;
      const answer = await admin.request('POST', path, { body: {} });
      const { token } = (answer as { status: { token: string } }).status;
      return server.clientOf({ token });
    },
    grant: async (name, rules, namespace) => {
      const subjects = [{ kind: 'ServiceAccount', namespace: 'default', name }];
      const role = `${name}-${++roles}`;
      const roleRef = { kind: 'ClusterRole', name: role };
      await admin.create(clusterRoleKind, make(clusterRoleKind, role, { rules }));
      const kind = namespace === undefined ? clusterRoleBindingKind : roleBindingKind;
      await admin.create(kind, make(kind, role, { roleRef, subjects }, namespace));
    },
  };
}

const rule = (
  group: string,
  resource: string,
  verbs: readonly string[],
  ...resourceNames: string[]
): PolicyRule => ({
  apiGroups: [group],
  resources: [resource],
  verbs: [...verbs],
  ...(resourceNames.length > 0 ? { resourceNames } : {}),
});
const V3 = 'projectcalico.org';
const RBAC = 'rbac.authorization.k8s.io';
const pod = (name: string, namespace: string): Resource =>
  make(podKind, name, { spec: { containers: [{ name: 'a' }] } }, namespace);

test('[AZ7] [AZ12] a role holds in its namespace; what is denied says what is missing', async (context) => {
  const { as, grant, admin } = await startCluster(context);
  const robot = await as('robot');
  const user = 'User "system:serviceaccount:default:robot" cannot';
  const denied = (message: string) => ({ status: 403, reason: 'Forbidden', message });
  const place = 'resource "pods" in API group "" in the namespace "shop"';
  await assert.rejects(
    robot.list(podKind, { namespace: 'shop' }),
    denied(`pods is forbidden: ${user} list ${place}`),
  );
  await assert.rejects(
    robot.get(podKind, { namespace: 'shop', name: 'a' }),
    denied(`pods "a" is forbidden: ${user} get ${place}`),
  );
  await assert.rejects(
    robot.request('GET', '/metrics-of-nobody'),
    denied(`forbidden: ${user} get path "/metrics-of-nobody"`),
  );
  await grant('robot', [rule('', 'pods', ['get', 'list', 'create', 'patch'])], 'shop');
  await robot.create(podKind, pod('a', 'shop'));
  assert.equal((await robot.list(podKind, { namespace: 'shop' })).items.length, 1);
  const status = { status: { phase: 'Running' } };
  const key = { namespace: 'shop', name: 'a' };
  await assert.rejects(
    robot.patch(podKind, key, status, { subresource: 'status' }),
    denied(
      `pods "a" is forbidden: ${user} patch resource "pods/status" in API group "" in the namespace "shop"`,
    ),
  );
  await assert.rejects(robot.list(podKind, { namespace: 'default' }), { status: 403 });
  await assert.rejects(robot.list(podKind), { status: 403, message: /at the cluster scope$/ });
  await assert.rejects(robot.delete(podKind, key), { status: 403 });
  await assert.rejects(robot.request('DELETE', '/api/v1/namespaces/shop/pods'), {
    status: 403,
    message: /cannot deletecollection/,
  });
  await admin.delete(roleBindingKind, { namespace: 'shop', name: 'robot-1' });
  await assert.rejects(robot.get(podKind, key), { status: 403 }, 'taken back is taken back');
});

test('[AZ11] what is applied and not there needs create too', async (context) => {
  const { as, grant } = await startCluster(context);
  const robot = await as('robot');
  await grant('robot', [rule('', 'pods', ['patch'])], 'shop');
  const path = '/api/v1/namespaces/shop/pods/a';
  const apply = (): Promise<unknown> =>
    robot.request('PATCH', path, {
      body: pod('a', 'shop'),
      contentType: 'application/apply-patch+yaml',
      query: { fieldManager: 'test', force: true },
    });
  await assert.rejects(apply(), { status: 403, message: /cannot create resource "pods"/ });
  await grant('robot', [rule('', 'pods', ['create'])], 'shop');
  await apply();
  await apply();
});

test('[AZ8] the default roles add up, and new roles join them', async (context) => {
  const { as, admin } = await startCluster(context);
  const rulesOf = async (name: string): Promise<readonly PolicyRule[]> => {
    const found = await admin.get(clusterRoleKind, { name });
    return (found as { rules?: PolicyRule[] } | undefined)?.rules ?? [];
  };
  const [view, edit, all] = await Promise.all(['view', 'edit', 'admin'].map(rulesOf));
  assert.ok(view && edit && all && view.length > 3);
  assert.ok(view.length < edit.length && edit.length < all.length);
  const robot = await as('robot');
  const subjects = [{ kind: 'ServiceAccount', namespace: 'default', name: 'robot' }];
  const roleRef = { kind: 'ClusterRole', name: 'view' };
  await admin.create(roleBindingKind, make(roleBindingKind, 'v', { roleRef, subjects }, 'shop'));
  await robot.list(networkPolicyKind, { namespace: 'shop' });
  await assert.rejects(robot.list(roleKind, { namespace: 'shop' }), { status: 403 });
  const labels = { 'rbac.authorization.k8s.io/aggregate-to-view': 'true' };
  const added = make(clusterRoleKind, 'see-roles', { rules: [rule(RBAC, 'roles', ['list'])] });
  await admin.create(clusterRoleKind, { ...added, metadata: { ...added.metadata, labels } });
  for (let tries = 0; (await rulesOf('view')).length === view.length; tries++) {
    assert.ok(tries < 100);
    await setTimeout(10);
  }
  await robot.list(roleKind, { namespace: 'shop' });
});

test('[AZ9] nobody gives more than they have', async (context) => {
  const { as, grant, admin } = await startCluster(context);
  const robot = await as('robot');
  const manage = ['create', 'update', 'patch'];
  await grant('robot', [rule(RBAC, 'roles', manage), rule(RBAC, 'rolebindings', manage)], 'shop');
  await grant('robot', [rule('', 'pods', ['get', 'list'])], 'shop');
  const escalates = {
    status: 403,
    message: /attempting to grant RBAC permissions not currently held/,
  };
  const role = (name: string, ...rules: PolicyRule[]): Resource =>
    make(roleKind, name, { rules }, 'shop');
  await robot.create(roleKind, role('reader', rule('', 'pods', ['get'], 'a')));
  await assert.rejects(robot.create(roleKind, role('x', rule('', 'pods', ['get', 'delete']))), {
    ...escalates,
    message: /not currently held: \{APIGroups:\[""\], Resources:\["pods"\], Verbs:\["delete"\]\}$/,
  });
  await assert.rejects(robot.create(roleKind, role('x', rule('*', '*', ['*']))), escalates);
  const key = { namespace: 'shop', name: 'reader' };
  const more = { rules: [rule('', 'secrets', ['get'])] };
  await assert.rejects(robot.patch(roleKind, key, more), escalates);
  await robot.patch(roleKind, key, { metadata: { labels: { a: 'b' } } });

  const subjects = [{ kind: 'ServiceAccount', namespace: 'default', name: 'robot' }];
  const binding = (name: string, kind: string, of: string): Resource =>
    make(roleBindingKind, name, { roleRef: { kind, name: of }, subjects }, 'shop');
  await robot.create(roleBindingKind, binding('b', 'Role', 'reader'));
  const admins = binding('c', 'ClusterRole', 'cluster-admin');
  await assert.rejects(robot.create(roleBindingKind, admins), escalates);
  await assert.rejects(robot.create(roleBindingKind, binding('d', 'Role', 'missing')), {
    status: 403,
    message: /Role "missing" is not there, and binding it needs "bind"/,
  });
  await grant('robot', [rule(RBAC, 'clusterroles', ['bind'], 'view')]);
  await robot.create(roleBindingKind, binding('e', 'ClusterRole', 'view'));
  await assert.rejects(robot.create(roleBindingKind, admins), escalates);

  await grant('robot', [rule(RBAC, 'clusterroles', ['create'])]);
  const selectors = [{ matchLabels: { anything: 'at-all' } }];
  const aggregation = { aggregationRule: { clusterRoleSelectors: selectors } };
  const collects = make(clusterRoleKind, 'collects', aggregation);
  await assert.rejects(robot.create(clusterRoleKind, collects), escalates);
  await grant('robot', [rule(RBAC, 'roles', ['escalate'])], 'shop');
  await robot.create(roleKind, role('all', rule('*', '*', ['*'])));
  await admin.create(clusterRoleKind, collects);
});

const policy = (name: string, tier: string): Resource =>
  make(networkPolicyKind, name, { spec: { tier, selector: 'all()' } }, 'shop');

test('[AZ10] a policy needs its verb in its tier, and get on the tier', async (context) => {
  const { as, grant, admin } = await startCluster(context);
  for (const tier of ['security', 'app']) {
    await admin.create(tierKind, make(tierKind, tier, { spec: { order: 1 } }));
  }
  for (const tier of ['security', 'app'])
    await admin.create(networkPolicyKind, policy(`${tier}.a`, tier));
  await admin.create(networkPolicyKind, policy('plain', 'default'));
  const robot = await as('robot');
  const names = async (options: object = {}): Promise<string[]> => {
    const { items } = await robot.list(networkPolicyKind, options);
    return items.map(({ metadata }) => metadata.name);
  };
  await grant('robot', [rule(V3, 'networkpolicies', ['*'])]);
  await assert.rejects(names(), {
    status: 403,
    message:
      /in tier "default": needs list on tier\.networkpolicies\.projectcalico\.org "default\.\*"/,
  });
  await grant('robot', [rule(V3, 'tier.networkpolicies', ['*'], 'app.*')]);
  await assert.rejects(names({ fieldSelector: 'spec.tier=app' }), {
    status: 403,
    message: /needs get on tiers\.projectcalico\.org "app"$/,
  });
  await grant('robot', [rule(V3, 'tiers', ['get'], 'app', 'security')]);
  assert.deepEqual(await names(), ['app.a']);
  assert.deepEqual(await names({ fieldSelector: 'spec.tier=app' }), ['app.a']);
  for (const options of [
    { fieldSelector: 'spec.tier=security' },
    { labelSelector: 'projectcalico.org/tier=security' },
  ]) {
    await assert.rejects(names(options), { status: 403 });
  }
  await robot.create(networkPolicyKind, policy('app.b', 'app'));
  const key = (name: string) => ({ namespace: 'shop', name });
  const order = { spec: { order: 5 } };
  await robot.patch(networkPolicyKind, key('app.b'), order);
  for (const refused of [
    () => robot.create(networkPolicyKind, policy('security.b', 'security')),
    () => robot.create(networkPolicyKind, policy('other', 'default')),
    () => robot.patch(networkPolicyKind, key('security.a'), order),
    () => robot.get(networkPolicyKind, key('security.a')),
    () => robot.delete(networkPolicyKind, key('security.a')),
    () => robot.patch(networkPolicyKind, key('app.b'), { spec: { tier: 'security' } }),
    () => robot.list(globalNetworkPolicyKind),
  ]) {
    await assert.rejects(refused, { status: 403 });
  }
  await robot.delete(networkPolicyKind, key('app.b'));
  await robot.request('DELETE', '/apis/projectcalico.org/v3/namespaces/shop/networkpolicies');
  const { items } = await admin.list(networkPolicyKind, { namespace: 'shop' });
  const left = items.map(({ metadata }) => metadata.name).sort();
  assert.deepEqual(left, ['plain', 'security.a'], 'a collection is what may be deleted of it');

  await grant('robot', [rule(V3, 'tier.networkpolicies', ['get'], 'security.a')]);
  await robot.get(networkPolicyKind, key('security.a'));
  await assert.rejects(robot.patch(networkPolicyKind, key('security.a'), order), { status: 403 });
  await grant('robot', [rule(V3, 'tier.networkpolicies', ['list']), rule(V3, 'tiers', ['get'])]);
  assert.deepEqual((await names()).sort(), ['plain', 'security.a']);
});

test('[AZ10] a watch tells of the tiers that may be seen', async (context) => {
  const { as, grant, admin } = await startCluster(context);
  await admin.create(tierKind, make(tierKind, 'app', { spec: { order: 1 } }));
  const robot = await as('robot');
  await grant('robot', [
    rule(V3, 'tier.networkpolicies', ['watch'], 'app.*'),
    rule(V3, 'tiers', ['get'], 'app'),
  ]);
  const { resourceVersion } = await admin.list(networkPolicyKind);
  await admin.create(networkPolicyKind, policy('hidden', 'default'));
  await admin.create(networkPolicyKind, policy('app.seen', 'app'));
  const seen: string[] = [];
  for await (const { type, object } of robot.watch(networkPolicyKind, { resourceVersion })) {
    if (type === 'BOOKMARK') continue;
    seen.push(object.metadata.name);
    break;
  }
  assert.deepEqual(seen, ['app.seen']);
});

test('[AZ19] the cluster information is not for users to write', async (context) => {
  const { as, grant, admin } = await startCluster(context);
  const robot = await as('robot');
  await grant('robot', [rule('*', '*', ['*'])]);
  const information = make(clusterInformationKind, 'default', { spec: { datastoreReady: false } });
  const refused = { status: 403, message: /it is written by the system alone$/ };
  await assert.rejects(robot.create(clusterInformationKind, information), refused);
  await admin.create(clusterInformationKind, information);
  await robot.list(clusterInformationKind);
  await assert.rejects(robot.delete(clusterInformationKind, { name: 'default' }), refused);
});

test('[AZ13] reviews say what requests would be told', async (context) => {
  const { as, grant, admin } = await startCluster(context);
  const robot = await as('robot');
  await grant('robot', [rule('', 'pods', ['get'])], 'shop');
  const review = async (client: Client, kind: string, spec: object, in_ = ''): Promise<unknown> => {
    const path = `/apis/authorization.k8s.io/v1${in_}/${kind}`;
    return ((await client.request('POST', path, { body: { spec } })) as { status: unknown }).status;
  };
  const pods = { verb: 'get', resource: 'pods', namespace: 'shop' };
  const self = 'selfsubjectaccessreviews';
  const through =
    'RBAC: allowed by RoleBinding "robot-1/shop" of ClusterRole "robot-1" to ServiceAccount "robot"';
  assert.deepEqual(await review(robot, self, { resourceAttributes: pods }), {
    allowed: true,
    reason: through,
  });
  const denied = await review(robot, self, { resourceAttributes: { ...pods, namespace: '' } });
  assert.equal((denied as { allowed: boolean }).allowed, false);
  const user = 'system:serviceaccount:default:robot';
  const asked = { resourceAttributes: pods, user };
  const subject = 'subjectaccessreviews';
  assert.ok(((await review(admin, subject, asked)) as { allowed: boolean }).allowed);
  await assert.rejects(review(robot, subject, asked), { status: 403 });
  const local = 'localsubjectaccessreviews';
  assert.ok(
    ((await review(admin, local, asked, '/namespaces/shop')) as { allowed: boolean }).allowed,
  );
  await assert.rejects(review(admin, local, asked, '/namespaces/default'), { status: 400 });
  const path = { nonResourceAttributes: { verb: 'get', path: '/api/v1' } };
  assert.ok(((await review(robot, self, path)) as { allowed: boolean }).allowed, 'discovery');
  await assert.rejects(review(robot, self, {}), { status: 400 });
  const rules = await review(robot, 'selfsubjectrulesreviews', { namespace: 'shop' });
  const { resourceRules } = rules as { resourceRules: { resources: string[] }[] };
  assert.ok(resourceRules.some(({ resources }) => resources.includes('pods')));

  const tiered = { verb: 'list', group: V3, resource: 'networkpolicies', namespace: 'shop' };
  const listing = async (): Promise<boolean> =>
    ((await review(robot, self, { resourceAttributes: tiered })) as { allowed: boolean }).allowed;
  await grant('robot', [rule(V3, 'networkpolicies', ['*'])]);
  assert.equal(await listing(), false);
  await grant('robot', [rule(V3, 'tier.networkpolicies', ['list'], 'default.*')]);
  assert.equal(await listing(), true, 'everybody may get the default tier');
});

test('[AZ13] a token review knows good tokens and keeps them to itself', async (context) => {
  const { admin, adminToken } = await startCluster(context);
  const review = async (spec: object): Promise<{ status: { authenticated: boolean } }> =>
    (await admin.request('POST', '/apis/authentication.k8s.io/v1/tokenreviews', {
      body: { spec },
    })) as { status: { authenticated: boolean } };
  const good = await review({ token: adminToken });
  assert.deepEqual(good.status, {
    authenticated: true,
    user: { username: 'admin', groups: ['system:masters', 'system:authenticated'] },
    audiences: ['https://kubernetes.default.svc'],
  });
  assert.doesNotMatch(JSON.stringify(good), new RegExp(adminToken));
  const elsewhere = await review({ token: adminToken, audiences: ['vault'] });
  assert.equal(elsewhere.status.authenticated, false);
  const bad = await review({ token: 'nonsense-nonsense' });
  assert.equal(bad.status.authenticated, false);
});

test('[AZ6] [AZ14] strangers get a 401 Status; a node reads what policy needs, and no roles', async (context) => {
  const { clientOf } = await startServer(context);
  const stranger = clientOf({});
  for (const path of ['/api', '/api/v1/pods', '/nothing', '/openid/v1/jwks']) {
    await assert.rejects(stranger.request('GET', path), { status: 401, reason: 'Unauthorized' });
  }
  assert.ok(await stranger.request('GET', '/version'));
  const node = clientOf({ kind: 'node', name: 'n1' });
  for (const kind of [podKind, networkPolicyKind, globalNetworkPolicyKind, tierKind]) {
    await node.list(kind);
  }
  for (const kind of [roleKind, clusterRoleBindingKind]) {
    await assert.rejects(node.list(kind), { status: 403 });
  }
  await assert.rejects(node.create(tierKind, make(tierKind, 'x', { spec: {} })), { status: 403 });
  const own = await node.request('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', {
    body: {},
  });
  assert.deepEqual((own as { status: unknown }).status, {
    userInfo: { username: 'system:node:n1', groups: ['system:nodes', 'system:authenticated'] },
  });
});
