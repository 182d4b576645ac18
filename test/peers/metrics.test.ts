// A real Prometheus scrapes server and agents of a real lab: targets, true numbers, TLS with client certificates, form.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { dashboardQueries } from './dashboard-queries.ts';
import { Prometheus, prometheusMissing, promtool } from './prometheus.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const TORTIE = join(ROOT, 'bin', 'tortie');
const LAB = `m${process.pid}`;
const UNDERLAY = `/run/netns/tortie-${LAB}--underlay`;
const ALLOWED = 25;
const DENIED = 40;
const skip = process.getuid?.() === 0 ? prometheusMissing() : 'a lab needs root';

const folder = mkdtempSync(join(tmpdir(), 'tortie-metrics-'));
const file = (name: string): string => join(folder, name);
let prometheus: Prometheus;

function run(program: string, ...args: string[]): string {
  return execFileSync(program, args, {
    encoding: 'utf8',
    timeout: 120_000,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** An authority, a certificate of node-2's metrics, and one of Prometheus. */
function makeCertificates(): void {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const issue = (name: string, ...more: string[]): void => {
    const files = ['-keyout', file(`${name}.key`), '-out', file(`${name}.crt`)];
    const subject = ['-subj', `/CN=${name}`, '-days', '2'];
    run('openssl', 'req', '-x509', ...key, ...files, ...subject, ...more);
  };
  issue('authority');
  const signed = ['-CA', file('authority.crt'), '-CAkey', file('authority.key')];
  const leaf = ['-addext', 'basicConstraints=critical,CA:FALSE'];
  issue('agent', ...signed, ...leaf, '-addext', 'subjectAltName=IP:172.30.0.12');
  issue('prometheus', ...signed, ...leaf);
}

function manifests(): string {
  const pod = (name: string, nodeName: string, command: string[]) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'shop', labels: { app: name } },
    spec: { nodeName, containers: [{ name: 'main', command }] },
  });
  const felix = (name: string, spec: object) => ({
    apiVersion: 'projectcalico.org/v3',
    kind: 'FelixConfiguration',
    metadata: { name },
    spec: { prometheusMetricsEnabled: true, ...spec },
  });
  const idle = ['node', '-e', 'setInterval(() => 0, 100000)'];
  const documents = [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } },
    pod('db', 'node-1', ['node', join(ROOT, 'test/lab/traffic.ts'), 'serve']),
    pod('cart', 'node-2', idle),
    pod('thief', 'node-2', idle),
    felix('node.node-1', {}),
    felix('node.node-2', {
      prometheusMetricsCertFile: file('agent.crt'),
      prometheusMetricsKeyFile: file('agent.key'),
      prometheusMetricsCAFile: file('authority.crt'),
      prometheusMetricsClientAuth: 'RequireAndVerifyClientCert',
    }),
    {
      apiVersion: 'projectcalico.org/v3',
      kind: 'NetworkPolicy',
      metadata: { name: 'db', namespace: 'shop' },
      spec: {
        selector: 'app == "db"',
        ingress: [
          { action: 'Allow', protocol: 'TCP', source: { selector: 'app == "nobody"' } },
          {
            action: 'Allow',
            protocol: 'TCP',
            source: { selector: 'app == "cart"' },
            destination: { ports: [8080] },
          },
        ],
      },
    },
    {
      apiVersion: 'projectcalico.org/v3',
      kind: 'StagedNetworkPolicy',
      metadata: { name: 'closed', namespace: 'shop' },
      spec: { selector: 'app == "db"', order: 1, ingress: [{ action: 'Deny' }] },
    },
  ];
  return documents.map((document) => JSON.stringify(document)).join('\n---\n');
}

