// The server's memory of flows: a bounded ring in which the reports of both ends of a connection meet.
import { type Flow, flowKey } from './flow.ts';
import { type FlowFilter, matchesFlow } from './flow-filter.ts';
import { JoinedFlow } from './joined-flow.ts';

export interface FlowLogOptions {
  /** Connections kept; above it the oldest goes. */
  readonly capacity?: number;
  /** How long a flow waits for the other end's report, or for counts, before subscribers see it. */
  readonly holdMs?: number;
  /** How often subscribers see a connection that goes on. */
  readonly repeatMs?: number;
}

const CAPACITY = 20_000;
const HOLD_MS = 5_000;
const REPEAT_MS = 15_000;

interface Subscriber {
  readonly filter: FlowFilter;
  readonly callback: (flow: Flow) => void;
}

/**
 * One flow for each connection, with totals so far. Time is passed in: call `publish` now and then, so that
 * subscribers also see flows whose other end never reports.
 */
export class FlowLog {
  readonly #options: Required<FlowLogOptions>;
  /** By serial number, oldest first. */
  readonly #flows = new Map<number, JoinedFlow>();
  readonly #newest = new Map<string, number>();
  readonly #unpublished = new Set<number>();
  readonly #subscribers = new Set<Subscriber>();
  #serial = 0;
  #dropped = 0;

  constructor(options: FlowLogOptions = {}) {
    this.#options = {
      capacity: options.capacity ?? CAPACITY,
      holdMs: options.holdMs ?? HOLD_MS,
      repeatMs: options.repeatMs ?? REPEAT_MS,
    };
  }

  /** Connections that made room for newer ones. */
  get dropped(): number {
    return this.#dropped;
  }

  get size(): number {
    return this.#flows.size;
  }

  /** Takes in reports, in any order between nodes. */
  append(flows: readonly Flow[], nowMs: number): void {
    for (const flow of flows) this.#append(flow, nowMs);
    this.publish(nowMs);
  }

  /**
   * Matching flows, oldest first; of more than the filter's limit, the newest. A flow that waits for the
   * report of its other end is not among them: what one end allowed the other may have denied.
   */
  query(filter: FlowFilter = {}): Flow[] {
    const { limit = Number.POSITIVE_INFINITY } = filter;
    const found: Flow[] = [];
    for (const joined of [...this.#flows.values()].reverse()) {
      if (found.length >= limit) break;
      if (joined.publishedMs === undefined) continue;
      const flow = joined.flow();
      if (matchesFlow(filter, flow)) found.push(flow);
    }
    return found.reverse();
  }

  /**
   * Calls back with each matching flow once both ends have reported it, and again with its totals when it
   * completes and from time to time while it goes on. Returns what ends the subscription.
   */
  subscribe(filter: FlowFilter, callback: (flow: Flow) => void): () => void {
    const subscriber = { filter, callback };
    this.#subscribers.add(subscriber);
    return () => void this.#subscribers.delete(subscriber);
  }

  /** Shows subscribers what is due. */
  publish(nowMs: number): void {
    for (const serial of this.#unpublished) {
      const joined = this.#flows.get(serial);
      if (joined && !joined.isDue(nowMs, this.#options)) continue;
      this.#unpublished.delete(serial);
      if (!joined) continue;
      joined.publishedMs = nowMs;
      const flow = joined.flow();
      for (const { filter, callback } of this.#subscribers) {
        if (matchesFlow(filter, flow)) callback(flow);
      }
    }
  }

  #append(flow: Flow, nowMs: number): void {
    const key = flowKey(flow);
    let serial = this.#newest.get(key);
    let joined = serial === undefined ? undefined : this.#flows.get(serial);
    if (serial === undefined || !joined?.accepts(flow)) {
      serial = ++this.#serial;
      joined = new JoinedFlow(nowMs);
      this.#flows.set(serial, joined);
      this.#newest.set(key, serial);
      this.#trim();
    }
    joined.add(flow);
    this.#unpublished.add(serial);
  }

  #trim(): void {
    for (const [serial, joined] of this.#flows) {
      if (this.#flows.size <= this.#options.capacity) return;
      const key = flowKey(joined.flow());
      if (this.#newest.get(key) === serial) this.#newest.delete(key);
      this.#flows.delete(serial);
      this.#unpublished.delete(serial);
      this.#dropped++;
    }
  }
}
