// The node agent's loop: updates in, one desired state, the kernel made equal to it, waiters told.
import type { DataplaneState } from '#calc/dataplane-update';
import type { SyncerUpdate } from '#datastore/syncer';

/** What the loop needs of the calculation. */
export interface Calculation {
  onUpdates(updates: readonly SyncerUpdate[]): void;
  state(): DataplaneState;
}

export interface ApplyReport {
  readonly writes: number;
  readonly errors: readonly { readonly what: string; readonly message: string }[];
  /** What somebody else had changed, and is as desired again. */
  readonly repaired: readonly string[];
  /** Whether no change at all was taken. */
  readonly stuck: boolean;
  /** IDs of endpoints whose policy is not all in the kernel. */
  readonly unfiltered: readonly string[];
  /** All of the host's; absent where it has none. `error`: why it is not in force. */
  readonly hostEndpoints?: readonly {
    readonly id: string;
    readonly interfaceName: string | null;
    readonly error?: string;
  }[];
  /** What is wished and cannot be had, though nothing is less safe without it. */
  readonly warnings: readonly string[];
}

/** What is read back together: the packet filter, the routes, and the rest of the host. */
export type KernelPart = 'table' | 'routes' | 'host';

const KERNEL_PARTS: readonly KernelPart[] = ['table', 'routes', 'host'];

/** What the loop needs of the dataplane. */
export interface Enforcer {
  apply(state: DataplaneState): ApplyReport;
  /** Whether the last apply left all of an endpoint in the kernel. */
  isEnforced(endpointId: string): boolean;
  /** The next apply reads the kernel back, all of it or one part, and tries again what was refused there. */
  resync(part?: KernelPart): void;
}

/** A workload whose policy, addresses and routes somebody waits for. */
export interface AwaitedEndpoint {
  readonly id: string;
  readonly interfaceName: string;
  readonly addresses: readonly string[];
}

export interface ApplyLoopOptions {
  readonly calculation: Calculation;
  readonly enforcer: Enforcer;
  /** Told after each apply. */
  readonly onApplied: (state: DataplaneState, report: ApplyReport) => void;
}

interface Waiter {
  readonly endpoint: AwaitedEndpoint;
  readonly resolve: () => void;
}

/** Changes that arrive within this time share one apply. */
const COALESCE_MS = 5;
/** How many times as long as an apply took none follows it, and the longest. Each apply has costs that many share. */
const REST_TIMES = 2;
const REST_MAX_MS = 200;
const BACKOFF_MS = { first: 100, most: 10_000 } as const;

/**
 * Nothing is written to the kernel before the first in-sync: a half-read cluster would look like
 * one in which most things were deleted. After that the loop always works towards the newest state;
 * what was refused is tried again with back-off, each time from what the kernel really holds. Changes in
 * between go through, without what was refused; where nothing went through, they wait for the next try.
 */
export class ApplyLoop {
  readonly #options: ApplyLoopOptions;
  readonly #waiters = new Set<Waiter>();
  #inSync = false;
  /** What is enforced before the first in-sync, where something is. */
  #meanwhile: DataplaneState | undefined;
  #applied = false;
  /** Tries in a row that left something undone. */
  #failures = 0;
  #retryAt = 0;
  /** The kernel takes nothing: until the next try nothing is sent to it, whatever arrives. */
  #isStuck = false;
  readonly #resyncDue = new Set<KernelPart>();
  #timer: NodeJS.Timeout | undefined;
  #timerAt = 0;
  /** An apply is followed by some time without one: what arrives meanwhile shares the next. */
  #restUntil = 0;

  constructor(options: ApplyLoopOptions) {
    this.#options = options;
  }

  /** In sync once, and the last apply left nothing undone. */
  get ready(): boolean {
    return this.#applied && this.#failures === 0;
  }

  onUpdates(updates: readonly SyncerUpdate[]): void {
    this.#options.calculation.onUpdates(updates);
    this.#schedule(COALESCE_MS);
  }

  /** Looks at the kernel, all of it or some parts, and makes it as desired again. */
  repair(parts: readonly KernelPart[] = KERNEL_PARTS): void {
    for (const part of parts) this.#resyncDue.add(part);
    this.#schedule(0);
  }

