// Whose socket a connection is, and what TCP measures of it, where it begins or ends on this host.
import type {
  ConnectionEvent,
  ConnectionReport,
  ConnectionTuple,
  FlowProcess,
  FlowTcp,
} from '#flows';
import type { DiagProtocol, DiagSocket, ProcessInfo } from '#linux';
import type { SocketDetails } from './flow-messages.ts';
import { SocketPlaces } from './flow-places.ts';
import { socketKey, type SocketIndex } from './flow-socket-index.ts';

export interface SocketInspectorOptions {
  /** Whether the address is a workload's on this node. */
  readonly isLocal: (address: string) => boolean;
  /** Descriptor of the node's own namespace; absent is this thread's. */
  readonly namespace?: number;
  readonly now?: () => number;
}

/** What earlier reports of an end said. */
interface Known {
  process?: ProcessInfo;
  retransmissions: number;
}

const KNOWN_MAX = 65_536;
/** How long a socket that came to its end waits for the report of its connection. */
const ENDED_MS = 60_000;
/** Connections that begin are looked at no longer than this share of the time, and so many at once. */
const BEGUN_SHARE = 5;
const BEGUN_MAX = 256;
const TCP = 6;
const UDP = 17;

/** The end of a connection that reports. */
interface End {
  readonly protocol: DiagProtocol;
  readonly local: string;
  readonly localPort: number;
  readonly remote: string;
  readonly remotePort: number;
  readonly isServer: boolean;
}

/** A socket at its end, and when that was heard of. */
interface Ended {
  readonly socket: DiagSocket;
  readonly atMs: number;
}

/**
 * Asks each namespace once for all reports about it. TCP's measures of a connection that is over are the last
 * ones, which the kernel tells at a socket's end. Its processes are that which listens at the server's end,
 * and at the client's the one that was seen to have the socket, if it had it long enough to be seen.
 */
export class SocketInspector {
  readonly #places: SocketPlaces;
  readonly #isLocal: (address: string) => boolean;
  readonly #now: () => number;
  readonly #known = new Map<string, Known>();
  readonly #ended = new Map<string, Ended>();
  #locals: ReadonlySet<string> = new Set();
  #lookAt = 0;
  #details: SocketDetails = { process: false, tcp: false };

  constructor(options: SocketInspectorOptions) {
    this.#places = new SocketPlaces(options);
    this.#isLocal = options.isLocal;
    this.#now = options.now ?? Date.now;
  }

  /** The addresses of this node's workloads. */
  setLocals(addresses: ReadonlySet<string>): void {
    this.#locals = addresses;
    this.#places.searchSoon();
  }

  setDetails(details: SocketDetails): void {
    this.#details = details;
    if (!details.tcp) {
      this.#places.forgetDestroyed();
      this.#ended.clear();
    }
    if (!details.process && !details.tcp) this.#known.clear();
  }

