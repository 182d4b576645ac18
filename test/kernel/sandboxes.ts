// Sandboxes of a test's pods, made and removed by a process beside it: none of that is the agent's work.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { SandboxAnswer, SandboxRequest } from './sandbox-child.ts';

const CHILD = fileURLToPath(new URL('sandbox-child.ts', import.meta.url));

/** The process ends with the test, and removes before what is left. */
export class Sandboxes {
  readonly #child: ChildProcess = fork(CHILD);
  readonly #waiting = new Map<number, PromiseWithResolvers<void>>();
  #next = 0;

  constructor(t: TestContext) {
    this.#child.on('message', ({ id, error }: SandboxAnswer) => {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve();
      else waiting?.reject(new Error(error));
    });
    const exit = once(this.#child, 'exit');
    this.#child.on('exit', (code, signal) => {
      const death = new Error(`the process of the sandboxes ended with ${code ?? signal}`);
      for (const waiting of this.#waiting.values()) waiting.reject(death);
    });
    t.after(async () => {
      if (this.#child.connected) this.#child.disconnect();
      await exit;
    });
  }

  /** Makes the network namespace of a sandbox; throws with what its process says. */
  make(path: string): Promise<void> {
    return this.#ask('make', path);
  }

  /** One that is absent is no error. */
  remove(path: string): Promise<void> {
    return this.#ask('remove', path);
  }

  #ask(verb: SandboxRequest['verb'], path: string): Promise<void> {
    const request: SandboxRequest = { id: this.#next++, verb, path };
    const waiting = Promise.withResolvers<void>();
    this.#waiting.set(request.id, waiting);
    this.#child.send(request, (error) => {
      if (error) waiting.reject(error);
    });
    return waiting.promise;
  }
}
