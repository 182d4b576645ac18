// Joins the kernel's rule hits and connection events of one node into reports. Time is passed in.
import {
  Connection,
  type ConnectionEvent,
  type ConnectionHalf,
  connectionKey,
  type ConnectionTuple,
  type HitPacket,
  noCounts,
  type RuleHit,
} from './connection.ts';
import type { ConnectionReport } from './connection-report.ts';
import { EvictedEntries } from './connection-evicted.ts';
import type { PolicyHit } from './flow.ts';

export interface ConnectionTrackerOptions {
  /** Whether the address is a workload's on this node. */
  readonly isLocal: (address: string) => boolean;
  /** Connections kept; above it, the one that was silent longest is reported and goes. */
  readonly maxConnections?: number;
  /** Reports of those that went, kept until `drain`. */
  readonly maxEvicted?: number;
  /** How long a connection without a trace waits for one before it is reported all the same. */
  readonly settleMs?: number;
  /** A live connection is reported once in each span of this length, also when it is idle. */
  readonly bucketMs?: number;
}

const MAX_CONNECTIONS = 65_536;
const MAX_EVICTED = 65_536;
const SETTLE_MS = 3_000;
const BUCKET_MS = 15_000;
/** Interim reports are spread over this share of a bucket. */
const SPREAD = 0.6;

/**
 * Denied packets are counted from rule hits, one each; packets that passed are counted from conntrack, as
 * the difference to what was reported before. Each end that this node enforces gives a report of its own.
 */
export class ConnectionTracker {
  readonly #options: ConnectionTrackerOptions;
  readonly #connections = new Map<string, Connection>();
  readonly #evicted: ConnectionReport[] = [];
  readonly #forgotten = new EvictedEntries();
  #dropped = 0;
  #unsaidEnds = 0;
  #lateStarts = 0;
  #listings = 0;
  #serial = 0;

  constructor(options: ConnectionTrackerOptions) {
    this.#options = options;
  }

  /** Packets that were counted but given up unreported, because there were too many connections. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Connections whose end the kernel did not tell: what they counted after the last look is missing. */
  get unsaidEnds(): number {
    return this.#unsaidEnds;
  }

  /** Connections whose beginning the kernel did not tell; nothing of them is missing. */
  get lateStarts(): number {
    return this.#lateStarts;
  }

  get size(): number {
    return this.#connections.size;
  }

  onRuleHit(hit: RuleHit, packet: HitPacket, nowMs: number): void {
    const connection = this.#touch(connectionKey(packet), packet, nowMs);
    connection.half(hit.direction).onHit(policyHit(hit), packet.length);
  }