  /**
   * To be called as soon as connections begin: finds the processes of their clients while these have their
   * sockets. As the source calls, before NAT.
   */
  onEvents(events: readonly ConnectionEvent[]): void {
    if (!this.#details.process) return;
    const began = performance.now();
    if (began < this.#lookAt) return;
    const ends = events
      .filter(({ type, original }) => type === 'new' && original.protocol === TCP)
      .slice(-BEGUN_MAX)
      .filter(({ original }) => this.#isLocal(original.source))
      .map(({ original }) => clientOf(original))
      .filter((end) => end !== undefined);
    if (ends.length === 0) return;
    this.#places.refresh();
    for (const end of ends) this.#findClient(end);
    this.#lookAt = performance.now() + (performance.now() - began) * (BEGUN_SHARE - 1);
  }

  inspect(reports: ConnectionReport[]): ConnectionReport[] {
    const { process, tcp } = this.#details;
    if (!process && !tcp) return reports;
    this.#places.prepare(this.#locals);
    const ends = reports.map(endOf);
    const wanted = ends.filter(
      (end): end is End => end !== undefined && (process || end.protocol === TCP),
    );
    const protocols = new Set(wanted.map(({ protocol }) => protocol));
    const sockets = this.#places.look(new Set(wanted.map(({ local }) => local)), protocols);
    // After the look: a socket that is in neither has only just ended, and is told of at the next report.
    if (tcp) this.#readEnded();
    return reports.map((report, index) => {
      const end = ends[index];
      const found = end && findSocket(sockets.get(end.local)?.get(end.protocol), end);
      return end ? this.#describe(report, end, found) : report;
    });
  }

  close(): void {
    this.#places.close();
  }

  #describe(report: ConnectionReport, end: End, found: DiagSocket | undefined): ConnectionReport {
    const key = keyOf(report.direction, end);
    const known = this.#known.get(key) ?? { retransmissions: 0 };
    if (this.#details.process && !known.process && found && found.inode !== 0) {
      const process = this.#places.processOf(end.local, found.inode);
      if (process) known.process = process;
    }
    const measured = found?.tcp ?? this.#takeEnded(end);
    const tcp = this.#details.tcp && measured ? measuresOf(measured, known) : undefined;
    const { live, completed } = report.connections;
    if (live === 0 && completed > 0) this.#known.delete(key);
    else if (known.process || known.retransmissions > 0) this.#remember(key, known);
    const process: FlowProcess | undefined = known.process;
    return { ...report, ...(process && { process }), ...(tcp && { tcp }) };
  }

  #findClient(end: End): void {
    const found = this.#places.connected(end);
    const process = found && this.#places.processOf(end.local, found.inode);
    if (process) this.#remember(keyOf('egress', end), { process, retransmissions: 0 });
  }

  #readEnded(): void {
    const now = this.#now();
    for (const socket of this.#places.destroyed()) {
      // One that never heard anything has measured nothing.
      if (socket.tcp && socket.tcp.rtt > 0)
        this.#ended.set(socketKey(socket), { socket, atMs: now });
    }
    for (const [key, { atMs }] of this.#ended) {
      if (now - atMs < ENDED_MS && this.#ended.size <= KNOWN_MAX) break;
      this.#ended.delete(key);
    }
  }

  /** The last measures of a socket, once. */
  #takeEnded(end: End): DiagSocket['tcp'] {
    if (end.protocol !== TCP) return undefined;
    const key = socketKey(end);
    const ended = this.#ended.get(key);
    this.#ended.delete(key);
    return ended?.socket.tcp;
  }

  #remember(key: string, known: Known): void {
    if (this.#known.size >= KNOWN_MAX) this.#known.clear();
    this.#known.set(key, known);
  }
}

function measuresOf(tcp: NonNullable<DiagSocket['tcp']>, known: Known): FlowTcp {
  const { retransmissions, ...measures } = tcp;
  const more = Math.max(0, retransmissions - known.retransmissions);
  known.retransmissions = retransmissions;
  return { ...measures, retransmissions: more };
}

/** As the socket has it: a client is bound for whom it called, a server hears from whom it sees. */
function endOf({ direction, tuple, translation }: ConnectionReport): End | undefined {
  const { source, destination, protocol, sourcePort, destinationPort } = tuple;
  if ((protocol !== TCP && protocol !== UDP) || sourcePort === undefined) return undefined;
  if (destinationPort === undefined) return undefined;
  if (direction === 'egress') {
    const { calledAddress = destination, calledPort = destinationPort } = translation ?? {};
    return clientOf({ ...tuple, destination: calledAddress, destinationPort: calledPort });
  }
  const remote = translation?.seenAddress ?? source;
  const remotePort = translation?.seenPort ?? sourcePort;
  return {
    protocol,
    local: destination,
    localPort: destinationPort,
    remote,
    remotePort,
    isServer: true,
  };
}

/** The socket of whom the connection began with. */
function clientOf(tuple: ConnectionTuple): End | undefined {
  const { source, destination, protocol, sourcePort, destinationPort } = tuple;
  if (protocol !== TCP && protocol !== UDP) return undefined;
  if (sourcePort === undefined || destinationPort === undefined) return undefined;
  const [local, localPort, remote, remotePort] = [source, sourcePort, destination, destinationPort];
  return { protocol, local, localPort, remote, remotePort, isServer: false };
}

function keyOf(direction: ConnectionReport['direction'], end: End): string {
  return `${direction} ${socketKey(end)} ${end.protocol}`;
}

function findSocket(index: SocketIndex | undefined, end: End): DiagSocket | undefined {
  const connected = index?.connected.get(socketKey(end));
  if (connected && connected.inode !== 0) return connected;
  const shared = end.isServer || end.protocol === UDP ? index?.bound.get(end.localPort) : undefined;
  return connected && shared ? { ...connected, inode: shared.inode } : (connected ?? shared);
}
