// Lists in pages and at revisions, over HTTPS.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { globalNetworkSetKind, type Resource } from '#api';
import { isObject } from '#lib';
import { getJson, startServer } from './server-fixture.ts';

const PATH = '/apis/projectcalico.org/v3/globalnetworksets';

const set = (name: string, team = 'a'): Resource => ({
  apiVersion: 'projectcalico.org/v3',
  kind: 'GlobalNetworkSet',
  metadata: { name, labels: { team } },
});

interface Page {
  readonly names: string[];
  readonly resourceVersion: string;
  readonly next: string | undefined;
  readonly remaining: number | undefined;
}

type Query = Record<string, string | number | undefined>;

async function serverWithSets(
  context: Parameters<typeof startServer>[0],
  options: { names: readonly string[]; logEvents?: number },
) {
  const server = await startServer(context, options);
  const { admin } = server;
  for (const name of options.names) await admin.create(globalNetworkSetKind, set(name));
  const page = async (query: Query): Promise<Page> => {
    const body = await admin.request('GET', PATH, { query });
    assert.ok(isObject(body) && isObject(body['metadata']) && Array.isArray(body['items']));
    const { resourceVersion, continue: next, remainingItemCount } = body['metadata'];
    const names = body['items'].map((item: Resource) => item.metadata.name);
    return { names, resourceVersion, next, remaining: remainingItemCount } as Page;
  };
  return { server, admin, page };
}

test('pages are cut from one revision, whatever is written between them', async (context) => {
  const names = ['a', 'b', 'c', 'd', 'e'];
  const { admin, page } = await serverWithSets(context, { names });
  const first = await page({ limit: 2 });
  assert.deepEqual([first.names, first.remaining], [['a', 'b'], 3]);
  await admin.delete(globalNetworkSetKind, { name: 'd' });
  await admin.create(globalNetworkSetKind, set('bb'));
  const second = await page({ limit: 2, continue: first.next });
  assert.deepEqual([second.names, second.remaining], [['c', 'd'], 1]);
  const third = await page({ limit: 2, continue: second.next });
  assert.deepEqual([third.names, third.next, third.remaining], [['e'], undefined, undefined]);
  assert.equal(third.resourceVersion, first.resourceVersion);
  assert.deepEqual((await page({})).names, ['a', 'b', 'bb', 'c', 'e']);
  assert.equal((await page({ limit: 5 })).next, undefined, 'a full last page has no next one');
});

test('pages of what is selected are full, and do not count the rest', async (context) => {
  const { admin, page } = await serverWithSets(context, { names: ['a', 'b', 'c'] });
  for (const name of ['x', 'y', 'z']) await admin.create(globalNetworkSetKind, set(name, 'b'));
  const first = await page({ limit: 2, labelSelector: 'team=b' });
  assert.deepEqual([first.names, first.remaining], [['x', 'y'], undefined]);
  const second = await page({ limit: 2, labelSelector: 'team=b', continue: first.next });
  assert.deepEqual([second.names, second.next], [['z'], undefined]);
  const listed = await admin.list(globalNetworkSetKind, { limit: 2, labelSelector: 'team=b' });
  assert.deepEqual(
    listed.items.map((item) => item.metadata.name),
    ['x', 'y', 'z'],
  );
});

