// Requests at random, over real HTTPS: each is answered or refused, none makes the server fail.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import fc from 'fast-check';
import { type ServerFixture, startServer } from './server-fixture.ts';

const PLACES = [
  '/api/v1/namespaces',
  '/api/v1/namespaces/default',
  '/api/v1/namespaces/default/status',
  '/api/v1/namespaces/default/finalize',
  '/api/v1/namespaces/default/configmaps',
  '/api/v1/namespaces/default/configmaps/a',
  '/api/v1/namespaces/default/events',
  '/apis/events.k8s.io/v1/namespaces/default/events/e',
  '/apis/events.k8s.io/v1/events',
  '/api/v1/pods',
  '/api/v1/namespaces/default/pods/p',
  '/apis/projectcalico.org/v3/tiers',
  '/apis/projectcalico.org/v3/tiers/t',
  '/apis/coordination.k8s.io/v1/namespaces/default/leases/l',
];
const WORDS = [
  '',
  'a in (b',
  '\u0000',
  'é,',
  ...'0 1 -1 true false All x Strict Warn Exact NotOlderThan Foreground Orphan % !a a=b'.split(' '),
  ...'9007199254740993 metadata.name=a spec.nodeName!=x involvedObject.name=a {"a":1}'.split(' '),
  ...'eyJ2IjoxLCJydiI6LTF9 eyJ2IjoxLCJydiI6LTEsIm5hbWVzcGFjZSI6IiIsIm5hbWUiOiJhIn0'.split(' '),
];
const NAMES = [
  ...'limit continue resourceVersion resourceVersionMatch labelSelector dryRun'.split(' '),
  ...'fieldSelector sendInitialEvents allowWatchBookmarks fieldManager force'.split(' '),
  ...'fieldValidation gracePeriodSeconds propagationPolicy orphanDependents pretty'.split(' '),
];
const TYPES = [
  'application/json',
  'application/merge-patch+json',
  'application/json-patch+json',
  'application/strategic-merge-patch+json',
  'application/apply-patch+yaml',
  'application/vnd.kubernetes.protobuf',
  'text/plain',
  '',
];
const ACCEPTS = [
  'application/json',
  'application/json;as=Table;v=v1;g=meta.k8s.io',
  'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io',
  'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList',
  '*/*',
  'x',
];
/** Members that mean something, with values of any type. */
const member = fc.constantFrom(
  ...'apiVersion kind metadata spec status data name namespace labels finalizers'.split(' '),
  ...'ownerReferences managedFields uid resourceVersion generateName preconditions'.split(' '),
  ...'dryRun op path value deletionTimestamp __proto__ $patch'.split(' '),
);
const { body } = fc.letrec<{ body: unknown }>((tie) => ({
  body: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(null, true, 1, '', 'a', 'v1', 'ConfigMap', 'Namespace', 'replace', '/metadata'),
    fc.array(tie('body'), { maxLength: 3 }),
    fc.dictionary(member, tie('body'), { maxKeys: 5 }),
  ),
}));

interface Sent {
  readonly method: string;
  readonly place: string;
  readonly query: readonly (readonly [string, string])[];
  readonly type: string;
  readonly accept: string;
  readonly body: unknown;
}

const sent: fc.Arbitrary<Sent> = fc.record({
  method: fc.constantFrom('GET', 'POST', 'PUT', 'PATCH', 'DELETE'),
  place: fc.constantFrom(...PLACES),
  query: fc.array(fc.tuple(fc.constantFrom(...NAMES), fc.constantFrom(...WORDS)), { maxLength: 4 }),
  type: fc.constantFrom(...TYPES),
  accept: fc.constantFrom(...ACCEPTS),
  body,
});

async function statusOf({ url, ca, adminToken }: ServerFixture, of: Sent): Promise<number> {
  const query = new URLSearchParams(of.query.map(([name, value]) => [name, value]));
  const headers = {
    authorization: `Bearer ${adminToken}`,
    accept: of.accept,
    ...(of.type === '' ? {} : { 'content-type': of.type }),
  };
  const path = `${url}${of.place}?${query.toString()}`;
  const message = request(path, { method: of.method, ca, headers });
  message.end(of.method === 'GET' ? undefined : JSON.stringify(of.body));
  const [answer] = (await once(message, 'response')) as [IncomingMessage];
  await text(answer);
  return answer.statusCode ?? 0;
}

test('[AP25] requests at random are answered or refused', async (context) => {
  // The fixture fails the test where the server failed.
  const server = await startServer(context);
  const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
  context.diagnostic(`seed ${seed}`);
  const counts = new Map<number, number>();
  const property = fc.asyncProperty(sent, async (one) => {
    const status = await statusOf(server, one);
    counts.set(status, (counts.get(status) ?? 0) + 1);
    assert.ok(status < 500 || status === 504, `${status}`);
  });
  await fc.assert(property, { numRuns: Number(process.env['REQUESTS'] ?? 600), seed });
  context.diagnostic(JSON.stringify(Object.fromEntries(counts)));
  assert.ok(counts.has(200) && counts.has(422) && counts.has(400));
});
