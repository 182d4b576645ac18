// Joins the kernel's rule hits and connection events of one node into flow records. Time is passed in.
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
import type { Directory } from './directory.ts';
import { type Flow, flowProtocol, type PolicyHit } from './flow.ts';

export interface ConnectionTrackerOptions {
  /** The name of the node whose kernel speaks. */
  readonly node: string;
  readonly directory: Directory;
  /** Connections kept; above it, the one that was silent longest goes. */
  readonly maxConnections?: number;
  /** How long a connection without a trace waits for one before it is reported all the same. */
  readonly settleMs?: number;
}

const MAX_CONNECTIONS = 16_384;
const SETTLE_MS = 3_000;

/**
 * Denied packets are counted from rule hits, one each; packets that passed are counted from conntrack, as
 * the difference to what was reported before. Each end that this node enforces gives a record of its own.
 */
export class ConnectionTracker {
  readonly #options: ConnectionTrackerOptions;
  readonly #connections = new Map<string, Connection>();
  #dropped = 0;

  constructor(options: ConnectionTrackerOptions) {
    this.#options = options;
  }

  /** Packets that were counted but given up unreported, because there were too many connections. */
  get dropped(): number {
    return this.#dropped;
  }

  get size(): number {
    return this.#connections.size;
  }

  onRuleHit(hit: RuleHit, packet: HitPacket, nowMs: number): void {
    const connection = this.#touch(connectionKey(packet), packet, nowMs);
    connection.half(hit.direction).onHit(policyHit(hit), packet.length);
  }

  /**
   * A connection first heard of by other than its beginning, and without an allowed packet in the log, is
   * older than this tracker: its counts so far are the point to count from. Connections that no local
   * workload takes part in are left alone.
   */
  onConntrack(event: ConnectionEvent, nowMs: number): void {
    const tuple = effectiveTuple(event);
    const key = connectionKey(tuple);
    const known = this.#connections.get(key);
    const local = this.#isLocal(tuple.source) || this.#isLocal(tuple.destination);
    if (!known && !local) return;
    if (!known && event.type === 'destroy') return;
    if (known?.repeats(event)) return;
    const connection = this.#touch(key, tuple, nowMs);
    const announced = !connection.confirmed && hasAllowTrace(connection);
    connection.onEvent(event, event.type === 'new' || announced);
  }

  /** Everything counted and learnt since the last call. Order: by the connection's last activity. */
  drain(nowMs: number): Flow[] {
    const flows: Flow[] = [];
    for (const [key, connection] of this.#connections) {
      flows.push(...this.#report(connection, nowMs));
      if (this.#isOver(connection, nowMs)) this.#connections.delete(key);
    }
    return flows;
  }

  #touch(key: string, tuple: ConnectionTuple, nowMs: number): Connection {
    const connection = this.#connections.get(key) ?? new Connection(copyTuple(tuple), nowMs);
    connection.lastMs = nowMs;
    // Last in the map is last active.
    this.#connections.delete(key);
    this.#connections.set(key, connection);
    if (this.#connections.size > (this.#options.maxConnections ?? MAX_CONNECTIONS)) this.#evict();
    return connection;
  }

  #evict(): void {
    for (const [key, connection] of this.#connections) {
      const { packetsIn, packetsOut } = connection.pending;
      this.#dropped += packetsIn + packetsOut;
      for (const half of Object.values(connection.halves)) this.#dropped += half.deniedPackets;
      this.#connections.delete(key);
      return;
    }
  }

  #isLocal(address: string): boolean {
    return this.#options.directory.podNode(address) === this.#options.node;
  }

  #report(connection: Connection, nowMs: number): Flow[] {
    const { pending, halves } = connection;
    const flows: Flow[] = [];
    const deniedAfterEgress = (halves.ingress?.deniedPackets ?? 0) > 0;
    const counted = pending.packetsIn + pending.packetsOut + connection.completed > 0;
    const settled = nowMs - connection.firstMs >= this.#settleMs;
    const traced = hasAllowTrace(connection) || connection.reported;
    const passing = counted ? traced || settled : settled && !connection.reported;
    let reported = false;
    for (const direction of ['egress', 'ingress'] as const) {
      const half = halves[direction];
      if (half && half.deniedPackets > 0) flows.push(this.#deny(connection, direction, half));
      const companion = direction === 'egress' && deniedAfterEgress;
      const news = half?.allowTrace !== undefined && (!half.traceReported || companion);
      if (!news && !(passing && this.#passed(connection, direction))) continue;
      if (half?.allowTrace) half.traceReported = true;
      flows.push(this.#allow(connection, direction, half?.allowTrace ?? []));
      reported = true;
    }
    if (passing && !reported) this.#dropped += pending.packetsIn + pending.packetsOut;
    if (passing || reported) settleAccount(connection);
    return flows;
  }

  /** Whether packets passed this end, and this node is the one to say so. */
  #passed(connection: Connection, direction: 'egress' | 'ingress'): boolean {
    if (connection.halves[direction]?.allowTrace) return true;
    const { source, destination } = connection.tuple;
    return connection.confirmed && this.#isLocal(direction === 'egress' ? source : destination);
  }

  #deny(connection: Connection, direction: 'egress' | 'ingress', half: ConnectionHalf): Flow {
    const flow: Flow = {
      ...this.#identity(connection, direction),
      verdict: 'deny',
      packets: { in: 0, out: half.deniedPackets },
      bytes: { in: 0, out: half.deniedBytes },
      connections: { started: 0, completed: 0, live: 0 },
      policies: half.denyTrace,
    };
    half.deniedPackets = 0;
    half.deniedBytes = 0;
    return flow;
  }

  #allow(
    connection: Connection,
    direction: 'egress' | 'ingress',
    policies: readonly PolicyHit[],
  ): Flow {
    const { pending, started, completed, live } = connection;
    return {
      ...this.#identity(connection, direction),
      verdict: 'allow',
      packets: { in: pending.packetsIn, out: pending.packetsOut },
      bytes: { in: pending.bytesIn, out: pending.bytesOut },
      connections: { started, completed, live },
      policies,
    };
  }

  #identity(connection: Connection, direction: 'egress' | 'ingress') {
    const { node, directory } = this.#options;
    const { tuple, firstMs, lastMs } = connection;
    const source = directory.resolve(tuple.source);
    const destination = directory.resolve(tuple.destination, source.namespace);
    return {
      startTime: firstMs,
      endTime: lastMs,
      ...(connection.reportedMs !== undefined && { previousTime: connection.reportedMs }),
      reporter: direction === 'egress' ? ('src' as const) : ('dst' as const),
      node,
      source:
        source.type === 'network-set'
          ? directory.resolve(tuple.source, destination.namespace)
          : source,
      destination,
      protocol: flowProtocol(tuple.protocol),
      ...(tuple.sourcePort !== undefined && { sourcePort: tuple.sourcePort }),
      ...(tuple.destinationPort !== undefined && { port: tuple.destinationPort }),
      ...(tuple.icmpType !== undefined && { icmpType: tuple.icmpType }),
    };
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
  const { source, destination, protocol, sourcePort, destinationPort, icmpType } = tuple;
  return { source, destination, protocol, sourcePort, destinationPort, icmpType };
}
