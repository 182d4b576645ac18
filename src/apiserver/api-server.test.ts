// The API over real HTTPS: what resources do, how watches behave, and what is refused.
import assert from 'node:assert/strict';
import { request } from 'node:https';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import {
  globalNetworkPolicyKind,
  ipPoolKind,
  kubernetesNetworkPolicyKind,
  namespaceKind,
  networkSetKind,
  nodeKind,
  podKind,
  type Resource,
  serviceAccountKind,
  tierKind,
} from '#api';
import { ApiError, type WatchEvent } from '#datastore';
import { startServer } from './server-fixture.ts';

const namespace = (name: string): Resource => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name },
});

const pod = (name: string, labels: Record<string, string> = {}, nodeName = 'n1') => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'shop', labels },
  spec: { nodeName, containers: [{ name: 'main', image: 'x' }] },
});

const key = (name: string) => ({ namespace: 'shop', name });

/** Reads `count` events and ends the watch. */
async function take(events: AsyncIterable<WatchEvent>, count: number): Promise<WatchEvent[]> {
  const taken: WatchEvent[] = [];
  for await (const event of events) if (taken.push(event) === count) break;
  return taken;
}

const named = (events: readonly WatchEvent[]): string[] =>
  events.map(({ type, object }) => `${type} ${object.metadata.name}`);

test('a new cluster has its namespaces, tiers, pool and agent parameters', async (context) => {
  const { admin } = await startServer(context);
  const names = async (kind: typeof tierKind) =>
    (await admin.list(kind)).items.map((item) => item.metadata.name);
  assert.deepEqual(await names(namespaceKind), ['default', 'kube-system']);
  assert.deepEqual(await names(tierKind), ['default', 'kube-admin', 'kube-baseline']);
  assert.deepEqual(await names(ipPoolKind), ['default-ipv4-ippool']);
});

test('a resource is created, read, replaced, patched and deleted', async (context) => {
  const { admin } = await startServer(context);
  await admin.create(namespaceKind, namespace('shop'));
  const created = await admin.create(podKind, pod('front'));
  assert.match(created.metadata.uid ?? '', /^[0-9a-f-]{36}$/);
  assert.equal(created.metadata.generation, 1);
  await assert.rejects(admin.create(podKind, pod('front')), { reason: 'AlreadyExists' });

  const replaced = await admin.replace(podKind, {
    ...pod('front', { app: 'front' }),
    metadata: { ...created.metadata, labels: { app: 'front' } },
  });
  assert.equal(replaced.metadata.uid, created.metadata.uid);
  assert.equal(replaced.metadata.generation, 1, 'labels are not what is wanted of it');
  await assert.rejects(
    admin.replace(podKind, { ...pod('front'), metadata: created.metadata }),
    (error) => error instanceof ApiError && error.conflict,
  );
  const patch = { spec: { serviceAccountName: 'front' } };
  const patched = await admin.patch(podKind, key('front'), patch);
  assert.equal(patched.metadata.generation, 2);
  await admin.delete(podKind, key('front'));
  assert.equal(await admin.get(podKind, key('front')), undefined);
  await assert.rejects(admin.delete(podKind, key('front')), { status: 404 });
});

test('a write that changes nothing makes no revision', async (context) => {
  const { admin } = await startServer(context);
  await admin.create(namespaceKind, namespace('shop'));
  const before = await admin.create(podKind, pod('front', { app: 'a' }));
  const again = await admin.patch(podKind, key('front'), { metadata: { labels: { app: 'a' } } });
  const replaced = await admin.replace(podKind, pod('front', { app: 'a' }));
  assert.equal(again.metadata.resourceVersion, before.metadata.resourceVersion);
  assert.equal(replaced.metadata.resourceVersion, before.metadata.resourceVersion);
});

test('status is written by its subresource, and only there', async (context) => {
  const { admin } = await startServer(context);
  await admin.create(namespaceKind, namespace('shop'));
  const status = { phase: 'Running', podIP: '10.244.0.7' };
  const created = await admin.create(podKind, { ...pod('front'), status } as Resource);
  assert.deepEqual('status' in created && created.status, { phase: 'Pending' });
  const options = { subresource: 'status' } as const;
  const body = { status, spec: { nodeName: 'elsewhere' } };
  const patched = await admin.patch(podKind, key('front'), body, options);
  assert.deepEqual('status' in patched && patched.status, status);
  assert.deepEqual('spec' in patched && patched.spec, pod('front').spec);
  assert.equal(patched.metadata.generation, 1);
});

