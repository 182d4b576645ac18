// A server that is in use is backed up; the backup is restored, and clients go on by themselves.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { networkSetKind, type Resource } from '#api';
import { type ApiClient, ApiError } from '#datastore';
import { startServerProcess, temporaryFolder } from './server-process.ts';

const TORTIE = join(import.meta.dirname, '..', '..', 'bin', 'tortie');
const WRITERS = 4;

interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function tortie(...words: readonly string[]): Promise<Outcome> {
  const child = spawn(TORTIE, ['datastore', ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
  const [out, err, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit') as Promise<[number]>,
  ]);
  return { code, out, err };
}

const networkSet = (name: string): Resource =>
  ({
    apiVersion: 'projectcalico.org/v3',
    kind: 'NetworkSet',
    metadata: { name, namespace: 'default' },
    spec: { nets: ['192.0.2.0/24'] },
  }) as Resource;

const namesOf = async (client: ApiClient): Promise<string[]> =>
  (await client.list(networkSetKind)).items.map(({ metadata }) => metadata.name).sort();

test('[ST13] [ST14] a server in use is backed up and restored, by the command line', {
  timeout: 120_000,
}, async (context) => {
  const folder = await temporaryFolder(context);
  const [data, backup] = [join(folder, 'data'), join(folder, 'backup')];
  const server = await startServerProcess(context, data);
  const acknowledged: string[] = [];
  let writing = true;
  const writer = async (number: number): Promise<void> => {
    for (let turn = 0; writing; turn++) {
      const name = `set-${number}-${turn}`;
      await server.client.create(networkSetKind, networkSet(name));
      acknowledged.push(name);
    }
  };
  const writers = Array.from({ length: WRITERS }, (_, number) => writer(number));
  for (let turn = 0; turn < 20_000 && acknowledged.length < 20; turn++) await setTimeout(3);
  const before = acknowledged.length;
  const made = await tortie('backup', backup, '--data', data);
  const after = acknowledged.length;
  writing = false;
  await Promise.all(writers);
  assert.deepEqual([made.code, made.err], [0, '']);
  assert.match(
    made.out,
    /^Backed up to .*backup: \d+ objects and \d+ earlier revisions?, revisions/,
  );
  assert.ok(after > before, 'writers go on meanwhile');
  const checked = await tortie('check', backup);
  assert.deepEqual([checked.code, checked.err], [0, '']);

  const { resourceVersion } = await server.client.list(networkSetKind);
  const refused = await tortie('restore', backup, '--data', data, '--replace');
  assert.equal(refused.code, 1);
  assert.match(refused.err, /another server is using it; stop that one first/);
  assert.equal(await server.end('SIGTERM'), 0);
  const present = await tortie('restore', backup, '--data', data);
  assert.match(present.err, /there is a store; with --replace it is put aside and kept/);
  const restored = await tortie('restore', backup, '--data', data, '--replace');
  assert.deepEqual([restored.code, restored.err], [0, '']);

  const again = await startServerProcess(context, data);
  const names = await namesOf(again.client);
  const known = new Set(acknowledged);
  assert.ok(names.every((name) => known.has(name)));
  for (const name of acknowledged.slice(0, before)) assert.ok(names.includes(name), name);
  await assert.rejects(
    (async () => {
      for await (const _ of again.client.watch(networkSetKind, { resourceVersion })) return;
    })(),
    (error: unknown) => error instanceof ApiError && error.status === 410,
  );
  const created = await again.client.create(networkSetKind, networkSet('after'));
  assert.ok(Number(created.metadata.resourceVersion) > Number(resourceVersion));
});
