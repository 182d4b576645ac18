// Writes deploy/grafana: a Grafana dashboard for each of policy, flows, agents, addresses and server.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Dashboard, dashboardJson, lines, number } from './dashboard-json.ts';

const FOLDER = 'deploy/grafana';
const AGENT = 'instance=~"$instance"';
const RULE = 'tier, policy, rule_index, rule_direction, action';

/** `rate` of a counter of agents, in the interval that Grafana chooses; `labels` as matchers. */
function rate(counter: string, labels = AGENT): string {
  return `rate(${counter}{${labels}}[$__rate_interval])`;
}

const POLICY: Dashboard = {
  name: 'policy',
  title: 'Tortie: policy',
  panels: [
    number(
      'Denied packets',
      'Packets a second that policy denied, of all nodes chosen.',
      'pps',
      `sum(${rate('calico_denied_packets')}) or vector(0)`,
    ),
    number(
      'New connections',
      'Connections a second that began under a rule; each end that is enforced counts its own.',
      'cps',
      `sum(${rate('cnx_policy_rule_connections')}) or vector(0)`,
    ),
    number(
      'Policies',
      'Policies in the cluster, of every kind.',
      'short',
      `max(felix_cluster_num_policies{${AGENT}})`,
    ),
    number(
      'Rules merged',
      'Above 0: there were too many series, and some rules are counted together.',
      'short',
      `max(tortie_rule_series_merged{${AGENT}})`,
    ),
    lines('Packets by action', 'What rules decided, both ways of each connection.', 'pps', [
      `sum by (action) (${rate('cnx_policy_rule_packets')})`,
      '{{action}}',
    ]),
    lines('Bytes by policy', 'The ten policies under which most was sent.', 'Bps', [
      `topk(10, sum by (tier, policy) (${rate('cnx_policy_rule_bytes')}))`,
      '{{tier}} {{policy}}',
    ]),
    lines(
      'New connections by policy',
      'The ten policies under which most connections began.',
      'cps',
      [
        `topk(10, sum by (tier, policy) (${rate('cnx_policy_rule_connections')}))`,
        '{{tier}} {{policy}}',
      ],
    ),
    lines(
      'Denied packets by rule',
      'Tier, policy, rule and action; rule -1 is the end of a tier.',
      'pps',
      [`topk(10, sum by (policy) (${rate('calico_denied_packets')}))`, '{{policy}}'],
    ),
    lines('Denied packets by source', 'The ten addresses that were denied most.', 'pps', [
      `topk(10, sum by (srcIP) (${rate('calico_denied_packets')}))`,
      '{{srcIP}}',
    ]),
    lines('Policies in use', 'Policies and profiles that endpoints of a node use.', 'short', [
      `felix_active_local_policies{${AGENT}}`,
      '{{instance}}',
    ]),
    {
      title: 'Rules in the last hour',
      description: 'Packets that each rule decided about.',
      type: 'table',
      unit: 'short',
      width: 24,
      queries: [
        {
          expression: `sort_desc(sum by (${RULE}) (increase(cnx_policy_rule_packets{${AGENT}}[1h])))`,
          legend: '',
        },
      ],
    },
  ],
};

const FLOWS: Dashboard = {
  name: 'flows',
  title: 'Tortie: flows',
  panels: [
    number(
      'Events lost',
      'Events that agents gave up in the last hour: counts of flows are too low by these.',
      'short',
      `sum(increase(tortie_flow_events_lost_total{${AGENT}}[1h]))`,
    ),
    number(
      'Reports lost',
      'Reports that the server could not keep in the last hour.',
      'short',
      'sum(increase(goldmane_aggr_dropped_flows_total[1h]))',
    ),
    number(
      'Records waiting',
      'Records of flows that are not kept yet.',
      'short',
      'sum(goldmane_aggr_num_unique_flows)',
    ),
    number(
      'Connections',
      'Connections that agents follow.',
      'short',
      `sum(felix_collector_epstats{${AGENT}})`,
    ),
    lines(
      'Reports by agent',
      'Reports about flows, and those that the server does not have yet.',
      'short',
      [rate('tortie_flow_reports_total'), '{{instance}} a second'],
      [`tortie_flow_reports_waiting{${AGENT}}`, '{{instance}} waiting'],
    ),
    lines(
      'Reports in the server',
      'Taken in, late for their bucket, and lost.',
      'short',
      ['sum(rate(goldmane_aggr_received_flows_total[$__rate_interval]))', 'taken in'],
      ['sum(rate(tortie_flow_reports_late_total[$__rate_interval]))', 'late'],
      ['sum(rate(goldmane_aggr_dropped_flows_total[$__rate_interval]))', 'lost'],
    ),
    lines(
      'Policy log',
      'Packets that rules logged, by group: 1 towards workloads, 2 from them.',
      'pps',
      [
        `sum by (instance, groupNum) (${rate('felix_nflog_logs_received')})`,
        '{{instance}} {{groupNum}}',
      ],
    ),
    lines(
      'Lost',
      'Logged packets that the kernel gave up, and all events that agents gave up.',
      'short',
      [`sum by (instance) (${rate('felix_nflog_buffer_overruns')})`, '{{instance}} log'],
      [rate('tortie_flow_events_lost_total'), '{{instance}} all'],
    ),
    lines('Records kept', 'Records of flows written to the storage.', 'short', [
      'sum(rate(tortie_flow_records_kept_total[$__rate_interval]))',
      'kept',
    ]),
    lines(
      "Goldmane's API",
      'Open streams, and agents of others that send flows.',
      'short',
      ['sum(goldmane_num_streams)', 'streams'],
      ['sum(goldmane_collector_num_clients)', 'agents'],
      [
        'sum by (source) (rate(goldmane_collector_received_flows[$__rate_interval]))',
        'flows of {{source}}',
      ],
    ),
  ],
};