  /**
   * A connection first heard of by other than its beginning, before the first listing and without an
   * allowed packet in the log, is older than this tracker: its counts so far are the point to count from.
   * After that listing, one that is new here began since. Connections that no local workload takes part
   * in are left alone.
   */
  onConntrack(event: ConnectionEvent, nowMs: number): void {
    const tuple = effectiveTuple(event);
    const key = connectionKey(tuple);
    const known = this.#connections.get(key);
    const { isLocal } = this.#options;
    if (!known && !isLocal(tuple.source) && !isLocal(tuple.destination)) return;
    if (known?.repeats(event)) return;
    const isNew = event.type === 'new';
    const heard = known?.knows(event.id) === true;
    const counted = isNew || heard ? undefined : this.#forgotten.take(event.id);
    const since = !heard && this.#listings > 0 && this.#forgotten.isComplete;
    if (!known && event.type === 'destroy' && !counted && !since) return;
    const connection = this.#touch(key, tuple, nowMs);
    const announced = !connection.confirmed && hasAllowTrace(connection);
    if (since && !isNew && !counted && !announced) this.#lateStarts++;
    const whole = isNew || announced || since;
    connection.onEvent(event, { whole, counted, listing: this.#listings });
  }

  /**
   * All connections that the kernel has now; events that came before must have been handed in. What is in
   * neither of two listings in a row is over, though nobody said so.
   */
  onListing(entries: readonly ConnectionEvent[], nowMs: number): void {
    for (const entry of entries) this.onConntrack(entry, nowMs);
    this.#listings++;
    for (const entry of entries) {
      const key = connectionKey(effectiveTuple(entry));
      this.#connections.get(key)?.onListed(entry.id, this.#listings);
    }
    for (const connection of this.#connections.values()) {
      const unsaid = connection.forgetUnlisted(this.#listings - 1);
      this.#unsaidEnds += unsaid;
      if (unsaid > 0) connection.lastMs = nowMs;
    }
  }

  /** Everything counted and learnt since the last call. Order: by the connection's last activity. */
  drain(nowMs: number): ConnectionReport[] {
    const reports = this.#evicted.splice(0);
    for (const [key, connection] of this.#connections) {
      for (const report of this.#report(connection, nowMs)) reports.push(report);
      if (this.#isOver(connection, nowMs)) this.#connections.delete(key);
    }
    return reports;
  }

  #touch(key: string, tuple: ConnectionTuple, nowMs: number): Connection {
    const connection =
      this.#connections.get(key) ?? new Connection(copyTuple(tuple), nowMs, this.#serial++);
    connection.lastMs = nowMs;
    // Last in the map is last active.
    this.#connections.delete(key);
    this.#connections.set(key, connection);
    if (this.#connections.size > (this.#options.maxConnections ?? MAX_CONNECTIONS)) {
      this.#evict(nowMs);
    }
    return connection;
  }

  /** Reports the one that was silent longest, and remembers what was counted of it should it speak again. */
  #evict(nowMs: number): void {
    for (const [key, connection] of this.#connections) {
      for (const [id, counts] of connection.counted()) this.#forgotten.add(id, counts);
      const max = this.#options.maxEvicted ?? MAX_EVICTED;
      const settled = connection.firstMs + this.#settleMs;
      for (const report of this.#report(connection, Math.max(nowMs, settled))) {
        if (this.#evicted.length < max) this.#evicted.push(report);
        else this.#dropped += report.packets.in + report.packets.out;
      }
      this.#connections.delete(key);
      return;
    }
  }

  #report(connection: Connection, nowMs: number): ConnectionReport[] {
    const { pending, halves } = connection;
    const reports: ConnectionReport[] = [];
    const deniedAfterEgress = (halves.ingress?.deniedPackets ?? 0) > 0;
    const counted = pending.packetsIn + pending.packetsOut + connection.completed > 0;
    const settled = nowMs - connection.firstMs >= this.#settleMs;
    const traced = hasAllowTrace(connection) || connection.reported;
    const interim = this.#isInterimDue(connection, nowMs);
    const first = settled && !connection.reported;
    const passing = counted ? traced || settled : first || interim;
    if (interim && !counted) connection.lastMs = nowMs;
    let reported = false;
    for (const direction of ['egress', 'ingress'] as const) {
      const half = halves[direction];
      if (half && half.deniedPackets > 0) reports.push(deny(connection, direction, half));
      const companion = direction === 'egress' && deniedAfterEgress;
      const news = half?.allowTrace !== undefined && (!half.traceReported || companion);
      if (!news && !(passing && this.#passed(connection, direction))) continue;
      if (half?.allowTrace) half.traceReported = true;
      const trace = half?.allowTrace ?? (settled ? [unknownStep(direction)] : []);
      reports.push(allow(connection, direction, trace));
      reported = true;
    }
    if (passing && !reported) this.#dropped += pending.packetsIn + pending.packetsOut;
    if (passing || reported) settleAccount(connection);
    return reports;
  }

  /** A live connection that has not been reported in this bucket yet; not all are due at once. */
  #isInterimDue(connection: Connection, nowMs: number): boolean {
    const bucketMs = this.#options.bucketMs ?? BUCKET_MS;
    const { reportedMs } = connection;
    if (reportedMs === undefined || connection.entries === 0) return false;
    const start = Math.floor(nowMs / bucketMs) * bucketMs;
    if (reportedMs >= start) return false;
    const share = ((connection.serial * 7919) % 1000) / 1000;
    const due = start + share * SPREAD * bucketMs;
    return connection.live > 0 && (nowMs >= due || nowMs - reportedMs >= bucketMs * 2);
  }

  /** Whether packets passed this end, and this node is the one to say so. */
  #passed(connection: Connection, direction: 'egress' | 'ingress'): boolean {
    if (connection.halves[direction]?.allowTrace) return true;
    const { source, destination } = connection.tuple;
    const end = direction === 'egress' ? source : destination;
    return connection.confirmed && this.#options.isLocal(end);
  }

  /** Nothing left to report and nothing more to come. */
  #isOver(connection: Connection, nowMs: number): boolean {
    const { pending, completed, entries } = connection;
    if (entries > 0 || pending.packetsIn + pending.packetsOut + completed > 0) return false;
    if (connection.reported && connection.confirmed) return true;
    return nowMs - connection.lastMs >= this.#settleMs;
  }

  get #settleMs(): number {
    return this.#options.settleMs ?? SETTLE_MS;
  }
}

function deny(
  connection: Connection,
  direction: 'egress' | 'ingress',
  half: ConnectionHalf,
): ConnectionReport {
  const report: ConnectionReport = {
    ...identity(connection, direction),
    verdict: 'deny',
    packets: { in: 0, out: half.deniedPackets },
    bytes: { in: 0, out: half.deniedBytes },
    connections: { started: 0, completed: 0, live: 0 },
    policies: half.denyTrace,
  };
  half.deniedPackets = 0;
  half.deniedBytes = 0;
  return report;
}

function allow(
  connection: Connection,
  direction: 'egress' | 'ingress',
  policies: readonly PolicyHit[],
): ConnectionReport {
  const { pending, started, completed, live } = connection;
  return {
    ...identity(connection, direction),
    verdict: 'allow',
    packets: { in: pending.packetsIn, out: pending.packetsOut },
    bytes: { in: pending.bytesIn, out: pending.bytesOut },
    connections: { started, completed, live },
    policies,
  };
}

function identity(connection: Connection, direction: 'egress' | 'ingress') {
  const { tuple, firstMs, lastMs, reportedMs, translation } = connection;
  return {
    startTime: firstMs,
    endTime: lastMs,
    ...(reportedMs !== undefined && { previousTime: reportedMs }),
    direction,
    tuple,
    ...(translation && { translation }),
  };
}

function settleAccount(connection: Connection): void {
  connection.pending = noCounts();
  connection.started = 0;
  connection.completed = 0;
  connection.reported = true;
  connection.reportedMs = connection.lastMs;
}

function hasAllowTrace({ halves }: Connection): boolean {
  return halves.egress?.allowTrace !== undefined || halves.ingress?.allowTrace !== undefined;
}

/** Packets passed, and nobody logged by which rule: the connection is older than the log's reader. */
function unknownStep(direction: PolicyHit['direction']): PolicyHit {
  const nobody = { tier: null, kind: null, namespace: null, name: null };
  return { direction, ...nobody, rule: -2, action: 'allow' };
}

function policyHit({ action, direction, tier, policy, rule }: RuleHit): PolicyHit {
  return {
    direction,
    tier,
    kind: policy?.kind ?? null,
    namespace: policy?.namespace ?? null,
    name: policy?.name ?? null,
    rule,
    action: ({ Allow: 'allow', Deny: 'deny', Pass: 'pass' } as const)[action],
  };
}

/** The original direction, with the destination that the connection really reaches. */
function effectiveTuple({ original, reply }: ConnectionEvent): ConnectionTuple {
  return {
    ...original,
    destination: reply.source,
    destinationPort: reply.sourcePort ?? original.destinationPort,
  };
}

function copyTuple(tuple: ConnectionTuple): ConnectionTuple {
  const { source, destination, protocol, sourcePort, destinationPort, icmpType, icmpCode } = tuple;
  return { source, destination, protocol, sourcePort, destinationPort, icmpType, icmpCode };
}
