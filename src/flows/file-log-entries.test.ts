// Entries of flow log files: exact sums whatever is aggregated, and fields as they are configured.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FileLogEntries } from './file-log-entries.ts';
import type { FileLogEntry, FileLogSettings } from './file-log-entry.ts';
import { type Flow, flowKey } from './flow.ts';
import { DB, end, flow, OUTSIDE, step, WEB } from './flow-fixture.ts';

const LEVELS = [0, 1, 2, 3] as const;
const SETTINGS: FileLogSettings = {
  allowed: 2,
  denied: 1,
  labels: false,
  policies: false,
  service: false,
  networkSets: false,
  processes: false,
  tcp: false,
  processMax: 2,
  argsMax: 5,
  natPortsMax: 3,
};

function entriesOf(
  flows: readonly Flow[],
  settings: Partial<FileLogSettings> = {},
): FileLogEntry[] {
  const entries = new FileLogEntries('one', { ...SETTINGS, ...settings });
  for (const each of flows) entries.add(each);
  return entries.take(60_000, 75_500);
}

const sum = (entries: readonly FileLogEntry[], field: string): number =>
  entries.reduce((total, entry) => total + Number(entry[field]), 0);

const someFlow: fc.Arbitrary<Flow> = fc
  .record({
    reporter: fc.constantFrom('src' as const, 'dst' as const),
    verdict: fc.constantFrom('allow' as const, 'deny' as const),
    source: fc.constantFrom('shop/web-1', 'shop/web-2', 'shop/side'),
    sourcePort: fc.constantFrom(40_000, 40_001, 40_002),
    port: fc.constantFrom(53, 5432),
    packets: fc.record({ in: fc.nat(100), out: fc.nat(100) }),
    started: fc.nat(1),
    process: fc.constantFrom('', 'curl', 'node', 'wget'),
  })
  .map(({ source, started, process, ...more }) =>
    flow({
      ...more,
      source: end(source, source === 'shop/side' ? '10.0.1.9' : WEB, { aggregate: 'web-*' }),
      bytes: { in: more.packets.in * 100, out: more.packets.out * 60 },
      connections: { started, completed: 1 - started, live: started },
      ...(process !== '' && { process: { name: process, pid: 7, args: [] } }),
    }),
  );

test('at every level, with processes or without, sums are those of the flows', () => {
  const many = fc.array(someFlow, { maxLength: 60 });
  fc.assert(
    fc.property(many, fc.constantFrom(...LEVELS), fc.boolean(), (flows, level, processes) => {
      const entries = entriesOf(flows, { allowed: level, denied: level, processes });
      const way = (which: 'in' | 'out'): number =>
        flows.reduce((total, { packets, reporter }) => {
          const other = which === 'in' ? 'out' : 'in';
          return total + packets[reporter === 'dst' ? other : which];
        }, 0);
      assert.equal(sum(entries, 'packets_in'), way('in'));
      assert.equal(sum(entries, 'packets_out'), way('out'));
      const both = ({ bytes }: Flow): number => bytes.in + bytes.out;
      const bytes = flows.reduce((total, each) => total + both(each), 0);
      assert.equal(sum(entries, 'bytes_in') + sum(entries, 'bytes_out'), bytes);
      const started = flows.reduce((total, { connections }) => total + connections.started, 0);
      assert.equal(sum(entries, 'num_flows_started'), started);
      if (processes || level > 1) return;
      const distinct = new Set(
        flows.map(
          (each) => `${flowKey(each)} ${each.reporter} ${each.verdict} ${each.source.name}`,
        ),
      );
      assert.equal(sum(entries, 'num_flows'), distinct.size);
    }),
  );
});

