// Answers the server's requests for files of captures, over requests of the agent's own: a node listens to nobody.
import { setTimeout as sleep } from 'node:timers/promises';
import { isObject } from '#lib';
import type { CaptureAgent } from './capture-agent.ts';

export interface CaptureFileServerOptions {
  readonly agent: Pick<CaptureAgent, 'files' | 'remove'>;
  /** Requests as they come, until the server ends it. */
  readonly requests: (signal: AbortSignal) => Promise<AsyncIterable<unknown>>;
  /** Resolves when the answer was taken. */
  readonly answer: (id: string, body: object) => Promise<void>;
  readonly log: (message: string) => void;
}

/** Of a file, in one answer. */
const PIECE_BYTES = 1024 * 1024;
const CONCURRENT_MAX = 8;
const FIRST_PAUSE_MS = 200;
const LAST_PAUSE_MS = 10_000;

export class CaptureFileServer {
  readonly #options: CaptureFileServerOptions;
  readonly #abort = new AbortController();
  readonly #loop: Promise<void>;
  #running = 0;
  #told = '';

  constructor(options: CaptureFileServerOptions) {
    this.#options = options;
    this.#loop = this.#listen();
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#loop;
  }

  async #listen(): Promise<void> {
    const { signal } = this.#abort;
    for (let pause = FIRST_PAUSE_MS; !signal.aborted; pause = Math.min(pause * 2, LAST_PAUSE_MS)) {
      try {
        for await (const request of await this.#options.requests(signal)) {
          pause = FIRST_PAUSE_MS;
          this.#told = '';
          void this.#handle(request);
        }
      } catch (error) {
        if (!signal.aborted)
          this.#tell(`Cannot wait for requests for captured files: ${String(error)}`);
      }
      await sleep(pause, undefined, { signal }).catch(() => undefined);
    }
  }

  async #handle(request: unknown): Promise<void> {
    const { id, action, namespace, name } = isObject(request) ? request : {};
    if (typeof id !== 'string' || typeof namespace !== 'string' || typeof name !== 'string') return;
    const answer = (body: object): Promise<void> => this.#options.answer(id, body);
    this.#running++;
    try {
      if (this.#running > CONCURRENT_MAX) throw new Error('too many requests for files at once');
      if (action === 'remove') await this.#options.agent.remove(namespace, name);
      else if (action === 'read') {
        for (const { file, bytes } of this.#options.agent.files(namespace, name, PIECE_BYTES)) {
          if (this.#abort.signal.aborted) return;
          await answer({ file, data: Buffer.from(bytes).toString('base64') });
        }
      } else throw new Error(`the request ${JSON.stringify(action)} is not known`);
      await answer({ done: true });
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      // Who asked may have gone: then there is nobody to tell.
      await answer({ error: message }).catch(() => undefined);
    } finally {
      this.#running--;
    }
  }

  #tell(message: string): void {
    if (message !== this.#told) this.#options.log(message);
    this.#told = message;
  }
}