function scrapes(): object {
  const job = (name: string, target: string, more: object = {}) => ({
    job_name: name,
    static_configs: [{ targets: [target] }],
    ...more,
  });
  const ca = { ca_file: file('authority.crt') };
  const own = { cert_file: file('prometheus.crt'), key_file: file('prometheus.key') };
  return {
    global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
    rule_files: [join(ROOT, 'deploy/prometheus/tortie-alerts.yml')],
    scrape_configs: [
      job('server', '172.30.0.1:9094'),
      job('agent', '172.30.0.11:9091'),
      job('agent-tls', '172.30.0.12:9091', { scheme: 'https', tls_config: { ...ca, ...own } }),
      job('stranger', '172.30.0.12:9091', { scheme: 'https', tls_config: ca }),
      job('plain', '172.30.0.12:9091'),
    ],
  };
}

/** A program in a pod, which finds its peer's address. */
function inPod(pod: string, script: string): string {
  const find = `const { readFileSync } = require('node:fs');
    const host = JSON.parse(readFileSync(process.env.TORTIE_LAB_PEERS))['shop/db'][0];`;
  return run(TORTIE, 'lab', 'exec', '--lab', LAB, pod, '--', 'node', '-e', find + script);
}

const CONNECT = `
  const net = require('node:net');
  const once = () => new Promise((resolve, reject) => {
    const socket = net.connect({ host, port: 8080 });
    socket.on('connect', () => socket.write('x'));
    socket.on('data', () => socket.end());
    socket.on('close', resolve);
    socket.on('error', reject);
  });
  (async () => { for (let n = 0; n < ${ALLOWED}; n++) await once(); })();`;

/** Each datagram is one packet, and no answer makes a connection of it. */
const SEND = `
  const socket = require('node:dgram').createSocket('udp4');
  let sent = 0;
  const next = () => {
    if (sent++ === ${DENIED}) socket.close();
    else socket.send('x', 9999, host, () => setTimeout(next, 2));
  };
  next();`;

async function becomes(expression: string, wanted: number): Promise<void> {
  let found: number | undefined;
  for (let turn = 0; turn < 60; turn++) {
    found = prometheus.value(expression);
    if (found === wanted) return;
    await sleep(250);
  }
  assert.equal(found, wanted, expression);
}

before(async () => {
  if (skip) return;
  makeCertificates();
  writeFileSync(file('world.yaml'), manifests());
  mkdirSync(file('prometheus'));
  run(TORTIE, 'lab', 'up', '-f', file('world.yaml'), '--name', LAB, '--nodes', '2');
  prometheus = await Prometheus.start(file('prometheus'), UNDERLAY, scrapes());
});

after(async () => {
  await prometheus?.stop();
  if (!skip) run(TORTIE, 'lab', 'down', LAB);
  rmSync(folder, { recursive: true, force: true });
});

test('targets are up, those with TLS for a client certificate alone', { skip }, async () => {
  for (const job of ['server', 'agent', 'agent-tls']) await becomes(`up{job="${job}"}`, 1);
  for (const job of ['stranger', 'plain']) await becomes(`up{job="${job}"}`, 0);
  await becomes('felix_host{host="node-2"}', 1);
  await becomes('count(felix_resync_state == 3)', 2);
});

test('endpoints, addresses and policies have their true numbers', { skip }, async () => {
  await becomes('felix_active_local_endpoints{job="agent"}', 1);
  await becomes('felix_active_local_endpoints{job="agent-tls"}', 2);
  await becomes('felix_cluster_num_hosts{job="agent"}', 2);
  await becomes('felix_cluster_num_workload_endpoints{job="agent"}', 3);
  const pods = JSON.parse(run(TORTIE, 'get', 'pods', '-n', 'shop', '-o', 'json', '--lab', LAB));
  const addresses = pods.items.flatMap(
    (pod: { status: { podIPs: unknown[] } }) => pod.status.podIPs,
  );
  assert.ok(addresses.length >= 3);
  await becomes('sum(ipam_allocations_in_use)', addresses.length);
  await becomes('sum(ipam_allocations_per_node{node="node-1"}) * 3', addresses.length);
  await becomes('sum(ipam_allocations_borrowed) or vector(0)', 0);
  await becomes(
    'count(ipam_ippool_size > 0) > 0',
    prometheus.value('count(ipam_ippool_size)') ?? 0,
  );
  const revision = prometheus.value('tortie_store_revision') ?? 0;
  assert.ok(revision > 0);
});

