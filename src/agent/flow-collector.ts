// Reads the kernel's policy log and connection events, and turns them into reports of connections.
import type { ConnectionEvent, ConnectionReport, ConnectionTracker, RuleHit } from '#flows';
import {
  type ConntrackSocket,
  type LogPacket,
  type LogReader,
  parsePacket,
  type Poller,
} from '#linux';
import type { FlowReadingState } from './flow-messages.ts';

export interface FlowCollectorOptions {
  /** Open readers of the policy log, by group. */
  readonly logs: ReadonlyMap<number, LogReader>;
  readonly conntrack: ConntrackSocket;
  readonly poller: Poller;
  readonly tracker: ConnectionTracker;
  /** Asks what log prefixes stand for; the answer comes by `onHits`. */
  readonly ask: (prefixes: readonly string[]) => void;
  /** Takes a bounded number of reports; `onTaken` says that more may come. */
  readonly onReports: (reports: readonly ConnectionReport[]) => void;
  readonly onState: (state: FlowReadingState) => void;
  /** How many seconds it took to take connections in, each time. */
  readonly onRead?: (seconds: readonly number[]) => void;
  /** Until it is known which workloads are here, everything waits in the kernel's buffers. */
  readonly isReady: () => boolean;
  /** Adds what is known of the connections' sockets. */
  readonly inspect?: (reports: ConnectionReport[]) => ConnectionReport[];
  /** Told of connections that begin and end, at once. */
  readonly onEvents?: (events: readonly ConnectionEvent[]) => void;
  readonly intervalMs?: number;
}

const INTERVAL_MS = 1_000;
/** Live connections are listed this often, and not more often than takes a twentieth of the time. */
const LISTING_MS = 2_000;
const LISTING_SHARE = 20;
const BATCH_MAX = 500;
/** How long a log waits for the meaning of a prefix; then its packet is counted as one of nobody. */
const ANSWER_MS = 5_000;
const KNOWN_MAX = 50_000;

/** A log whose next packet has a prefix that nobody has explained yet. */
interface Waiting {
  readonly packets: readonly LogPacket[];
  readonly sinceMs: number;
}

/**
 * Never waits for whoever takes the reports: until they are taken, connections go on adding up. A log waits
 * for the meaning of its prefixes in the kernel's buffer, so that its packets keep their order.
 */
export class FlowCollector {
  readonly #options: FlowCollectorOptions;
  readonly #timer: NodeJS.Timeout;
  readonly #hits = new Map<string, RuleHit | null>();
  readonly #asked = new Set<string>();
  readonly #waiting = new Map<LogReader, Waiting>();
  /** The last packet that a source's policy has allowed. */
  #allowed: Uint8Array | undefined;
  #outbox: ConnectionReport[] = [];
  #isTaken = true;
  #listAt = 0;
  #unnamed = 0;
  #overruns = 0;
  #stateText = '';
  /** Seconds each, since it was told. */
  #reads: number[] = [];

  readonly #unreadable = new Map<LogReader, number>();

