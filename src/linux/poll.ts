// Waits for several descriptors to become readable without blocking the event loop.

import { ERRNO, LITTLE_ENDIAN, SystemError, libc } from './libc.ts';

const POLLIN = 0x01;
const POLLNVAL = 0x20;
const ENTRY = 8;
const BUSY_MS = 5;
const IDLE_MS = 40;

/**
 * Looks at its descriptors from a timer: every 5 ms while there is something to read, down to every
 * 40 ms while there is not. One look costs a few microseconds, and no thread of libuv's pool is
 * held as a blocking wait would. Keeps the process alive until it is closed.
 */
export class Poller {
  readonly #callbacks = new Map<number, () => void>();
  #entries = new Uint8Array(0);
  #timer: NodeJS.Timeout | undefined;
  #interval = BUSY_MS;
  #idleMs = IDLE_MS;
  #closed = false;

  /**
   * Calls back whenever the descriptor is readable or has an error to fetch; the callback must read
   * it empty. One callback for each descriptor. A descriptor that was closed is forgotten.
   */
  onReadable(fd: number, callback: () => void): void {
    if (this.#closed) throw new Error('the poller is closed');
    this.#callbacks.set(fd, callback);
    this.#rebuild();
    this.#timer ??= setTimeout(() => this.#look(), BUSY_MS);
  }

  /** How long it may take until something is seen, where not 40 ms. */
  setIdle(milliseconds: number = IDLE_MS): void {
    this.#idleMs = milliseconds;
    this.#interval = Math.min(this.#interval, milliseconds);
  }

  /** Stops; no callback is called any more. Does not close the descriptors. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#callbacks.clear();
  }

  #look(): void {
    const ready = this.#ready();
    const next = ready.length > 0 ? BUSY_MS : this.#interval * 2;
    this.#interval = Math.min(next, this.#idleMs);
    this.#timer = setTimeout(() => this.#look(), this.#interval);
    for (const fd of ready) this.#callbacks.get(fd)?.();
  }

  #ready(): number[] {
    const count = this.#callbacks.size;
    const result = libc('poll', this.#entries, count, 0);
    if (result === 0 || result === -ERRNO.EINTR) return [];
    if (result < 0) throw new SystemError(`cannot poll ${count} descriptors`, -result);
    const view = new DataView(this.#entries.buffer);
    const ready: number[] = [];
    const closed: number[] = [];
    for (let index = 0; index < count; index++) {
      const fd = view.getInt32(index * ENTRY, LITTLE_ENDIAN);
      const events = view.getInt16(index * ENTRY + 6, LITTLE_ENDIAN);
      if (events & POLLNVAL) closed.push(fd);
      else if (events) ready.push(fd);
    }
    for (const fd of closed) this.#callbacks.delete(fd);
    if (closed.length > 0) this.#rebuild();
    return ready;
  }

  /** struct pollfd for each descriptor. */
  #rebuild(): void {
    this.#entries = new Uint8Array(this.#callbacks.size * ENTRY);
    const view = new DataView(this.#entries.buffer);
    for (const [index, fd] of [...this.#callbacks.keys()].entries()) {
      view.setInt32(index * ENTRY, fd, LITTLE_ENDIAN);
      view.setInt16(index * ENTRY + 4, POLLIN, LITTLE_ENDIAN);
    }
  }
}