test('all problems of a resource are told at once, with their fields', async (context) => {
  const { admin } = await startServer(context);
  const policy = {
    apiVersion: 'projectcalico.org/v3',
    kind: 'GlobalNetworkPolicy',
    metadata: { name: 'wrong' },
    spec: { selector: 'a ==', ingress: [{ action: 'Alow' }] },
  };
  await assert.rejects(admin.create(globalNetworkPolicyKind, policy), (error) => {
    assert.ok(error instanceof ApiError);
    assert.equal(error.status, 422);
    const causes = error.details?.['causes'];
    assert.ok(Array.isArray(causes));
    const fields = causes.map((cause: { field: string }) => cause.field);
    assert.deepEqual(fields.toSorted(), ['spec.ingress[0].action', 'spec.selector']);
    return true;
  });
  assert.equal((await admin.list(globalNetworkPolicyKind)).items.length, 0);
});

test('what never changes is refused by field, in a replacement and in a patch', async (context) => {
  const { admin } = await startServer(context);
  const patch = { spec: { cidr: '10.99.0.0/16', blockSize: 28 } };
  await assert.rejects(
    admin.patch(ipPoolKind, { name: 'default-ipv4-ippool' }, patch),
    (error: unknown) =>
      error instanceof ApiError &&
      error.status === 422 &&
      error.message.includes('spec.cidr') &&
      error.message.includes('spec.blockSize'),
  );
  const pool = await admin.get(ipPoolKind, { name: 'default-ipv4-ippool' });
  assert.ok(pool);
  const same = await admin.patch(ipPoolKind, pool.metadata, { spec: { natOutgoing: true } });
  assert.notEqual(same.metadata.resourceVersion, pool.metadata.resourceVersion);
});

test('dry run checks and stores nothing', async (context) => {
  const { admin } = await startServer(context);
  const query = { dryRun: 'All' };
  await admin.request('POST', '/api/v1/namespaces', { body: namespace('shop'), query });
  assert.equal(await admin.get(namespaceKind, { name: 'shop' }), undefined);
  await admin.request('DELETE', '/apis/projectcalico.org/v3/ippools/default-ipv4-ippool', {
    query,
  });
  assert.notEqual(await admin.get(ipPoolKind, { name: 'default-ipv4-ippool' }), undefined);
});

test('generateName makes a name of its own each time', async (context) => {
  const { admin } = await startServer(context);
  const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { generateName: 'lab-' } };
  const names = new Set<string>();
  for (let n = 0; n < 5; n++) {
    const created = (await admin.request('POST', '/api/v1/namespaces', { body })) as Resource;
    assert.match(created.metadata.name, /^lab-[a-z0-9]{5}$/);
    names.add(created.metadata.name);
  }
  assert.equal(names.size, 5);
});

test('selectors choose by labels and fields', async (context) => {
  const { admin } = await startServer(context);
  await admin.create(namespaceKind, namespace('shop'));
  await admin.create(podKind, pod('a', { app: 'front', env: 'prod' }));
  await admin.create(podKind, pod('b', { app: 'front', env: 'test' }, 'n2'));
  await admin.create(podKind, pod('c', { app: 'cart' }, 'n2'));
  const select = async (labelSelector: string, fieldSelector = '') =>
    (await admin.list(podKind, { labelSelector, fieldSelector })).items
      .map((item) => item.metadata.name)
      .join(' ');
  assert.equal(await select('app=front'), 'a b');
  assert.equal(await select('app==front,env!=test'), 'a');
  assert.equal(await select('env'), 'a b');
  assert.equal(await select('!env'), 'c');
  assert.equal(await select('app in (front, cart),env notin (prod)'), 'b c');
  assert.equal(await select('', 'spec.nodeName=n2'), 'b c');
  assert.equal(await select('app=front', 'spec.nodeName!=n2,metadata.namespace=shop'), 'a');
  await assert.rejects(select('app in front'), { status: 400 });
  await assert.rejects(select('', 'spec.dnsPolicy=x'), { status: 400 });
});

