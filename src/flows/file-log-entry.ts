// One entry of a flow log file, with the fields of Calico Enterprise's flow logs (spec 12.2).
import { parseAddress } from '#lib';
import { networkName } from './directory.ts';
import { countsAtReporter, type Flow, type FlowEnd } from './flow.ts';
import { type AggregationLevel, policyText } from './flow-record.ts';

/** What is written, and how much of it is told apart. */
export interface FileLogSettings {
  /** Undefined: flows that were allowed, or denied, are not written. */
  readonly allowed: AggregationLevel | undefined;
  readonly denied: AggregationLevel | undefined;
  readonly labels: boolean;
  readonly policies: boolean;
  readonly service: boolean;
  /** Else their addresses are of networks like others. */
  readonly networkSets: boolean;
  readonly processes: boolean;
  readonly tcp: boolean;
  /** Processes of one flow that are told apart; arguments, and ports after NAT, that are listed. */
  readonly processMax: number;
  readonly argsMax: number;
  readonly natPortsMax: number;
}

/** Names and values as they are in the file. */
export type FileLogEntry = Readonly<Record<string, unknown>>;

/** What all flows of one entry share. */
export type FileLogIdentity = FileLogEntry;

/** Sums over the flows of one entry. */
export interface FileLogSums {
  packets: { in: number; out: number };
  bytes: { in: number; out: number };
  started: number;
  completed: number;
  readonly connections: Set<string>;
  readonly processNames: Set<string>;
  readonly processIds: Set<number>;
  readonly processArgs: Set<string>;
  readonly natPorts: Set<number>;
  readonly tcp: {
    samples: number;
    readonly window: Measure;
    readonly rtt: Measure;
    readonly minRtt: Measure;
    readonly mss: Measure;
    retransmissions: number;
    lost: number;
    timeouts: number;
  };
}

interface Measure {
  sum: number;
  least: number;
  most: number;
}

const TYPES = { workload: 'wep', host: 'hep', 'network-set': 'ns', network: 'net' } as const;
/** Stands for what was aggregated, and for what there is not. */
const NONE = '-';
const MANY = '*';

export function noSums(): FileLogSums {
  const measure = (): Measure => ({ sum: 0, least: Infinity, most: 0 });
  return {
    packets: { in: 0, out: 0 },
    bytes: { in: 0, out: 0 },
    started: 0,
    completed: 0,
    connections: new Set(),
    processNames: new Set(),
    processIds: new Set(),
    processArgs: new Set(),
    natPorts: new Set(),
    tcp: {
      samples: 0,
      window: measure(),
      rtt: measure(),
      minRtt: measure(),
      mss: measure(),
      retransmissions: 0,
      lost: 0,
      timeouts: 0,
    },
  };
}

/** What a flow is told apart by at its level, but for labels and processes. */
export function identityOf(
  flow: Flow,
  level: AggregationLevel,
  settings: FileLogSettings,
): FileLogIdentity {
  const { service } = flow;
  const trace = (hits: Flow['policies']): string[] => hits.map(policyText);
  const enforced = trace(flow.policies);
  const pending = flow.pending ? trace(flow.pending) : enforced;
  return {
    ...endFields('source', flow.source, level, settings),
    source_port: level < 1 ? (flow.sourcePort ?? null) : null,
    ...endFields('dest', flow.destination, level, settings),
    dest_port: level < 3 ? (flow.port ?? null) : null,
    dest_domains: null,
    ...(settings.service && {
      dest_service_namespace: service?.namespace ?? NONE,
      dest_service_name: service?.name ?? NONE,
      dest_service_port: service?.portName || (service ? String(service.port) : NONE),
    }),
    proto: flow.protocol,
    action: flow.verdict,
    reporter: flow.reporter,
    policies: settings.policies
      ? { all_policies: enforced, enforced_policies: enforced, pending_policies: pending }
      : null,
  };
}

function endFields(
  side: 'source' | 'dest',
  end: FlowEnd,
  level: AggregationLevel,
  { networkSets }: FileLogSettings,
): FileLogEntry {
  const address = parseAddress(end.address);
  const isHidden = end.type === 'network-set' && !networkSets;
  const type = isHidden ? 'network' : end.type;
  const name = isHidden && address ? networkName(address) : (end.aggregate ?? end.name);
  const isNamed = level < 2 && (type === 'workload' || type === 'host');
  return {
    [`${side}_ip`]: level < 2 && end.address !== '' ? end.address : null,
    [`${side}_name`]: isNamed ? end.name : NONE,
    [`${side}_name_aggr`]: name,
    [`${side}_namespace`]: (isHidden ? null : end.namespace) ?? NONE,
    [`${side}_type`]: TYPES[type],
  };
}

