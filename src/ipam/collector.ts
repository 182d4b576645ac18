// Compares owners and allocations again and again, and mends what has been wrong for long enough.
import type { IPPool } from '#api';
import { type AddressCount, LeakCounts } from './address-counts.ts';
import {
  type ClusterState,
  type Finding,
  findDifferences,
  type Observation,
  type Observations,
  observe,
  waitsFor,
} from './collection.ts';
import { type CollectorClient, mend, type Mended } from './mend.ts';
import { type ClusterReading, readCluster } from './read-cluster.ts';

export interface CollectorOptions {
  readonly client: CollectorClient;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
  /** In place of the cluster's leakGracePeriod; milliseconds. */
  readonly graceMs?: number;
}

export interface Checked {
  readonly finding: Finding;
  readonly observation: Observation;
  /** Why nothing may be done about it yet; undefined when it may. */
  readonly waitsFor: string | undefined;
}

export interface LoopOptions {
  readonly intervalMs: number;
  readonly onMended: (mended: Mended) => void;
  /** What is done at the same times. */
  readonly afterTurn?: () => Promise<void>;
  readonly onError: (error: unknown) => void;
}

/** Remembers what it saw: two looks at the same difference are what it acts on. */
export class Collector {
  readonly #options: CollectorOptions;
  readonly #now: () => number;
  #observations: Observations = new Map();
  #last: readonly Checked[] = [];
  #mended = new Set<string>();
  #pools: readonly IPPool[] = [];
  readonly #reclaimed = new LeakCounts();
  #stop = new AbortController();
  #loop: Promise<void> | undefined;

  constructor(options: CollectorOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** Leaks that the last look found and that are not mended, and those that were, by pool and node. */
  get leaks(): Readonly<Record<'candidates' | 'reclaimed', readonly AddressCount[]>> {
    const candidates = new LeakCounts();
    for (const { finding } of this.#last) {
      if (!this.#mended.has(finding.id)) candidates.add(this.#pools, finding);
    }
    return { candidates: candidates.list(), reclaimed: this.#reclaimed.list() };
  }

  /** Looks once. Throws the client's errors. */
  async check(): Promise<Checked[]> {
    return this.checkReading(await readCluster(this.#options.client));
  }

  /** Looks at what was read. */
  checkReading(reading: ClusterState & Pick<ClusterReading, 'graceMs'>): Checked[] {
    const nowMs = this.#now();
    const findings = findDifferences(reading, nowMs);
    this.#observations = observe(findings, this.#observations, nowMs);
    const timing = { nowMs, graceMs: this.#options.graceMs ?? reading.graceMs };
    const checked = findings.map((finding) => {
      const observation = this.#observations.get(finding.id) ?? { since: nowMs, count: 1 };
      return { finding, observation, waitsFor: waitsFor(finding, observation, timing) };
    });
    this.#last = checked;
    this.#mended = new Set();
    this.#pools = reading.pools;
    return checked;
  }

  /** Mends what the last look found due. Throws the client's errors of reading. */
  async mend(): Promise<Mended[]> {
    const due = this.#last.filter((each) => each.waitsFor === undefined);
    if (due.length === 0) return [];
    const findings = due.map(({ finding }) => finding);
    const results = await mend(this.#options.client, findings, this.#now());
    for (const { finding, failure } of results) {
      if (failure !== undefined) continue;
      this.#reclaimed.add(this.#pools, finding);
      this.#mended.add(finding.id);
    }
    return results;
  }

  /** Looks and mends every `intervalMs` until `stop`; not while the datastore is locked. */
  start({ intervalMs, onMended, afterTurn, onError }: LoopOptions): void {
    this.#stop = new AbortController();
    const { signal } = this.#stop;
    const run = async (): Promise<void> => {
      while (!signal.aborted) {
        try {
          await this.#turn(onMended);
          await afterTurn?.();
        } catch (error) {
          if (!signal.aborted) onError(error);
        }
        await pause(intervalMs, signal);
      }
    };
    this.#loop = run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#loop;
  }

  async #turn(onMended: LoopOptions['onMended']): Promise<void> {
    const reading = await readCluster(this.#options.client);
    if (reading.information?.spec.datastoreReady === false) return;
    this.checkReading(reading);
    for (const mended of await this.mend()) onMended(mended);
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const timer = setTimeout(done, ms);
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    }
    return signal.addEventListener('abort', done);
  });
}
