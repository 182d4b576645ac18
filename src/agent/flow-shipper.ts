// Ships flow records to the server in batches; what cannot be kept while the server is away is counted.
import type { Flow } from '#flows';

export interface FlowShipperOptions {
  /** Sends one batch; rejects when the server did not take it. */
  readonly send: (flows: readonly Flow[]) => Promise<void>;
  readonly log: (message: string) => void;
  /** Records kept while the server is away. */
  readonly bufferMax?: number;
}

const BATCH_MAX = 500;
const BUFFER_MAX = 20_000;

/** One batch under way at a time; a batch that failed goes first next time. */
export class FlowShipper {
  readonly #options: FlowShipperOptions;
  #buffer: Flow[] = [];
  #sending = false;
  #lost = 0;
  #failing = false;

  constructor(options: FlowShipperOptions) {
    this.#options = options;
  }

  /** Records given up because the buffer was full. */
  get lost(): number {
    return this.#lost;
  }

  add(flows: readonly Flow[]): void {
    for (const flow of flows) this.#buffer.push(flow);
    const excess = this.#buffer.length - (this.#options.bufferMax ?? BUFFER_MAX);
    if (excess > 0) {
      this.#buffer.splice(0, excess);
      this.#lost += excess;
    }
  }

  /** Sends what there is; returns when there is nothing left or the server refused. */
  async ship(): Promise<void> {
    if (this.#sending) return;
    this.#sending = true;
    try {
      while (this.#buffer.length > 0) {
        const batch = this.#buffer.splice(0, BATCH_MAX);
        const sent = await this.#send(batch);
        if (!sent) {
          this.#buffer.unshift(...batch);
          return;
        }
      }
    } finally {
      this.#sending = false;
    }
  }

  async #send(batch: readonly Flow[]): Promise<boolean> {
    try {
      await this.#options.send(batch);
      if (this.#failing) {
        this.#options.log(`flow records are shipped again; given up so far: ${this.#lost}`);
      }
      this.#failing = false;
      return true;
    } catch (error) {
      if (!this.#failing)
        this.#options.log(`Cannot ship flow records, keeping them: ${String(error)}`);
      this.#failing = true;
      return false;
    }
  }
}
