// Counts what the server answers: requests by verb and code, watches and the events that they were sent.

export interface RequestCount {
  /** As authorisation sees it: get, list, watch ... */
  readonly verb: string;
  readonly code: number;
  readonly count: number;
}

export interface WatchCounts {
  /** Running now. */
  readonly open: number;
  readonly events: number;
  /** Ended since their client did not read, or what they were to go on from was forgotten. */
  readonly dropped: number;
}

/** Kept for as long as the server runs; verbs and codes are few. */
export class RequestCounts {
  readonly #requests = new Map<string, RequestCount>();
  #open = 0;
  #events = 0;
  #dropped = 0;

  get requests(): readonly RequestCount[] {
    return [...this.#requests.values()];
  }

  get watches(): WatchCounts {
    return { open: this.#open, events: this.#events, dropped: this.#dropped };
  }

  answered(verb: string, code: number): void {
    const key = `${verb} ${code}`;
    const count = (this.#requests.get(key)?.count ?? 0) + 1;
    this.#requests.set(key, { verb, code, count });
  }

  /** Returns what ends it; once. */
  watchBegun(): () => void {
    let running = true;
    this.#open++;
    return () => {
      if (running) this.#open--;
      running = false;
    };
  }

  eventSent(): void {
    this.#events++;
  }

  watchDropped(): void {
    this.#dropped++;
  }
}