test('rules count connections and packets as they were made', { skip }, async () => {
  inPod('shop/cart', CONNECT);
  inPod('shop/thief', SEND);
  const rule = 'job="agent",policy=~"shop/.*db",rule_direction="ingress",rule_index="1"';
  await becomes(`sum(cnx_policy_rule_connections{${rule}})`, ALLOWED);
  const inbound = `sum(cnx_policy_rule_packets{${rule},traffic_direction="inbound"})`;
  const outbound = `sum(cnx_policy_rule_packets{${rule},traffic_direction="outbound"})`;
  // SYN, ACK, data and FIN each way, and what the stack merges or adds.
  for (const expression of [inbound, outbound]) {
    await becomes(`${expression} >= bool ${3 * ALLOWED}`, 1);
    await becomes(`${expression} <= bool ${8 * ALLOWED}`, 1);
  }
  const staged = 'job="agent",policy="shop/staged:default.closed"';
  await becomes(`sum(cnx_policy_rule_connections{${staged}})`, ALLOWED);
  const enforced = 'job="agent",action="deny",policy!~".*staged:.*"';
  await becomes(`sum(cnx_policy_rule_packets{${enforced}})`, DENIED);
  await becomes(
    'sum(cnx_policy_rule_connections{job="agent",rule_index="0",policy!~".*staged:.*"}) or vector(0)',
    0,
  );
  const thief = inPod(
    'shop/thief',
    "console.log(require('node:os').networkInterfaces().eth0[0].address)",
  ).trim();
  await becomes(`sum(calico_denied_packets{job="agent",srcIP="${thief}"})`, DENIED);
  // A datagram of one byte with its UDP and IP headers.
  await becomes(`sum(calico_denied_bytes{job="agent",srcIP="${thief}"})`, DENIED * 29);
  const [series, ...others] = prometheus.query('calico_denied_packets{job="agent"} > 0');
  assert.equal(others.length, 0);
  assert.match(series?.labels['policy'] ?? '', /^default\|.*\|-1\|deny$/);
  await becomes('felix_nflog_buffer_overruns{job="agent",groupNum="1"}', 0);
  await becomes('tortie_flow_events_lost_total{job="agent"}', 0);
  await becomes('goldmane_aggr_dropped_flows_total', 0);
});

/** The queries that have no data. */
function withoutData(queries: Iterable<[string, string]>): string[] {
  const empty: string[] = [];
  for (const [where, expression] of queries) {
    const question = ['--get', '--data-urlencode', `query=${expression}`];
    const answer = JSON.parse(prometheus.fetch('http://127.0.0.1:9090/api/v1/query', ...question));
    assert.equal(answer.status, 'success', where);
    if (answer.data.result.length === 0) empty.push(where);
  }
  return empty;
}

test('dashboards have their data, and rules are evaluated', { skip }, async (context) => {
  const queries = dashboardQueries();
  // Nothing was borrowed, collected, refused, or sent by agents of others.
  const expected = ['ipam.json: Borrowed A', 'ipam.json: Collection A', 'ipam.json: Collection B'];
  const nothing = [
    ...expected,
    "flows.json: Goldmane's API C",
    'server.json: Refused and failed A',
  ];
  let empty: string[] = [];
  // A rate takes two scrapes.
  for (let turn = 0; turn < 10; turn++) {
    empty = withoutData(queries);
    if (empty.every((where) => nothing.includes(where))) break;
    await sleep(1_000);
  }
  assert.deepEqual(
    empty.filter((where) => !nothing.includes(where)),
    [],
  );
  context.diagnostic(`${queries.size - empty.length} of ${queries.size} queries have data`);
  const { data } = JSON.parse(prometheus.fetch('http://127.0.0.1:9090/api/v1/rules'));
  const rules = data.groups.flatMap(
    ({ rules: some }: { rules: { name: string; health: string }[] }) => some,
  );
  assert.ok(rules.length > 10);
  for (const { name, health } of rules) assert.equal(health, 'ok', name);
});

