// The real kubectl as a process against `tortie server`: runs, what they print, and files for them.
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { ApiClient } from '#datastore/client';
import { startServerProcess, temporaryFolder } from './server-process.ts';

const installed = spawnSync('kubectl', ['version', '--client']).status === 0;
export const options = { skip: installed ? false : 'kubectl is not installed', timeout: 120_000 };

export interface Output {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface Kubectl {
  /** Of the same server. */
  readonly client: ApiClient;
  /** Runs kubectl to its end. */
  run(...words: string[]): Promise<Output>;
  /** As `run`, and fails the test unless it succeeds; what it printed. */
  ok(...words: string[]): Promise<string>;
  start(...words: string[]): ChildProcess;
  /** A file with this content. */
  file(name: string, content: string): Promise<string>;
}

/** kubectl as the administrator of a new server, with a home of its own. Everything ends with the test. */
export async function kubectlAt(
  context: TestContext,
  environment: Readonly<Record<string, string>> = {},
): Promise<Kubectl> {
  const folder = await temporaryFolder(context);
  const { kubeconfig, client } = await startServerProcess(context, join(folder, 'data'));
  const own = { HOME: folder, KUBECONFIG: kubeconfig, KUBECTL_EXTERNAL_DIFF: '' };
  const env = { ...process.env, ...own, ...environment };
  const flags = ['--cache-dir', join(folder, 'cache'), '--request-timeout', '30s'];
  const run = (...words: string[]): Promise<Output> =>
    new Promise((resolve) => {
      execFile('kubectl', [...words, ...flags], { env, timeout: 60_000 }, (error, out, err) => {
        const code = error ? (typeof error.code === 'number' ? error.code : -1) : 0;
        resolve({ code, out, err });
      });
    });
  return {
    client,
    run,
    ok: async (...words) => {
      const { code, out, err } = await run(...words);
      assert.equal(code, 0, `kubectl ${words.join(' ')}\n${out}${err}`);
      return out;
    },
    start: (...words) => {
      const child = spawn('kubectl', [...words, '--cache-dir', join(folder, 'cache')], { env });
      context.after(() => child.kill('SIGKILL'));
      return child;
    },
    file: async (name, content) => {
      const path = join(folder, name);
      await writeFile(path, content);
      return path;
    },
  };
}

/** Of the client: 32 for v1.32. */
export async function minorVersion(kubectl: Kubectl): Promise<number> {
  const { clientVersion } = JSON.parse(await kubectl.ok('version', '--client', '-o', 'json')) as {
    clientVersion: { minor: string };
  };
  return Number.parseInt(clientVersion.minor, 10);
}
