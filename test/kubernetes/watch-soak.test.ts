// Many watchers of one server for a while, some of which do not read: no gap for the others, memory bounded.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { kindOf, type Resource } from '#api';
import { loadKubeconfig } from '#datastore/client';
import { type ServerProcess, startServerProcess, temporaryFolder } from './server-process.ts';

/** `WATCH_SOAK=500x20`: watchers and seconds; every second watcher does not read. */
const [WATCHERS = 50, SECONDS = 4] = (process.env['WATCH_SOAK'] ?? '50x4').split('x').map(Number);
const FILLING = 100_000;
const PATH = '/api/v1/namespaces/default/configmaps';
/** Bytes that wait for a client (`WATCH_LIMITS`) with one event more, in clear and encrypted. */
const WAITING = 2 * (128 * 1024 + FILLING);
/** Bytes that the server may grow by: values and log of what is written, and what waits. */
const GROWTH = 250e6 + WATCHERS * WAITING;
const TABLE = 'application/json;as=Table;v=v1;g=meta.k8s.io';

async function openWatch(
  { url, kubeconfig }: ServerProcess,
  resourceVersion: string,
  accept: string,
): Promise<IncomingMessage> {
  const { ca, token } = loadKubeconfig(kubeconfig);
  const query = `watch=1&timeoutSeconds=600&includeObject=Object&resourceVersion=${resourceVersion}`;
  const headers = { authorization: `Bearer ${token}`, accept };
  const sent = request(`${url}${PATH}?${query}`, { ca, headers, agent: false });
  sent.on('error', () => undefined);
  sent.end();
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  answer.on('error', () => undefined);
  return answer;
}

interface Count {
  events: number;
  gaps: number;
  last: number;
}

/** Counts events as they come; each must be the one after the last. */
function follow(answer: IncomingMessage): Count {
  const count = { events: 0, gaps: 0, last: -1 };
  let rest = '';
  answer.setEncoding('utf8').on('data', (chunk: string) => {
    rest += chunk;
    for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n')) {
      const step = Number(/"step":"(\d+)"/.exec(rest.slice(0, end))?.[1]);
      count.events++;
      if (step !== count.last + 1) count.gaps++;
      count.last = step;
      rest = rest.slice(end + 1);
    }
  });
  return count;
}

async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
}

test('watchers that do not read cost little, and the others miss nothing', {
  timeout: 300_000,
}, async (context) => {
  const server = await startServerProcess(context, join(await temporaryFolder(context), 'data'));
  const { client, pid } = server;
  const kind = kindOf('v1', 'ConfigMap');
  assert.ok(kind);
  const { resourceVersion } = await client.list(kind);
  const answers = await Promise.all(
    Array.from({ length: WATCHERS }, (_, index) =>
      openWatch(server, resourceVersion, index % 2 === 0 ? TABLE : 'application/json'),
    ),
  );
  context.after(() => answers.forEach((answer) => answer.destroy()));
  const readers = answers.filter((_, index) => index % 2 !== 0).map(follow);
  const before = await residentBytes(pid);
  const end = Date.now() + SECONDS * 1000;
  let written = 0;
  let most = before;
  for (; Date.now() < end || written < 150; written++) {
    const body = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'm', namespace: 'default' },
      data: { step: String(written), filling: String(written % 10).repeat(FILLING) },
    };
    if (written === 0) await client.create(kind, body as Resource);
    else await client.replace(kind, body as Resource);
    if (written % 25 === 0) most = Math.max(most, await residentBytes(pid));
    // What the readers take: the soak is of time, not of bytes.
    if (written >= 150) await setTimeout(200);
  }
  const last = written - 1;
  for (let n = 0; n < 1000 && readers.some((reader) => reader.last < last); n++)
    await setTimeout(50);
  most = Math.max(most, await residentBytes(pid));
  context.diagnostic(
    `${WATCHERS} watchers, ${SECONDS} s, ${written} events; ` +
      `the server grew from ${Math.round(before / 1e6)} to ${Math.round(most / 1e6)} MB`,
  );
  for (const { events, gaps } of readers) assert.deepEqual([events, gaps], [written, 0]);
  assert.ok(most - before < GROWTH, `it grew by ${most - before} bytes, more than ${GROWTH}`);
});