test('a watch goes on where another ended, without a gap', async (context) => {
  const { admin } = await startServer(context);
  await admin.create(namespaceKind, namespace('shop'));
  const { resourceVersion } = await admin.list(podKind);
  await admin.create(podKind, pod('a'));
  await admin.create(podKind, pod('b'));
  const first = await take(admin.watch(podKind, { resourceVersion }), 1);
  await admin.delete(podKind, key('a'));
  const from = first[0]?.object.metadata.resourceVersion ?? '';
  const rest = await take(admin.watch(podKind, { resourceVersion: from }), 2);
  assert.deepEqual(named([...first, ...rest]), ['ADDED a', 'ADDED b', 'DELETED a']);
  const deleted = rest[1]?.object.metadata.resourceVersion ?? '';
  assert.ok(Number(deleted) > Number(rest[0]?.object.metadata.resourceVersion));
});

test('a watch with a selector says who comes, changes and goes in its view', async (context) => {
  const { admin } = await startServer(context);
  await admin.create(namespaceKind, namespace('shop'));
  const { resourceVersion } = await admin.list(podKind);
  await admin.create(podKind, pod('a', { app: 'cart' }));
  for (const labels of [{ app: 'front' }, { more: '1' }, { app: 'cart' }]) {
    await admin.patch(podKind, key('a'), { metadata: { labels } });
  }
  const labelSelector = 'app=front';
  const events = await take(admin.watch(podKind, { resourceVersion, labelSelector }), 3);
  assert.deepEqual(named(events), ['ADDED a', 'MODIFIED a', 'DELETED a']);
});

test('a watch from 0 begins with what is there; initial events end with a mark', async (context) => {
  const { admin } = await startServer(context);
  const tiers = await take(admin.watch(tierKind, { resourceVersion: '0' }), 3);
  assert.deepEqual(new Set(tiers.map(({ type }) => type)), new Set(['ADDED']));
  const initial = { sendInitialEvents: true, resourceVersionMatch: 'NotOlderThan' };
  const query = { watch: 1, ...initial, allowWatchBookmarks: true };
  const path = '/apis/projectcalico.org/v3/tiers';
  const lines: unknown[] = [];
  for await (const line of await admin.stream('GET', path, { query })) {
    if (lines.push(line) === 4) break;
  }
  assert.match(JSON.stringify(lines[3]), /"BOOKMARK".*"k8s.io\/initial-events-end":"true"/);
});

test('a revision that is no longer kept is refused as gone', async (context) => {
  const { admin } = await startServer(context, { logEvents: 3 });
  const { resourceVersion } = await admin.list(tierKind);
  for (let n = 0; n < 20; n++) {
    await admin.patch(tierKind, { name: 'default' }, { metadata: { labels: { n: `${n}` } } });
  }
  for (const old of [resourceVersion, '1', '9999999999999999']) {
    await assert.rejects(
      take(admin.watch(tierKind, { resourceVersion: old }), 1),
      (error) => error instanceof ApiError && error.gone,
    );
  }
});

test('nothing is created in a namespace that is missing; deleting one empties it', async (context) => {
  const { admin } = await startServer(context);
  await assert.rejects(admin.create(podKind, pod('a')), { status: 404, message: /"shop"/ });
  await admin.create(namespaceKind, namespace('shop'));
  await admin.create(podKind, pod('a'));
  const { resourceVersion } = await admin.list(namespaceKind);
  await admin.delete(namespaceKind, { name: 'shop' });
  await assert.rejects(admin.create(podKind, pod('b')), { status: 403 });
  const events = await take(admin.watch(namespaceKind, { resourceVersion }), 2);
  assert.deepEqual(named(events), ['MODIFIED shop', 'DELETED shop']);
  assert.equal((await admin.list(podKind)).items.length, 0);
  await assert.rejects(admin.delete(namespaceKind, { name: 'default' }), { status: 403 });
});

