// Joins the kernel's rule hits and connection events of one node into reports. Time is passed in.
import {
  type Account,
  Connection,
  type ConnectionEvent,
  type ConnectionHalf,
  connectionKey,
  type ConnectionTuple,
  type HitPacket,
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
  #older = { connections: 0, packets: 0 };
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

  /** Connections older than this tracker, and their packets until it heard of them: they are not reported. */
  get older(): { readonly connections: number; readonly packets: number } {
    return this.#older;
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
    if (!heard && !whole && !counted) this.#noteOlder(event);
    connection.onEvent(event, { whole, counted, listing: this.#listings });
  }

  #noteOlder({ counters }: ConnectionEvent): void {
    const { connections, packets } = this.#older;
    const more = (counters?.original.packets ?? 0) + (counters?.reply.packets ?? 0);
    this.#older = { connections: connections + 1, packets: packets + more };
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

  /**
   * Everything counted and learnt since the last call, by the connection's last activity. With `last`, also
   * of connections that would wait for a trace.
   */
  drain(nowMs: number, last = false): ConnectionReport[] {
    const reports = this.#evicted.splice(0);
    for (const [key, connection] of this.#connections) {
      for (const report of this.#report(connection, nowMs, last)) reports.push(report);
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
      for (const report of this.#report(connection, nowMs, true)) {
        if (this.#evicted.length < max) this.#evicted.push(report);
        else this.#dropped += report.packets.in + report.packets.out;
      }
      this.#connections.delete(key);
      return;
    }
  }

  #report(connection: Connection, nowMs: number, last: boolean): ConnectionReport[] {
    const { halves, accounts } = connection;
    const reports: ConnectionReport[] = [];
    const deniedAfterEgress = (halves.ingress?.deniedPackets ?? 0) > 0;
    const settled = last || nowMs - connection.firstMs >= this.#settleMs;
    let isAnybodys = false;
    for (const direction of ['egress', 'ingress'] as const) {
      const half = halves[direction];
      if (half && half.deniedPackets > 0) reports.push(deny(connection, direction, half));
      const passed = this.#passed(connection, direction);
      isAnybodys ||= passed;
      if (!passed) continue;
      const companion = direction === 'egress' && deniedAfterEgress;
      const news = half?.allowTrace !== undefined && (!half.traceReported || companion);
      if (!news && !this.#isDue(connection, direction, nowMs, settled)) continue;
      if (half?.allowTrace) half.traceReported = true;
      const trace = half?.allowTrace ?? [unknownStep(direction)];
      reports.push(allow(connection, direction, trace));
      accounts[direction].settle(connection.lastMs);
    }
    if (!isAnybodys && settled) {
      this.#dropped += accounts.egress.packets;
      for (const account of Object.values(accounts)) account.settle(connection.lastMs);
    }
    return reports;
  }

  /** Whether an end has something to say, other than a new trace. */
  #isDue(
    connection: Connection,
    direction: 'egress' | 'ingress',
    nowMs: number,
    settled: boolean,
  ): boolean {
    const account = connection.accounts[direction];
    const traced = connection.halves[direction]?.allowTrace !== undefined;
    if (!account.isEmpty) return traced || account.reported || settled;
    if (!account.reported) return settled;
    if (!this.#isInterimDue(connection, account, nowMs)) return false;
    connection.lastMs = nowMs;
    return true;
  }

  /** A live connection that has not been reported in this bucket yet; not all are due at once. */
  #isInterimDue(connection: Connection, { reportedMs }: Account, nowMs: number): boolean {
    const bucketMs = this.#options.bucketMs ?? BUCKET_MS;
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
    const { accounts, entries, confirmed } = connection;
    if (entries > 0) return false;
    const ends = (['egress', 'ingress'] as const)
      .filter((direction) => this.#passed(connection, direction))
      .map((direction) => accounts[direction]);
    if (ends.some(({ isEmpty }) => !isEmpty)) return false;
    if (confirmed && ends.length > 0 && ends.every(({ reported }) => reported)) return true;
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
  const { pending, started, completed } = connection.accounts[direction];
  const { live } = connection;
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
  const { tuple, firstMs, lastMs, translation } = connection;
  const { reportedMs } = connection.accounts[direction];
  return {
    startTime: firstMs,
    endTime: lastMs,
    ...(reportedMs !== undefined && { previousTime: reportedMs }),
    direction,
    tuple,
    ...(translation && { translation }),
  };
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
