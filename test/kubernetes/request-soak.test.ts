// A server under requests such as kubectl makes, at random for a while: no failure, no growth of memory or open files.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { ApiError } from '#datastore/client';
import { type ServerProcess, startServerProcess, temporaryFolder } from './server-process.ts';

/** `REQUEST_SOAK`: seconds. */
const SECONDS = Number(process.env['REQUEST_SOAK'] ?? 6);
const WORKERS = 8;
const NAMES = ['a', 'b', 'c', 'd', 'e', 'f'];
/** Bytes beyond the change log, which is up to 64 MiB, and what garbage there may be. */
const GROWTH = 250e6;

const MERGE = 'application/merge-patch+json';

interface Asked {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly contentType?: string;
  readonly body?: unknown;
}

const calico = { apiVersion: 'projectcalico.org/v3' };

/** A kind's collection, and an object of a name in it. */
const KINDS: readonly (readonly [path: string, make: (name: string, n: number) => object])[] = [
  [
    '/api/v1/namespaces/default/configmaps',
    (name, n) => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { n: `${n}` } }),
  ],
  [
    '/api/v1/namespaces/default/pods',
    (name) => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, labels: { app: name } },
      spec: { containers: [{ name: 'c', image: 'i' }] },
    }),
  ],
  [
    '/apis/projectcalico.org/v3/globalnetworkpolicies',
    (name, n) => ({
      ...calico,
      kind: 'GlobalNetworkPolicy',
      metadata: { name: `default.${name}` },
      spec: { order: n % 100, selector: `app == "${name}"`, ingress: [{ action: 'Allow' }] },
    }),
  ],
  [
    '/apis/projectcalico.org/v3/globalnetworksets',
    (name, n) => ({
      ...calico,
      kind: 'GlobalNetworkSet',
      metadata: { name },
      spec: { nets: [`10.0.${n % 250}.0/24`] },
    }),
  ],
];

const DOCUMENTS = ['/api', '/apis', '/api/v1', '/openapi/v2', '/openapi/v3', '/version'];

const ACTS =
  'create create replace label apply get list page watch delete collection document missing dry review'.split(
    ' ',
  );

const asked: fc.Arbitrary<Asked> = fc
  .record({
    kind: fc.constantFrom(...KINDS),
    name: fc.constantFrom(...NAMES),
    n: fc.nat(1000),
    act: fc.constantFrom(...ACTS),
    document: fc.constantFrom(...DOCUMENTS),
  })
  .map(({ kind: [path, make], name, n, act, document }): Asked => {
    const object = make(name, n) as { metadata: { name: string } };
    const one = `${path}/${object.metadata.name}`;
    const label = { metadata: { labels: { n: String(n) } } };
    const access = { apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectAccessReview' };
    const acts: Readonly<Record<string, Asked>> = {
      create: { method: 'POST', path, body: object },
      dry: { method: 'POST', path: `${path}?dryRun=All`, body: object },
      replace: { method: 'PUT', path: one, body: object },
      label: { method: 'PATCH', path: one, contentType: MERGE, body: label },
      apply: {
        method: 'PATCH',
        path: `${one}?fieldManager=soak&force=true`,
        contentType: 'application/apply-patch+yaml',
        body: object,
      },
      get: { method: 'GET', path: one },
      list: { method: 'GET', path: `${path}?labelSelector=${encodeURIComponent('app in (a,b)')}` },
      page: { method: 'GET', path: `${path}?limit=2` },
      watch: { method: 'GET', path: `${path}?watch=1&timeoutSeconds=1` },
      delete: { method: 'DELETE', path: `${one}?gracePeriodSeconds=0` },
      collection: { method: 'DELETE', path: `${path}?labelSelector=n%3D${n}` },
      document: { method: 'GET', path: document },
      missing: { method: 'GET', path: `${path}/none-${n}` },
      review: {
        method: 'POST',
        path: '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
        body: { ...access, spec: { resourceAttributes: { verb: 'get', resource: 'pods' } } },
      },
    };
    return acts[act] ?? { method: 'GET', path };
  });

/** 200 for all that was done. */
async function statusOf({ client }: ServerProcess, one: Asked): Promise<number> {
  const { method, path, contentType, body } = one;
  try {
    if (path.includes('watch=1')) {
      for await (const _ of await client.stream('GET', path)) continue;
      return 200;
    }
    await client.request(method, path, {
      ...(body === undefined ? {} : { body }),
      ...(contentType === undefined ? {} : { contentType }),
    });
    return 200;
  } catch (error) {
    if (error instanceof ApiError) return error.status;
    throw error;
  }
}

function usedBy(pid: number): { readonly bytes: number; readonly files: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const bytes = Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
  return { bytes, files: readdirSync(`/proc/${pid}/fd`).length };
}

test('requests at random for a while leave nothing behind', {
  timeout: SECONDS * 1000 + 120_000,
}, async (context) => {
  const server = await startServerProcess(context, join(await temporaryFolder(context), 'data'));
  const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
  const counts = new Map<number, number>();
  const until = async (end: number, from: number): Promise<void> => {
    const workers = Array.from({ length: WORKERS }, async (_, worker) => {
      for (let round = 0; Date.now() < end; round++) {
        for (const one of fc.sample(asked, {
          seed: seed + from + worker + round * 100,
          numRuns: 20,
        })) {
          const status = await statusOf(server, one);
          counts.set(status, (counts.get(status) ?? 0) + 1);
          assert.ok(status < 500, `${status} for ${one.method} ${one.path}, seed ${seed}`);
        }
      }
    });
    await Promise.all(workers);
  };
  const start = Date.now();
  // What is made once is there after a fifth of the time.
  await until(start + (SECONDS * 1000) / 5, 0);
  const before = usedBy(server.pid);
  await until(start + SECONDS * 1000, 50);
  const after = usedBy(server.pid);
  const mb = (bytes: number): number => Math.round(bytes / 1e6);
  const sum = [...counts.values()].reduce((all, count) => all + count, 0);
  context.diagnostic(
    `seed ${seed}: ${sum} requests, ${JSON.stringify(Object.fromEntries(counts))}; ` +
      `${mb(before.bytes)} to ${mb(after.bytes)} MB, ${before.files} to ${after.files} files`,
  );
  assert.ok(counts.has(200) && counts.has(404) && counts.has(409));
  assert.ok(after.files - before.files < 20, `open files: ${before.files} to ${after.files}`);
  assert.ok(after.bytes - before.bytes < GROWTH, `memory: ${before.bytes} to ${after.bytes}`);
});