test('each level leaves out what it does not tell apart', () => {
  const from = (name: string, address: string, sourcePort: number): Flow =>
    flow({ source: end(name, address, { aggregate: 'web-*' }), sourcePort });
  const flows = [from('shop/web-1', WEB, 1), from('shop/web-1', WEB, 2), from('shop/web-2', DB, 1)];
  flows.push(flow({ ...flows[2], port: 99 }));
  const names = ['source_name', 'source_name_aggr', 'source_ip', 'source_port', 'dest_port'];
  const told = LEVELS.map((level) =>
    entriesOf(flows, { allowed: level }).map((entry) => names.map((name) => entry[name])),
  );
  assert.deepEqual(told[0], [
    ['web-1', 'web-*', WEB, 1, 5432],
    ['web-1', 'web-*', WEB, 2, 5432],
    ['web-2', 'web-*', DB, 1, 5432],
    ['web-2', 'web-*', DB, 1, 99],
  ]);
  assert.deepEqual(told[1], [
    ['web-1', 'web-*', WEB, null, 5432],
    ['web-2', 'web-*', DB, null, 5432],
    ['web-2', 'web-*', DB, null, 99],
  ]);
  assert.deepEqual(told[2], [
    ['-', 'web-*', null, null, 5432],
    ['-', 'web-*', null, null, 99],
  ]);
  assert.deepEqual(told[3], [['-', 'web-*', null, null, null]]);
  const [all] = entriesOf(flows, { allowed: 3 });
  assert.equal(all?.['num_flows'], 4);
});

test('an entry with all that there is', () => {
  const labels = { app: 'web', tier: 'front' };
  const deny = flow({
    reporter: 'dst',
    verdict: 'deny',
    source: end('shop/web', WEB, { labels }),
    packets: { in: 0, out: 2 },
    bytes: { in: 0, out: 120 },
    connections: { started: 0, completed: 0, live: 0 },
    policies: [step('ingress', 'deny', { rule: 3 })],
    pending: [step('ingress', 'allow')],
    service: { namespace: 'data', name: 'db', portName: 'pg', port: 5432 },
  });
  const other = flow({ ...deny, source: end('shop/web', WEB, { labels: { app: 'web' } }) });
  const all = { denied: 0 as const, labels: true, policies: true, service: true };
  assert.deepEqual(entriesOf([deny, other], all), [
    {
      host: 'one',
      start_time: 60,
      end_time: 76,
      source_ip: WEB,
      source_name: 'web',
      source_name_aggr: 'web',
      source_namespace: 'shop',
      source_type: 'wep',
      source_port: 40_000,
      dest_ip: DB,
      dest_name: 'db',
      dest_name_aggr: 'db',
      dest_namespace: 'data',
      dest_type: 'wep',
      dest_port: 5432,
      dest_domains: null,
      dest_service_namespace: 'data',
      dest_service_name: 'db',
      dest_service_port: 'pg',
      proto: 'tcp',
      action: 'deny',
      reporter: 'dst',
      policies: {
        all_policies: ['0|default|data/default.db|deny|3'],
        enforced_policies: ['0|default|data/default.db|deny|3'],
        pending_policies: ['0|default|data/default.db|allow|0'],
      },
      source_labels: { labels: ['app=web'] },
      dest_labels: { labels: [] },
      bytes_in: 240,
      bytes_out: 0,
      packets_in: 4,
      packets_out: 0,
      num_flows: 1,
      num_flows_started: 0,
      num_flows_completed: 0,
      nat_outgoing_ports: null,
      original_source_ips: null,
      num_original_source_ips: 0,
    },
  ]);
});

test('the default of a tier goes by the policy that made it apply', () => {
  const nobody = { kind: null, namespace: null, name: null, rule: -1 };
  const trigger = { kind: 'KubernetesNetworkPolicy', namespace: 'data', name: 'db' };
  const texts = [undefined, trigger].map((known) => {
    const hit = step('ingress', 'deny', { ...nobody, ...(known && { trigger: known }) });
    const [entry = {}] = entriesOf([flow({ verdict: 'deny', policies: [hit] })], {
      policies: true,
    });
    return (entry['policies'] as { all_policies: string[] }).all_policies;
  });
  assert.deepEqual(texts, [
    ['0|default|default.end|deny|-1'],
    ['0|default|data/knp.default.db|deny|-1'],
  ]);
});

