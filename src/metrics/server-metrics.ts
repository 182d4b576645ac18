// The server's metrics: addresses under the names of kube-controllers, flows under those of Goldmane, the store.
import type { FlowKeeperCounts, FlowKeeperMeter } from '#flowstore';
import { counter, gauge, histogram, type MetricDefinition, summary } from './metric-definition.ts';
import type { MetricLabels, MetricRegistry } from './metric-registry.ts';

const POOL_AND_NODE = ['ippool', 'node'];

export const SERVER_METRICS: readonly MetricDefinition[] = [
  gauge('ipam_allocations_in_use', 'Addresses that a workload or a tunnel has.', POOL_AND_NODE),
  gauge(
    'ipam_allocations_borrowed',
    'Addresses in use from a block of another node.',
    POOL_AND_NODE,
  ),
  gauge(
    'ipam_allocations_gc_candidates',
    'Allocations whose owner could not be found.',
    POOL_AND_NODE,
  ),
  counter(
    'ipam_allocations_gc_reclamations',
    'Allocations taken back from owners that were gone.',
    POOL_AND_NODE,
  ),
  gauge('ipam_blocks', 'Blocks of addresses that nodes hold.', POOL_AND_NODE),
  gauge('ipam_ippool_size', 'Addresses of a pool.', ['ippool']),
  gauge('ipam_ippool_reserved', 'Addresses of a pool that reservations keep back.', ['ippool']),
  gauge('ipam_blocks_per_node', 'Blocks that a node holds.', ['node']),
  gauge('ipam_allocations_per_node', 'Addresses that a node has given out.', ['node']),
  gauge('ipam_allocations_borrowed_per_node', 'Addresses from blocks of other nodes.', ['node']),
  counter('goldmane_aggr_received_flows_total', 'Reports about flows taken in.'),
  counter('goldmane_aggr_dropped_flows_total', 'Reports about flows that could not be kept.'),
  gauge('goldmane_aggr_num_unique_flows', 'Records of flows that are not kept yet.'),
  summary('goldmane_aggr_flow_index_batch_size', 'Reports about flows that came at once.'),
  summary('goldmane_aggr_flow_index_latency_ms', 'Time to merge a report into its record.'),
  summary('goldmane_aggr_rollover_duration_ms', 'Time to close the buckets that were due.'),
  summary(
    'goldmane_aggr_rollover_latency_ms',
    'Time from the last closing of buckets to the next.',
  ),
  summary(
    'goldmane_aggr_backfill_latency_ms',
    "Time until a stream of Goldmane's API has told what there was before it.",
  ),
  histogram(
    'goldmane_collector_flow_process_latency',
    'Seconds to take in a flow that such an agent sent.',
    ['source'],
  ),
  gauge('goldmane_num_streams', "Streams of flows that clients of Goldmane's API have open."),
  gauge('goldmane_collector_num_clients', "Agents of others that are connected to Goldmane's API."),
  counter('goldmane_collector_received_flows', 'Flows that such agents sent.', ['source']),
  counter('tortie_flow_records_kept_total', 'Records of flows that were kept.'),
  counter('tortie_flow_reports_late_total', 'Reports that came after their bucket was closed.'),
  gauge('tortie_store_revision', 'The newest durable revision.'),
  counter('tortie_requests_total', 'Requests answered.', ['verb', 'code']),
  gauge('tortie_watches_open', 'Watches that run.'),
  counter('tortie_watch_events_total', 'Events sent to watches.'),
  counter(
    'tortie_watches_dropped_total',
    'Watches that the server ended: read too slowly, or late.',
  ),
];

/** Fills the metrics of the work of the keeper of flows, and of what collects them for it. */
export function flowMeter(metrics: MetricRegistry): FlowKeeperMeter & {
  readonly onBackfill: (milliseconds: number) => void;
  readonly onCollected: (source: string, seconds: number) => void;
} {
  return {
    onBatch: (reports, milliseconds) => {
      metrics.observe('goldmane_aggr_flow_index_batch_size', reports);
      metrics.observe('goldmane_aggr_flow_index_latency_ms', milliseconds / reports);
    },
    onRollover: (milliseconds, sinceLastMs) => {
      metrics.observe('goldmane_aggr_rollover_duration_ms', milliseconds);
      if (sinceLastMs !== undefined)
        metrics.observe('goldmane_aggr_rollover_latency_ms', sinceLastMs);
    },
    onBackfill: (milliseconds) =>
      metrics.observe('goldmane_aggr_backfill_latency_ms', milliseconds),
    onCollected: (source, seconds) =>
      metrics.observe('goldmane_collector_flow_process_latency', seconds, { source }),
  };
}

