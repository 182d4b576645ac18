// Plain HTTP by the real curl against `tortie server`: statuses, watches as lines, refusals and headers.
import assert from 'node:assert/strict';
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { loadKubeconfig } from '#datastore/client';
import { startServerProcess, temporaryFolder } from './server-process.ts';

const installed = spawnSync('curl', ['--version']).status === 0;
const options = { skip: installed ? false : 'curl is not installed', timeout: 60_000 };
const TIERS = '/apis/projectcalico.org/v3/tiers';

interface Answer {
  readonly status: number;
  readonly headers: string;
  readonly body: Record<string, unknown>;
}

async function curlAt(context: TestContext) {
  const folder = await temporaryFolder(context);
  const { kubeconfig, url } = await startServerProcess(context, join(folder, 'data'));
  const { ca = '', token = '' } = loadKubeconfig(kubeconfig);
  // In files: what is in a command line can be read by everyone on the machine.
  const [authority, config] = [join(folder, 'ca'), join(folder, 'curlrc')];
  await writeFile(authority, ca);
  const lines = [`cacert = "${authority}"`, `header = "Authorization: Bearer ${token}"`];
  await writeFile(config, lines.join('\n'), { mode: 0o600 });
  const base = ['-sS', '-K', config];
  const call = (path: string, ...flags: string[]): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const words = [...base, '-i', ...flags, `${url}${path}`];
      execFile('curl', words, { timeout: 30_000 }, (error, out) => {
        if (error) return reject(error);
        const [headers = '', body = ''] = out.split('\r\n\r\n');
        const status = Number(/^HTTP\/\S+ (\d+)/.exec(headers)?.[1]);
        resolve({ status, headers, body: JSON.parse(body) as Record<string, unknown> });
      });
    });
  const follow = (path: string) => {
    const child = spawn('curl', [...base, '-N', `${url}${path}`]);
    context.after(() => child.kill('SIGKILL'));
    return createInterface({ input: child.stdout });
  };
  return { call, follow };
}

const send = (method: string, type: string, body: string): string[] => [
  '-X',
  method,
  '-H',
  `Content-Type: ${type}`,
  '--data-binary',
  body,
];

test('curl writes, reads, tries out and is refused with a Status', options, async (context) => {
  const { call } = await curlAt(context);
  const tier = (name: string, more = '') =>
    `{"apiVersion":"projectcalico.org/v3","kind":"Tier","metadata":{"name":"${name}"},"spec":{"order":1${more}}}`;
  const json = 'application/json';
  const made = await call(TIERS, ...send('POST', json, tier('a')));
  assert.equal(made.status, 201);
  const again = await call(TIERS, ...send('POST', json, tier('a')));
  assert.deepEqual([again.status, again.body['reason']], [409, 'AlreadyExists']);
  const odd = await call(
    `${TIERS}?fieldValidation=Warn`,
    ...send('POST', json, tier('b', ',"x":1')),
  );
  assert.match(odd.headers, /^warning: 299 - "spec\.x: unknown field/im);
  const yaml =
    'apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: c}\nspec: {order: 3}\n';
  const apply = send('PATCH', 'application/apply-patch+yaml', yaml);
  assert.equal((await call(`${TIERS}/c?fieldManager=curl`, ...apply)).status, 201);
  assert.equal((await call(`${TIERS}/c`, ...apply)).status, 422, 'it needs a name for who applies');
  const tried = await call(`${TIERS}/c?dryRun=All`, '-X', 'DELETE');
  assert.equal(tried.status, 200);
  const table = ['-H', 'Accept: application/json;as=Table;v=v1;g=meta.k8s.io'];
  assert.equal((await call(TIERS, ...table)).body['kind'], 'Table');
  assert.equal((await call(TIERS, '-H', 'Accept: text/html')).status, 406);
  assert.equal((await call(`${TIERS}/c/status`, '-X', 'DELETE')).status, 405);
  assert.equal((await call(`${TIERS}/c`)).status, 200, 'its status is not the tier');
  const ahead = await call(`${TIERS}?resourceVersion=9007199254740000`);
  assert.deepEqual([ahead.status, ahead.body['reason']], [504, 'Timeout']);
  assert.match(ahead.headers, /^retry-after: 1/im);
  assert.equal((await call('/apis/projectcalico.org/v3/nothing')).status, 404);
  const page = await call(`${TIERS}?limit=2`);
  const { continue: next, remainingItemCount } = page.body['metadata'] as Record<string, unknown>;
  assert.equal(remainingItemCount, 4);
  const rest = await call(`${TIERS}?limit=10&continue=${String(next)}`);
  assert.equal((rest.body['items'] as unknown[]).length, 4);
});

test('curl follows a watch line by line', options, async (context) => {
  const { call, follow } = await curlAt(context);
  const { metadata } = (await call(TIERS)).body as { metadata: { resourceVersion: string } };
  const lines = follow(`${TIERS}?watch=1&resourceVersion=${metadata.resourceVersion}`);
  const body = '{"metadata":{"labels":{"a":"b"}}}';
  const changed = call(`${TIERS}/default`, ...send('PATCH', 'application/merge-patch+json', body));
  const [line] = (await once(lines, 'line')) as [string];
  await changed;
  const { type, object } = JSON.parse(line) as {
    type: string;
    object: { metadata: { labels: unknown } };
  };
  assert.deepEqual([type, object.metadata.labels], ['MODIFIED', { a: 'b' }]);
  const old = await call(`${TIERS}?watch=1&resourceVersion=1`);
  assert.deepEqual([old.status, old.body['reason']], [410, 'Expired']);
});
