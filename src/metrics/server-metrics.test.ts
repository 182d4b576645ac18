// Tests of the server's metrics: sums by node, addresses that go when they cannot be read, requests and watches.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MetricRegistry } from './metric-registry.ts';
import { type AddressCounts, flowMeter, measureServer, SERVER_METRICS } from './server-metrics.ts';

const ADDRESSES: AddressCounts = {
  inUse: [
    { ippool: 'four', node: 'a', value: 2 },
    { ippool: 'six', node: 'a', value: 3 },
    { ippool: 'six', node: 'b', value: 1 },
  ],
  borrowed: [{ ippool: 'six', node: 'b', value: 1 }],
  blocks: [{ ippool: 'four', node: 'no_affinity', value: 4 }],
  candidates: [],
  reclaimed: [{ ippool: 'four', node: 'a', value: 7 }],
  pools: [{ ippool: 'four', size: 256, reserved: 16 }],
};

function linesOf(text: string): string[] {
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
}

test('the server says its addresses, flows, requests and watches', async () => {
  const metrics = new MetricRegistry(SERVER_METRICS);
  let addresses: AddressCounts | undefined = ADDRESSES;
  measureServer(metrics, {
    addresses: () => Promise.resolve(addresses),
    flows: () => ({
      received: 9,
      late: 1,
      kept: 5,
      lostRecords: 1,
      lostFlows: 2,
      waiting: 3,
    }),
    goldmane: () => ({ streams: 2, collectors: 1, received: new Map([['192.0.2.7', 6]]) }),
    requests: () => [
      { verb: 'list', code: 200, count: 20 },
      { verb: 'list', code: 403, count: 1 },
    ],
    watches: () => ({ open: 4, events: 11, dropped: 1 }),
    revision: () => 77,
  });
  const lines = linesOf(await metrics.text());
  for (const wanted of [
    'ipam_allocations_in_use{ippool="six",node="a"} 3',
    'ipam_allocations_borrowed{ippool="six",node="b"} 1',
    'ipam_allocations_gc_reclamations{ippool="four",node="a"} 7',
    'ipam_allocations_per_node{node="a"} 5',
    'ipam_allocations_borrowed_per_node{node="b"} 1',
    'ipam_blocks{ippool="four",node="no_affinity"} 4',
    'ipam_blocks_per_node{node="no_affinity"} 4',
    'ipam_ippool_size{ippool="four"} 256',
    'ipam_ippool_reserved{ippool="four"} 16',
    'goldmane_aggr_received_flows_total 9',
    'goldmane_aggr_dropped_flows_total 2',
    'goldmane_aggr_num_unique_flows 3',
    'goldmane_num_streams 2',
    'goldmane_collector_num_clients 1',
    'goldmane_collector_received_flows{source="192.0.2.7"} 6',
    'tortie_flow_records_kept_total 5',
    'tortie_flow_reports_late_total 1',
    'tortie_store_revision 77',
    'tortie_requests_total{verb="list",code="403"} 1',
    'tortie_watches_open 4',
    'tortie_watch_events_total 11',
    'tortie_watches_dropped_total 1',
  ]) {
    assert.ok(lines.includes(wanted), wanted);
  }
  addresses = undefined;
  const later = linesOf(await metrics.text());
  assert.deepEqual(
    later.filter((line) => line.startsWith('ipam_')),
    [],
    'old counts are not told as new ones',
  );
  assert.ok(later.includes('tortie_store_revision 77'));
});

test('the work on flows is measured under the names and types of Goldmane', async () => {
  const metrics = new MetricRegistry(SERVER_METRICS);
  const meter = flowMeter(metrics);
  meter.onBatch(4, 2);
  meter.onRollover(7, undefined);
  meter.onRollover(9, 15_000);
  meter.onBackfill(3);
  meter.onCollected('192.0.2.7', 0.02);
  const lines = linesOf(await metrics.text());
  for (const wanted of [
    'goldmane_aggr_flow_index_batch_size_sum 4',
    'goldmane_aggr_flow_index_latency_ms_sum 0.5',
    'goldmane_aggr_rollover_duration_ms_count 2',
    'goldmane_aggr_rollover_latency_ms_sum 15000',
    'goldmane_aggr_backfill_latency_ms_sum 3',
    'goldmane_collector_flow_process_latency_bucket{le="0.01",source="192.0.2.7"} 0',
    'goldmane_collector_flow_process_latency_bucket{le="0.025",source="192.0.2.7"} 1',
    'goldmane_collector_flow_process_latency_count{source="192.0.2.7"} 1',
  ]) {
    assert.ok(lines.includes(wanted), `${wanted} in ${lines.join('\n')}`);
  }
});