test('resourceVersion and its match choose the revision', async (context) => {
  const { admin, page } = await serverWithSets(context, { names: ['a', 'b'] });
  const { resourceVersion } = await page({});
  await admin.create(globalNetworkSetKind, set('c'));
  const at = async (query: Query) => (await page({ resourceVersion, ...query })).names.join('');
  assert.equal(await at({ resourceVersionMatch: 'Exact' }), 'ab');
  assert.equal(await at({ resourceVersionMatch: 'NotOlderThan' }), 'abc');
  assert.equal(await at({}), 'abc');
  assert.equal(await at({ limit: 10 }), 'ab', 'a limit alone makes it exact');
  assert.equal(await at({ limit: 10, resourceVersionMatch: 'NotOlderThan' }), 'abc');
  assert.equal(await at({ limit: 10, resourceVersion: '0' }), 'abc');
  const { next } = await page({ limit: 1 });
  const future = String(Number(resourceVersion) + 1000);
  const refused: [Query, number][] = [
    [{ resourceVersion: future }, 504],
    [{ resourceVersion: future, resourceVersionMatch: 'Exact' }, 504],
    [{ resourceVersion: 'x' }, 400],
    [{ resourceVersion, resourceVersionMatch: 'exact' }, 422],
    [{ resourceVersionMatch: 'Exact' }, 422],
    [{ resourceVersion: '0', resourceVersionMatch: 'Exact' }, 422],
    [{ continue: next, resourceVersion }, 400],
    [{ continue: next, resourceVersionMatch: 'Exact' }, 422],
    [{ continue: 'x'.repeat(2000) }, 400],
    [{ continue: 'bm90IG91cnM' }, 400],
    [{ limit: -1 }, 400],
    [{ limit: 'many' }, 400],
  ];
  for (const [query, status] of refused) {
    await assert.rejects(page(query), { status }, JSON.stringify(query));
  }
  await assert.rejects(admin.request('GET', `${PATH}/a`, { query: { resourceVersion: future } }), {
    status: 504,
    reason: 'Timeout',
  });
});

test('what is not kept any more is 410; the client then lists again', async (context) => {
  const { admin, page } = await serverWithSets(context, { names: ['a', 'b', 'c'], logEvents: 4 });
  const first = await page({ limit: 1 });
  const relabel = async (): Promise<void> => {
    for (let n = 0; n < 30; n++) {
      const patch = { metadata: { labels: { n: String(n) } } };
      await admin.patch(globalNetworkSetKind, { name: 'c' }, patch);
    }
  };
  await relabel();
  const gone = { status: 410, reason: 'Expired', message: /list again/ };
  await assert.rejects(page({ limit: 1, continue: first.next }), gone);
  const { resourceVersion } = first;
  await assert.rejects(page({ resourceVersion, resourceVersionMatch: 'Exact' }), gone);

  const request = admin.request.bind(admin);
  let pages = 0;
  context.mock.method(admin, 'request', async (...words: Parameters<typeof request>) => {
    if (pages++ === 1) {
      for (let n = 0; n < 30; n++) {
        const options = { body: { metadata: { labels: { n: `x${n}` } } } };
        const contentType = 'application/merge-patch+json';
        await request('PATCH', `${PATH}/c`, { ...options, contentType });
      }
    }
    return request(...words);
  });
  const listed = await admin.list(globalNetworkSetKind, { limit: 1 });
  assert.deepEqual(
    listed.items.map((item) => item.metadata.name),
    ['a', 'b', 'c'],
  );
  assert.equal(pages, 3);
});

test('[AP14] an expired token comes with one that goes on with what is there now', async (context) => {
  const names = ['a', 'b', 'c', 'd'];
  const { server, admin, page } = await serverWithSets(context, { names, logEvents: 3 });
  const first = await page({ limit: 2 });
  await admin.delete(globalNetworkSetKind, { name: 'c' });
  for (let n = 0; n < 20; n++) {
    await admin.patch(globalNetworkSetKind, { name: 'd' }, { metadata: { labels: { n: `${n}` } } });
  }
  const query = new URLSearchParams({ limit: '2', continue: first.next ?? '' });
  const answer = await getJson(server, `${PATH}?${query.toString()}`);
  assert.equal(answer['code'], 410);
  const { continue: next } = answer['metadata'] as { continue: string };
  const rest = await page({ limit: 2, continue: next });
  assert.deepEqual(rest.names, ['d']);
  assert.notEqual(rest.resourceVersion, first.resourceVersion);
});
