// How the agent's own thread is: written by it, read by the thread that answers probes, in memory that both share.

/** The two parts that are watched, by Felix' names for them. */
export const WATCHED = ['InternalDataplaneMainLoop', 'CalculationGraph'] as const;
export type WatchedPart = (typeof WATCHED)[number];

/** Milliseconds a part may be silent; 0 is for ever. */
export type HealthTimeouts = Readonly<Record<WatchedPart, number>>;

export interface Health {
  readonly live: Readonly<Record<WatchedPart, boolean>>;
  readonly ready: boolean;
}

const TURN = 0;
const CALCULATING_SINCE = 1;
const READY = 2;
const FIELDS = 3;

/** Of the machine's steady clock, which all threads share. */
function now(): bigint {
  return process.hrtime.bigint() / 1_000_000n;
}

export class HealthReport {
  readonly buffer: SharedArrayBuffer;
  readonly #fields: BigInt64Array;

  /** Without a buffer, a new one: alive as of now, and not ready. */
  constructor(buffer?: SharedArrayBuffer) {
    this.buffer = buffer ?? new SharedArrayBuffer(FIELDS * BigInt64Array.BYTES_PER_ELEMENT);
    this.#fields = new BigInt64Array(this.buffer);
    if (!buffer) this.turn();
  }

  /** The thread's loop has come round. */
  turn(): void {
    Atomics.store(this.#fields, TURN, now());
  }

  setReady(ready: boolean): void {
    Atomics.store(this.#fields, READY, ready ? 1n : 0n);
  }

  /** Runs a calculation, which may not take for ever. */
  calculating<T>(calculate: () => T): T {
    Atomics.store(this.#fields, CALCULATING_SINCE, now());
    try {
      return calculate();
    } finally {
      Atomics.store(this.#fields, CALCULATING_SINCE, 0n);
    }
  }

  read(timeouts: HealthTimeouts): Health {
    const since = (field: number) => Number(now() - Atomics.load(this.#fields, field));
    const isCalculating = Atomics.load(this.#fields, CALCULATING_SINCE) !== 0n;
    const silence: Readonly<Record<WatchedPart, number>> = {
      InternalDataplaneMainLoop: since(TURN),
      CalculationGraph: isCalculating ? since(CALCULATING_SINCE) : 0,
    };
    const isLive = (part: WatchedPart) => timeouts[part] === 0 || silence[part] < timeouts[part];
    return {
      live: {
        InternalDataplaneMainLoop: isLive('InternalDataplaneMainLoop'),
        CalculationGraph: isLive('CalculationGraph'),
      },
      ready: Atomics.load(this.#fields, READY) === 1n,
    };
  }
}
