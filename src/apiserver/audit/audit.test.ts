// The audit log: which events a request leaves, which rule decides, what is never logged, and full files.
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { globalNetworkSetKind, type Resource, serviceAccountKind } from '#api';
import type { Attributes, Identity } from '../auth/identity.ts';
import { getJson, startServer } from '../server-fixture.ts';
import { AuditFile } from './audit-file.ts';
import { Auditor } from './auditor.ts';
import { auditDecision, readAuditPolicy } from './audit-policy.ts';

interface AuditEvent {
  readonly [field: string]: unknown;
  readonly kind: string;
  readonly apiVersion: string;
  readonly level: string;
  readonly auditID: string;
  readonly stage: string;
  readonly verb: string;
  readonly requestURI: string;
  readonly user: { readonly username?: string };
  readonly impersonatedUser?: { readonly username?: string };
  readonly objectRef?: Record<string, string>;
  readonly responseStatus?: { readonly code: number; readonly reason?: string };
  readonly requestObject?: Resource;
  readonly responseObject?: Resource;
}

function auditor(policy: string): {
  auditor: Auditor;
  lines: string[];
  events: () => AuditEvent[];
} {
  const lines: string[] = [];
  return {
    auditor: new Auditor({
      policy: readAuditPolicy(policy),
      append: (line) => void lines.push(line),
      now: Date.now,
    }),
    lines,
    events: () => lines.map((line) => JSON.parse(line) as AuditEvent),
  };
}

const POLICY = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitManagedFields: true
rules:
- level: None
  users: [system:node:n1]
- level: RequestResponse
  resources: [{group: projectcalico.org}, {group: "", resources: [secrets, "serviceaccounts/*"]}]
- level: Request
  resources: [{group: authentication.k8s.io}]
- level: Metadata
  omitStages: [RequestReceived]