test('a tier goes when its last policy has gone; the built-in ones stay', async (context) => {
  const { admin } = await startServer(context);
  const apiVersion = 'projectcalico.org/v3';
  const tier = { apiVersion, kind: 'Tier', metadata: { name: 'security' }, spec: { order: 1 } };
  await admin.create(tierKind, tier);
  await admin.create(globalNetworkPolicyKind, {
    apiVersion,
    kind: 'GlobalNetworkPolicy',
    metadata: { name: 'security.one' },
    spec: { tier: 'security', selector: 'all()' },
  } as Resource);
  await admin.delete(tierKind, { name: 'security' });
  const marked = await admin.get(tierKind, { name: 'security' });
  assert.ok(marked?.metadata.deletionTimestamp);
  await admin.delete(globalNetworkPolicyKind, { name: 'security.one' });
  assert.equal(await admin.get(tierKind, { name: 'security' }), undefined);
  await assert.rejects(admin.delete(tierKind, { name: 'default' }), { status: 403 });
});

test('finalizers hold a resource until they are gone', async (context) => {
  const { admin } = await startServer(context);
  const finalizers = ['example.com/wait'];
  await admin.create(namespaceKind, { ...namespace('held'), metadata: { name: 'held' } });
  const account = {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name: 'a', namespace: 'held', finalizers },
  };
  await admin.create(serviceAccountKind, account);
  const place = { namespace: 'held', name: 'a' };
  await admin.delete(serviceAccountKind, place);
  assert.ok((await admin.get(serviceAccountKind, place))?.metadata.deletionTimestamp);
  const { resourceVersion } = await admin.list(namespaceKind);
  await admin.delete(namespaceKind, { name: 'held' });
  await setTimeout(100);
  assert.ok(await admin.get(namespaceKind, { name: 'held' }), 'it waits for what is in it');
  await admin.patch(serviceAccountKind, place, { metadata: { finalizers: null } });
  assert.equal(await admin.get(serviceAccountKind, place), undefined);
  const types = new Set<string>();
  for await (const { type } of admin.watch(namespaceKind, { resourceVersion })) {
    types.add(type);
    if (type === 'DELETED') break;
  }
  assert.deepEqual([...types], ['MODIFIED', 'DELETED']);
});

test('patches: JSON, strategic for built-in kinds, and what is refused', async (context) => {
  const { admin } = await startServer(context);
  await admin.create(namespaceKind, namespace('shop'));
  await admin.create(podKind, pod('front', { app: 'a' }));
  const operations = [
    { op: 'test', path: '/metadata/labels/app', value: 'a' },
    { op: 'add', path: '/metadata/labels/x~1y', value: '1' },
  ];
  const patched = await admin.patch(podKind, key('front'), operations, { type: 'json' });
  assert.deepEqual(patched.metadata.labels, { app: 'a', 'x/y': '1' });
  const failing = [{ op: 'test', path: '/metadata/labels/app', value: 'b' }];
  await assert.rejects(admin.patch(podKind, key('front'), failing, { type: 'json' }), {
    status: 422,
  });
  const strategic = { type: 'strategic' } as const;
  const container = { spec: { containers: [{ name: 'main', workingDir: '/srv' }] } };
  const merged = await admin.patch(podKind, key('front'), container, strategic);
  assert.deepEqual('spec' in merged && merged.spec, {
    nodeName: 'n1',
    containers: [{ name: 'main', image: 'x', workingDir: '/srv' }],
  });
  await assert.rejects(admin.patch(tierKind, { name: 'default' }, {}, strategic), { status: 415 });
  const moved = { metadata: { name: 'other' } };
  await assert.rejects(admin.patch(podKind, key('front'), moved), { status: 400 });
});

