// Serves the agent's health at an address, from a thread of its own (spec 04: health).
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { HealthReport, HealthTimeouts } from './health-report.ts';

export interface HealthPlace {
  readonly host: string;
  /** 0 is any free one. */
  readonly port: number;
}

export interface HealthThreadOptions extends HealthPlace {
  readonly buffer: SharedArrayBuffer;
  readonly timeouts: HealthTimeouts;
}

export type ToHealthThread = 'stop' | HealthTimeouts;

type FromHealthThread = { readonly port: number } | { readonly error: string };

export class HealthServer {
  readonly #worker: Worker;
  readonly port: number;

  private constructor(worker: Worker, port: number) {
    this.#worker = worker;
    this.port = port;
  }

  /** Throws an Error that says which address cannot be used. */
  static async listen(
    place: HealthPlace,
    report: HealthReport,
    timeouts: HealthTimeouts,
  ): Promise<HealthServer> {
    const workerData: HealthThreadOptions = { ...place, buffer: report.buffer, timeouts };
    const worker = new Worker(new URL('./health-thread.ts', import.meta.url), { workerData });
    worker.unref();
    const [answer] = (await once(worker, 'message')) as [FromHealthThread];
    if ('port' in answer) return new HealthServer(worker, answer.port);
    throw new Error(`Cannot serve health at ${place.host}:${place.port}: ${answer.error}`);
  }

  setTimeouts(timeouts: HealthTimeouts): void {
    const message: ToHealthThread = timeouts;
    this.#worker.postMessage(message);
  }

  async close(): Promise<void> {
    const ended = once(this.#worker, 'exit');
    const message: ToHealthThread = 'stop';
    this.#worker.postMessage(message);
    await ended;
  }
}