`;

async function settled(check: () => boolean): Promise<void> {
  for (let tries = 0; !check(); tries++) {
    assert.ok(tries < 300, 'the event did not come');
    await setTimeout(10);
  }
}

test('[AL1] a write leaves two events, the second with request, response and decision', async (context) => {
  const log = auditor(POLICY);
  const { admin } = await startServer(context, { auditor: log.auditor });
  const body = {
    apiVersion: 'projectcalico.org/v3',
    kind: 'GlobalNetworkSet',
    metadata: { name: 'a' },
    spec: { nets: ['192.0.2.0/24'] },
  };
  await admin.create(globalNetworkSetKind, body);
  await settled(() => log.lines.length === 2);
  const [received, complete] = log.events();
  assert.ok(received && complete);
  assert.equal(received.stage, 'RequestReceived');
  assert.equal(received.responseStatus, undefined);
  assert.deepEqual([complete.kind, complete.apiVersion], ['Event', 'audit.k8s.io/v1']);
  assert.equal(complete.auditID, received.auditID);
  assert.deepEqual([complete.stage, complete.verb], ['ResponseComplete', 'create']);
  assert.equal(complete.requestURI, '/apis/projectcalico.org/v3/globalnetworksets');
  assert.equal(complete.user.username, 'admin');
  assert.deepEqual(complete.objectRef, {
    resource: 'globalnetworksets',
    apiGroup: 'projectcalico.org',
    apiVersion: 'v3',
  });
  assert.deepEqual(complete.requestObject, body);
  assert.equal(complete.responseObject?.metadata.name, 'a');
  assert.equal(complete.responseObject?.metadata.managedFields, undefined);
  assert.deepEqual(complete.responseStatus, { metadata: {}, code: 201 });
  assert.deepEqual(complete['sourceIPs'], ['127.0.0.1']);
  assert.match(String(complete['stageTimestamp']), /^\d{4}-\d\d-\d\dT[\d:]{8}\.\d{6}Z$/);
  const annotations = complete['annotations'] as Record<string, string>;
  assert.equal(annotations['authorization.k8s.io/decision'], 'allow');

  await assert.rejects(admin.create(globalNetworkSetKind, body), { status: 409 });
  await settled(() => log.lines.length === 4);
  assert.equal(log.events()[3]?.responseStatus?.reason, 'AlreadyExists');
});

test('[AL1] a watch says when it starts and when it ends', async (context) => {
  const log = auditor(POLICY);
  const { admin } = await startServer(context, { auditor: log.auditor });
  const abort = new AbortController();
  const watch = admin.watch(globalNetworkSetKind, {
    resourceVersion: '0',
    signal: abort.signal,
    onOpen: () => abort.abort(),
  });
  await assert.rejects(watch.next());
  await settled(() => log.lines.length === 3);
  const stages = log.events().map(({ stage, verb }) => `${verb} ${stage}`);
  assert.deepEqual(stages, [
    'watch RequestReceived',
    'watch ResponseStarted',
    'watch ResponseComplete',
  ]);
});

test('[AL3] tokens and secrets are never logged', async (context) => {
  const log = auditor(POLICY.replaceAll('level: Metadata', 'level: RequestResponse'));
  const { admin, adminToken } = await startServer(context, { auditor: log.auditor });
  const namespace = 'default';
  const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'r', namespace } };
  await admin.create(serviceAccountKind, account);
  const answer = await admin.request('POST', '/api/v1/namespaces/default/serviceaccounts/r/token', {
    body: { spec: {} },
  });
  const { token } = (answer as { status: { token: string } }).status;
  await admin.request('POST', '/apis/authentication.k8s.io/v1/tokenreviews', {
    body: { spec: { token } },
  });
  const data = Buffer.from('very-secret').toString('base64');
  await admin.request('POST', '/api/v1/namespaces/default/secrets', {
    body: { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's' }, data: { password: data } },
  });
  await admin.request('GET', '/api/v1/secrets');
  await settled(
    () => log.events().filter(({ stage }) => stage === 'ResponseComplete').length === 5,
  );
  for (const secret of [token, adminToken, data]) {
    assert.ok(!log.lines.some((line) => line.includes(secret)), 'a secret is in the log');
  }
  const levels = new Map(
    log.events().map(({ objectRef = {}, level }) => [objectRef['resource'], level]),
  );
  assert.equal(levels.get('secrets'), 'Metadata');
  assert.equal(levels.get('tokenreviews'), 'Metadata');
});

test('[AL5] strangers and impersonation are logged, nodes that the policy leaves out are not', async (context) => {
  const log = auditor(POLICY);
  const server = await startServer(context, { auditor: log.auditor });
  const { clientOf } = server;
  await clientOf({ kind: 'node', name: 'n1' }).list(globalNetworkSetKind);
  await assert.rejects(clientOf({ token: 'not-a-token-of-ours' }).request('GET', '/api/v1/pods'));
  await settled(() => log.lines.length === 1);
  const [event] = log.events();
  assert.equal(event?.responseStatus?.code, 401);
  assert.deepEqual(event?.user, {});
  assert.ok(!log.lines.join().includes('not-a-token'));
  await getJson(server, '/api/v1/pods', { 'impersonate-user': 'bob' });
  await settled(() => log.lines.length === 2);
  const last = log.events().at(-1);
  assert.equal(last?.user.username, 'admin');
  assert.equal(last?.impersonatedUser?.username, 'bob');
  assert.equal(last?.responseStatus?.code, 403);
});

test('[AL2] the first rule that matches decides', () => {
  const policy = readAuditPolicy(`
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, users: [eve], verbs: [watch]}
- {level: Request, userGroups: [ops], namespaces: [shop]}
- level: RequestResponse
  resources: [{group: apps, resources: ["*"]}, {group: "", resources: [pods, "*/status"], resourceNames: [a]}]
  omitStages: [Panic]
