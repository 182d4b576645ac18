// Reads the kernel's policy log and connection events, and turns them into reports of connections.
import type { ConnectionReport, ConnectionTracker, RuleHit } from '#flows';
import {
  type ConntrackEvent,
  type ConntrackSocket,
  type LogPacket,
  type LogReader,
  parsePacket,
  type Poller,
} from '#linux';

export interface FlowCollectorOptions {
  /** Open readers of the policy log, one for each group. */
  readonly logs: readonly LogReader[];
  readonly conntrack: ConntrackSocket;
  readonly poller: Poller;
  readonly tracker: ConnectionTracker;
  /** What a log prefix stands for; undefined for prefixes that are not ours. */
  readonly hitOf: (prefix: string) => RuleHit | undefined;
  readonly onReports: (reports: readonly ConnectionReport[]) => void;
  /** Told when more events were given up; `lost` is the sum since the start. */
  readonly onLost: (lost: number) => void;
  readonly intervalMs?: number;
}

const INTERVAL_MS = 1_000;
/** Every so many intervals the live connections' counters are read, so that long ones show. */
const DUMP_EVERY = 2;

export class FlowCollector {
  readonly #options: FlowCollectorOptions;
  readonly #timer: NodeJS.Timeout;
  #ticks = 0;
  #lostTold = 0;

  constructor(options: FlowCollectorOptions) {
    this.#options = options;
    const { poller, logs, conntrack } = options;
    for (const log of logs) poller.onReadable(log.fd, () => this.#readLog(log));
    poller.onReadable(conntrack.fd, () => this.#readConntrack());
    this.#timer = setInterval(() => this.#tick(), options.intervalMs ?? INTERVAL_MS);
  }

  /** Events that the kernel or the tracker had to give up. */
  get lost(): number {
    const { logs, conntrack, tracker } = this.#options;
    return logs.reduce((sum, log) => sum + log.lost, conntrack.lost) + tracker.dropped;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #readLog(log: LogReader): void {
    for (const packet of log.read()) this.#onPacket(packet);
  }

  #onPacket(packet: LogPacket): void {
    const hit = this.#options.hitOf(packet.prefix);
    const tuple = hit && parsePacket(packet.payload);
    if (hit && tuple) this.#options.tracker.onRuleHit(hit, tuple, Date.now());
  }

  #readConntrack(): void {
    for (const event of this.#options.conntrack.events()) this.#onConnection(event);
  }

  #onConnection(event: ConntrackEvent): void {
    this.#options.tracker.onConntrack(event, Date.now());
  }

  #tick(): void {
    const { conntrack, tracker, onReports } = this.#options;
    for (const log of this.#options.logs) this.#readLog(log);
    this.#readConntrack();
    if (this.#ticks++ % DUMP_EVERY === 0) {
      const entries = conntrack.dump().map((entry) => ({ ...entry, type: 'update' as const }));
      tracker.onListing(entries, Date.now());
    }
    const reports = tracker.drain(Date.now());
    if (reports.length > 0) onReports(reports);
    this.#tellLost();
  }

  #tellLost(): void {
    const { lost } = this;
    if (lost > this.#lostTold) this.#options.onLost(lost);
    this.#lostTold = lost;
  }
}
