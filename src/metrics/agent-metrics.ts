// The node agent's metrics under the names of Felix: cluster sizes, calculation, dataplane, policy log.
import type { MetricRegistry } from './metric-registry.ts';

/** A change of a resource, as the syncer tells it. */
export interface ResourceChange {
  readonly kind: { readonly group: string; readonly kind: string };
  /** Unique within the kind. */
  readonly key: string;
  /** Undefined where it is gone. */
  readonly resource: object | undefined;
}

/** What an apply said of itself. */
export interface AppliedCounts {
  readonly seconds: number;
  readonly writes: number;
  readonly errors: number;
  readonly repaired: number;
  readonly unfiltered: number;
  readonly endpoints: number;
  readonly policies: number;
  readonly ipSets: number;
}

/** What the dataplane has in the kernel, and has asked of it. */
export interface DataplaneCounts {
  readonly table: {
    readonly chains: number;
    readonly rules: number;
    readonly sets: number;
    readonly maps: number;
    readonly ipSets: Readonly<Record<4 | 6, number>>;
  };
  readonly calls: {
    readonly transactions: number;
    readonly refused: number;
    readonly reads: number;
    readonly failedReads: number;
  };
  readonly routes: number;
  readonly interfaces: number;
  readonly offload: { readonly devices: number; readonly missing: number };
  readonly logPrefixes: number;
}

/** What the label index has and did. */
export interface MatchingCounts {
  readonly objects: number;
  readonly selectors: { readonly optimized: number; readonly unoptimized: number };
  readonly evaluations: { readonly matched: number; readonly unmatched: number };
  readonly scans: Readonly<Partial<Record<string, number>>>;
}

/** Read when somebody asks. */
export interface AgentSources {
  readonly dataplane: () => DataplaneCounts;
  readonly matching: () => MatchingCounts;
  readonly log: () => readonly {
    readonly group: number;
    readonly received: number;
    readonly datagrams: number;
    readonly lost: number;
    readonly unreadable: number;
  }[];
  /** How often the log could not be written. */
  readonly logErrors: () => number;
  /** Whom flows are named after. */
  readonly names: () => {
    readonly endpoints: number;
    readonly networkSets: number;
    readonly services: number;
  };
  readonly flows: {
    /** Connections that are followed. */
    readonly connections: () => number;
    /** Reports made, those that wait to be sent, and those merged with others meanwhile. */
    readonly reports: () => number;
    readonly waiting: () => number;
    readonly merged: () => number;
    /** How often connection events were lost; a listing makes up for them. */
    readonly overruns: () => number;
    /** Packets and reports given up. */
    readonly lost: () => number;
    /** Entries of flow log files that wait. */
    readonly fileEntries: (verdict: 'allow' | 'deny') => number;
    /** How often staged policies were weighed, for new flows and for those that go on. */
    readonly evaluations: () => { readonly new: number; readonly ongoing: number };
  };
}

const CLUSTER: readonly (readonly [metric: string, kinds: readonly string[]])[] = [
  ['felix_cluster_num_host_endpoints', ['projectcalico.org/HostEndpoint']],
  ['felix_cluster_num_hosts', ['/Node']],
  [
    'felix_cluster_num_policies',
    [
      'projectcalico.org/NetworkPolicy',
      'projectcalico.org/GlobalNetworkPolicy',
      'networking.k8s.io/NetworkPolicy',
      'policy.networking.k8s.io/ClusterNetworkPolicy',
    ],
  ],
  ['felix_cluster_num_profiles', ['projectcalico.org/Profile', '/Namespace', '/ServiceAccount']],
  ['felix_cluster_num_tiers', ['projectcalico.org/Tier']],
  ['felix_cluster_num_workload_endpoints', ['/Pod', 'projectcalico.org/WorkloadEndpoint']],
];
const SYNC_STATES = { waiting: 1, resync: 2, 'in-sync': 3 } as const;

/** Told of what happens; keeps no more than counts. */
export class AgentMetrics {
  readonly #metrics: MetricRegistry;
  readonly #keys = new Map<string, Set<string>>();
  #applied = false;
  #waiting = 0;