- {level: None, nonResourceURLs: ["/healthz*", /version]}
- {level: Metadata, verbs: [get, list]}
`);
  const who = (name: string, ...groups: string[]): Identity => ({ name, groups });
  const resource = (text: string, namespace = '', name = ''): Attributes => {
    const [verb = '', group = '', full = ''] = text.split(' ');
    const [plural = '', subresource = ''] = full.split('/');
    return { verb, group, resource: plural, subresource, namespace, name };
  };
  const level = (identity: Identity, attributes: Attributes): string =>
    auditDecision(policy, identity, attributes).level;
  const bob = who('bob');
  assert.equal(level(who('eve'), resource('watch apps x')), 'None');
  assert.equal(level(who('eve', 'ops'), resource('get apps x', 'shop')), 'Request');
  assert.equal(level(who('eve', 'ops'), { verb: 'post', path: '/x' }), 'None');
  assert.equal(level(bob, resource('create apps deployments/scale')), 'RequestResponse');
  assert.equal(level(bob, resource('get  pods', '', 'a')), 'RequestResponse');
  assert.equal(level(bob, resource('get  pods', '', 'b')), 'Metadata');
  assert.equal(level(bob, resource('patch  pods/log', '', 'a')), 'None');
  assert.equal(level(bob, resource('patch  nodes/status', '', 'a')), 'RequestResponse');
  assert.equal(level(bob, { verb: 'get', path: '/healthz/x' }), 'None');
  assert.equal(level(bob, { verb: 'get', path: '/api' }), 'Metadata');
  assert.equal(level(bob, resource('delete  nodes')), 'None');
  const { omitStages } = auditDecision(policy, bob, resource('get apps x'));
  assert.deepEqual([...omitStages], ['RequestReceived', 'Panic']);
});

test('a policy that is wrong is refused with everything that is wrong', () => {
  const wrong = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [Never]
rules:
- {level: All, users: bob}
- {level: Metadata, namespaces: [a], nonResourceURLs: [/x]}
`;
  assert.throws(
    () => readAuditPolicy(wrong),
    (error: Error) => {
      for (const part of [
        'rules[0].level',
        'rules[0].users',
        'rules[1]: nonResourceURLs',
        '"Never"',
      ]) {
        assert.ok(error.message.includes(part), error.message);
      }
      return true;
    },
  );
  assert.throws(() => readAuditPolicy('kind: Policy'), /must be an audit.k8s.io\/v1 Policy; rules/);
});

async function folderOf(context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tortie-audit-'));
  context.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

test('[AL4] full files are set aside, so many are kept, and every line is whole', async (context) => {
  const folder = await folderOf(context);
  const path = join(folder, 'audit.log');
  const failures: unknown[] = [];
  const options = { path, maxBytes: 1000, onError: (error: unknown) => failures.push(error) };
  const line = (index: number): string => JSON.stringify({ index, text: 'ü'.repeat(30) });
  const all = await AuditFile.open({ ...options, maxBackups: 0 });
  for (let index = 0; index < 100; index++) all.append(line(index));
  await all.close();
  const names = await readdir(folder);
  const others = names.filter((name) => name !== 'audit.log').sort();
  assert.ok(others.length >= 8);
  let read = '';
  for (const name of [...others.toSorted(byAge), 'audit.log']) {
    const file = join(folder, name);
    assert.ok((await stat(file)).size <= 1000);
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    read += await readFile(file, 'utf8');
  }
  const seen = read
    .trim()
    .split('\n')
    .map((text) => (JSON.parse(text) as { index: number }).index);
  assert.deepEqual(
    seen,
    Array.from({ length: 100 }, (_, index) => index),
  );

  const few = await AuditFile.open({ ...options, maxBackups: 3 });
  for (let index = 0; index < 50; index++) few.append(line(index));
  await few.close();
  assert.equal((await readdir(folder)).length, 4);
  assert.deepEqual(failures, []);
  await assert.rejects(AuditFile.open({ ...options, path: folder, maxBackups: 1 }), /EISDIR/);
});

/** Those of one millisecond are counted. */
function byAge(a: string, b: string): number {
  const parts = (name: string): [string, number] => {
    const [, time = '', count = '0'] = /-(\d{4}-.*?\.\d{3})(?:-(\d+))?\.log$/.exec(name) ?? [];
    return [time, Number(count)];
  };
  const [[timeA, countA], [timeB, countB]] = [parts(a), parts(b)];
  return timeA === timeB ? countA - countB : timeA < timeB ? -1 : 1;
}
