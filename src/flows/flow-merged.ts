// Reports that cannot be handed on one by one: merged into few with exact sums, which say what they stand for.
import { type Flow } from './flow.ts';
import { FlowAggregator } from './flow-aggregator.ts';
import type { FlowRecord, RecordEnd } from './flow-record.ts';

export interface MergedFlowsOptions {
  /** Records of one bucket above which they no longer tell apart what the next level does not. */
  readonly recordsMax: number;
  readonly bucketMs?: number;
}

const BUCKET_MS = 15_000;
/** Buckets grow to an hour at most. */
const BUCKET_MAX_MS = 3_600_000;

/**
 * Sums are exact whatever is merged. When there are too many records at all, buckets become twice as long;
 * `live` is then that of the last of the buckets that became one.
 */
export class MergedFlows {
  readonly #recordsMax: number;
  #bucketMs: number;
  #aggregator: FlowAggregator;

  constructor({ recordsMax, bucketMs = BUCKET_MS }: MergedFlowsOptions) {
    this.#recordsMax = recordsMax;
    this.#bucketMs = bucketMs;
    this.#aggregator = this.#fresh();
  }

  get size(): number {
    return this.#aggregator.size;
  }

  add(flow: Flow, nowMs: number): void {
    this.#aggregator.add(flow, nowMs);
    if (this.#aggregator.size > this.#recordsMax * 2 && this.#bucketMs < BUCKET_MAX_MS) {
      this.#coarsen(nowMs);
    }
  }

  /** All of it, oldest first; nothing is left. */
  take(nowMs: number): Flow[] {
    const flows = this.#aggregator.flush(nowMs, true).map(flowOfRecord);
    this.#aggregator = this.#fresh();
    return flows;
  }

  #fresh(): FlowAggregator {
    return new FlowAggregator({ bucketMs: this.#bucketMs, recordsMax: this.#recordsMax });
  }

  #coarsen(nowMs: number): void {
    const flows = this.#aggregator.flush(nowMs, true).map(flowOfRecord);
    this.#bucketMs *= 2;
    this.#aggregator = this.#fresh();
    const bucketOf = ({ endTime }: Flow) => Math.floor(endTime / this.#bucketMs);
    const half = ({ endTime }: Flow) => Math.floor((endTime * 2) / this.#bucketMs);
    const last = new Map<number, number>();
    for (const flow of flows) {
      last.set(bucketOf(flow), Math.max(half(flow), last.get(bucketOf(flow)) ?? 0));
    }
    for (const flow of flows) {
      const isLast = half(flow) === last.get(bucketOf(flow));
      const connections = isLast ? flow.connections : { ...flow.connections, live: 0 };
      this.#aggregator.add({ ...flow, connections }, nowMs);
    }
  }
}

/** A record as a report that stands for all that it was merged from. */
function flowOfRecord(record: FlowRecord): Flow {
  const { sourcePort, port, icmpType, service, calledAddress, calledPort, tcp, pending } = record;
  const [process] = record.processes;
  const { level, flows } = record;
  return {
    startTime: record.startTime,
    endTime: record.endTime,
    reporter: record.reporter,
    node: record.node,
    source: endOf(record.source),
    destination: endOf(record.destination),
    protocol: record.protocol,
    ...(sourcePort !== null && { sourcePort }),
    ...(port !== null && { port }),
    ...(icmpType !== null && { icmpType }),
    verdict: record.verdict,
    packets: record.packets,
    bytes: record.bytes,
    connections: { ...record.connections, live: Math.max(0, record.connections.live) },
    policies: record.policies,
    ...(pending.length > 0 && { pending }),
    ...(service && { service }),
    ...((calledAddress !== null || calledPort !== null) && {
      translation: {
        ...(calledAddress !== null && { calledAddress }),
        ...(calledPort !== null && { calledPort }),
      },
    }),
    ...(process && { process }),
    ...(tcp && {
      tcp: {
        rtt: Math.round(tcp.rttSum / tcp.samples),
        minRtt: tcp.minRttMin,
        mss: tcp.mssMin,
        congestionWindow: tcp.congestionWindowMin,
        retransmissions: tcp.retransmissions,
        lost: tcp.lost,
      },
    }),
    merged: { flows, level },
  };
}

/** An address that is no longer told is empty. */
function endOf({ address, ...end }: RecordEnd): Flow['source'] {
  return { ...end, address: address ?? '' };
}
