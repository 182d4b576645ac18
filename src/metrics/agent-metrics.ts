// The node agent's metrics under the names of Felix: cluster sizes, calculation, dataplane, policy log.
import type { MetricDefinition, MetricRegistry } from './metric-registry.ts';

function gauge(name: string, help: string, labels?: readonly string[]): MetricDefinition {
  return { name, type: 'gauge', help, ...(labels && { labels }) };
}

function counter(name: string, help: string, labels?: readonly string[]): MetricDefinition {
  return { name, type: 'counter', help, ...(labels && { labels }) };
}

function summary(name: string, help: string): MetricDefinition {
  return { name, type: 'summary', help };
}

export const AGENT_METRICS: readonly MetricDefinition[] = [
  gauge('felix_host', 'Always 1; the label says which host this agent serves.', ['host']),
  gauge('felix_active_local_endpoints', 'Endpoints of this host whose policy is programmed.'),
  gauge('felix_active_local_policies', 'Policies and profiles that endpoints of this host use.'),
  gauge('felix_active_local_selectors', 'IP sets from selectors that rules of this host use.'),
  gauge('felix_cluster_num_host_endpoints', 'Host endpoints in the cluster.'),
  gauge('felix_cluster_num_hosts', 'Hosts in the cluster.'),
  gauge('felix_cluster_num_policies', 'Policies in the cluster, of every kind.'),
  gauge('felix_cluster_num_profiles', 'Profiles in the cluster: own, of namespaces, of accounts.'),
  gauge('felix_cluster_num_tiers', 'Tiers in the cluster.'),
  gauge('felix_cluster_num_workload_endpoints', 'Workload endpoints in the cluster.'),
  summary('felix_calc_graph_update_time_seconds', 'Time to calculate one batch of changes.'),
  counter('felix_calc_graph_updates_processed', 'Changes of resources taken in.', ['type']),
  counter('felix_calc_graph_output_events', 'Desired states handed to the dataplane.'),
  gauge('felix_resync_state', 'Datastore: 1 waits, 2 reads all, 3 in sync.'),
  counter('felix_resyncs_started', 'How often all of the datastore was read.'),
  summary('felix_int_dataplane_apply_time_seconds', 'Time of one apply to the kernel.'),
  gauge('felix_int_dataplane_initial_resync_time_seconds', 'Time of the first apply.'),
  counter('felix_int_dataplane_failures', 'Applies that left something undone, to be tried again.'),
  counter('felix_int_dataplane_messages', 'Changes of resources given to the apply loop.', [
    'type',
  ]),
  counter('tortie_kernel_writes_total', 'Changes made in the kernel.'),
  counter('tortie_kernel_repairs_total', 'Things of ours that somebody else had changed.'),
  gauge('tortie_unfiltered_endpoints', 'Endpoints whose policy is not all in the kernel.'),
  gauge('felix_ipsets_calico', 'IP sets in use.', ['ip_version']),
  gauge('felix_ipsets_total', 'IP sets in use, of every version.'),
  gauge('felix_nft_chains', 'Chains of our nftables table.', ['ip_version']),
  gauge('felix_nft_rules', 'Rules of our nftables table.', ['ip_version']),
  gauge('felix_nft_sets', 'Sets of our nftables table.', ['ip_version']),
  gauge('felix_nft_maps', 'Maps of our nftables table.', ['ip_version']),
  counter('felix_nft_calls', 'Transactions sent to nftables.'),
  counter('felix_nft_errors', 'Things that nftables refused.'),
  gauge('felix_route_table_num_routes', 'Routes that this agent looks after.', ['table']),
  counter('felix_nflog_logs_received', 'Messages of the policy log.', ['groupNum']),
  counter('felix_nflog_buffer_overruns', 'Messages that the kernel gave up, its buffer full.', [
    'groupNum',
  ]),
  gauge('felix_collector_epstats', 'Connections followed.'),
  counter('tortie_flow_reports_total', 'Reports about flows sent to the server.'),
  counter(
    'tortie_flow_events_lost_total',
    'Events given up: counts of flows are too low by these.',
  ),
];

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
  readonly routes: number;
}

/** What there is of our table in the kernel. */
export interface TableSize {
  readonly chains: number;
  readonly rules: number;
  readonly sets: number;
  readonly maps: number;
}

/** Read when somebody asks. */
export interface AgentSources {
  readonly table: () => TableSize;
  readonly log: () => readonly {
    readonly group: number;
    readonly received: number;
    readonly lost: number;
  }[];
  readonly connections: () => number;
  readonly reports: () => number;
  readonly lost: () => number;
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
    metrics.add('felix_nft_calls');
    metrics.add('felix_nft_errors', counts.errors);
    metrics.add('felix_int_dataplane_failures', counts.errors > 0 ? 1 : 0);
    metrics.add('tortie_kernel_writes_total', counts.writes);
    metrics.add('tortie_kernel_repairs_total', counts.repaired);
    metrics.set('tortie_unfiltered_endpoints', counts.unfiltered);
    metrics.set('felix_active_local_endpoints', counts.endpoints);
    metrics.set('felix_active_local_policies', counts.policies);
    metrics.set('felix_active_local_selectors', counts.ipSets);
    metrics.set('felix_ipsets_total', counts.ipSets);
    // One set holds both families in our state; it is printed once for each.
    for (const ip_version of ['4', '6'])
      metrics.set('felix_ipsets_calico', counts.ipSets, { ip_version });
    metrics.set('felix_route_table_num_routes', counts.routes, { table: 'main' });
  }

  #collect({ table, log, connections, reports, lost }: AgentSources): void {
    const metrics = this.#metrics;
    for (const [metric, kinds] of CLUSTER) {
      metrics.set(
        metric,
        kinds.reduce((sum, kind) => sum + (this.#keys.get(kind)?.size ?? 0), 0),
      );
    }
    const { chains, rules, sets, maps } = table();
    // The table is of family inet: its objects serve both versions.
    const ip_version = 'inet';
    metrics.set('felix_nft_chains', chains, { ip_version });
    metrics.set('felix_nft_rules', rules, { ip_version });
    metrics.set('felix_nft_sets', sets, { ip_version });
    metrics.set('felix_nft_maps', maps, { ip_version });
    for (const { group, received, lost: dropped } of log()) {
      const labels = { groupNum: String(group) };
      metrics.total('felix_nflog_logs_received', received, labels);
      metrics.total('felix_nflog_buffer_overruns', dropped, labels);
    }
    metrics.set('felix_collector_epstats', connections());
    metrics.total('tortie_flow_reports_total', reports());
    metrics.total('tortie_flow_events_lost_total', lost());
  }
}
