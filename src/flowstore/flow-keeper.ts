// Takes in what nodes report, merges it by bucket, and keeps it: what could not be kept is counted and said.
import {
  type Flow,
  FlowAggregator,
  type FlowAggregatorOptions,
  type FlowRecord,
  type FlowRecordsQuery,
  selectRecords,
} from '#flows';
import type { FlowStorage } from './flow-storage.ts';

export interface FlowKeeperOptions {
  readonly storage: FlowStorage;
  readonly log: (message: string) => void;
  readonly aggregation?: FlowAggregatorOptions;
  readonly now?: () => number;
  /** Records that wait while the storage does not take them. */
  readonly waitingMax?: number;
  readonly intervalMs?: number;
  readonly retainEveryMs?: number;
}

export interface FlowKeeperCounts {
  /** Reports taken in. */
  readonly received: number;
  /** Reports that came after their bucket was closed. */
  readonly late: number;
  /** Records that the storage has. */
  readonly kept: number;
  /** Records given up, and the reports that they stood for. */
  readonly lostRecords: number;
  readonly lostFlows: number;
  /** Records that are not kept yet. */
  readonly waiting: number;
}

/** Told of how long things took, in milliseconds. */
export interface FlowKeeperMeter {
  /** Reports that came at once were merged. */
  readonly onBatch: (reports: number, milliseconds: number) => void;
  /** Buckets were closed; how long that took, and how long after the ones before. */
  readonly onRollover: (milliseconds: number, sinceLastMs: number | undefined) => void;
}

const INTERVAL_MS = 1_000;
const RETAIN_EVERY_MS = 60_000;
const WAITING_MAX = 200_000;
const BATCH_MAX = 10_000;
const BACKOFF_MAX_MS = 30_000;

/** `close` keeps what is open before it ends. */
export class FlowKeeper {
  readonly #options: FlowKeeperOptions;
  readonly #aggregator: FlowAggregator;
  readonly #now: () => number;
  readonly #timer: NodeJS.Timeout;
  #waiting: FlowRecord[] = [];
  #work: Promise<void> = Promise.resolve();
  #working = false;
  #kept = 0;
  #lostRecords = 0;
  #lostFlows = 0;
  #failures = 0;
  #retryAt = 0;
  #retainAt: number;
  #meter: FlowKeeperMeter | undefined;
  #rolledAt: number | undefined;

  constructor(options: FlowKeeperOptions) {
    this.#options = options;
    this.#aggregator = new FlowAggregator(options.aggregation);
    this.#now = options.now ?? Date.now;
    this.#retainAt = this.#now();
    this.#timer = setInterval(() => this.tick(), options.intervalMs ?? INTERVAL_MS);
    this.#timer.unref();
  }

  get counts(): FlowKeeperCounts {
    return {
      received: this.#aggregator.received,
      late: this.#aggregator.late,
      kept: this.#kept,
      lostRecords: this.#lostRecords,
      lostFlows: this.#lostFlows,
      waiting: this.#waiting.length + this.#aggregator.size,
    };
  }

  /** Has the work measured from now on. */
  measure(meter: FlowKeeperMeter): void {
    this.#meter = meter;
  }

  /** Records that the storage does not have yet. */
  get unkept(): readonly FlowRecord[] {
    return [...this.#waiting, ...this.#aggregator.current()];
  }

  /**
   * Records that a query asks for, kept or not yet, each once: what is kept is asked before the storage can
   * be given more.
   */
  async records(query: FlowRecordsQuery): Promise<FlowRecord[]> {
    await this.#work;
    const unkept = selectRecords(this.unkept, query);
    const kept = await this.#options.storage.records(query);
    return selectRecords([...unkept, ...kept], query);
  }

  add(flows: readonly Flow[]): void {
    const now = this.#now();
    const began = performance.now();
    for (const flow of flows) this.#aggregator.add(flow, now);
    if (flows.length > 0) this.#meter?.onBatch(flows.length, performance.now() - began);
  }

  /** Keeps what is due; does nothing while it is at it. */
  tick(): void {
    this.#rollOver();
    this.#giveUp();
    if (this.#working) return;
    this.#working = true;
    this.#work = this.#keep().finally(() => {
      this.#working = false;
    });
  }

  #rollOver(): void {
    const began = performance.now();
    const records = this.#aggregator.flush(this.#now());
    if (records.length === 0) return;
    this.#waiting.push(...records);
    const since = this.#rolledAt === undefined ? undefined : began - this.#rolledAt;
    this.#rolledAt = began;
    this.#meter?.onRollover(performance.now() - began, since);
  }

  /** Waits for the storage; throws nothing: what it does not take is said in the log. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#work;
    this.#waiting.push(...this.#aggregator.flush(this.#now(), true));
    this.#retryAt = 0;
    await this.#append();
    if (this.#waiting.length > 0) {
      this.#options.log(
        `Cannot keep ${this.#waiting.length} flow records at the end; they are lost`,
      );
    }
  }

  async #keep(): Promise<void> {
    await this.#append();
    if (this.#now() < this.#retainAt) return;
    this.#retainAt = this.#now() + (this.#options.retainEveryMs ?? RETAIN_EVERY_MS);
    try {
      await this.#options.storage.retain(this.#now());
    } catch (error) {
      this.#options.log(`Cannot make room among kept flows: ${reasonOf(error)}`);
    }
  }

  async #append(): Promise<void> {
    while (this.#waiting.length > 0 && this.#now() >= this.#retryAt) {
      const batch = this.#waiting.slice(0, BATCH_MAX);
      try {
        await this.#options.storage.append(batch);
      } catch (error) {
        this.#failed(error);
        return;
      }
      this.#waiting = this.#waiting.slice(batch.length);
      this.#kept += batch.length;
      if (this.#failures > 0) this.#options.log('flows are kept again');
      this.#failures = 0;
    }
  }

  #failed(error: unknown): void {
    if (this.#failures === 0) this.#options.log(`${reasonOf(error)}; trying again`);
    this.#failures++;
    const wait = Math.min(BACKOFF_MAX_MS, 1_000 * 2 ** Math.min(this.#failures, 10));
    this.#retryAt = this.#now() + wait;
  }

  /** The oldest go while there is no room: never silently. */
  #giveUp(): void {
    const excess = this.#waiting.length - (this.#options.waitingMax ?? WAITING_MAX);
    // A batch under way may be the oldest: it must not be cut.
    if (excess <= 0 || this.#working) return;
    const given = this.#waiting.slice(0, excess);
    this.#waiting = this.#waiting.slice(excess);
    this.#lostRecords += given.length;
    for (const { flows } of given) this.#lostFlows += flows;
    this.#options.log(
      `Cannot keep flows: ${this.#lostRecords} records of ${this.#lostFlows} reports are lost so far`,
    );
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
