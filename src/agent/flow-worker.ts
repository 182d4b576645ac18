// The agent's side of the thread that reads flows: explains its prefixes, takes its reports, keeps it alive.
import { Worker } from 'node:worker_threads';
import type { ConnectionReport, RuleHit } from '#flows';
import type {
  FlowReadingState,
  FlowThreadOptions,
  FromFlowThread,
  SocketDetails,
  ToFlowThread,
} from './flow-messages.ts';

export interface FlowWorkerOptions extends FlowThreadOptions {
  /** What a log prefix stands for; undefined for what decides nothing, or is not ours. */
  readonly hitOf: (prefix: string) => RuleHit | undefined;
  readonly onReports: (reports: readonly ConnectionReport[]) => void;
  readonly log: (message: string) => void;
  /** How many seconds it took to take connections in, each time. */
  readonly onRead?: (seconds: readonly number[]) => void;
}

const RESTART_MS = 1_000;
/** Losses are told once in a while. */
const TELL_MS = 10_000;
const EXPLAINED_MAX = 20_000;

/** Starts the thread at once, and again should it end by itself. `stop` takes what it still has. */
export class FlowWorker {
  readonly #options: FlowWorkerOptions;
  /** What the thread was told, to tell it when that changes. */
  readonly #explained = new Map<string, RuleHit | null>();
  #worker: Worker;
  /** Undefined until the first is known: then the thread begins to read. */
  #locals: readonly string[] | undefined;
  #details: SocketDetails = { process: false, tcp: false };
  #state: FlowReadingState | undefined;
  #told = '';
  #tellAt = 0;
  #olderTold = false;
  #stopping = false;
  #restarts = 0;
  #restartTimer: NodeJS.Timeout | undefined;

  constructor(options: FlowWorkerOptions) {
    this.#options = options;
    this.#worker = this.#start();
  }

  /** Undefined until the thread has said something. */
  get state(): FlowReadingState | undefined {
    return this.#state;
  }

  /** How often the thread ended by itself. */
  get restarts(): number {
    return this.#restarts;
  }

  /** Addresses of this host's workloads, without length. The thread reads nothing before it has them. */
  setLocals(addresses: readonly string[]): void {
    if (this.#locals && addresses.join() === this.#locals.join()) return;
    this.#locals = addresses;
    this.#tell({ type: 'locals', addresses });
  }

  setDetails(details: SocketDetails): void {
    const { process, tcp } = this.#details;
    if (details.process === process && details.tcp === tcp) return;
    this.#details = details;
    this.#tell({ type: 'details', details });
  }

  /** To be called when rules have changed: what the thread knows of prefixes follows. */
  refresh(): void {
    const changed: [string, RuleHit | null][] = [];
    for (const [prefix, before] of this.#explained) {
      const hit = this.#options.hitOf(prefix);
      // A rule that has gone keeps its meaning: packets may still be on their way.
      if (hit === undefined || hit === before || JSON.stringify(hit) === JSON.stringify(before))
        continue;
      this.#explained.set(prefix, hit);
      changed.push([prefix, hit]);
    }
    if (changed.length > 0) this.#tell({ type: 'hits', hits: changed });
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#restartTimer);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#worker.once('exit', () => resolve());
    if (this.#worker.threadId === -1) resolve();
    this.#tell({ type: 'stop' });
    await promise;
  }

  #start(): Worker {
    const { groups, namespace, intervalMs, maxConnections } = this.#options;
    const { logBufferBytes, conntrackBufferBytes } = this.#options;
    const workerData: FlowThreadOptions = {
      groups,
      ...(namespace !== undefined && { namespace }),
      ...(intervalMs !== undefined && { intervalMs }),
      ...(maxConnections !== undefined && { maxConnections }),
      ...(logBufferBytes !== undefined && { logBufferBytes }),
      ...(conntrackBufferBytes !== undefined && { conntrackBufferBytes }),
    };
    const worker = new Worker(new URL('./flow-thread.ts', import.meta.url), { workerData });
    worker.on('message', (message: FromFlowThread) => this.#onMessage(message));
    worker.on('error', (error) =>
      this.#options.log(`Cannot go on reading flows: ${String(error)}`),
    );
    worker.on('exit', () => this.#onExit());
    this.#worker = worker;
    this.#explained.clear();
    this.#olderTold = false;
    if (this.#locals) this.#tell({ type: 'locals', addresses: this.#locals });
    this.#tell({ type: 'details', details: this.#details });
    return worker;
  }

  #onExit(): void {
    if (this.#stopping) return;
    this.#restarts++;
    const followed = this.#state?.connections ?? 0;
    this.#options.log(
      `The flow reader ended and is started again; what ${followed} connections counted since their ` +
        'last report is lost',
    );
    this.#restartTimer = setTimeout(() => this.#start(), RESTART_MS);
  }

  #onMessage(message: FromFlowThread): void {
    switch (message.type) {
      case 'ask':
        return this.#explain(message.prefixes);
      case 'reports':
        this.#options.onReports(message.reports);
        // Whatever else waits for this thread comes first.
        setImmediate(() => this.#tell({ type: 'taken' }));
        return;
      case 'read':
        return this.#options.onRead?.(message.seconds);
      case 'state':
        this.#state = message.state;
        this.#tellOlder(message.state);
        return this.#tellLost(message.state);
      default:
        return message satisfies never;
    }
  }

  #explain(prefixes: readonly string[]): void {
    if (this.#explained.size > EXPLAINED_MAX) this.#explained.clear();
    const hits = prefixes.map((prefix) => [prefix, this.#options.hitOf(prefix) ?? null] as const);
    for (const [prefix, hit] of hits) this.#explained.set(prefix, hit);
    this.#tell({ type: 'hits', hits });
  }

  /** What was counted while nobody read, from one reader to the next, is in no report. */
  #tellOlder({ older }: FlowReadingState): void {
    if (this.#olderTold || older.connections === 0) return;
    this.#olderTold = true;
    this.#options.log(
      `${older.connections} connections are older than this reader of flows; their ${older.packets} packets ` +
        'so far were told by the reader before it, or are lost',
    );
  }

  #tellLost({
    groups,
    dropped,
    unnamed,
    overruns,
    lateStarts,
    unsaidEnds,
  }: FlowReadingState): void {
    const logged = groups.reduce((sum, { lost }) => sum + lost, 0);
    const sums = { logged, dropped, unnamed, overruns, lateStarts, unsaidEnds };
    const text = JSON.stringify(sums);
    const isLoss = logged + dropped + unnamed + overruns + unsaidEnds > 0;
    if (text === this.#told || Date.now() < this.#tellAt) return;
    this.#told = text;
    if (isLoss) {
      this.#tellAt = Date.now() + TELL_MS;
      this.#options.log(
        `Flow events were lost so far: ${logged} logged packets, ${dropped} packets of too many connections, ` +
          `${unnamed} of unknown rules; ${overruns} overruns of connection events, after which ` +
          `${lateStarts} connections were found late and ${unsaidEnds} ended with counts missing`,
      );
    }
  }

  #tell(message: ToFlowThread): void {
    this.#worker.postMessage(message);
  }
}
