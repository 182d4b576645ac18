// Watches over real HTTPS: how they begin and end, and what becomes of clients that read slowly or not at all.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { globalNetworkSetKind, type Resource, tierKind } from '#api';
import { type ServerFixture, startServer } from './server-fixture.ts';
import { WATCH_LIMITS } from './watch-response.ts';

const SETS = '/apis/projectcalico.org/v3/globalnetworksets';
const TIERS = '/apis/projectcalico.org/v3/tiers';

interface Line {
  readonly type: string;
  readonly object: Resource & { code?: number; reason?: string };
}

/** The answer to a watch, unread. */
async function openWatch(
  { url, ca, token }: ServerFixture & { token: string },
  path: string,
  query: Record<string, string>,
): Promise<IncomingMessage> {
  const parameters = new URLSearchParams({ watch: '1', ...query });
  const sent = request(`${url}${path}?${parameters.toString()}`, {
    ca,
    headers: { authorization: `Bearer ${token}` },
  });
  // The server may cut the connection.
  sent.on('error', () => undefined);
  sent.end();
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  answer.on('error', () => undefined);
  return answer;
}

/** Events as they come; leaving the loop ends the watch. */
async function* linesOf(answer: IncomingMessage): AsyncGenerator<Line> {
  let rest = '';
  for await (const chunk of answer.setEncoding('utf8')) {
    const lines = `${rest}${chunk}`.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) yield JSON.parse(line) as Line;
  }
}

/** All events until the server ends the answer. */
async function readAll(answer: IncomingMessage): Promise<Line[]> {
  const lines: Line[] = [];
  for await (const line of linesOf(answer)) lines.push(line);
  return lines;
}

const big = (name: string, size: number): Resource => ({
  apiVersion: 'projectcalico.org/v3',
  kind: 'GlobalNetworkSet',
  metadata: { name, annotations: { filling: 'x'.repeat(size) } },
});

/** More than sockets hold on their way. */
async function writeMuch({ admin }: ServerFixture, count: number): Promise<void> {
  await admin.create(globalNetworkSetKind, big('big', 1));
  for (let n = 0; n < count; n++) {
    const metadata = { annotations: { filling: `${n}`.repeat(100_000).slice(0, 200_000) } };
    await admin.patch(globalNetworkSetKind, { name: 'big' }, { metadata });
  }
}

async function startWithToken(
  context: Parameters<typeof startServer>[0],
  options: Parameters<typeof startServer>[1],
): Promise<ServerFixture & { token: string }> {
  const fixture = await startServer(context, options);
  return { ...fixture, token: fixture.adminToken };
}

test('[AP11] a client that reads slowly gets every event, in order, from the log', async (context) => {
  const server = await startWithToken(context, {});
  const { resourceVersion } = await server.admin.list(globalNetworkSetKind);
  const answer = await openWatch(server, SETS, { resourceVersion, timeoutSeconds: '60' });
  answer.pause();
  await writeMuch(server, 100);
  await server.admin.create(globalNetworkSetKind, big('last', 1));
  const seen: string[] = [];
  for await (const { type, object } of linesOf(answer)) {
    seen.push(`${type} ${object.metadata.annotations?.['filling']?.slice(0, 2)}`);
    if (object.metadata.name === 'last') break;
  }
  const changes = Array.from({ length: 100 }, (_, n) => `MODIFIED ${`${n}${n}`.slice(0, 2)}`);
  assert.deepEqual(seen, ['ADDED x', ...changes, 'ADDED x']);
});

test('[AP11] one that reads so slowly that the log forgets is told to list again', async (context) => {
  const server = await startWithToken(context, { logEvents: 10 });
  const { resourceVersion } = await server.admin.list(globalNetworkSetKind);
  const answer = await openWatch(server, SETS, { resourceVersion, timeoutSeconds: '60' });
  answer.pause();
  await writeMuch(server, 120);
  const lines = await readAll(answer);
  const last = lines.at(-1);
  assert.deepEqual([last?.type, last?.object.code, last?.object.reason], ['ERROR', 410, 'Expired']);
  assert.ok(lines.length < 120);
});