const AGENTS: Dashboard = {
  name: 'agents',
  title: 'Tortie: agents',
  panels: [
    number('Agents', 'Agents that are scraped.', 'short', `count(felix_host{${AGENT}})`),
    number(
      'Not in sync',
      'Agents that do not have all of the datastore.',
      'short',
      `count(felix_resync_state{${AGENT}} != 3) or vector(0)`,
    ),
    number(
      'Endpoints without their policy',
      'Endpoints whose policy is not all in the kernel.',
      'short',
      `sum(tortie_unfiltered_endpoints{${AGENT}})`,
    ),
    number(
      'Repairs',
      'Things of ours that somebody else had changed, in the last hour.',
      'short',
      `sum(increase(tortie_kernel_repairs_total{${AGENT}}[1h]))`,
    ),
    {
      ...lines('Datastore', 'Whether an agent waits, reads all, or is in sync.', 'short', [
        `felix_resync_state{${AGENT}}`,
        '{{instance}}',
      ]),
      texts: { 1: 'waits', 2: 'reads all', 3: 'in sync' },
    },
    lines('Endpoints', 'Endpoints whose policy is programmed.', 'short', [
      `felix_active_local_endpoints{${AGENT}}`,
      '{{instance}}',
    ]),
    lines(
      'Time of an apply',
      'From the desired state to the kernel: half and 99 of 100 are quicker.',
      's',
      [`felix_int_dataplane_apply_time_seconds{${AGENT},quantile="0.5"}`, '{{instance}} half'],
      [
        `felix_int_dataplane_apply_time_seconds{${AGENT},quantile="0.99"}`,
        '{{instance}} 99 of 100',
      ],
    ),
    lines('Time of a calculation', 'From changes to the desired state, on average.', 's', [
      `${rate('felix_calc_graph_update_time_seconds_sum')} / ${rate('felix_calc_graph_update_time_seconds_count')}`,
      '{{instance}}',
    ]),
    lines('Changes taken in', 'Changes of resources, by kind.', 'short', [
      `sum by (type) (${rate('felix_calc_graph_updates_processed')})`,
      '{{type}}',
    ]),
    lines(
      'Writes and failures',
      'Changes made in the kernel, and applies that left something undone.',
      'short',
      [rate('tortie_kernel_writes_total'), '{{instance}} writes'],
      [rate('felix_int_dataplane_failures'), '{{instance}} failures'],
      [rate('felix_nft_errors'), '{{instance}} refused transactions'],
    ),
    lines(
      'nftables',
      'What the kernel holds of ours.',
      'short',
      [`felix_nft_chains{${AGENT}}`, '{{instance}} chains'],
      [`felix_nft_rules{${AGENT}}`, '{{instance}} rules'],
      [`felix_nft_sets{${AGENT}}`, '{{instance}} sets'],
      [`felix_nft_maps{${AGENT}}`, '{{instance}} maps'],
    ),
    lines('Routes', 'Routes that agents look after.', 'short', [
      `felix_route_table_num_routes{${AGENT}}`,
      '{{instance}}',
    ]),
    lines('Selectors weighed', 'How often a selector was held against an object.', 'short', [
      `sum by (instance) (${rate('felix_label_index_selector_evals')})`,
      '{{instance}}',
    ]),
    lines('CPU', 'Cores in use.', 'short', [
      rate('process_cpu_seconds_total'),
      '{{job}} {{instance}}',
    ]),
    lines('Memory', 'Memory that is in RAM.', 'bytes', [
      `process_resident_memory_bytes{${AGENT}}`,
      '{{job}} {{instance}}',
    ]),
    lines('Lag', 'How late the process was, at worst: it was busy with something else.', 's', [
      `nodejs_eventloop_lag_seconds{${AGENT}}`,
      '{{job}} {{instance}}',
    ]),
  ],
};

