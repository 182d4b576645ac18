// Ships flow reports to the server in batches; while the server is away they are merged, with exact sums.
import { type Flow, MergedFlows } from '#flows';

/** Numbers batches, so that one whose answer was lost is not taken twice. */
export interface FlowBatch {
  /** A new one for each life of the agent. */
  readonly agent: string;
  readonly number: number;
}

/** The server's answer: which life of it took the batch. */
export interface FlowReceipt {
  readonly server?: string;
}

/** The server does not want this batch, however often it is sent. */
export class BatchRefused extends Error {
  constructor(reason: string) {
    super(`the server refuses a batch of flow reports: ${reason}`);
    this.name = 'BatchRefused';
  }
}

export interface FlowShipperOptions {
  /** Sends one batch; rejects when the server did not take it, with BatchRefused when it never will. */
  readonly send: (flows: readonly Flow[], batch: FlowBatch) => Promise<FlowReceipt>;
  readonly log: (message: string) => void;
  readonly agent: string;
  /** Reports kept one by one while the server is away; also the size at which merged ones lose detail. */
  readonly bufferMax?: number;
  readonly now?: () => number;
}

const BATCH_MAX = 500;
const BUFFER_MAX = 20_000;
/** How long a server may have what it took in memory alone: a bucket, late reports, writing. */
const UNKEPT_MS = 45_000;

/** One batch under way at a time; a batch that failed is sent again as it was, before any other. */
export class FlowShipper {
  readonly #options: FlowShipperOptions;
  readonly #bufferMax: number;
  readonly #now: () => number;
  #buffer: Flow[] = [];
  /** Sent, and not known to be taken: it may not change any more. */
  #batch: readonly Flow[] = [];
  #number = 0;
  #merged: MergedFlows | undefined;
  #sending = false;
  #lost = 0;
  #mergedReports = 0;
  #failing = false;
  #server: string | undefined;
  /** What that life of the server has taken lately. */
  #taken: { readonly atMs: number; readonly reports: number }[] = [];
  #uncertain = 0;

  constructor(options: FlowShipperOptions) {
    this.#options = options;
    this.#bufferMax = options.bufferMax ?? BUFFER_MAX;
    this.#now = options.now ?? Date.now;
  }

  /** Reports given up: refused, or even merged too many. */
  get lost(): number {
    return this.#lost;
  }

  /** Reports that a server had taken shortly before it ended, and may not have kept. */
  get uncertain(): number {
    return this.#uncertain;
  }

  /** Reports that were merged with others before they were sent. */
  get merged(): number {
    return this.#mergedReports;
  }

  /** What waits to be sent. */
  get waiting(): number {
    return this.#batch.length + this.#buffer.length + (this.#merged?.size ?? 0);
  }

  add(flows: readonly Flow[]): void {
    for (const flow of flows) {
      if (this.#merged) this.#merge(flow);
      else this.#buffer.push(flow);
    }
    if (this.#buffer.length <= this.#bufferMax) return;
    for (const flow of this.#buffer.splice(0)) this.#merge(flow);
  }

  /** Sends what there is; returns when there is nothing left or the server refused. */
  async ship(): Promise<void> {
    if (this.#sending) return;
    this.#sending = true;
    try {
      while (this.#fill()) {
        if (!(await this.#send())) return;
        this.#batch = [];
      }
    } finally {
      this.#sending = false;
    }
  }

  #merge(flow: Flow): void {
    this.#merged ??= new MergedFlows({ recordsMax: this.#bufferMax });
    const merged = this.#merged;
    if (merged.size > this.#bufferMax * 4) this.#lost += flow.merged?.flows ?? 1;
    else {
      merged.add(flow, this.#now());
      this.#mergedReports++;
    }
  }

  /** Whether there is a batch to send. */
  #fill(): boolean {
    if (this.#batch.length > 0) return true;
    if (this.#buffer.length === 0 && this.#merged) {
      this.#buffer = this.#merged.take(this.#now());
      this.#merged = undefined;
    }
    this.#batch = this.#buffer.splice(0, BATCH_MAX);
    if (this.#batch.length > 0) this.#number++;
    return this.#batch.length > 0;
  }

  async #send(): Promise<boolean> {
    const { send, log, agent } = this.#options;
    try {
      const receipt = await send(this.#batch, { agent, number: this.#number });
      this.#onReceipt(receipt);
      if (this.#failing) {
        log(
          `Flow reports are shipped again; since the start ${this.#mergedReports} were merged ` +
            `and ${this.#lost} given up`,
        );
      }
      this.#failing = false;
      return true;
    } catch (error) {
      if (error instanceof BatchRefused) {
        this.#lost += reportsIn(this.#batch);
        log(`${error.message}; given up so far: ${this.#lost}`);
        return true;
      }
      if (!this.#failing) log(`Cannot ship flow reports, keeping them: ${String(error)}`);
      this.#failing = true;
      return false;
    }
  }

  #onReceipt({ server }: FlowReceipt): void {
    const now = this.#now();
    this.#taken = this.#taken.filter(({ atMs }) => now - atMs < UNKEPT_MS);
    if (this.#server !== undefined && server !== this.#server) {
      const reports = this.#taken.reduce((sum, taken) => sum + taken.reports, 0);
      this.#uncertain += reports;
      this.#taken = [];
      this.#options.log(
        `The server was started anew; ${reports} flow reports that it had taken shortly before may not be kept`,
      );
    }
    this.#server = server;
    this.#taken.push({ atMs: now, reports: reportsIn(this.#batch) });
  }
}

function reportsIn(flows: readonly Flow[]): number {
  return flows.reduce((sum, { merged }) => sum + (merged?.flows ?? 1), 0);
}