test('[AZ14] a node may do what its agent needs, and nothing else', async (context) => {
  const { admin, clientOf } = await startServer(context);
  const node = clientOf({ kind: 'node', name: 'n1' });
  await admin.create(namespaceKind, namespace('shop'));
  await admin.create(podKind, pod('mine'));
  await admin.create(podKind, pod('theirs', {}, 'n2'));
  await node.list(kubernetesNetworkPolicyKind);
  const annotate = {
    metadata: { annotations: { 'cni.projectcalico.org/podIP': '10.244.0.1/32' } },
  };
  await node.patch(podKind, key('mine'), annotate);
  const denied = { status: 403, message: /User "system:node:n1" cannot/ };
  await assert.rejects(node.patch(podKind, key('theirs'), annotate), denied);
  const ofStatus = { subresource: 'status' } as const;
  const addresses = { podIP: '10.244.0.9', podIPs: [{ ip: '10.244.0.9' }] };
  const earlier = { status: { phase: 'Pending', ...addresses } };
  for (const name of ['mine', 'theirs']) await admin.patch(podKind, key(name), earlier, ofStatus);
  const unsay = { status: { podIP: null, podIPs: null } };
  await node.patch(podKind, key('mine'), unsay, ofStatus);
  const left = await admin.get(podKind, key('mine'));
  assert.deepEqual(left && 'status' in left && left.status, { phase: 'Pending' });
  await assert.rejects(node.patch(podKind, key('theirs'), unsay, ofStatus), denied);
  await assert.rejects(node.patch(podKind, key('mine'), earlier, ofStatus), denied);
  const phase = { status: { phase: 'Failed', podIP: null, podIPs: null } };
  await assert.rejects(node.patch(podKind, key('mine'), phase, ofStatus), denied);
  const relabel = { metadata: { labels: { role: 'admin' } } };
  await assert.rejects(node.patch(podKind, key('mine'), relabel), denied);
  const steal = { spec: { nodeName: 'n1' } };
  await assert.rejects(node.patch(podKind, key('theirs'), steal), denied);
  await assert.rejects(node.patch(podKind, key('mine'), { spec: { hostNetwork: true } }), denied);
  await assert.rejects(node.create(podKind, pod('new')), denied);
  for (const name of ['n1', 'n2']) {
    await admin.create(nodeKind, { apiVersion: 'v1', kind: 'Node', metadata: { name } });
  }
  const tunnel = { 'projectcalico.org/IPv4VXLANTunnelAddr': '10.244.0.1' };
  const annotateNode = { metadata: { annotations: tunnel } };
  await node.patch(nodeKind, { name: 'n1' }, annotateNode);
  await assert.rejects(node.patch(nodeKind, { name: 'n2' }, annotateNode), denied);
  await assert.rejects(node.patch(nodeKind, { name: 'n1' }, relabel), denied);
  await assert.rejects(node.delete(podKind, key('mine')), denied);
  await assert.rejects(node.patch(tierKind, { name: 'default' }, { spec: { order: 1 } }), denied);
  const path = '/apis/tortie.dev/v1/agentstatuses';
  const status = (name: string) => ({ body: { metadata: { name }, status: { ready: true } } });
  await node.request('POST', path, status('n1'));
  const contentType = 'application/merge-patch+json';
  await node.request('PATCH', `${path}/n1/status`, { ...status('n1'), contentType });
  await assert.rejects(node.request('POST', path, status('n2')), denied);
  await assert.rejects(node.request('DELETE', `${path}/n1`), denied);
  await node.request('POST', '/apis/flows.tortie.dev/v1/flows', { body: { flows: [] } });
  await assert.rejects(node.request('GET', '/apis/flows.tortie.dev/v1/flows'), denied);
  const { items } = await admin.list(podKind);
  assert.deepEqual(
    new Set(items.map(({ metadata }) => metadata.labels?.['role'])),
    new Set([undefined]),
  );
});

test('without a known token only health and version are answered', async (context) => {
  const { clientOf, url, ca } = await startServer(context);
  const stranger = clientOf({ token: 'not-a-token-that-anybody-has' });
  for (const path of ['/api/v1/namespaces', '/apis', '/openapi/v3', '/nowhere']) {
    await assert.rejects(stranger.request('GET', path), { status: 401, reason: 'Unauthorized' });
  }
  const statusOf = (path: string) =>
    new Promise((resolve, reject) => {
      request(`${url}${path}`, { ca }, (answer) => resolve(answer.resume().statusCode))
        .on('error', reject)
        .end();
    });
  assert.equal(await statusOf('/version'), 200);
  assert.equal(await statusOf('/healthz'), 200);
  assert.equal(await statusOf('/api'), 401);
});

