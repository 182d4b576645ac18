// Who waits for a revision to arrive.

interface Waiter {
  readonly revision: number;
  readonly pass: () => void;
}

export class RevisionGate {
  #revision = 0;
  #waiters: Waiter[] = [];
  #closed = false;

  /** All who wait for the revision or an earlier one pass. */
  open(revision: number): void {
    if (revision <= this.#revision) return;
    this.#revision = revision;
    const passing = this.#waiters.filter((waiter) => waiter.revision <= revision);
    if (passing.length === 0) return;
    this.#waiters = this.#waiters.filter((waiter) => waiter.revision > revision);
    for (const { pass } of passing) pass();
  }

  /** Whether the revision has arrived: after `timeoutMs`, or the gate's end, it may not have. */
  async passed(revision: number, timeoutMs?: number): Promise<boolean> {
    if (revision <= this.#revision || this.#closed) return revision <= this.#revision;
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiter = { revision, pass: resolve };
    this.#waiters.push(waiter);
    const timer = timeoutMs === undefined ? undefined : setTimeout(resolve, timeoutMs);
    await promise;
    clearTimeout(timer);
    if (revision > this.#revision) this.#waiters = this.#waiters.filter((one) => one !== waiter);
    return revision <= this.#revision;
  }

  /** Nothing more will arrive: nobody waits. */
  close(): void {
    this.#closed = true;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const { pass } of waiters) pass();
  }
}
