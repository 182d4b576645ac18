// Server-side apply over HTTPS: who owns which field, conflicts, what is given up.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { globalNetworkPolicyKind, namespaceKind, podKind } from '#api';
import { isObject } from '#lib';
import { startServer } from './server-fixture.ts';

type Fields = Record<string, unknown>;

interface Entry {
  readonly manager: string;
  readonly operation: string;
  readonly subresource?: string;
  readonly time: string;
  readonly fieldsV1: unknown;
}

interface Seen {
  readonly metadata: Fields & { readonly managedFields?: readonly Entry[] };
  readonly spec: Fields;
  readonly status?: Fields;
}

const PODS = '/api/v1/namespaces/shop/pods';
const POLICIES = '/apis/projectcalico.org/v3/globalnetworkpolicies';

const pod = (container: Fields, labels?: Fields): Fields => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'front', labels },
  spec: { containers: [{ name: 'web', ...container }] },
});

const policy = (spec: Fields): Fields => ({
  apiVersion: 'projectcalico.org/v3',
  kind: 'GlobalNetworkPolicy',
  metadata: { name: 'p' },
  spec,
});

async function start(context: TestContext) {
  const { admin } = await startServer(context);
  const metadata = { name: 'shop' };
  await admin.create(namespaceKind, { apiVersion: 'v1', kind: 'Namespace', metadata });
  const apply = async (path: string, manager: string, body: unknown, query: Fields = {}) =>
    (await admin.request('PATCH', path, {
      body,
      contentType: 'application/apply-patch+yaml',
      query: { fieldManager: manager, ...query } as Record<string, string>,
    })) as Seen;
  const get = async (path: string) => (await admin.request('GET', path)) as Seen;
  return { admin, apply, get };
}

const managers = ({ metadata }: Seen): string[] =>
  (metadata.managedFields ?? []).map((entry) => `${entry.operation} ${entry.manager}`);

const fieldsOf = ({ metadata }: Seen, manager: string): unknown =>
  metadata.managedFields?.find((entry) => entry.manager === manager)?.fieldsV1;

test('an apply creates, owns exactly what it says, and again changes nothing', async (context) => {
  const { apply, get } = await start(context);
  const body = pod({ image: 'a', ports: [{ containerPort: 80 }] }, { app: 'front' });
  const created = await apply(`${PODS}/front`, 'ann', body);
  assert.deepEqual(fieldsOf(created, 'ann'), {
    'f:metadata': { 'f:labels': { 'f:app': {} } },
    'f:spec': {
      'f:containers': {
        'k:{"name":"web"}': {
          '.': {},
          'f:image': {},
          'f:name': {},
          'f:ports': {
            'k:{"containerPort":80,"protocol":"TCP"}': { '.': {}, 'f:containerPort': {} },
          },
        },
      },
    },
  });
  const again = await apply(`${PODS}/front`, 'ann', body);
  assert.equal(again.metadata['resourceVersion'], created.metadata['resourceVersion']);
  assert.deepEqual(await get(`${PODS}/front`), created);
});

test('another value of a field that others manage is a conflict, unless forced', async (context) => {
  const { apply, get } = await start(context);
  await apply(`${PODS}/front`, 'ann', pod({ image: 'a', workingDir: '/' }));
  const mine = pod({ image: 'b' }, { app: 'x' });
  const conflict = {
    status: 409,
    reason: 'Conflict',
    message: /1 conflict: conflict with "ann": \.spec\.containers\[name="web"\]\.image/,
  };
  await assert.rejects(apply(`${PODS}/front`, 'bob', mine), (error) => {
    assert.ok(isObject(error) && isObject(error['details']));
    assert.deepEqual(error['details']['causes'], [
      {
        reason: 'FieldManagerConflict',
        message: 'conflict with "ann"',
        field: '.spec.containers[name="web"].image',
      },
    ]);
    return true;
  });
  await assert.rejects(apply(`${PODS}/front`, 'bob', mine, { dryRun: 'All' }), conflict);
  const tried = await apply(`${PODS}/front`, 'bob', mine, { dryRun: 'All', force: 'true' });
  assert.deepEqual(tried.spec['containers'], [{ name: 'web', image: 'b', workingDir: '/' }]);
  assert.deepEqual(managers(await get(`${PODS}/front`)), ['Apply ann'], 'a trial changes nothing');
  const taken = await apply(`${PODS}/front`, 'bob', mine, { force: 'true' });
  assert.doesNotMatch(JSON.stringify(fieldsOf(taken, 'ann')), /image/);
  assert.match(JSON.stringify(fieldsOf(taken, 'bob')), /image/);
  // The same value is shared, and then neither may change it alone.
  await apply(`${PODS}/front`, 'ann', pod({ image: 'b', workingDir: '/' }));
  await assert.rejects(apply(`${PODS}/front`, 'ann', pod({ image: 'c' })), { status: 409 });
});

