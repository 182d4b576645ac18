// A lock for many readers or one writer, first come first served.

/** Acts wait for those before them; shared ones run beside each other. */
export class SharedLock {
  /** Ends when every act asked for so far has. */
  #all: Promise<void> = Promise.resolve();
  /** Ends when the last exclusive act asked for has. */
  #exclusive: Promise<void> = Promise.resolve();

  shared<T>(act: () => Promise<T>): Promise<T> {
    const done = this.#exclusive.then(act);
    this.#all = Promise.all([this.#all, settled(done)]).then(() => undefined);
    return done;
  }

  exclusive<T>(act: () => Promise<T>): Promise<T> {
    const done = this.#all.then(act);
    this.#exclusive = settled(done);
    this.#all = this.#exclusive;
    return done;
  }
}

function settled(done: Promise<unknown>): Promise<void> {
  return done.then(
    () => undefined,
    () => undefined,
  );
}
