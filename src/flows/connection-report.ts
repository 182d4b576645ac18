// What a node's kernel says of one connection at one end, and how it becomes a flow with names.
import { type ConnectionTuple } from './connection.ts';
import type { Directory } from './directory.ts';
import {
  type Flow,
  type FlowConnections,
  type FlowCounts,
  type FlowEnd,
  type FlowProcess,
  flowProtocol,
  type FlowService,
  type FlowTcp,
  type FlowTranslation,
  type PolicyHit,
  type PolicyTrigger,
} from './flow.ts';

/** Plain data: it crosses from the thread that reads the kernel to the one that knows names. */
export interface ConnectionReport {
  readonly startTime: number;
  readonly endTime: number;
  /** The end of the connection's report before this one. */
  readonly previousTime?: number;
  /** Egress: the source's end reports. */
  readonly direction: PolicyHit['direction'];
  /** As policy sees it: after destination NAT, before source NAT. */
  readonly tuple: ConnectionTuple;
  readonly translation?: FlowTranslation;
  readonly verdict: 'allow' | 'deny';
  readonly packets: FlowCounts;
  readonly bytes: FlowCounts;
  readonly connections: FlowConnections;
  readonly policies: readonly PolicyHit[];
  readonly process?: FlowProcess;
  readonly tcp?: FlowTcp;
}

export interface ReportContext {
  readonly node: string;
  readonly directory: Directory;
  /** The trace that a report would have if staged policies were enforced; undefined where none is staged. */
  readonly pendingOf?: (report: ConnectionReport) => readonly PolicyHit[] | undefined;
  /** Whose being there made the default of a tier apply, among enforced policies or also staged ones. */
  readonly triggerOf?: (
    report: ConnectionReport,
    tier: string,
    staged: boolean,
  ) => PolicyTrigger | undefined;
}

/** Names whom the report is about. */
export function describeReport(report: ConnectionReport, context: ReportContext): Flow {
  const { direction, tuple, translation, process, tcp, previousTime } = report;
  const { node, directory } = context;
  const { source, destination } = endsOf(tuple, directory);
  const service = serviceOf(report, directory);
  const isUnasked = isFromOwnHost(report, context);
  const pending = isUnasked ? undefined : context.pendingOf?.(report);
  const told = (hits: readonly PolicyHit[], staged: boolean): PolicyHit[] =>
    hits.map((hit) => withTrigger(hit, report, staged, context));
  return {
    startTime: report.startTime,
    endTime: report.endTime,
    ...(previousTime !== undefined && { previousTime }),
    reporter: direction === 'egress' ? 'src' : 'dst',
    node,
    source,
    destination,
    protocol: flowProtocol(tuple.protocol),
    ...(tuple.sourcePort !== undefined && { sourcePort: tuple.sourcePort }),
    ...(tuple.destinationPort !== undefined && { port: tuple.destinationPort }),
    ...(tuple.icmpType !== undefined && { icmpType: tuple.icmpType }),
    verdict: report.verdict,
    packets: report.packets,
    bytes: report.bytes,
    connections: report.connections,
    policies: isUnasked ? [] : told(report.policies, false),
    ...(pending && { pending: told(pending, true) }),
    ...(service && { service }),
    ...(translation && { translation }),
    ...(process && { process }),
    ...(tcp && { tcp }),
  };
}

function withTrigger(
  hit: PolicyHit,
  report: ConnectionReport,
  staged: boolean,
  { triggerOf }: ReportContext,
): PolicyHit {
  if (hit.rule !== -1 || hit.kind !== null || hit.tier === null) return hit;
  const trigger = triggerOf?.(report, hit.tier, staged);
  return trigger ? { ...hit, trigger } : hit;
}

/** What a host sends to its own workloads is not asked for: that no rule was logged is as it should be. */
function isFromOwnHost({ direction, tuple, policies }: ConnectionReport, context: ReportContext) {
  const { node, directory } = context;
  const isUnknown = policies.length === 1 && policies[0]?.rule === -2;
  return isUnknown && direction === 'ingress' && directory.hostNode(tuple.source) === node;
}

/** Each end's network sets are looked for from the other end's namespace. */
function endsOf(
  tuple: ConnectionTuple,
  directory: Directory,
): { source: FlowEnd; destination: FlowEnd } {
  const source = directory.resolve(tuple.source);
  const destination = directory.resolve(tuple.destination, source.namespace);
  if (source.type !== 'network-set') return { source, destination };
  return { source: directory.resolve(tuple.source, destination.namespace), destination };
}

function serviceOf(
  { tuple, translation }: ConnectionReport,
  { services }: Directory,
): FlowService | undefined {
  const { destination, destinationPort: port } = tuple;
  if (port === undefined) return undefined;
  const called = {
    address: translation?.calledAddress ?? destination,
    port: translation?.calledPort ?? port,
  };
  return services.find(called, { address: destination, port }, flowProtocol(tuple.protocol));
}