  constructor(metrics: MetricRegistry, host: string, sources: AgentSources) {
    this.#metrics = metrics;
    metrics.set('felix_host', 1, { host });
    metrics.set('felix_resync_state', SYNC_STATES.waiting);
    metrics.onCollect(() => this.#collect(sources));
  }

  onStatus(status: keyof typeof SYNC_STATES): void {
    if (status === 'resync') this.#metrics.add('felix_resyncs_started');
    this.#metrics.set('felix_resync_state', SYNC_STATES[status]);
  }

  onChanges(changes: readonly ResourceChange[]): void {
    this.#waiting += changes.length;
    for (const { kind, key, resource } of changes) {
      const name = `${kind.group}/${kind.kind}`;
      const keys = this.#keys.get(name) ?? new Set<string>();
      this.#keys.set(name, keys);
      if (resource === undefined) keys.delete(key);
      else keys.add(key);
      this.#metrics.add('felix_calc_graph_updates_processed', 1, { type: kind.kind });
      this.#metrics.add('felix_int_dataplane_messages', 1, { type: kind.kind });
    }
  }

  onCalculated(seconds: number): void {
    this.#metrics.observe('felix_calc_graph_update_time_seconds', seconds);
    this.#metrics.add('felix_calc_graph_output_events');
  }

  onApplied(counts: AppliedCounts): void {
    const metrics = this.#metrics;
    if (this.#applied) metrics.observe('felix_int_dataplane_apply_time_seconds', counts.seconds);
    else metrics.set('felix_int_dataplane_initial_resync_time_seconds', counts.seconds);
    this.#applied = true;
    if (this.#waiting > 0) metrics.observe('felix_int_dataplane_msg_batch_size', this.#waiting);
    this.#waiting = 0;
    metrics.add('felix_int_dataplane_failures', counts.errors > 0 ? 1 : 0);
    metrics.add('tortie_kernel_writes_total', counts.writes);
    metrics.add('tortie_kernel_repairs_total', counts.repaired);
    metrics.set('tortie_unfiltered_endpoints', counts.unfiltered);
    metrics.set('felix_active_local_endpoints', counts.endpoints);
    metrics.set('felix_active_local_policies', counts.policies);
    metrics.set('felix_active_local_selectors', counts.ipSets);
  }

  /** Messages of the kernel about interfaces and their addresses, of one look. */
  onInterfaces({ links, addresses }: { readonly links: number; readonly addresses: number }): void {
    const metrics = this.#metrics;
    if (links > 0) metrics.observe('felix_int_dataplane_iface_msg_batch_size', links);
    if (addresses > 0) metrics.observe('felix_int_dataplane_addr_msg_batch_size', addresses);
  }

  /** How long it took to take connections in, each time. */
  onConnectionsRead(seconds: readonly number[]): void {
    for (const each of seconds) {
      this.#metrics.observe('felix_collector_conntrack_processing_latency_seconds', each);
    }
  }

  onRoutesRead(seconds: number): void {
    this.#metrics.observe('felix_route_table_resync_seconds', seconds);
  }

  #collect(sources: AgentSources): void {
    const { dataplane, matching, log, names, flows } = sources;
    const metrics = this.#metrics;
    for (const [metric, kinds] of CLUSTER) {
      metrics.set(
        metric,
        kinds.reduce((sum, kind) => sum + (this.#keys.get(kind)?.size ?? 0), 0),
      );
    }
    this.#collectDataplane(dataplane());
    this.#collectMatching(matching());
    for (const { group, received, datagrams, lost, unreadable } of log()) {
      const labels = { groupNum: String(group) };
      metrics.total('felix_nflog_logs_received', received, labels);
      metrics.total('felix_nflog_netlink_messages_received', datagrams, labels);
      metrics.total('felix_nflog_buffer_overruns', lost, labels);
      metrics.total('felix_nflog_parse_errors', unreadable, labels);
    }
    metrics.total('felix_log_errors', sources.logErrors());
    const { endpoints, networkSets, services } = names();
    metrics.set('felix_collector_lookupcache_endpoints', endpoints);
    metrics.set('felix_collector_lookupcache_networksets', networkSets);
    metrics.set('felix_collector_lookupcache_services', services);
    metrics.set('felix_collector_epstats', flows.connections());
    for (const action of ['allow', 'deny'] as const) {
      const waiting = flows.fileEntries(action);
      metrics.set('felix_collector_allowed_flowlog_aggregator_store', waiting, { action });
    }
    for (const [reason, count] of Object.entries(flows.evaluations())) {
      metrics.total('felix_collector_policy_eval_flows_total', count, { reason });
    }
    metrics.total('tortie_flow_reports_total', flows.reports());
    metrics.set('tortie_flow_reports_waiting', flows.waiting());
    metrics.total('tortie_flow_reports_merged_total', flows.merged());
    metrics.total('tortie_flow_connection_overruns_total', flows.overruns());
    metrics.total('tortie_flow_events_lost_total', flows.lost());
  }

  #collectDataplane(counts: DataplaneCounts): void {
    const { table, calls, routes, interfaces, offload, logPrefixes } = counts;
    const metrics = this.#metrics;
    const { chains, rules, sets, maps, ipSets } = table;
    // The table is of family inet: its objects serve both versions.
    const ip_version = 'inet';
    metrics.set('felix_nft_chains', chains, { ip_version });
    metrics.set('felix_nft_rules', rules, { ip_version });
    metrics.set('felix_nft_sets', sets, { ip_version });
    metrics.set('felix_nft_maps', maps, { ip_version });
    metrics.set('felix_nft_flowtable_devices', offload.devices, { ip_version });
    metrics.set('felix_nft_flowtable_missing_devices', offload.missing, { ip_version });
    metrics.set('felix_ipsets_calico', ipSets[4], { ip_version: '4' });
    metrics.set('felix_ipsets_calico', ipSets[6], { ip_version: '6' });
    metrics.set('felix_ipsets_total', ipSets[4] + ipSets[6]);
    metrics.total('felix_nft_calls', calls.transactions);
    metrics.total('felix_nft_errors', calls.refused);
    metrics.total('felix_nft_list_calls', calls.reads);
    metrics.total('felix_nft_list_errors', calls.failedReads);
    metrics.set('felix_route_table_num_routes', routes, { table: 'main' });
    metrics.set('felix_route_table_num_ifaces', interfaces, { table: 'main' });
    metrics.set('felix_collector_lookups_cache_policies', logPrefixes);
  }

  #collectMatching({ objects, selectors, evaluations, scans }: MatchingCounts): void {
    const metrics = this.#metrics;
    const { optimized, unoptimized } = selectors;
    metrics.set('felix_label_index_num_endpoints', objects);
    metrics.set('felix_label_index_num_active_selectors', optimized, { optimized: 'true' });
    metrics.set('felix_label_index_num_active_selectors', unoptimized, { optimized: 'false' });
    const { matched, unmatched } = evaluations;
    metrics.total('felix_label_index_selector_evals', matched, { result: 'true' });
    metrics.total('felix_label_index_selector_evals', unmatched, { result: 'false' });
    for (const [strategy, count = 0] of Object.entries(scans)) {
      metrics.total('felix_label_index_strategy_evals', count, {
        strategy: `endpoint-${strategy}`,
      });
    }
  }
}