test('[AP12] one that does not read is dropped, and others notice nothing', async (context) => {
  // On a busy machine, the other is not to be taken for one that does not read, nor the end to be missed.
  const watchLimits = { ...WATCH_LIMITS, stallMs: 2_000, farewellMs: 60_000 };
  const server = await startWithToken(context, { watchLimits });
  const { resourceVersion } = await server.admin.list(globalNetworkSetKind);
  const query = { resourceVersion, timeoutSeconds: '60' };
  const silent = await openWatch(server, SETS, query);
  silent.pause();
  const other = await openWatch(server, SETS, query);
  const count = async (): Promise<number> => {
    let seen = 0;
    for await (const { object } of linesOf(other)) {
      seen++;
      if (object.metadata.name === 'last') break;
    }
    return seen;
  };
  const write = async (): Promise<void> => {
    await writeMuch(server, 100);
    await server.admin.create(globalNetworkSetKind, big('last', 1));
  };
  const [seen] = await Promise.all([count(), write()]);
  assert.equal(seen, 102);
  // The server gives it up: only then does its end come, behind what the sockets held.
  const { counts } = server.resources;
  for (let n = 0; n < 3000 && counts.watches.dropped === 0; n++) await setTimeout(10);
  assert.equal(counts.watches.dropped, 1);
  const lines = await readAll(silent);
  assert.ok(lines.length < 102, `${lines.length}`);
  assert.equal(lines.at(-1)?.object.code, 410);
});

test('[AP13] initial events: with an end mark, in pages, or none', async (context) => {
  const server = await startWithToken(context, {});
  const { admin } = server;
  for (let n = 0; n < 1100; n += 50) {
    const names = Array.from({ length: 50 }, (_, k) => `s${String(n + k).padStart(4, '0')}`);
    await Promise.all(names.map((name) => admin.create(globalNetworkSetKind, big(name, 1))));
  }
  const match = { resourceVersionMatch: 'NotOlderThan', timeoutSeconds: '1' };
  const initial = { ...match, sendInitialEvents: 'true', allowWatchBookmarks: 'true' };
  const lines = await readAll(await openWatch(server, SETS, initial));
  const names = lines.flatMap(({ type, object }) =>
    type === 'ADDED' ? [object.metadata.name] : [],
  );
  assert.equal(names.length, 1100);
  assert.deepEqual(names, names.toSorted());
  const mark = lines[1100];
  assert.equal(mark?.type, 'BOOKMARK');
  assert.equal(mark?.object.metadata.annotations?.['k8s.io/initial-events-end'], 'true');
  assert.equal(lines.at(-1)?.type, 'BOOKMARK', 'the last word is a bookmark');
  const none = await readAll(
    await openWatch(server, SETS, { ...match, sendInitialEvents: 'false' }),
  );
  assert.deepEqual(none, []);
  const newest = (await admin.list(tierKind)).resourceVersion;
  const ahead = { ...initial, resourceVersion: String(Number(newest) + 5) };
  assert.equal((await openWatch(server, SETS, ahead)).statusCode, 504);
  for (const wrong of [
    { sendInitialEvents: 'true' },
    { resourceVersionMatch: 'NotOlderThan' },
    { sendInitialEvents: 'true', resourceVersionMatch: 'Exact' },
  ]) {
    assert.equal((await openWatch(server, SETS, wrong)).statusCode, 422);
  }
  assert.equal((await openWatch(server, SETS, { timeoutSeconds: 'soon' })).statusCode, 400);
});

test('[AP13] a watch of one object sees that one; bookmarks tell how far it got', async (context) => {
  const watchLimits = { ...WATCH_LIMITS, bookmarkMs: 20 };
  const server = await startWithToken(context, { watchLimits });
  const { admin } = server;
  const answer = await openWatch(server, `${TIERS}/kube-admin`, { allowWatchBookmarks: 'true' });
  await admin.patch(tierKind, { name: 'default' }, { metadata: { labels: { a: '1' } } });
  const { resourceVersion } = await admin.list(tierKind);
  const seen = new Set<string>();
  for await (const { type, object } of linesOf(answer)) {
    seen.add(`${type} ${object.metadata.name ?? ''}`);
    if (Number(object.metadata.resourceVersion) >= Number(resourceVersion)) break;
  }
  assert.deepEqual([...seen], ['ADDED kube-admin', 'BOOKMARK ']);
});
