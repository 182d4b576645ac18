// Whose socket a connection is, and what TCP measures of it, where it begins or ends on this host.
import type { ConnectionReport, FlowProcess, FlowTcp } from '#flows';
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

/**
 * Asks each namespace once for all reports about it. A connection that was over before it was asked for has
 * at its server's end the process that listens, and nothing at its client's.
 */
export class SocketInspector {
  readonly #places: SocketPlaces;
  readonly #known = new Map<string, Known>();
  #details: SocketDetails = { process: false, tcp: false };

  constructor(options: SocketInspectorOptions) {
    this.#places = new SocketPlaces(options);
  }

  setDetails(details: SocketDetails): void {
    this.#details = details;
    if (!details.process && !details.tcp) this.#known.clear();
  }

  inspect(reports: ConnectionReport[]): ConnectionReport[] {
    const { process, tcp } = this.#details;
    if (!process && !tcp) return reports;
    const ends = reports.map(endOf);
    const wanted = ends.filter(
      (end): end is End => end !== undefined && (process || end.protocol === TCP),
    );
    const protocols = new Set(wanted.map(({ protocol }) => protocol));
    const sockets = this.#places.look(new Set(wanted.map(({ local }) => local)), protocols);
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
    const key = `${report.direction} ${socketKey(end)} ${end.protocol}`;
    const known = this.#known.get(key) ?? { retransmissions: 0 };
    if (this.#details.process && !known.process && found && found.inode !== 0) {
      const process = this.#places.processOf(end.local, found.inode);
      if (process) known.process = process;
    }
    const tcp = this.#details.tcp && found?.tcp ? measuresOf(found.tcp, known) : undefined;
    const { live, completed } = report.connections;
    if (live === 0 && completed > 0) this.#known.delete(key);
    else if (known.process || known.retransmissions > 0) this.#remember(key, known);
    const process: FlowProcess | undefined = known.process;
    return { ...report, ...(process && { process }), ...(tcp && { tcp }) };
  }

  #remember(key: string, known: Known): void {
    if (this.#known.size >= KNOWN_MAX) this.#known.clear();
    this.#known.set(key, known);
  }
}

function measuresOf(tcp: NonNullable<DiagSocket['tcp']>, known: Known): FlowTcp {
  const { rtt, minRtt, mss, congestionWindow, retransmissions, lost } = tcp;
  const more = Math.max(0, retransmissions - known.retransmissions);
  known.retransmissions = retransmissions;
  return { rtt, minRtt, mss, congestionWindow, retransmissions: more, lost };
}

/** As the socket has it: a client is bound for whom it called, a server hears from whom it sees. */
function endOf({ direction, tuple, translation }: ConnectionReport): End | undefined {
  const { source, destination, protocol, sourcePort, destinationPort } = tuple;
  if ((protocol !== TCP && protocol !== UDP) || sourcePort === undefined) return undefined;
  if (destinationPort === undefined) return undefined;
  if (direction === 'egress') {
    const remote = translation?.calledAddress ?? destination;
    const remotePort = translation?.calledPort ?? destinationPort;
    return { protocol, local: source, localPort: sourcePort, remote, remotePort, isServer: false };
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

function findSocket(index: SocketIndex | undefined, end: End): DiagSocket | undefined {
  const connected = index?.connected.get(socketKey(end));
  if (connected && connected.inode !== 0) return connected;
  const shared = end.isServer || end.protocol === UDP ? index?.bound.get(end.localPort) : undefined;
  return connected && shared ? { ...connected, inode: shared.inode } : (connected ?? shared);
}
