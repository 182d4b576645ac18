// Namespaces, processes and folders of one benchmark: all of them go when it ends, also after a failure.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createNamespace, deleteNamespace, openNamespace, RouteSocket } from '#linux';
import type { TrafficAnswer, TrafficRequest } from './traffic.ts';

const TRAFFIC = fileURLToPath(new URL('traffic.ts', import.meta.url));
const CHILD_START_MS = 60_000;

/** A network namespace of this benchmark: `fd` for Tortie, `route` on it. */
export interface Host {
  readonly path: string;
  readonly fd: number;
  readonly route: RouteSocket;
  /** Runs a program inside; its output. Throws where it fails. */
  run(argv: readonly [program: string, ...args: string[]], input?: string): string;
}

/** What was made, in order; it is removed in the opposite order. */
export class Scratch {
  readonly #undo: (() => unknown)[] = [];
  #count = 0;

  /** `undo` is called at the end. */
  later(undo: () => unknown): void {
    this.#undo.push(undo);
  }

  folder(): string {
    const path = mkdtempSync(join(tmpdir(), 'tortie-bench-'));
    this.later(() => rmSync(path, { recursive: true }));
    return path;
  }

  /** A namespace with loopback up. */
  host(): Host {
    const path = `/run/netns/tortie-b-${process.pid}-${++this.#count}`;
    createNamespace(path);
    this.later(() => deleteNamespace(path));
    const fd = openNamespace(path);
    this.later(() => closeSync(fd));
    const route = RouteSocket.open({ namespace: fd });
    this.later(() => route.close());
    route.setUp('lo');
    const run: Host['run'] = (argv, input) =>
      execFileSync('nsenter', [`--net=${path}`, ...argv], {
        encoding: 'utf8',
        maxBuffer: 1 << 28,
        ...(input === undefined ? {} : { input }),
      });
    return { path, fd, route, run };
  }

  /** A process of `traffic.ts` inside a namespace, on one CPU where given. */
  async traffic(host: Host, cpu?: number): Promise<Traffic> {
    const argv = [`--net=${host.path}`, ...pinned(cpu), process.execPath, TRAFFIC];
    const child = spawn('nsenter', argv, {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.later(() => endProcess(child));
    await once(child, 'message', { signal: AbortSignal.timeout(CHILD_START_MS) });
    return new Traffic(child);
  }

  async end(): Promise<void> {
    for (const undo of this.#undo.splice(0).reverse()) await undo();
  }
}

/** The other end of the channel to a traffic process. One request at a time. */
export class Traffic {
  readonly #child: ChildProcess;

  constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** The figure that the request asks for. */
  async ask(request: TrafficRequest): Promise<number> {
    this.#child.send(request);
    const signal = AbortSignal.timeout(60_000);
    const [answer] = (await once(this.#child, 'message', { signal })) as [TrafficAnswer];
    if (answer.error !== undefined) throw new Error(`${request.type}: ${answer.error}`);
    return answer.figure;
  }
}

/** Runs a benchmark, and cleans up whatever becomes of it, also at Ctrl-C. */
export async function withScratch(work: (scratch: Scratch) => Promise<void>): Promise<void> {
  const scratch = new Scratch();
  process.once('SIGINT', () => void scratch.end().finally(() => process.exit(130)));
  try {
    await work(scratch);
  } finally {
    await scratch.end();
  }
}

/** Runs what follows on one CPU, before what others do there. */
export function pinned(cpu: number | undefined): string[] {
  return cpu === undefined ? [] : ['nice', '-n', '-15', 'taskset', '-c', String(cpu)];
}

async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}
