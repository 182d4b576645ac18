// Forgets the connections of workloads that have gone, so that the next owner of an address inherits none.
import type { DataplaneState } from '#calc/dataplane-update';
import { differences } from '#lib';
import type { ConntrackEntry } from '#linux';

/** What is needed of connection tracking. */
export interface ConnectionTable {
  dump(): ConntrackEntry[];
  delete(entry: ConntrackEntry): boolean;
}

export interface StaleConnectionsOptions {
  /** Told how many connections were forgotten some time after an apply. */
  readonly onForgotten?: (count: number) => void;
  readonly intervalMs?: number;
}

/** Reading all connections takes time, however few are looked for. */
const INTERVAL_MS = 500;

/**
 * Established connections pass before policy: those of an address that left this host would let old peers
 * talk to whoever has it next. Called after each apply, when the old owner's chains and routes are gone. Where
 * workloads keep going, those of one interval are looked for together, but before somebody else gets their address.
 */
export class StaleConnections {
  readonly #connections: ConnectionTable;
  readonly #onForgotten: (count: number) => void;
  readonly #intervalMs: number;
  #endpoints: DataplaneState['endpoints'] = new Map();
  readonly #gone = new Set<string>();
  #lookedAt = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;

  constructor(connections: ConnectionTable, options: StaleConnectionsOptions = {}) {
    this.#connections = connections;
    this.#onForgotten = options.onForgotten ?? (() => undefined);
    this.#intervalMs = options.intervalMs ?? INTERVAL_MS;
  }

  /** Returns how many connections were forgotten by now. Costs a dump when an address has lost its owner. */
  onApplied({ endpoints }: Pick<DataplaneState, 'endpoints'>): number {
    const changes = [...differences(this.#endpoints, endpoints)];
    this.#endpoints = endpoints;
    for (const { before, after } of changes) {
      // Another interface is another owner.
      const kept = after?.interfaceName === before?.interfaceName ? after?.addresses : [];
      for (const prefix of before?.addresses ?? []) {
        if (!kept?.includes(prefix)) this.#gone.add(addressOf(prefix));
      }
    }
    if (this.#gone.size === 0) return 0;
    const isTaken = changes.some(({ after }) =>
      after?.addresses.some((prefix) => this.#gone.has(addressOf(prefix))),
    );
    const left = this.#lookedAt + this.#intervalMs - performance.now();
    if (isTaken || left <= 0) return this.#forget();
    this.#timer ??= setTimeout(() => this.#onForgotten(this.#forget()), left);
    return 0;
  }

  /** What is still to be forgotten is forgotten now. */
  stop(): void {
    this.#forget();
  }

  #forget(): number {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#gone.size === 0) return 0;
    const gone = new Set(this.#gone);
    this.#gone.clear();
    this.#lookedAt = performance.now();
    let forgotten = 0;
    for (const entry of this.#connections.dump()) {
      const { original, reply } = entry;
      const ends = [original.source, original.destination, reply.source, reply.destination];
      if (ends.some((end) => gone.has(end)) && this.#connections.delete(entry)) forgotten++;
    }
    return forgotten;
  }
}

/** `10.0.0.1/32` without its length. */
function addressOf(prefix: string): string {
  return prefix.split('/')[0] ?? prefix;
}
