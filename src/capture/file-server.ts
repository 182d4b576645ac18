// Answers the server's requests for files of captures, over requests of the agent's own: a node listens to nobody.
import { setTimeout as sleep } from 'node:timers/promises';
import { isObject } from '#lib';
import type { CaptureAgent } from './capture-agent.ts';

export interface CaptureFileServerOptions {
  readonly agent: Pick<CaptureAgent, 'files' | 'follow' | 'mayCapture' | 'remove'>;
  /** Requests as they come, until the server ends it. */
  readonly requests: (signal: AbortSignal) => Promise<AsyncIterable<unknown>>;
  /** Resolves when the answer was taken. */
  readonly answer: (id: string, body: object) => Promise<void>;
  readonly log: (message: string) => void;
}

/** Of a file, in one answer. */
const PIECE_BYTES = 1024 * 1024;
const CONCURRENT_MAX = 8;
/** Live streams, beside the requests that end soon. */
const STREAMS_MAX = 16;
const FOLLOW_MS = 100;
/** Who waits for packets is told that there are none so often; the last may be written so late. */
const SILENCE_MS = 5_000;
const LAST_MS = 2_000;
const FIRST_PAUSE_MS = 200;
const LAST_PAUSE_MS = 10_000;

type Answer = (body: object) => Promise<void>;

export class CaptureFileServer {
  readonly #options: CaptureFileServerOptions;
  readonly #abort = new AbortController();
  readonly #loop: Promise<void>;
  #running = 0;
  #streams = 0;
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
    try {
      if (action === 'read') await this.#read(namespace, name, answer);
      else if (action === 'remove')
        await this.#limited(() => this.#options.agent.remove(namespace, name));
      else if (action === 'follow' || action === 'follow all') {
        await this.#follow(namespace, name, action === 'follow all', answer);
      } else throw new Error(`the request ${JSON.stringify(action)} is not known`);
      await answer({ done: true });
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      // Who asked may have gone: then there is nobody to tell.
      await answer({ error: message }).catch(() => undefined);
    }
  }

  async #limited(act: () => Promise<void>): Promise<void> {
    if (this.#running >= CONCURRENT_MAX) throw new Error('too many requests for files at once');
    this.#running++;
    try {
      await act();
    } finally {
      this.#running--;
    }
  }

  #read(namespace: string, name: string, answer: Answer): Promise<void> {
    return this.#limited(async () => {
      for (const { file, bytes } of this.#options.agent.files(namespace, name, PIECE_BYTES)) {
        if (this.#abort.signal.aborted) throw new Error('the agent ends');
        await answer({ file, data: Buffer.from(bytes).toString('base64') });
      }
    });
  }

  /** Until the capture has ended, or nobody takes the answers any more. */
  async #follow(namespace: string, name: string, all: boolean, answer: Answer): Promise<void> {
    const { agent } = this.#options;
    if (this.#streams >= STREAMS_MAX) throw new Error('too many live streams at once');
    this.#streams++;
    const follower = agent.follow(namespace, name, all);
    try {
      let [spokeAt, liveAt] = [performance.now(), performance.now()];
      while (performance.now() - liveAt < LAST_MS) {
        if (this.#abort.signal.aborted) throw new Error('the agent ends');
        if (agent.mayCapture(namespace, name)) liveAt = performance.now();
        const pieces = follower.read();
        for (const { file, bytes } of pieces) {
          await answer({ file, data: Buffer.from(bytes).toString('base64') });
        }
        const isSilent = performance.now() - spokeAt >= SILENCE_MS;
        if (isSilent) await answer({ file: 'none', data: '' });
        if (isSilent || pieces.length > 0) spokeAt = performance.now();
        if (pieces.length === 0) await sleep(FOLLOW_MS);
      }
    } finally {
      follower.close();
      this.#streams--;
    }
  }

  #tell(message: string): void {
    if (message !== this.#told) this.#options.log(message);
    this.#told = message;
  }
}
