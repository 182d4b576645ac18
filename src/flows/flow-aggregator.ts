// Merges flow reports into records by bucket of time: sums stay exact, and what was merged is said.
import type { Flow, FlowProcess } from './flow.ts';
import {
  type AggregationLevel,
  type FlowRecord,
  type RecordEnd,
  recordKey,
  type RecordTcp,
} from './flow-record.ts';

export interface FlowAggregatorOptions {
  /** Length of a bucket. */
  readonly bucketMs?: number;
  /** How long after its end a bucket takes in late reports; later ones go into the oldest open one. */
  readonly lateMs?: number;
  readonly allowedLevel?: AggregationLevel;
  readonly deniedLevel?: AggregationLevel;
  /** Records of one bucket above which new keys are merged at the next level. */
  readonly recordsMax?: number;
  /** Processes that a record lists. */
  readonly processesMax?: number;
}

const DEFAULTS: Required<FlowAggregatorOptions> = {
  bucketMs: 15_000,
  lateMs: 15_000,
  allowedLevel: 1,
  deniedLevel: 1,
  recordsMax: 50_000,
  processesMax: 2,
};

/** What changes while a record grows. */
type Growing = { -readonly [K in keyof FlowRecord]: FlowRecord[K] };

interface Bucket {
  readonly start: number;
  readonly records: Map<string, Growing>;
  /** Grows when there are too many records; never shrinks within a bucket. */
  extra: number;
}

/**
 * Time is passed in. A bucket's records come out of `flush` once, when it is closed; sums over all
 * records are the sums over all reports taken in.
 */
export class FlowAggregator {
  readonly #options: Required<FlowAggregatorOptions>;
  readonly #buckets = new Map<number, Bucket>();
  #closedUntil = 0;
  #received = 0;
  #late = 0;

  constructor(options: FlowAggregatorOptions = {}) {
    this.#options = { ...DEFAULTS, ...options };
  }

  /** Reports taken in. */
  get received(): number {
    return this.#received;
  }

  /** Reports that came after their bucket was closed, and were counted in the next open one. */
  get late(): number {
    return this.#late;
  }