export function addFlow(sums: FileLogSums, flow: Flow, key: string): void {
  const { connections, process, tcp, translation } = flow;
  const packets = countsAtReporter(flow.packets, flow.reporter);
  const bytes = countsAtReporter(flow.bytes, flow.reporter);
  addCounts(sums.packets, packets);
  addCounts(sums.bytes, bytes);
  sums.started += connections.started;
  sums.completed += connections.completed;
  sums.connections.add(key);
  if (translation?.seenPort !== undefined) sums.natPorts.add(translation.seenPort);
  if (process) {
    sums.processNames.add(process.name);
    sums.processIds.add(process.pid);
    if (process.args.length > 0) sums.processArgs.add(process.args.join(' '));
  }
  if (!tcp) return;
  sums.tcp.samples++;
  addMeasure(sums.tcp.window, measured(tcp.congestionWindow));
  addMeasure(sums.tcp.rtt, measured(tcp.rtt));
  addMeasure(sums.tcp.minRtt, measured(tcp.minRtt));
  addMeasure(sums.tcp.mss, measured(tcp.mss));
  sums.tcp.retransmissions += tcp.retransmissions;
  sums.tcp.lost += tcp.lost;
  sums.tcp.timeouts += tcp.timeouts ?? 0;
}

/** Adds what other sums have. */
export function addSums(sums: FileLogSums, other: FileLogSums): void {
  addCounts(sums.packets, other.packets);
  addCounts(sums.bytes, other.bytes);
  sums.started += other.started;
  sums.completed += other.completed;
  for (const field of ['connections', 'processNames', 'processArgs'] as const) {
    for (const text of other[field]) sums[field].add(text);
  }
  for (const field of ['processIds', 'natPorts'] as const) {
    for (const number of other[field]) sums[field].add(number);
  }
  const { tcp } = sums;
  tcp.samples += other.tcp.samples;
  for (const field of ['window', 'rtt', 'minRtt', 'mss'] as const) {
    addMeasure(tcp[field], other.tcp[field]);
  }
  for (const field of ['retransmissions', 'lost', 'timeouts'] as const) {
    tcp[field] += other.tcp[field];
  }
}

function measured(value: number): Measure {
  return { sum: value, least: value, most: value };
}

function addMeasure(measure: Measure, other: Measure): void {
  measure.sum += other.sum;
  measure.least = Math.min(measure.least, other.least);
  measure.most = Math.max(measure.most, other.most);
}

function addCounts(sum: { in: number; out: number }, more: { in: number; out: number }): void {
  sum.in += more.in;
  sum.out += more.out;
}

/** What the sums say, with the settings' limits. */
export function sumFields(sums: FileLogSums, settings: FileLogSettings): FileLogEntry {
  const { packets, bytes, started, completed, connections, natPorts } = sums;
  return {
    bytes_in: bytes.in,
    bytes_out: bytes.out,
    packets_in: packets.in,
    packets_out: packets.out,
    num_flows: connections.size,
    num_flows_started: started,
    num_flows_completed: completed,
    nat_outgoing_ports: natPorts.size > 0 ? [...natPorts].slice(0, settings.natPortsMax) : null,
    ...(settings.processes && processFields(sums, settings)),
    original_source_ips: null,
    num_original_source_ips: 0,
    ...(settings.tcp && tcpFields(sums)),
  };
}

function processFields(sums: FileLogSums, { argsMax }: FileLogSettings): FileLogEntry {
  const { processNames, processIds, processArgs } = sums;
  const one = (values: ReadonlySet<string | number>): string => {
    const [first = NONE] = values;
    return values.size > 1 ? MANY : String(first);
  };
  const args = [...processArgs].slice(0, argsMax);
  return {
    process_name: one(processNames),
    num_process_names: processNames.size,
    process_id: one(processIds),
    num_process_ids: processIds.size,
    process_args: args.length > 0 ? args : [NONE],
    num_process_args: processArgs.size,
  };
}

/** Means and extremes of the measures that reports told; microseconds and bytes. */
function tcpFields({ tcp }: FileLogSums): FileLogEntry {
  const { samples, window, rtt, minRtt, mss } = tcp;
  const mean = ({ sum }: Measure): number => (samples > 0 ? Math.round(sum / samples) : 0);
  const least = (measure: Measure): number => (samples > 0 ? measure.least : 0);
  return {
    tcp_mean_send_congestion_window: mean(window),
    tcp_min_send_congestion_window: least(window),
    tcp_mean_smooth_rtt: mean(rtt),
    tcp_max_smooth_rtt: rtt.most,
    tcp_mean_min_rtt: mean(minRtt),
    tcp_max_min_rtt: minRtt.most,
    tcp_mean_mss: mean(mss),
    tcp_min_mss: least(mss),
    tcp_total_retransmissions: tcp.retransmissions,
    tcp_lost_packets: tcp.lost,
    tcp_unrecovered_to: tcp.timeouts,
  };
}
