// Writes the newest status of one pod to the server, as often as it takes.
import { setTimeout as sleep } from 'node:timers/promises';
import { type ApiClient, ApiError } from '#datastore/client';
import { coreKind } from './pod-watch.ts';

const RETRY_MS = 500;

export interface StatusWriterOptions {
  readonly client: ApiClient;
  readonly namespace: string;
  readonly name: string;
  readonly signal: AbortSignal;
  readonly log: (message: string) => void;
}

/** One writer for one life of a pod. */
export class StatusWriter {
  readonly #options: StatusWriterOptions;
  #next: Record<string, unknown> | undefined;
  #writing = false;

  constructor(options: StatusWriterOptions) {
    this.#options = options;
  }

  write(status: Record<string, unknown>): void {
    this.#next = status;
    if (this.#writing) return;
    this.#writing = true;
    void this.#drain();
  }

  async #drain(): Promise<void> {
    const { signal } = this.#options;
    while (this.#next && !signal.aborted) {
      const status = this.#next;
      this.#next = undefined;
      if (!(await this.#send(status))) {
        this.#next ??= status;
        await sleep(RETRY_MS, undefined, { signal }).catch(() => undefined);
      }
    }
    this.#writing = false;
  }

  /** False where it should be tried again. */
  async #send(status: Record<string, unknown>): Promise<boolean> {
    const { client, namespace, name, log } = this.#options;
    try {
      const options = { subresource: 'status' } as const;
      await client.patch(coreKind('Pod'), { namespace, name }, { status }, options);
      return true;
    } catch (error) {
      const refused = error instanceof ApiError && error.status < 500 && !error.conflict;
      if (refused && !error.notFound) log(`Cannot write status: ${error.message}`);
      return refused;
    }
  }
}
