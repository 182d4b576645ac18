// Who talks to whom as a graph, from the sums of kept records: nodes, edges, rates, and what was denied.
import type { FlowCondition, FlowSummaryQuery, FlowSummaryRow } from './flow-query.ts';

export interface RecordGraphNode {
  /** `workload shop/web-*`. */
  readonly id: string;
  readonly type: string;
  readonly namespace: string | null;
  readonly name: string;
}

/** Rates are per second over the window. */
export interface RecordGraphEdge {
  readonly source: string;
  readonly destination: string;
  readonly protocol: string;
  /** Null where there is none, or several were merged. */
  readonly port: number | null;
  readonly service: string | null;
  readonly verdict: 'allow' | 'deny';
  readonly connections: number;
  readonly packets: number;
  readonly bytes: number;
  readonly connectionRate: number;
  readonly packetRate: number;
  readonly byteRate: number;
}

export interface RecordGraph {
  readonly nodes: readonly RecordGraphNode[];
  readonly edges: readonly RecordGraphEdge[];
  /** Whether there were more edges than the limit. */
  readonly truncated: boolean;
}

const EDGES_MAX = 5_000;
const GROUP = [
  'sourceType',
  'sourceNamespace',
  'sourceAggregate',
  'destinationType',
  'destinationNamespace',
  'destinationAggregate',
  'protocol',
  'port',
  'serviceNamespace',
  'serviceName',
  'verdict',
] as const;

/** What to ask for a graph of a window: each packet once. */
export function graphQuery(
  window: { readonly from: number; readonly to: number },
  where: FlowCondition,
): FlowSummaryQuery {
  return {
    ...window,
    where: { all: [where, { once: true }] },
    groupBy: GROUP,
    orderBy: 'bytesOut',
    limit: EDGES_MAX + 1,
  };
}

/** The graph of the rows that `graphQuery` gave. */
export function recordGraph(
  rows: readonly FlowSummaryRow[],
  { from, to }: { readonly from: number; readonly to: number },
): RecordGraph {
  const nodes = new Map<string, RecordGraphNode>();
  const seconds = Math.max((to - from) / 1_000, 1);
  const edges = rows.slice(0, EDGES_MAX).map(({ group, sums }): RecordGraphEdge => {
    const text = (index: number): string => String(group[index] ?? '');
    const source = node(text(0), text(1), text(2));
    const destination = node(text(3), text(4), text(5));
    nodes.set(source.id, source).set(destination.id, destination);
    const packets = sums.packetsIn + sums.packetsOut;
    const bytes = sums.bytesIn + sums.bytesOut;
    const port = Number(group[7] ?? -1);
    const service = text(9);
    return {
      source: source.id,
      destination: destination.id,
      protocol: text(6),
      port: port < 0 ? null : port,
      service: service === '' ? null : `${text(8)}/${service}`,
      verdict: text(10) === 'deny' ? 'deny' : 'allow',
      connections: sums.started,
      packets,
      bytes,
      connectionRate: sums.started / seconds,
      packetRate: packets / seconds,
      byteRate: bytes / seconds,
    };
  });
  return { nodes: [...nodes.values()], edges, truncated: rows.length > EDGES_MAX };
}

function node(type: string, namespace: string, name: string): RecordGraphNode {
  const scope = namespace === '' ? '' : `${namespace}/`;
  return { id: `${type} ${scope}${name}`, type, namespace: namespace || null, name };
}
