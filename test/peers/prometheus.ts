// For tests: Debian's Prometheus in a network namespace, its queries, and promtool.
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const PROMETHEUS = '/usr/bin/prometheus';
export const PROMTOOL = '/usr/bin/promtool';
const URL = 'http://127.0.0.1:9090';
const READY_MS = 20_000;

/** Why it cannot run here; false where it can. For node:test's `skip`. */
export function prometheusMissing(): string | false {
  const missing = [PROMETHEUS, PROMTOOL].find((path) => !existsSync(path));
  return missing === undefined ? false : `${missing} is not there: apt install prometheus`;
}

export interface Series {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Runs promtool; its whole output, and whether it was content. */
export function promtool(
  args: readonly string[],
  input?: string,
): { readonly ok: boolean; readonly output: string } {
  const { status, stdout, stderr } = spawnSync(PROMTOOL, args, {
    encoding: 'utf8',
    timeout: 30_000,
    ...(input !== undefined && { input }),
  });
  return { ok: status === 0, output: stdout + stderr };
}

export class Prometheus {
  readonly #namespace: string;
  readonly #process: ChildProcess;
  #output = '';

  private constructor(namespace: string, process: ChildProcess) {
    this.#namespace = namespace;
    this.#process = process;
    for (const stream of [process.stdout, process.stderr]) {
      stream?.on('data', (chunk: Buffer) => (this.#output += chunk.toString()));
    }
  }

  /** `configuration` is JSON, and so YAML. `namespace` is a path, whose loopback is up. */
  static async start(
    folder: string,
    namespace: string,
    configuration: object,
  ): Promise<Prometheus> {
    mkdirSync(folder, { recursive: true });
    const file = join(folder, 'prometheus.yml');
    writeFileSync(file, JSON.stringify(configuration));
    const child = spawn(
      'nsenter',
      [
        `--net=${namespace}`,
        PROMETHEUS,
        `--config.file=${file}`,
        `--storage.tsdb.path=${join(folder, 'data')}`,
        '--web.listen-address=127.0.0.1:9090',
        '--log.level=warn',
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    const prometheus = new Prometheus(namespace, child);
    const deadline = Date.now() + READY_MS;
    while (prometheus.#ask('vector(1)').status !== 0) {
      if (child.exitCode !== null || Date.now() > deadline) {
        await prometheus.stop();
        throw new Error(`Prometheus did not start: ${prometheus.#output}`);
      }
      await sleep(100);
    }
    return prometheus;
  }

  /** Throws where the expression cannot be read. */
  query(expression: string): Series[] {
    const { status, stdout, stderr } = this.#ask(expression);
    if (status !== 0) throw new Error(`Cannot ask ${JSON.stringify(expression)}: ${stderr}`);
    const vector = JSON.parse(stdout) as {
      metric: Record<string, string>;
      value: [number, string];
    }[];
    return vector.map(({ metric, value }) => ({ labels: metric, value: Number(value[1]) }));
  }

  /** The value of a query that gives one. */
  value(expression: string): number | undefined {
    const [first, ...others] = this.query(expression);
    if (others.length > 0) throw new Error(`${expression} gives ${others.length + 1} series`);
    return first?.value;
  }

  /** What a target in the namespace answers. */
  fetch(url: string, ...options: readonly string[]): string {
    const words = [`--net=${this.#namespace}`, 'curl', '-sS', '--fail', ...options, url];
    return execFileSync('nsenter', words, { encoding: 'utf8', timeout: 10_000 });
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null) return;
    this.#process.kill('SIGTERM');
    await once(this.#process, 'exit');
  }

  #ask(expression: string) {
    const words = ['query', 'instant', '--format=json', URL, expression];
    return spawnSync('nsenter', [`--net=${this.#namespace}`, PROMTOOL, ...words], {
      encoding: 'utf8',
      timeout: 10_000,
    });
  }
}