  /** Records of buckets that are open. */
  get size(): number {
    let size = 0;
    for (const { records } of this.#buckets.values()) size += records.size;
    return size;
  }

  add(flow: Flow, nowMs: number): void {
    this.#received += flow.merged?.flows ?? 1;
    const bucket = this.#bucketOf(flow, nowMs);
    const base = flow.verdict === 'deny' ? this.#options.deniedLevel : this.#options.allowedLevel;
    const level = levelOf(Math.max(base + bucket.extra, flow.merged?.level ?? 0));
    const key = recordKey(flow, level);
    const record = bucket.records.get(key);
    if (record) {
      mergeFlow(record, flow, { level, processesMax: this.#options.processesMax });
      return;
    }
    bucket.records.set(key, recordOf(flow, { level, bucketStart: bucket.start }));
    if (bucket.records.size > this.#options.recordsMax && level < 3) {
      bucket.extra++;
      remerge(bucket, this.#options.processesMax);
    }
  }

  /** Records of buckets that no report can reach any more; with `all`, of every bucket. */
  flush(nowMs: number, all = false): FlowRecord[] {
    const { bucketMs, lateMs } = this.#options;
    const open = all
      ? Number.POSITIVE_INFINITY
      : Math.floor((nowMs - lateMs) / bucketMs) * bucketMs;
    const flushed: FlowRecord[] = [];
    for (const start of [...this.#buckets.keys()].sort((a, b) => a - b)) {
      if (start >= open) break;
      for (const record of this.#buckets.get(start)?.records.values() ?? []) flushed.push(record);
      this.#buckets.delete(start);
      this.#closedUntil = Math.max(this.#closedUntil, start + bucketMs);
    }
    return flushed;
  }

  /** Records as they stand, open buckets included. */
  current(): FlowRecord[] {
    return [...this.#buckets.values()].flatMap(({ records }) => [...records.values()]);
  }

  #bucketOf(flow: Flow, nowMs: number): Bucket {
    const { bucketMs } = this.#options;
    // A clock that runs ahead cannot open buckets far in the future.
    const at = Math.min(flow.endTime, nowMs);
    let start = Math.floor(at / bucketMs) * bucketMs;
    if (start < this.#closedUntil) {
      this.#late++;
      start = this.#closedUntil;
    }
    let bucket = this.#buckets.get(start);
    if (!bucket) {
      bucket = { start, records: new Map(), extra: 0 };
      this.#buckets.set(start, bucket);
    }
    return bucket;
  }
}

function levelOf(level: number): AggregationLevel {
  return level <= 0 ? 0 : level === 1 ? 1 : level === 2 ? 2 : 3;
}

/** Merges what is there at one level more than it has. */
function remerge(bucket: Bucket, processesMax: number): void {
  const before = [...bucket.records.values()];
  bucket.records.clear();
  for (const record of before) {
    const level = levelOf(record.level + 1);
    const key = recordKey(asFlow(record), level);
    const there = bucket.records.get(key);
    if (there) mergeRecord(there, record, { level, processesMax });
    else bucket.records.set(key, { ...record, ...blurred(record, level), level });
  }
}

/** The record's identity as a flow's. */
function asFlow(record: FlowRecord): Flow {
  const {
    sourcePort,
    port,
    icmpType,
    service,
    calledAddress,
    calledPort,
    tcp: _,
    ...rest
  } = record;
  return {
    ...rest,
    source: { ...record.source, address: record.source.address ?? '' },
    destination: { ...record.destination, address: record.destination.address ?? '' },
    ...(sourcePort !== null && { sourcePort }),
    ...(port !== null && { port }),
    ...(icmpType !== null && { icmpType }),
    ...(service && { service }),
    translation: {
      ...(calledAddress !== null && { calledAddress }),
      ...(calledPort !== null && { calledPort }),
    },
  };
}

interface Merging {
  readonly level: AggregationLevel;
  readonly processesMax: number;
}

function recordOf(
  flow: Flow,
  { level, bucketStart }: { level: AggregationLevel; bucketStart: number },
): Growing {
  const { source, destination, process, tcp, translation } = flow;
  const record: Growing = {
    bucketStart,
    startTime: flow.startTime,
    endTime: flow.endTime,
    reporter: flow.reporter === 'dst' ? 'dst' : 'src',
    node: flow.node,
    source: { ...source, aggregate: source.aggregate ?? source.name },
    destination: { ...destination, aggregate: destination.aggregate ?? destination.name },
    service: flow.service ?? null,
    protocol: flow.protocol,
    sourcePort: flow.sourcePort ?? null,
    port: flow.port ?? null,
    icmpType: flow.icmpType ?? null,
    verdict: flow.verdict,
    policies: flow.policies,
    pending: flow.pending ?? [],
    packets: { ...flow.packets },
    bytes: { ...flow.bytes },
    connections: { ...flow.connections, live: liveAdded(flow, bucketStart) },
    flows: flow.merged?.flows ?? 1,
    level,
    calledAddress: translation?.calledAddress ?? null,
    calledPort: translation?.calledPort ?? null,
    processes: process ? [process] : [],
    processCount: process ? 1 : 0,
    tcp: tcp
      ? {
          samples: 1,
          rttSum: tcp.rtt,
          rttMax: tcp.rtt,
          minRttMin: tcp.minRtt,
          mssMin: tcp.mss,
          congestionWindowMin: tcp.congestionWindow,
          retransmissions: tcp.retransmissions,
          lost: tcp.lost,
        }
      : null,
  };
  return Object.assign(record, blurred(record, level));
}

/**
 * A report says how many live connections stand behind it now. The first in a bucket brings them all;
 * a later one of the same connection only what changed, so that sums are of connections, not reports.
 */
function liveAdded({ previousTime, connections }: Flow, bucketStart: number): number {
  const again = previousTime !== undefined && previousTime >= bucketStart;
  return again ? connections.started - connections.completed : connections.live;
}

/** The parts of an identity that a level no longer tells. */
function blurred(
  record: FlowRecord,
  level: AggregationLevel,
): Pick<
  FlowRecord,
  'source' | 'destination' | 'sourcePort' | 'port' | 'calledAddress' | 'calledPort'
> {
  return {
    source: blurredEnd(record.source, level),
    destination: blurredEnd(record.destination, level),
    sourcePort: level < 1 ? record.sourcePort : null,
    port: level < 3 ? record.port : null,
    calledAddress: level < 2 ? record.calledAddress : null,
    calledPort: level < 2 ? record.calledPort : null,
  };
}

function blurredEnd(end: RecordEnd, level: AggregationLevel): RecordEnd {
  const outside = end.type === 'network' || end.type === 'network-set';
  const addressed = level === 0 || (level === 1 && !outside);
  return {
    ...end,
    name: level < 2 ? end.name : end.aggregate,
    address: addressed ? end.address : null,
  };
}

function mergeFlow(record: Growing, flow: Flow, merging: Merging): void {
  const other = recordOf(flow, { level: merging.level, bucketStart: record.bucketStart });
  mergeRecord(record, other, merging);
}

function mergeRecord(record: Growing, other: FlowRecord, { level, processesMax }: Merging): void {
  record.startTime = Math.min(record.startTime, other.startTime);
  record.endTime = Math.max(record.endTime, other.endTime);
  record.packets = sum(record.packets, other.packets);
  record.bytes = sum(record.bytes, other.bytes);
  record.connections = {
    started: record.connections.started + other.connections.started,
    completed: record.connections.completed + other.connections.completed,
    live: record.connections.live + other.connections.live,
  };
  record.flows += other.flows;
  record.level = level;
  record.source = mergedEnd(record.source, other.source);
  record.destination = mergedEnd(record.destination, other.destination);
  const added = other.processes.filter((process) => !record.processes.some(sameAs(process)));
  record.processCount += added.length + (other.processCount - other.processes.length);
  record.processes = [...record.processes, ...added].slice(0, processesMax);
  record.tcp = mergedTcp(record.tcp, other.tcp);
}

function sum<T extends { in: number; out: number }>(a: T, b: T): { in: number; out: number } {
  return { in: a.in + b.in, out: a.out + b.out };
}

function sameAs({ name, pid }: FlowProcess): (other: FlowProcess) => boolean {
  return (other) => other.name === name && other.pid === pid;
}

function mergedEnd(a: RecordEnd, b: RecordEnd): RecordEnd {
  const same = a.labels === b.labels;
  return {
    ...a,
    address: a.address === b.address ? a.address : null,
    labels: same
      ? a.labels
      : Object.fromEntries(
          Object.entries(a.labels).filter(([key, value]) => b.labels[key] === value),
        ),
  };
}

function mergedTcp(a: RecordTcp | null, b: RecordTcp | null): RecordTcp | null {
  if (!a || !b) return a ?? b;
  return {
    samples: a.samples + b.samples,
    rttSum: a.rttSum + b.rttSum,
    rttMax: Math.max(a.rttMax, b.rttMax),
    minRttMin: Math.min(a.minRttMin, b.minRttMin),
    mssMin: Math.min(a.mssMin, b.mssMin),
    congestionWindowMin: Math.min(a.congestionWindowMin, b.congestionWindowMin),
    retransmissions: a.retransmissions + b.retransmissions,
    lost: a.lost + b.lost,
  };
}