test('a field that its last manager gives up goes; what others manage stays', async (context) => {
  const { apply } = await start(context);
  const two = {
    containers: [
      { name: 'web', image: 'a' },
      { name: 'log', image: 'l' },
    ],
  };
  const labels = { app: 'front', tier: 'web' };
  await apply(`${PODS}/front`, 'ann', { ...pod({}, labels), spec: { ...two, nodeName: 'n1' } });
  const side = { containers: [{ name: 'log', workingDir: '/log' }] };
  await apply(`${PODS}/front`, 'bob', { ...pod({}, { tier: 'web' }), spec: side });
  const left = await apply(`${PODS}/front`, 'ann', pod({ image: 'a' }));
  assert.deepEqual(left.metadata['labels'], { tier: 'web' });
  assert.deepEqual(left.spec, {
    containers: [
      { name: 'web', image: 'a' },
      { name: 'log', workingDir: '/log' },
    ],
  });
  const without = await apply(`${PODS}/front`, 'bob', {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {},
  });
  assert.deepEqual(without.spec, { containers: [{ name: 'web', image: 'a' }] });
  assert.equal(without.metadata['labels'], undefined);
  assert.deepEqual(managers(without), ['Apply ann']);
});

test('the lists of Calico are owned as a whole', async (context) => {
  const { apply } = await start(context);
  const rules = [{ action: 'Allow' }, { action: 'Deny' }];
  const body = policy({ selector: 'all()', ingress: rules });
  const first = await apply(`${POLICIES}/p`, 'ann', body);
  assert.deepEqual(fieldsOf(first, 'ann'), { 'f:spec': { 'f:ingress': {}, 'f:selector': {} } });
  await assert.rejects(apply(`${POLICIES}/p`, 'bob', policy({ ingress: [{ action: 'Deny' }] })), {
    message: /conflict with "ann": \.spec\.ingress$/,
  });
  const shared = await apply(`${POLICIES}/p`, 'bob', policy({ ingress: rules, order: 7 }));
  assert.equal(shared.spec['order'], 7);
  const left = await apply(`${POLICIES}/p`, 'ann', policy({ selector: 'all()' }));
  assert.deepEqual(left.spec['ingress'], rules, 'bob has it too');
  const gone = await apply(`${POLICIES}/p`, 'bob', policy({}));
  assert.deepEqual([gone.spec['ingress'], gone.spec['order']], [undefined, undefined]);
});

test('creates, updates and patches take fields over for their manager', async (context) => {
  const { admin, apply, get } = await start(context);
  await admin.request('POST', POLICIES, {
    body: policy({ selector: 'all()', order: 1 }),
    query: { fieldManager: 'maker' },
  });
  await admin.patch(globalNetworkPolicyKind, { name: 'p' }, { spec: { order: 2 } });
  const patched = await get(`${POLICIES}/p`);
  assert.deepEqual(managers(patched), ['Update maker', 'Update tortie']);
  assert.deepEqual(fieldsOf(patched, 'tortie'), { 'f:spec': { 'f:order': {} } });
  assert.doesNotMatch(JSON.stringify(fieldsOf(patched, 'maker')), /order/);
  const using = /conflict with "tortie" using projectcalico\.org\/v3 at [^ ]+Z: \.spec\.order$/;
  await assert.rejects(apply(`${POLICIES}/p`, 'ann', policy({ order: 3 })), { message: using });
  await apply(`${POLICIES}/p`, 'ann', policy({ order: 3 }), { force: 'true' });
  // A replace that leaves a field out removes it, whoever managed it.
  const replaced = await admin.get(globalNetworkPolicyKind, { name: 'p' });
  assert.ok(
    replaced && !('managedFields' in replaced.metadata),
    'our client leaves them to the server',
  );
  await admin.replace(globalNetworkPolicyKind, {
    ...replaced,
    spec: { selector: 'all()' },
  } as never);
  assert.doesNotMatch(JSON.stringify((await get(`${POLICIES}/p`)).metadata.managedFields), /order/);
  const many = Array.from({ length: 15 }, (_, n) => `m${n}`);
  for (const [n, fieldManager] of many.entries()) {
    const options = { contentType: 'application/merge-patch+json', query: { fieldManager } };
    const body = { metadata: { labels: { [fieldManager]: String(n) } } };
    await admin.request('PATCH', `${POLICIES}/p`, { ...options, body });
  }
  const busy = await get(`${POLICIES}/p`);
  const updaters = managers(busy).filter((name) => name.startsWith('Update'));
  assert.equal(updaters.length, 10);
  assert.ok(updaters.includes('Update ancient-changes'));
});

