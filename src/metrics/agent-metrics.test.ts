// Tests of the agent's metrics: what it is told and what it reads comes out under Felix' names.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AGENT_METRICS } from './agent-definitions.ts';
import { AgentMetrics, type AgentSources } from './agent-metrics.ts';
import { MetricRegistry } from './metric-registry.ts';

const SOURCES: AgentSources = {
  dataplane: () => ({
    table: { chains: 9, rules: 20, sets: 4, maps: 2, ipSets: { 4: 3, 6: 1 } },
    calls: { transactions: 5, refused: 1, reads: 2, failedReads: 0 },
    routes: 7,
    interfaces: 6,
    offload: { devices: 5, missing: 1 },
    logPrefixes: 30,
  }),
  matching: () => ({
    objects: 11,
    selectors: { optimized: 3, unoptimized: 1 },
    evaluations: { matched: 8, unmatched: 2 },
    scans: { 'single-value': 3, 'full-scan': 1 },
  }),
  log: () => [{ group: 1, received: 40, datagrams: 7, lost: 2, unreadable: 3 }],
  logErrors: () => 6,
  names: () => ({ endpoints: 21, networkSets: 22, services: 23 }),
  flows: {
    connections: () => 12,
    reports: () => 13,
    waiting: () => 14,
    merged: () => 15,
    overruns: () => 16,
    lost: () => 2,
    fileEntries: (verdict) => (verdict === 'allow' ? 31 : 32),
    evaluations: () => ({ new: 33, ongoing: 34 }),
  },
};

const APPLIED = {
  seconds: 0.5,
  writes: 3,
  errors: 0,
  repaired: 0,
  unfiltered: 0,
  endpoints: 2,
  policies: 4,
  ipSets: 3,
};

function change(kind: string, key: string, resource: object | undefined = {}) {
  return { kind: { group: '', kind }, key, resource };
}

async function valuesOf(metrics: MetricRegistry): Promise<Map<string, number>> {
  const lines = (await metrics.text()).split('\n').filter((line) => /^[a-z]/.test(line));
  return new Map(
    lines.map((line) => {
      const space = line.lastIndexOf(' ');
      return [line.slice(0, space), Number(line.slice(space + 1))];
    }),
  );
}

test('what is in the cluster is counted, however often it changes', async () => {
  const metrics = new MetricRegistry(AGENT_METRICS);
  const agent = new AgentMetrics(metrics, 'one', SOURCES);
  agent.onChanges([change('Node', 'a'), change('Node', 'b'), change('Pod', 'shop/x')]);
  agent.onChanges([change('Node', 'a'), { ...change('Node', 'b'), resource: undefined }]);
  const values = await valuesOf(metrics);
  assert.equal(values.get('felix_cluster_num_hosts'), 1);
  assert.equal(values.get('felix_cluster_num_workload_endpoints'), 1);
  assert.equal(values.get('felix_calc_graph_updates_processed{type="Node"}'), 4);
});

test('applies, read-backs and the state of the datastore', async () => {
  const metrics = new MetricRegistry(AGENT_METRICS);
  const agent = new AgentMetrics(metrics, 'one', SOURCES);
  assert.equal((await valuesOf(metrics)).get('felix_resync_state'), 1);
  agent.onStatus('resync');
  agent.onStatus('in-sync');
  agent.onChanges([change('Node', 'a'), change('Pod', 'shop/x')]);
  agent.onApplied({ ...APPLIED, errors: 2, unfiltered: 1 });
  agent.onApplied(APPLIED);
  agent.onRoutesRead(0.25);
  agent.onInterfaces({ links: 3, addresses: 0 });
  agent.onInterfaces({ links: 0, addresses: 2 });
  agent.onConnectionsRead([0.004, 0.03]);
  const values = await valuesOf(metrics);
  for (const [series, wanted] of [
    ['felix_host{host="one"}', 1],
    ['felix_resync_state', 3],
    ['felix_resyncs_started', 1],
    ['felix_int_dataplane_initial_resync_time_seconds', 0.5],
    ['felix_int_dataplane_apply_time_seconds_count', 1],
    ['felix_int_dataplane_failures', 1],
    ['felix_int_dataplane_msg_batch_size_sum', 2],
    ['felix_int_dataplane_msg_batch_size_count', 1],
    ['felix_active_local_endpoints', 2],
    ['felix_active_local_policies', 4],
    ['felix_active_local_selectors', 3],
    ['tortie_unfiltered_endpoints', 0],
    ['tortie_kernel_writes_total', 6],
    ['felix_route_table_resync_seconds_sum', 0.25],
    ['felix_route_table_num_routes{table="main"}', 7],
    ['felix_route_table_num_ifaces{table="main"}', 6],
    ['felix_ipsets_calico{ip_version="4"}', 3],
    ['felix_ipsets_total', 4],
    ['felix_nft_rules{ip_version="inet"}', 20],
    ['felix_nft_flowtable_devices{ip_version="inet"}', 5],
    ['felix_nft_flowtable_missing_devices{ip_version="inet"}', 1],
    ['felix_nft_calls', 5],
    ['felix_nft_errors', 1],
    ['felix_nft_list_calls', 2],
    ['felix_label_index_num_active_selectors{optimized="false"}', 1],
    ['felix_label_index_selector_evals{result="true"}', 8],
    ['felix_label_index_strategy_evals{strategy="endpoint-single-value"}', 3],
    ['felix_nflog_buffer_overruns{groupNum="1"}', 2],
    ['felix_nflog_parse_errors{groupNum="1"}', 3],
    ['felix_nflog_netlink_messages_received{groupNum="1"}', 7],
    ['felix_log_errors', 6],
    ['felix_int_dataplane_iface_msg_batch_size_sum', 3],
    ['felix_int_dataplane_iface_msg_batch_size_count', 1],
    ['felix_int_dataplane_addr_msg_batch_size_sum', 2],
    ['felix_collector_conntrack_processing_latency_seconds_bucket{le="0.005"}', 1],
    ['felix_collector_conntrack_processing_latency_seconds_bucket{le="0.05"}', 2],
    ['felix_collector_allowed_flowlog_aggregator_store{action="deny"}', 32],
    ['felix_collector_policy_eval_flows_total{reason="ongoing"}', 34],
    ['felix_collector_lookups_cache_policies', 30],
    ['felix_collector_epstats', 12],
    ['felix_collector_lookupcache_endpoints', 21],
    ['felix_collector_lookupcache_networksets', 22],
    ['felix_collector_lookupcache_services', 23],
    ['tortie_flow_reports_total', 13],
    ['tortie_flow_reports_waiting', 14],
    ['tortie_flow_reports_merged_total', 15],
    ['tortie_flow_connection_overruns_total', 16],
    ['tortie_flow_events_lost_total', 2],
  ] as const) {
    assert.equal(values.get(series), wanted, series);
  }
});
