// Removes interfaces in the background, as many at once as wait: the kernel waits once for all of them.
import { RouteSocket } from '#linux';

/**
 * The group of interfaces (IFLA_GROUP) that are to go. Whoever dies between putting one there and deleting the group
 * has only begun what was asked for: the next removal, or DEL again, ends it.
 */
export const DOOMED_GROUP = 0x746f_7274;
const BATCH_MAX = 256;
const REST_MAX_MS = 100;

interface Removal {
  readonly name: string;
  readonly resolve: (wasThere: boolean) => void;
  readonly reject: (error: unknown) => void;
}

export class LinkRemover {
  readonly #routes: RouteSocket;
  #waiting: Removal[] = [];
  #work: Promise<void> | undefined;

  /** `namespace`: a descriptor. */
  constructor(namespace: number) {
    this.#routes = RouteSocket.open({ namespace });
  }

  /** False when there was none of this name. */
  remove(name: string): Promise<boolean> {
    const { promise, resolve, reject } = Promise.withResolvers<boolean>();
    this.#waiting.push({ name, resolve, reject });
    this.#work ??= this.#run();
    return promise;
  }

  /** Ends when nothing waits any more. */
  async close(): Promise<void> {
    await this.#work;
    this.#routes.close();
  }

  /** Nobody else can change an interface meanwhile: where many go, it rests as long as the last ones took. */
  async #run(): Promise<void> {
    let restMs = 0;
    while (this.#waiting.length > 0) {
      if (restMs > 0) await new Promise((resolve) => setTimeout(resolve, restMs));
      const begun = performance.now();
      const batch = this.#waiting.slice(0, BATCH_MAX);
      this.#waiting = this.#waiting.slice(BATCH_MAX);
      try {
        const names = batch.map(({ name }) => name);
        const found = await this.#routes.deleteLinksInBackground(names, DOOMED_GROUP);
        for (const [index, { resolve }] of batch.entries()) resolve(found[index] ?? false);
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
      restMs = batch.length > 1 ? Math.min(performance.now() - begun, REST_MAX_MS) : 0;
    }
    this.#work = undefined;
  }
}