test('allowed and denied flows are left out each by itself; what is not included is not there', () => {
  const deny = flow({ verdict: 'deny' });
  const actions = (settings: Partial<FileLogSettings>): unknown[] =>
    entriesOf([flow(), deny], settings).map(({ action }) => action);
  assert.deepEqual(actions({}), ['allow', 'deny']);
  assert.deepEqual(actions({ allowed: undefined }), ['deny']);
  assert.deepEqual(actions({ denied: undefined }), ['allow']);
  const [bare = {}] = entriesOf([flow()]);
  assert.deepEqual(
    [bare['policies'], bare['source_labels'], bare['dest_labels']],
    [null, null, null],
  );
  for (const name of ['dest_service_name', 'process_name', 'tcp_mean_mss']) {
    assert.ok(!(name in bare), name);
  }
});

test('network sets by name or as networks like others', () => {
  const type = 'network-set' as const;
  const set = flow({ destination: end('partners', OUTSIDE, { type, namespace: null }) });
  const inside = flow({ destination: end('shop/own', '10.9.9.9', { type }) });
  const told = (networkSets: boolean): unknown[][] =>
    entriesOf([set, inside], { networkSets }).map((entry) =>
      ['dest_type', 'dest_namespace', 'dest_name', 'dest_name_aggr'].map((name) => entry[name]),
    );
  assert.deepEqual(told(true), [
    ['ns', '-', '-', 'partners'],
    ['ns', 'shop', '-', 'own'],
  ]);
  assert.deepEqual(told(false), [
    ['net', '-', '-', 'pub'],
    ['net', '-', '-', 'pvt'],
  ]);
});

test('processes apart up to a limit, arguments and ports after NAT in lists that end', () => {
  const run = (name: string, pid: number, seenPort: number): Flow =>
    flow({ process: { name, pid, args: ['-n', String(pid)] }, translation: { seenPort } });
  const settings = { processes: true, argsMax: 2, natPortsMax: 2 };
  const two = entriesOf(
    [run('curl', 1, 7), run('curl', 2, 8), run('wget', 3, 9), flow()],
    settings,
  );
  const names = ['process_name', 'process_id', 'num_process_ids', 'process_args', 'packets_out'];
  const told = (entries: readonly FileLogEntry[]): unknown[][] =>
    entries.map((entry) => names.map((name) => entry[name]));
  assert.deepEqual(told(two), [
    ['curl', '*', 2, ['-n 1', '-n 2'], 8],
    ['wget', '3', 1, ['-n 3'], 4],
    ['-', '-', 0, ['-'], 4],
  ]);
  const three = entriesOf([run('a', 1, 7), run('b', 2, 8), run('c', 3, 9), flow()], settings);
  assert.deepEqual(told(three), [['*', '*', 3, ['-n 1', '-n 2'], 16]]);
  assert.deepEqual(three[0]?.['num_process_args'], 3);
  assert.deepEqual(three[0]?.['nat_outgoing_ports'], [7, 8]);
});

test('means and extremes of what TCP measured, sums of what it lost', () => {
  const measured = (rtt: number, mss: number): Flow =>
    flow({
      tcp: {
        rtt,
        minRtt: rtt - 1,
        mss,
        congestionWindow: 10,
        retransmissions: 2,
        lost: 1,
        timeouts: 1,
      },
    });
  const [entry = {}] = entriesOf([measured(100, 1400), measured(300, 500), flow()], { tcp: true });
  assert.deepEqual(
    Object.fromEntries(Object.entries(entry).filter(([name]) => name.startsWith('tcp_'))),
    {
      tcp_mean_send_congestion_window: 10,
      tcp_min_send_congestion_window: 10,
      tcp_mean_smooth_rtt: 200,
      tcp_max_smooth_rtt: 300,
      tcp_mean_min_rtt: 199,
      tcp_max_min_rtt: 299,
      tcp_mean_mss: 950,
      tcp_min_mss: 500,
      tcp_total_retransmissions: 4,
      tcp_lost_packets: 2,
      tcp_unrecovered_to: 2,
    },
  );
});