  /** Each in-sync is followed by an apply, also where nothing has changed: what it reports is of that. */
  onStatus(status: 'waiting' | 'resync' | 'in-sync'): void {
    if (status !== 'in-sync') return;
    this.#inSync = true;
    this.#schedule(0);
  }

  /** Enforces a state that is known from before, for as long as the server is out of reach since the start. */
  enforceMeanwhile(state: DataplaneState): void {
    this.#meanwhile = state;
    this.#schedule(0);
  }

  /**
   * Resolves when an apply that began after this call left the endpoint in the kernel as given:
   * its chains, its dispatch and its routes. Rejects with the signal's reason.
   */
  async waitEnforced(endpoint: AwaitedEndpoint, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter: Waiter = { endpoint, resolve };
    const abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    this.#waiters.add(waiter);
    this.#schedule(0);
    try {
      await promise;
    } finally {
      this.#waiters.delete(waiter);
      signal.removeEventListener('abort', abort);
    }
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #schedule(delayMs: number): void {
    if (!this.#inSync && !this.#meanwhile) return;
    const soonest = Math.max(this.#restUntil, this.#isStuck ? this.#retryAt : 0);
    const at = Math.max(Date.now() + delayMs, soonest);
    if (this.#timer && this.#timerAt <= at) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    this.#timer = setTimeout(() => this.#apply(), Math.max(0, at - Date.now()));
  }

  #apply(): void {
    const begun = performance.now();
    this.#timer = undefined;
    this.#applyOnce();
    const took = performance.now() - begun;
    this.#restUntil = Date.now() + Math.min(REST_TIMES * took, REST_MAX_MS);
  }

  #applyOnce(): void {
    const { calculation, enforcer, onApplied } = this.#options;
    const waiters = [...this.#waiters];
    const isTry = this.#failures === 0 || this.#isStuck || Date.now() >= this.#retryAt;
    const isAll = this.#resyncDue.size === KERNEL_PARTS.length || (isTry && this.#failures > 0);
    if (isAll) enforcer.resync();
    else for (const part of this.#resyncDue) enforcer.resync(part);
    this.#resyncDue.clear();
    const state = this.#inSync ? calculation.state() : (this.#meanwhile ?? calculation.state());
    const report = attempt(state, enforcer);
    this.#applied = this.#inSync;
    this.#note(report, isTry);
    // What the kernel refused elsewhere holds up nobody whose own part is complete.
    for (const waiter of waiters) {
      if (holds(state, waiter.endpoint) && enforcer.isEnforced(waiter.endpoint.id))
        waiter.resolve();
    }
    onApplied(state, report);
  }

  /** Plans the next try when something was left undone. */
  #note(report: ApplyReport, isTry: boolean): void {
    this.#isStuck = report.stuck;
    if (report.errors.length === 0) {
      this.#failures = 0;
      return;
    }
    if (isTry) {
      const delay = BACKOFF_MS.first * 2 ** this.#failures;
      this.#failures++;
      this.#retryAt = Date.now() + Math.min(delay, BACKOFF_MS.most);
    }
    this.#schedule(Math.max(0, this.#retryAt - Date.now()));
  }
}

/** Of an apply that threw it is not known what it has done: what it cannot vouch for is not in force. */
function attempt(state: DataplaneState, enforcer: Enforcer): ApplyReport {
  try {
    return enforcer.apply(state);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return {
      writes: 0,
      errors: [{ what: 'apply', message }],
      repaired: [],
      stuck: true,
      unfiltered: [...state.endpoints.keys()].filter((id) => !enforcer.isEnforced(id)),
      hostEndpoints: [...state.hostEndpoints.values()].map(({ id, interfaceName }) => ({
        id,
        interfaceName,
        error: message,
      })),
      warnings: [],
    };
  }
}

function holds(state: DataplaneState, awaited: AwaitedEndpoint): boolean {
  const endpoint = state.endpoints.get(awaited.id);
  return (
    endpoint !== undefined &&
    endpoint.interfaceName === awaited.interfaceName &&
    awaited.addresses.every((address) => endpoint.addresses.some((own) => sameHost(own, address)))
  );
}

/** `10.0.0.1/32` and `10.0.0.1` are the same host. */
function sameHost(own: string, awaited: string): boolean {
  return own.split('/')[0] === awaited.split('/')[0];
}