/** A number for each pool and node; `no_ippool` and `no_affinity` where there is none. */
export interface AddressCount {
  readonly ippool: string;
  readonly node: string;
  readonly value: number;
}

export interface AddressCounts {
  readonly inUse: readonly AddressCount[];
  readonly borrowed: readonly AddressCount[];
  readonly blocks: readonly AddressCount[];
  readonly candidates: readonly AddressCount[];
  readonly reclaimed: readonly AddressCount[];
  readonly pools: readonly {
    readonly ippool: string;
    readonly size: number;
    readonly reserved: number;
  }[];
}

export interface ServerSources {
  /** Undefined where they cannot be read: none are served then. */
  readonly addresses: () => Promise<AddressCounts | undefined>;
  readonly flows: () => FlowKeeperCounts | undefined;
  /** Undefined where Goldmane's API is not served. */
  readonly goldmane: () =>
    | {
        readonly streams: number;
        readonly collectors: number;
        /** By address. */
        readonly received: ReadonlyMap<string, number>;
      }
    | undefined;
  readonly requests: () => readonly {
    readonly verb: string;
    readonly code: number;
    readonly count: number;
  }[];
  readonly watches: () => {
    readonly open: number;
    readonly events: number;
    readonly dropped: number;
  };
  readonly revision: () => number;
}

const NO_ADDRESSES: AddressCounts = {
  inUse: [],
  borrowed: [],
  blocks: [],
  candidates: [],
  reclaimed: [],
  pools: [],
};

/** Fills the metrics whenever somebody asks. */
export function measureServer(metrics: MetricRegistry, sources: ServerSources): void {
  metrics.onCollect(async () => {
    setAddresses(metrics, (await sources.addresses()) ?? NO_ADDRESSES);
    const flows = sources.flows();
    if (flows) {
      metrics.total('goldmane_aggr_received_flows_total', flows.received);
      metrics.total('goldmane_aggr_dropped_flows_total', flows.lostFlows);
      metrics.set('goldmane_aggr_num_unique_flows', flows.waiting);
      metrics.total('tortie_flow_records_kept_total', flows.kept);
      metrics.total('tortie_flow_reports_late_total', flows.late);
    }
    const goldmane = sources.goldmane();
    if (goldmane) {
      metrics.set('goldmane_num_streams', goldmane.streams);
      metrics.set('goldmane_collector_num_clients', goldmane.collectors);
      for (const [source, count] of goldmane.received)
        metrics.total('goldmane_collector_received_flows', count, { source });
    }
    metrics.set('tortie_store_revision', sources.revision());
    metrics.replace(
      'tortie_requests_total',
      sources.requests().map(({ verb, code, count }) => ({
        labels: { verb, code: String(code) },
        value: count,
      })),
    );
    const { open, events, dropped } = sources.watches();
    metrics.set('tortie_watches_open', open);
    metrics.total('tortie_watch_events_total', events);
    metrics.total('tortie_watches_dropped_total', dropped);
  });
}

function setAddresses(metrics: MetricRegistry, counts: AddressCounts): void {
  const series = (all: readonly AddressCount[]) =>
    all.map(({ ippool, node, value }) => ({ labels: { ippool, node }, value }));
  metrics.replace('ipam_allocations_in_use', series(counts.inUse));
  metrics.replace('ipam_allocations_borrowed', series(counts.borrowed));
  metrics.replace('ipam_allocations_gc_candidates', series(counts.candidates));
  metrics.replace('ipam_allocations_gc_reclamations', series(counts.reclaimed));
  metrics.replace('ipam_blocks', series(counts.blocks));
  metrics.replace('ipam_blocks_per_node', perNode(counts.blocks));
  metrics.replace('ipam_allocations_per_node', perNode(counts.inUse));
  metrics.replace('ipam_allocations_borrowed_per_node', perNode(counts.borrowed));
  const pools = (value: (pool: AddressCounts['pools'][number]) => number) =>
    counts.pools.map((pool) => ({ labels: { ippool: pool.ippool }, value: value(pool) }));
  metrics.replace(
    'ipam_ippool_size',
    pools(({ size }) => size),
  );
  metrics.replace(
    'ipam_ippool_reserved',
    pools(({ reserved }) => reserved),
  );
}

function perNode(all: readonly AddressCount[]): { labels: MetricLabels; value: number }[] {
  const sums = new Map<string, number>();
  for (const { node, value } of all) sums.set(node, (sums.get(node) ?? 0) + value);
  return [...sums].map(([node, value]) => ({ labels: { node }, value }));
}
