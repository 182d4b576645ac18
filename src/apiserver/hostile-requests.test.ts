// Bodies and parameters that nobody means: deep, endless, huge, random. None makes the server fail or hang.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import fc from 'fast-check';
import { type ServerFixture, startServer } from './server-fixture.ts';

/** `HOSTILE_BYTES`: of each large body; up to 3 MB are taken. */
const BYTES = Number(process.env['HOSTILE_BYTES'] ?? 600_000);
const RUNS = Number(process.env['REQUESTS'] ?? 200);
const MAPS = '/api/v1/namespaces/default/configmaps';
const APPLY = 'application/apply-patch+yaml';
const JSON_PATCH = 'application/json-patch+json';
const PATCHES = [
  APPLY,
  JSON_PATCH,
  'application/merge-patch+json',
  'application/strategic-merge-patch+json',
];
const PROTOBUF = 'application/vnd.kubernetes.protobuf';

interface Sent {
  readonly method: string;
  readonly path: string;
  readonly type?: string;
  readonly body?: string | Buffer;
}

/** Also fails the test where the connection breaks. */
async function statusOf({ url, ca, adminToken }: ServerFixture, of: Sent): Promise<number> {
  const { method, path, type = '', body = '' } = of;
  const headers = {
    authorization: `Bearer ${adminToken}`,
    'content-length': Buffer.byteLength(body),
    ...(type !== '' && { 'content-type': type }),
  };
  const message = request(`${url}${path}`, { method, ca, headers });
  message.end(body);
  const [answer] = (await once(message, 'response')) as [IncomingMessage];
  await text(answer);
  return answer.statusCode ?? 0;
}

async function assertTaken(server: ServerFixture, of: Sent): Promise<number> {
  const status = await statusOf(server, of);
  const told = `${of.method} ${of.path.slice(0, 100)} ${of.type} ${String(of.body).slice(0, 60)}`;
  assert.ok(status >= 200 && (status < 500 || status === 504), `${status}: ${told}`);
  return status;
}

function filled(piece: string): string {
  return piece.repeat(Math.floor(BYTES / Buffer.byteLength(piece)));
}

function listed(count: number, item: (index: number) => string): string {
  return Array.from({ length: count }, (_, index) => item(index)).join(',');
}

function configMap(metadata: string): string {
  return `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x",${metadata}}}`;
}

const ALIASES = [
  'a: &a [x,x,x,x,x,x,x,x,x]',
  ...Array.from({ length: 20 }, (_, index) => {
    const before = index === 0 ? '*a' : `*b${index - 1}`;
    return `b${index}: &b${index} [${Array<string>(9).fill(before).join(',')}]`;
  }),
].join('\n');

const PIECES: readonly string[] = [
  ['[', '{"a":', '{', '- ', '? ', 'a: {', '&a [*a,', '"', '\\u0000', 'a: b\n', '!!map ', '# '],
  ['|\n', '\t', ': ', '[1,', '1', '1e', '-', '\n', '&a ', '*a ', '{"__proto__":', '"\\ud800",'],
].flat();

test('[AP25] large bodies of every shape are answered or refused', async (context) => {
  const server = await startServer(context);
  const many = Math.floor(BYTES / 60);
  const bodies = [
    ...PIECES.map(filled),
    ALIASES,
    configMap(`"labels":{${listed(many, (n) => `"k${n}":"v"`)}}`),
    configMap(`"finalizers":[${listed(many, (n) => `"e.com/${n}"`)}]`),
    configMap(`"ownerReferences":[${listed(many, (n) => `{"kind":"Pod","uid":"u${n}"}`)}]`),
    configMap(`"managedFields":[${listed(many, (n) => `{"manager":"m${n}"}`)}]`),
  ];
  for (const body of bodies) {
    await assertTaken(server, { method: 'POST', path: MAPS, type: 'application/json', body });
    const path = `${MAPS}/x?fieldManager=a`;
    await assertTaken(server, { method: 'PATCH', path, type: APPLY, body });
    await assertTaken(server, { method: 'PATCH', path: '/flows', type: APPLY, body });
  }
});

