// One connection as the reports of its two ends tell it together.
import type { Flow, FlowConnections, FlowCounts, FlowEnd, FlowTcp, PolicyHit } from './flow.ts';

/** Reports this far apart are of different connections that happen to have the same ports. */
const GAP_MS = 15_000;

type Side = 'src' | 'dst';

export interface PublishTimes {
  readonly holdMs: number;
  readonly repeatMs: number;
}

/** Reports of one end add up; the two ends are then joined. */
export class JoinedFlow {
  readonly #firstMs: number;
  readonly #reports: Partial<Record<Side, Flow>> = {};
  publishedMs: number | undefined;

  /** `nowMs`: when the first report arrived, by the server's clock. */
  constructor(nowMs: number) {
    this.#firstMs = nowMs;
  }

  /** Whether a report of the same ports is about this connection, and can be said in one line with it. */
  accepts(flow: Flow): boolean {
    const reports = this.#all();
    const start = Math.min(...reports.map((report) => report.startTime));
    const end = Math.max(...reports.map((report) => report.endTime));
    if (flow.startTime > end + GAP_MS || flow.endTime < start - GAP_MS) return false;
    const own = this.#reports[sideOf(flow)];
    if (own && own.verdict !== flow.verdict) return false;
    // The ports are in use again after the connection ended.
    return !(own && own.connections.completed > 0 && flow.startTime > own.endTime);
  }

  add(flow: Flow): void {
    const side = sideOf(flow);
    const own = this.#reports[side];
    this.#reports[side] = own ? sumReports(own, flow) : flow;
  }

  /** Both ends that will report have, and there is something to say; or nobody should wait longer. */
  isDue(nowMs: number, times: PublishTimes): boolean {
    const flow = this.flow();
    if (this.publishedMs !== undefined) {
      const ended = flow.connections.completed > 0 && flow.connections.live === 0;
      return ended || nowMs - this.publishedMs >= times.repeatMs;
    }
    if (nowMs - this.#firstMs >= times.holdMs) return true;
    const counted = flow.packets.in + flow.packets.out > 0;
    return this.#isComplete(flow) && (flow.verdict === 'deny' || counted);
  }

  #isComplete({ source, destination }: Flow): boolean {
    const { src, dst } = this.#reports;
    const sourceDone = source.type !== 'workload' || src !== undefined;
    const destinationDone =
      destination.type !== 'workload' || dst !== undefined || src?.verdict === 'deny';
    return sourceDone && destinationDone;
  }

  /** What is known so far, as one record. */
  flow(): Flow {
    const { src, dst } = this.#reports;
    if (!src || !dst) {
      const only = src ?? dst;
      if (!only) throw new Error('Cannot describe a flow before its first report');
      return only;
    }
    return joinReports(src, dst);
  }

  #all(): Flow[] {
    return Object.values(this.#reports);
  }
}

function sideOf(flow: Flow): Side {
  return flow.reporter === 'dst' ? 'dst' : 'src';
}

/** Two reports of the same end, the later one telling the names and, where it has them, trace and details. */
function sumReports(before: Flow, flow: Flow): Flow {
  const add = (a: FlowCounts, b: FlowCounts) => ({ in: a.in + b.in, out: a.out + b.out });
  const { started, completed } = before.connections;
  const { previousTime: _, ...later } = flow;
  const tcp = flow.tcp && before.tcp ? sumTcp(before.tcp, flow.tcp) : (flow.tcp ?? before.tcp);
  return {
    ...before,
    ...later,
    ...(tcp && { tcp }),
    startTime: Math.min(before.startTime, flow.startTime),
    endTime: Math.max(before.endTime, flow.endTime),
    packets: add(before.packets, flow.packets),
    bytes: add(before.bytes, flow.bytes),
    connections: {
      started: started + flow.connections.started,
      completed: completed + flow.connections.completed,
      live: flow.connections.live,
    },
    policies: flow.policies.length > 0 ? flow.policies : before.policies,
  };
}

function sumTcp(before: FlowTcp, tcp: FlowTcp): FlowTcp {
  return { ...tcp, retransmissions: before.retransmissions + tcp.retransmissions };
}

/** What each end's part would be; an end in which nothing is staged stays as it is. */
function joinPending(src: Flow, dst: Flow): PolicyHit[] | undefined {
  if (!src.pending && !dst.pending) return undefined;
  return [
    ...(src.pending ?? src.policies).filter((hit) => hit.direction === 'egress'),
    ...(dst.pending ?? dst.policies).filter((hit) => hit.direction === 'ingress'),
  ];
}

/** What one end knows better, or alone. */
function joinDetails(src: Flow, dst: Flow): Partial<Flow> {
  const pending = joinPending(src, dst);
  const service = src.service ?? dst.service;
  const translation = { ...dst.translation, ...src.translation };
  const tcp = src.tcp ?? dst.tcp;
  return {
    ...(pending && { pending }),
    ...(service && { service }),
    ...(Object.keys(translation).length > 0 && { translation }),
    ...(dst.process && { destinationProcess: dst.process }),
    ...(tcp && { tcp }),
  };
}

function joinReports(src: Flow, dst: Flow): Flow {
  const denying = [src, dst].filter((report) => report.verdict === 'deny');
  const verdict = denying.length > 0 ? 'deny' : 'allow';
  // A packet that one end denies never passes the other: denials add up. What passed is seen twice.
  const total = denying.length > 0 ? sumOf : largestOf;
  const counting = denying.length > 0 ? denying : [src, dst];
  return {
    ...src,
    ...joinDetails(src, dst),
    startTime: Math.min(src.startTime, dst.startTime),
    endTime: Math.max(src.endTime, dst.endTime),
    reporter: 'both',
    destinationNode: dst.node,
    source: betterEnd(src.source, dst.source),
    destination: betterEnd(dst.destination, src.destination),
    verdict,
    packets: total(counting.map((report) => report.packets)),
    bytes: total(counting.map((report) => report.bytes)),
    connections: largestConnections(counting.map((report) => report.connections)),
    policies: [
      ...src.policies.filter((hit) => hit.direction === 'egress'),
      ...dst.policies.filter((hit) => hit.direction === 'ingress'),
    ],
  };
}

function sumOf(counts: readonly FlowCounts[]): FlowCounts {
  return counts.reduce((a, b) => ({ in: a.in + b.in, out: a.out + b.out }));
}

function largestOf(counts: readonly FlowCounts[]): FlowCounts {
  return counts.reduce((a, b) => ({ in: Math.max(a.in, b.in), out: Math.max(a.out, b.out) }));
}

function largestConnections(counts: readonly FlowConnections[]): FlowConnections {
  return counts.reduce((a, b) => ({
    started: Math.max(a.started, b.started),
    completed: Math.max(a.completed, b.completed),
    live: Math.max(a.live, b.live),
  }));
}

/** The end's own node knows it best, unless it did not know it yet. */
function betterEnd(own: FlowEnd, other: FlowEnd): FlowEnd {
  return own.type === 'network' ? other : own;
}