test('status has managers of its own', async (context) => {
  const { admin, apply, get } = await start(context);
  await apply(`${PODS}/front`, 'ann', { ...pod({ image: 'a' }), status: { phase: 'Failed' } });
  const options = { subresource: 'status' } as const;
  const key = { namespace: 'shop', name: 'front' };
  await admin.patch(podKind, key, { status: { phase: 'Running' } }, options);
  const conditions = [{ type: 'Ready', status: 'True' }];
  const body = { apiVersion: 'v1', kind: 'Pod', status: { conditions }, spec: { nodeName: 'x' } };
  const applied = await apply(`${PODS}/front/status`, 'bob', body);
  assert.deepEqual(applied.status, { phase: 'Running', conditions });
  assert.equal(applied.spec['nodeName'], undefined);
  const seen = (await get(`${PODS}/front`)).metadata.managedFields ?? [];
  assert.deepEqual(
    seen.map(({ manager, subresource }) => [manager, subresource]),
    [
      ['ann', undefined],
      ['bob', 'status'],
      ['tortie', 'status'],
    ],
  );
  assert.doesNotMatch(JSON.stringify(seen[0]), /status/);
});

test('a client may hand ownership over, or drop it', async (context) => {
  const { admin, apply, get } = await start(context);
  const { metadata } = await apply(`${POLICIES}/p`, 'ann', policy({ order: 1, selector: 'all()' }));
  const [entry] = metadata.managedFields ?? [];
  const path = '/metadata/managedFields';
  const patch = async (value: unknown) => {
    const body = [{ op: 'replace', path, value }];
    await admin.request('PATCH', `${POLICIES}/p`, {
      body,
      contentType: 'application/json-patch+json',
    });
  };
  await patch([{ ...entry, manager: 'eve' }]);
  assert.deepEqual(managers(await get(`${POLICIES}/p`)), ['Apply eve']);
  await patch([{ manager: 'broken' }]);
  assert.deepEqual(managers(await get(`${POLICIES}/p`)), ['Apply eve'], 'no entries: as it was');
  await patch([{}]);
  assert.deepEqual(managers(await get(`${POLICIES}/p`)), []);
});

test('applies that are no good are refused', async (context) => {
  const { admin, apply } = await start(context);
  const path = `${POLICIES}/p`;
  const body = policy({ selector: 'all()' });
  const twice = { ...pod({}), spec: { containers: [{ name: 'a' }, { name: 'a' }] } };
  const versioned = { ...body, metadata: { name: 'p', resourceVersion: '1' } };
  const contentType = 'application/apply-patch+yaml';
  let deep: unknown = 'x';
  for (let n = 0; n < 200; n++) deep = { deep };
  const refused: [() => Promise<unknown>, number, RegExp][] = [
    [() => admin.request('PATCH', path, { body, contentType }), 422, /fieldManager is required/],
    [() => apply(path, 'x'.repeat(200), body), 422, /at most 128/],
    [() => apply(path, 'ann', { ...body, apiVersion: undefined }), 400, /apiVersion is required/],
    [
      () => apply(path, 'ann', { ...body, metadata: { managedFields: [{}] } }),
      400,
      /managedFields/,
    ],
    [() => apply(path, 'ann', versioned), 409, /not there/],
    [() => apply(path, 'ann', policy({ selectr: 'x' })), 422, /selectr/],
    [() => apply(path, 'ann', policy({ deep })), 400, /levels/],
    [() => apply(`${POLICIES}/q`, 'ann', body), 400, /metadata\.name/],
    [() => apply(`${PODS}/front`, 'ann', twice), 400, /spec\.containers must differ in their name/],
    [() => apply(`${PODS}/none/status`, 'ann', pod({})), 404, /not found/],
    [
      () =>
        admin.request('PATCH', path, {
          body: {},
          contentType: 'application/merge-patch+json',
          query: { force: true },
        }),
      422,
      /force/,
    ],
  ];
  for (const [answer, status, message] of refused) {
    await assert.rejects(answer, { status, message });
  }
});