test('[AP25] a patch that grows without end is refused', async (context) => {
  const server = await startServer(context);
  const body = configMap('"annotations":{}');
  assert.equal(
    await assertTaken(server, { method: 'POST', path: MAPS, type: 'application/json', body }),
    201,
  );
  const data = { op: 'add', path: '/data', value: { a: 'x'.repeat(1000) } };
  const double = (from: string): object[] =>
    Array.from({ length: 60 }, (_, n) => ({ op: 'copy', from, path: `${from}/b${n}` }));
  const deep = `/${'a/'.repeat(100_000)}`;
  for (const operations of [
    [data, ...double('/data')],
    double('/metadata'),
    Array.from({ length: 10_001 }, () => ({ op: 'remove', path: '/data' })),
    [{ op: 'add', path: deep, value: 1 }],
    [{ op: 'move', from: '/metadata', path: '/metadata/name' }],
    [{ op: 'add', path: '/__proto__/polluted', value: true }],
    [{ op: 'add', path: '/__proto__', value: { polluted: true } }],
  ]) {
    const patch = JSON.stringify(operations);
    const path = `${MAPS}/x`;
    const status = await assertTaken(server, {
      method: 'PATCH',
      path,
      type: JSON_PATCH,
      body: patch,
    });
    assert.ok([400, 422].includes(status), `${status}: ${patch.slice(0, 60)}`);
  }
  assert.equal(Reflect.get({}, 'polluted'), undefined);
});

const SELECTORS = ['a in (', 'b,', '!', 'a=b,', '(', 'a notin (', '\u0000', 'a\u0000=b,'];
const PARAMETERS: readonly string[] = [
  ['limit=99999999999999999999', 'limit=1e3', 'limit=-1', 'limit=0x10', 'limit=1&limit=2'],
  ['limit[]=1', 'resourceVersion=1e400', 'resourceVersion=__proto__', 'continue=%00', '%', '%ff'],
  ['__proto__=1', 'constructor[a]=1', 'labelSelector=%E0%A4%A', 'gracePeriodSeconds=1e100'],
  ['fieldSelector=a.b.__proto__=1', 'dryRun=All&dryRun=All', 'watch=1&timeoutSeconds=-5'],
  ['watch=1&timeoutSeconds=1e999', 'watch=1&timeoutSeconds=0.001&resourceVersion=999999999999'],
  [`continue=${'A'.repeat(8000)}`, `fieldManager=${'a'.repeat(8000)}`],
].flat();

test('[AP25] parameters of every shape are answered or refused', async (context) => {
  const server = await startServer(context);
  const selectors = SELECTORS.flatMap((piece) =>
    [1, 1000].map((times) => `labelSelector=${encodeURIComponent(piece.repeat(times))}`),
  );
  for (const query of [...PARAMETERS, ...selectors]) {
    const isWatch = query.startsWith('watch');
    const places = ['', '/x'].map((name) => `${MAPS}${name}`);
    for (const path of isWatch ? [] : [...places, '/flows', '/flows/x', '/openapi/v2', '/apis']) {
      for (const method of ['GET', 'POST', 'DELETE']) {
        const type = 'application/json';
        const dry = method === 'DELETE' ? '&dryRun=All' : '';
        const body = method === 'GET' ? '' : '{}';
        await assertTaken(server, { method, path: `${path}?${query}${dry}`, type, body });
      }
    }
    if (isWatch) await assertTaken(server, { method: 'GET', path: `${MAPS}?${query}` });
  }
});

test('[AP25] random bytes are answered or refused', async (context) => {
  const server = await startServer(context);
  const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
  context.diagnostic(`seed ${seed}`);
  const sent = fc.record({
    bytes: fc.uint8Array({ minLength: 1, maxLength: 300 }),
    type: fc.constantFrom('application/json', PROTOBUF, ...PATCHES),
    place: fc.constantFrom('', '/x', '/x/status'),
  });
  const property = fc.asyncProperty(sent, async ({ bytes, type, place }) => {
    const isPatch = PATCHES.includes(type);
    const body = type === PROTOBUF ? Buffer.concat([Buffer.from('k8s\0'), bytes]) : bytes;
    const path = `${MAPS}${place}?fieldManager=a`;
    const method = isPatch ? 'PATCH' : 'POST';
    await assertTaken(server, { method, path, type, body: Buffer.from(body) });
  });
  await fc.assert(property, { numRuns: RUNS, seed });
});