  constructor(options: FlowCollectorOptions) {
    this.#options = options;
    const { poller, logs, conntrack } = options;
    for (const log of logs.values()) poller.onReadable(log.fd, () => this.#readLog(log));
    poller.onReadable(conntrack.fd, () => this.#readConntrack());
    this.#timer = setInterval(() => this.#tick(), options.intervalMs ?? INTERVAL_MS);
  }

  state(): FlowReadingState {
    const { logs, conntrack, tracker } = this.#options;
    const { size, lateStarts, unsaidEnds, dropped, older } = tracker;
    return {
      groups: [...logs].map(([group, log]) => ({
        group,
        received: log.received,
        datagrams: log.datagrams,
        lost: log.lost,
        unreadable: this.#unreadable.get(log) ?? 0,
      })),
      connections: size,
      overruns: conntrack.lost,
      lateStarts,
      unsaidEnds,
      dropped,
      unnamed: this.#unnamed,
      older,
    };
  }

  /** What prefixes stand for, from now on; null is nothing that decides. */
  onHits(hits: readonly (readonly [prefix: string, hit: RuleHit | null])[]): void {
    if (this.#hits.size + hits.length > KNOWN_MAX) this.#hits.clear();
    for (const [prefix, hit] of hits) {
      this.#hits.set(prefix, hit);
      this.#asked.delete(prefix);
    }
    // One that still waits would come again and again in the map itself.
    const logs = [...this.#waiting.keys()];
    for (const log of logs) this.#readLog(log);
  }

  onTaken(): void {
    this.#isTaken = true;
    this.#send();
  }

  /** Reads what there is; whether a log waits for the meaning of a prefix. */
  readAll(): boolean {
    for (const log of this.#options.logs.values()) {
      if (!this.#waiting.has(log)) this.#readLog(log);
    }
    this.#readConntrack();
    return this.#waiting.size > 0;
  }

  /** Reads once more; returns what was not handed over. */
  stop(): readonly ConnectionReport[] {
    clearInterval(this.#timer);
    this.readAll();
    return [...this.#outbox, ...this.#drain(Date.now(), true)];
  }

  #readLog(log: LogReader): void {
    if (!this.#options.isReady()) return;
    const waiting = this.#waiting.get(log);
    this.#waiting.delete(log);
    const isLate = waiting !== undefined && Date.now() - waiting.sinceMs >= ANSWER_MS;
    if (waiting && !this.#takeIn(log, waiting.packets, waiting.sinceMs, isLate)) return;
    this.#takeIn(log, log.read(), Date.now(), false);
  }

  /** Whether all packets could be named; otherwise the rest waits. */
  #takeIn(
    log: LogReader,
    packets: readonly LogPacket[],
    sinceMs: number,
    isLate: boolean,
  ): boolean {
    for (const [index, packet] of packets.entries()) {
      const hit = this.#hits.get(packet.prefix);
      if (hit === undefined && !isLate) {
        const rest = packets.slice(index);
        this.#waiting.set(log, { packets: rest, sinceMs });
        this.#askFor(rest);
        return false;
      }
      if (hit === undefined) {
        this.#unnamed++;
        this.#asked.delete(packet.prefix);
      }
      if (hit && this.#isLaterStage(hit, packet)) continue;
      const tuple = hit && parsePacket(packet.payload);
      if (hit && tuple) this.#options.tracker.onRuleHit(hit, tuple, Date.now());
      else if (hit) this.#unreadable.set(log, (this.#unreadable.get(log) ?? 0) + 1);
    }
    return true;
  }

  /**
   * What a workload sends may also meet a host endpoint on its way out, right after the workload's own policy
   * has allowed it: that is not the trace of the workload's end, unless it denies.
   */
  #isLaterStage({ direction, action }: RuleHit, { payload }: LogPacket): boolean {
    if (direction !== 'egress' || action === 'Deny') return false;
    if (this.#allowed && Buffer.compare(this.#allowed, payload) === 0) return true;
    if (action === 'Allow') this.#allowed = payload;
    return false;
  }

  #askFor(packets: readonly LogPacket[]): void {
    const prefixes = new Set(packets.map(({ prefix }) => prefix));
    const news = [...prefixes].filter((one) => !this.#hits.has(one) && !this.#asked.has(one));
    if (news.length === 0) return;
    for (const prefix of news) this.#asked.add(prefix);
    this.#options.ask(news);
  }

  #readConntrack(): void {
    const { conntrack, tracker, isReady } = this.#options;
    if (!isReady()) return;
    const now = Date.now();
    const began = performance.now();
    const events = conntrack.events();
    this.#options.onEvents?.(events);
    for (const event of events) tracker.onConntrack(event, now);
    if (events.length > 0) this.#noteRead(began);
    // What was lost shows in a listing: the sooner, the less is missing.
    if (conntrack.lost > this.#overruns) this.#listAt = 0;
    this.#overruns = conntrack.lost;
  }

  #tick(): void {
    for (const log of this.#options.logs.values()) {
      if (!this.#waiting.has(log)) this.#readLog(log);
      else this.#giveUpWaiting(log);
    }
    this.#readConntrack();
    const now = Date.now();
    if (now >= this.#listAt && this.#options.isReady()) this.#list(now);
    if (this.#isTaken && this.#outbox.length === 0) {
      this.#outbox = this.#drain(now);
      this.#send();
    }
    this.#tellState();
  }

  #giveUpWaiting(log: LogReader): void {
    const { sinceMs = 0 } = this.#waiting.get(log) ?? {};
    if (Date.now() - sinceMs >= ANSWER_MS) this.#readLog(log);
  }

  #list(now: number): void {
    const { conntrack, tracker } = this.#options;
    const began = performance.now();
    const entries = conntrack.dump().map((entry) => ({ ...entry, type: 'update' as const }));
    tracker.onListing(entries, now);
    const took = this.#noteRead(began);
    this.#listAt = now + Math.max(LISTING_MS, took * LISTING_SHARE);
  }

  /** Milliseconds since then. */
  #noteRead(began: number): number {
    const took = performance.now() - began;
    this.#reads.push(took / 1_000);
    return took;
  }

  #drain(now: number, last = false): ConnectionReport[] {
    const { tracker, inspect } = this.#options;
    const reports = tracker.drain(now, last);
    return inspect ? inspect(reports) : reports;
  }

  #send(): void {
    if (!this.#isTaken || this.#outbox.length === 0) return;
    this.#isTaken = false;
    this.#options.onReports(this.#outbox.splice(0, BATCH_MAX));
  }

  #tellState(): void {
    const state = this.state();
    const text = JSON.stringify(state);
    if (text !== this.#stateText) this.#options.onState(state);
    if (this.#reads.length > 0) this.#options.onRead?.(this.#reads);
    this.#reads = [];
    this.#stateText = text;
  }
}
