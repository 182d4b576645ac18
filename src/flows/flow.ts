// The flow record: one connection as one report, with names, verdict, counts and the policy trace.

/** `pub` and `pvt` are the names of addresses that belong to nothing known. */
export interface FlowEnd {
  readonly type: 'workload' | 'host' | 'network-set' | 'network';
  /** Null for hosts, global network sets and networks. */
  readonly namespace: string | null;
  readonly name: string;
  /** What stands for all pods of one owner: `web-7d9f8-*`; absent where it is the name itself. */
  readonly aggregate?: string;
  readonly address: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** The service that the source called, or whose endpoint the destination is. */
export interface FlowService {
  readonly namespace: string;
  readonly name: string;
  /** Empty for a port without a name. */
  readonly portName: string;
  readonly port: number;
}

/** A process on the reporting node. */
export interface FlowProcess {
  readonly name: string;
  readonly pid: number;
  /** The command line after the name; cut where it is long. */
  readonly args: readonly string[];
}

/** What the kernel says of a TCP connection (struct tcp_info); times in microseconds. */
export interface FlowTcp {
  readonly rtt: number;
  readonly minRtt: number;
  readonly mss: number;
  /** In segments. */
  readonly congestionWindow: number;
  /** Since the connection's last report. */
  readonly retransmissions: number;
  /** Segments taken for lost at the time of the report: the kernel keeps no sum of them. */
  readonly lost: number;
  /** Timeouts in a row at that time, after which nothing was heard yet. */
  readonly timeouts?: number;
}

/** Addresses before and after NAT, where they differ from the ends' own. */
export interface FlowTranslation {
  /** Whom the source called, before destination NAT. */
  readonly calledAddress?: string;
  readonly calledPort?: number;
  /** What the destination sees as the source, after source NAT. */
  readonly seenAddress?: string;
  readonly seenPort?: number;
}

/** One step of the way through policy. Log rules leave no step. */
export interface PolicyHit {
  readonly direction: 'egress' | 'ingress';
  /** Null where a profile decided, or nothing did. */
  readonly tier: string | null;
  readonly kind: string | null;
  readonly namespace: string | null;
  readonly name: string | null;
  /** As its author counts, from 0; −1 is the tier's default action, −2 not known. */
  readonly rule: number;
  readonly action: 'allow' | 'deny' | 'pass';
  /** Of a tier's default action: the first policy of the tier that concerns this end, where it is known. */
  readonly trigger?: PolicyTrigger;
}

/** Without which its tier would not have been met at all. */
export interface PolicyTrigger {
  readonly kind: string;
  readonly namespace: string | null;
  readonly name: string;
}

/** `out` is from source to destination, `in` is what came back. */
export interface FlowCounts {
  readonly in: number;
  readonly out: number;
}

export interface FlowConnections {
  readonly started: number;
  readonly completed: number;
  readonly live: number;
}

/**
 * What one node says about one connection since its last report, or (`reporter` is `both`, or the record
 * comes from a `FlowLog`) what is known of it altogether. Times are milliseconds since the epoch.
 */
export interface Flow {
  readonly startTime: number;
  readonly endTime: number;
  /** The end of the connection's report before this one; absent in the first. */
  readonly previousTime?: number;
  /** `src`: the source's egress policy; `dst`: the destination's ingress policy; `both`: two reports joined. */
  readonly reporter: 'src' | 'dst' | 'both';
  /** The node that reports; of a joined record, the source's. */
  readonly node: string;
  /** Only in a joined record. */
  readonly destinationNode?: string;
  readonly source: FlowEnd;
  readonly destination: FlowEnd;
  /** `tcp`, `udp`, `icmp`, `icmpv6`, `sctp`, `udplite`, or a number as text. */
  readonly protocol: string;
  readonly sourcePort?: number;
  readonly port?: number;
  readonly icmpType?: number;
  readonly verdict: 'allow' | 'deny';
  readonly packets: FlowCounts;
  readonly bytes: FlowCounts;
  readonly connections: FlowConnections;
  readonly policies: readonly PolicyHit[];
  /** The trace as it would be if the staged policies were enforced; absent where none is staged. */
  readonly pending?: readonly PolicyHit[];
  readonly service?: FlowService;
  readonly translation?: FlowTranslation;
  /** At the reporting end; of a joined record, at the source. */
  readonly process?: FlowProcess;
  /** Only in a joined record. */
  readonly destinationProcess?: FlowProcess;
  readonly tcp?: FlowTcp;
  /** It stands for several reports, which are told apart only as the aggregation level says. */
  readonly merged?: FlowMerged;
}

export interface FlowMerged {
  readonly flows: number;
  readonly level: 0 | 1 | 2 | 3;
}

const PROTOCOL_NAMES: ReadonlyMap<number, string> = new Map([
  [1, 'icmp'],
  [6, 'tcp'],
  [17, 'udp'],
  [58, 'icmpv6'],
  [132, 'sctp'],
  [136, 'udplite'],
]);

/** The name of an IANA protocol number, or the number as text. */
export function flowProtocol(protocol: number): string {
  return PROTOCOL_NAMES.get(protocol) ?? String(protocol);
}

/** What all reports of one connection share. */
export function flowKey(flow: Flow): string {
  const { source, destination } = flow;
  const ports = [flow.sourcePort ?? '', flow.port ?? '', flow.icmpType ?? ''].join('|');
  return `${flow.protocol}|${source.address}|${destination.address}|${ports}`;
}

/**
 * As Calico counts: `in` is towards the end that reports. Ours is what came back to the source; the same function
 * leads from either to the other.
 */
export function countsAtReporter(counts: FlowCounts, reporter: Flow['reporter']): FlowCounts {
  return reporter === 'dst' ? { in: counts.out, out: counts.in } : counts;
}

/** The step that decided one end; undefined where that end has not reported. */
export function decidingHit(flow: Flow, direction: PolicyHit['direction']): PolicyHit | undefined {
  return flow.policies.findLast((hit) => hit.direction === direction && hit.action !== 'pass');
}
