// For tests: `tortie server` as a process of its own, with what it takes to talk to it.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { ApiClient, loadKubeconfig } from '#datastore/client';

const TORTIE = join(import.meta.dirname, '..', '..', 'bin', 'tortie');

export interface ServerProcess {
  readonly kubeconfig: string;
  readonly url: string;
  readonly pid: number;
  /** A client as the administrator; closed with the test. */
  readonly client: ApiClient;
  /** Sends the signal and waits for the end. */
  readonly end: (signal: 'SIGTERM' | 'SIGKILL') => Promise<number | null>;
}

/** A folder that goes with the test. */
export async function temporaryFolder(context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tortie-kubernetes-'));
  context.after(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }));
  return folder;
}

/** Starts the server on a free loopback port (and a listening socket) and waits until it is ready. */
export async function startServerProcess(
  context: TestContext,
  data: string,
  options: {
    flags?: readonly string[];
    descriptor?: number;
    /** 0, the default: a free one. */
    port?: number;
    environment?: Readonly<Record<string, string>>;
  } = {},
): Promise<ServerProcess> {
  const { flags = [], descriptor, environment, port = 0 } = options;
  const words = ['server', '--data', data, '--listen', `127.0.0.1:${port}`, ...flags];
  const handedDown = descriptor === undefined ? [] : [descriptor];
  const child = spawn(TORTIE, words, {
    stdio: ['ignore', 'pipe', 'pipe', ...handedDown],
    env: { ...process.env, ...environment, LISTEN_FDS: String(handedDown.length) },
  });
  const end = async (signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null> => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill(signal);
      await once(child, 'exit');
    }
    return child.exitCode;
  };
  const clients: ApiClient[] = [];
  context.after(async () => {
    await Promise.all(clients.map((client) => client.close()));
    await end('SIGKILL');
  });
  const url = await readiness(child);
  const kubeconfig = join(data, 'kubeconfig');
  const client = new ApiClient(loadKubeconfig(kubeconfig));
  clients.push(client);
  return { kubeconfig, url, pid: child.pid ?? 0, client, end };
}

async function readiness(child: ChildProcess): Promise<string> {
  if (!child.stdout || !child.stderr) throw new Error('the server has no output');
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  for await (const line of createInterface({ input: child.stdout })) {
    const url = /ready at (?<url>https:\S+)/.exec(line)?.groups?.['url'];
    if (url) return url;
  }
  throw new Error(`the server ended before it was ready: ${errors}`);
}