const USABLE = 'max by (ippool) (ipam_ippool_size - ipam_ippool_reserved)';

const ADDRESSES: Dashboard = {
  name: 'ipam',
  title: 'Tortie: addresses',
  panels: [
    number(
      'In use',
      'Addresses that a workload or tunnel has.',
      'short',
      'sum(ipam_allocations_in_use)',
    ),
    number('Blocks', 'Blocks that nodes hold.', 'short', 'sum(ipam_blocks)'),
    number(
      'Owner not found',
      'Allocations that may be taken back.',
      'short',
      'sum(ipam_allocations_gc_candidates) or vector(0)',
    ),
    number(
      'Taken back',
      'Allocations taken back in the last day.',
      'short',
      'sum(increase(ipam_allocations_gc_reclamations[1d])) or vector(0)',
    ),
    {
      title: 'How full pools are',
      description: 'Addresses in use, of those that are not reserved.',
      type: 'bargauge',
      unit: 'percentunit',
      width: 12,
      queries: [
        {
          expression: `(sum by (ippool) (ipam_allocations_in_use) or ${USABLE} * 0) / ${USABLE}`,
          legend: '{{ippool}}',
        },
      ],
    },
    lines('In use by pool', 'Addresses that a workload or tunnel has.', 'short', [
      'sum by (ippool) (ipam_allocations_in_use)',
      '{{ippool}}',
    ]),
    lines('In use by node', 'Addresses that a node has given out.', 'short', [
      'sum by (node) (ipam_allocations_in_use)',
      '{{node}}',
    ]),
    lines(
      'Blocks by node',
      'Blocks that a node holds; no_affinity is of blocks that nobody holds.',
      'short',
      ['sum by (node) (ipam_blocks)', '{{node}}'],
    ),
    lines('Borrowed', 'Addresses in use from a block of another node.', 'short', [
      'sum by (ippool, node) (ipam_allocations_borrowed)',
      '{{node}} of {{ippool}}',
    ]),
    lines(
      'Collection',
      'Allocations without an owner, and those taken back.',
      'short',
      ['sum by (ippool, node) (ipam_allocations_gc_candidates)', '{{node}} {{ippool}} found'],
      [
        'sum by (ippool, node) (rate(ipam_allocations_gc_reclamations[$__rate_interval]))',
        '{{node}} {{ippool}} taken back',
      ],
    ),
  ],
};

const SERVER: Dashboard = {
  name: 'server',
  title: 'Tortie: server',
  panels: [
    number('Watches', 'Watches that run.', 'short', 'sum(tortie_watches_open)'),
    number(
      'Failed requests',
      'Requests a second that the server could not answer.',
      'reqps',
      'sum(rate(tortie_requests_total{code=~"5.."}[$__rate_interval])) or vector(0)',
    ),
    number(
      'Watches dropped',
      'Watches that the server ended in the last hour: read too slowly, or late.',
      'short',
      'sum(increase(tortie_watches_dropped_total[1h]))',
    ),
    number('Revision', 'The newest durable revision.', 'none', 'max(tortie_store_revision)'),
    lines('Requests by verb', 'Requests answered.', 'reqps', [
      'sum by (verb) (rate(tortie_requests_total[$__rate_interval]))',
      '{{verb}}',
    ]),
    lines(
      'Refused and failed',
      'Requests that were not answered as asked, by HTTP status.',
      'reqps',
      [
        'sum by (verb, code) (rate(tortie_requests_total{code!~"2.."}[$__rate_interval]))',
        '{{verb}} {{code}}',
      ],
    ),
    lines('Events', 'Events sent to watches.', 'short', [
      'sum(rate(tortie_watch_events_total[$__rate_interval]))',
      'events',
    ]),
    lines('Writes', 'Revisions a second: changes of objects.', 'short', [
      'sum(deriv(tortie_store_revision[$__rate_interval]))',
      'revisions',
    ]),
  ],
};

const DASHBOARDS: readonly Dashboard[] = [POLICY, FLOWS, AGENTS, ADDRESSES, SERVER];

/** The text of each file by its name. */
export function dashboardFiles(): ReadonlyMap<string, string> {
  return new Map(
    DASHBOARDS.map((dashboard) => [
      `${dashboard.name}.json`,
      `${JSON.stringify(dashboardJson(dashboard), null, 2)}\n`,
    ]),
  );
}

function main(): void {
  mkdirSync(FOLDER, { recursive: true });
  const files = dashboardFiles();
  for (const [name, text] of files) writeFileSync(join(FOLDER, name), text);
  process.stdout.write(`dashboards: ${files.size} files in ${FOLDER}\n`);
}

if (process.argv[1] === import.meta.filename) main();