/** What dashboards of Felix that others have made ask for, as far as it is said of what is here. */
const WELL_KNOWN = [
  'felix_active_local_endpoints',
  'felix_active_local_policies',
  'felix_active_local_selectors',
  'felix_cluster_num_host_endpoints',
  'felix_cluster_num_hosts',
  'felix_cluster_num_workload_endpoints',
  'rate(felix_calc_graph_update_time_seconds_count[1m])',
  'felix_calc_graph_update_time_seconds{quantile="0.99"}',
  'rate(felix_calc_graph_updates_processed[1m])',
  'felix_int_dataplane_apply_time_seconds{quantile="0.5"}',
  'felix_int_dataplane_addr_msg_batch_size_sum / felix_int_dataplane_addr_msg_batch_size_count',
  'felix_int_dataplane_iface_msg_batch_size_sum / felix_int_dataplane_iface_msg_batch_size_count',
  'felix_int_dataplane_msg_batch_size_sum / felix_int_dataplane_msg_batch_size_count',
  'rate(felix_int_dataplane_failures[1m])',
  'rate(felix_int_dataplane_messages[1m])',
  'felix_ipsets_calico',
  'felix_ipsets_total',
  'rate(felix_log_errors[1m])',
  'felix_resync_state',
  'felix_resyncs_started',
  'rate(process_cpu_seconds_total[1m])',
  'process_resident_memory_bytes',
  'histogram_quantile(0.9, rate(felix_collector_conntrack_processing_latency_seconds_bucket[1m]))',
];

test('well-known questions about Felix have answers', { skip }, async () => {
  let empty: string[] = [];
  for (let turn = 0; turn < 20; turn++) {
    empty = withoutData(WELL_KNOWN.map((query) => [query, query]));
    if (empty.length === 0) break;
    await sleep(1_000);
  }
  assert.deepEqual(empty, []);
});

/** What may be said of upstream's names and labels: felix_nft_calls, felix_ipsets_total (a gauge), srcIP, …_ms. */
const UPSTREAMS =
  /metrics should (not )?have "_total" suffix$|'snake_case' not 'camelCase'$|abbreviated units$/;

/** Names that are not ours to choose: those of the corpus, and those of spec 04, 4.2. */
function isUpstreams(name: string): boolean {
  const path = join(
    process.env['CORPORA'] ?? join(ROOT, '..', 'shared', 'corpora'),
    'metrics/metrics.json',
  );
  const perRule = /^(cnx_policy_rule|calico_denied)_(packets|bytes|connections)$/.test(name);
  try {
    const known = JSON.parse(readFileSync(path, 'utf8')) as { name: string }[];
    return perRule || known.some((metric) => metric.name === name);
  } catch {
    return perRule || /^(felix|ipam|goldmane)_/.test(name);
  }
}

test('promtool finds nothing but what upstream’s names are', { skip }, (context) => {
  const own = ['--cacert', file('authority.crt'), '--cert', file('prometheus.crt')];
  const texts = [
    prometheus.fetch('http://172.30.0.1:9094/metrics'),
    prometheus.fetch('http://172.30.0.11:9091/metrics'),
    prometheus.fetch('https://172.30.0.12:9091/metrics', ...own, '--key', file('prometheus.key')),
  ];
  const complaints = texts.flatMap((text) => {
    assert.ok(text.length > 1000);
    return promtool(['check', 'metrics'], text)
      .output.split('\n')
      .filter((line) => line !== '');
  });
  const ours = complaints.filter((line) => {
    const [name = '', ...words] = line.split(' ');
    return !(isUpstreams(name) && UPSTREAMS.test(words.join(' ')));
  });
  assert.deepEqual(ours, []);
  context.diagnostic(`${complaints.length} complaints of names that are upstream's`);
});