test('requests that are no good are refused with a Status', async (context) => {
  const { admin } = await startServer(context);
  const namespaces = '/api/v1/namespaces';
  const refused: [() => Promise<unknown>, number][] = [
    [() => admin.request('GET', '/api/v1/nothing'), 404],
    [() => admin.request('GET', '/api/v1/namespaces/%E0%A4%A'), 400],
    [() => admin.request('PUT', namespaces, { body: namespace('a') }), 405],
    [
      () => admin.request('POST', namespaces, { body: namespace('a'), contentType: 'text/plain' }),
      415,
    ],
    [() => admin.request('POST', namespaces), 400],
    [() => admin.request('POST', namespaces, { body: [] }), 400],
    [() => admin.request('POST', namespaces, { body: { ...namespace('a'), kind: 'Pod' } }), 400],
    [() => admin.request('POST', '/api/v1/pods', { body: pod('a') }), 400],
    [() => admin.request('POST', namespaces, { body: { filler: 'x'.repeat(4_000_000) } }), 413],
    [() => admin.request('GET', namespaces, { query: { watch: 1, resourceVersion: 'x' } }), 400],
    [
      () => admin.request('POST', namespaces, { body: namespace('a'), query: { dryRun: 'Some' } }),
      400,
    ],
  ];
  for (const [answer, status] of refused) {
    await assert.rejects(answer, (error) => {
      assert.ok(error instanceof ApiError, String(error));
      assert.equal(error.status, status, error.message);
      assert.notEqual(error.reason, '');
      return true;
    });
  }
});

test('[ST3] many writers of one resource all succeed, each on top of the others', async (context) => {
  const { admin } = await startServer(context);
  await admin.create(namespaceKind, namespace('shop'));
  const set = {
    apiVersion: 'projectcalico.org/v3',
    kind: 'NetworkSet',
    metadata: { name: 'busy', namespace: 'shop' },
    spec: { nets: [] },
  };
  await admin.create(networkSetKind, set as Resource);
  await Promise.all(
    Array.from({ length: 40 }, (_, n) =>
      admin.patch(networkSetKind, key('busy'), { metadata: { labels: { [`l${n}`]: 'x' } } }),
    ),
  );
  const result = await admin.get(networkSetKind, key('busy'));
  assert.equal(Object.keys(result?.metadata.labels ?? {}).length, 40);
});

/** From a pod to one that no policy lets it reach, as its source reports it. */
function deniedFlow(now: number): Record<string, unknown> {
  const end = (name: string, address: string) => ({
    type: 'workload',
    namespace: 'shop',
    name,
    address,
    labels: {},
  });
  return {
    startTime: now,
    endTime: now,
    reporter: 'src',
    node: 'n1',
    source: end('a', '10.244.0.1'),
    destination: end('b', '10.244.0.2'),
    protocol: 'tcp',
    sourcePort: 40_000,
    port: 80,
    verdict: 'deny',
    packets: { in: 0, out: 1 },
    bytes: { in: 0, out: 60 },
    connections: { started: 1, completed: 0, live: 0 },
    policies: [],
  };
}

test('flows are posted, queried and followed', async (context) => {
  const { admin, clientOf } = await startServer(context);
  const node = clientOf({ kind: 'node', name: 'n1' });
  const path = '/apis/flows.tortie.dev/v1/flows';
  const lines = await admin.stream('GET', path, { query: { follow: 1, verdict: 'deny' } });
  const following = (async () => {
    for await (const line of lines) return line;
  })();
  await node.request('POST', path, { body: { flows: [deniedFlow(Date.now())] } });
  assert.match(JSON.stringify(await following), /"deny"/);
  const query = async (query: Record<string, string>) =>
    (await admin.request('GET', path, { query })) as { flows: unknown[] };
  assert.equal((await query({ verdict: 'deny', limit: '5' })).flows.length, 1);
  assert.equal((await query({ verdict: 'allow' })).flows.length, 0);
  const bad = { status: 400, message: /verdict "maybe"/ };
  await assert.rejects(query({ verdict: 'maybe' }), bad);
  await assert.rejects(admin.stream('GET', path, { query: { follow: 1, verdict: 'maybe' } }), bad);
  await assert.rejects(node.request('POST', path, { body: { flows: ['x'] } }), { status: 400 });
  await assert.rejects(node.request('POST', path, { body: {} }), { status: 400 });
});
