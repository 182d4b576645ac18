// Runs tasks of one key one after another, and those of different keys side by side.

export class KeyedLock {
  /** The last task of each key. */
  readonly #tails = new Map<string, Promise<unknown>>();

  /** Runs the task when all earlier ones of the key have ended, however they ended. */
  async run<T>(key: string, task: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key) ?? Promise.resolve();
    const own = before.then(task, task);
    this.#tails.set(key, own);
    try {
      return await own;
    } finally {
      if (this.#tails.get(key) === own) this.#tails.delete(key);
    }
  }
}
