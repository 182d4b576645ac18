// Flows as lines of text for people.
import { decidingHit, type Flow, type FlowEnd, type PolicyHit } from './flow.ts';

export interface FlowFormat {
  /** Also addresses, source ports, nodes and every step of the trace. */
  readonly wide?: boolean;
}

const COLUMNS = { time: 13, ends: 52, verdict: 8, counts: 16 } as const;
const WIDE_ENDS = 92;

/** The heading over lines of `formatFlow`. */
export function formatFlowHeader({ wide = false }: FlowFormat = {}): string {
  return columns(['TIME (UTC)', 'FLOW', 'VERDICT', 'PACKETS/BYTES', 'DECIDED BY'], wide);
}

/**
 * One line: time, source and destination with port, verdict, packets and bytes of both directions, and what
 * decided at each end, such as `ingress default/NetworkPolicy data/db rule 0`.
 */
export function formatFlow(flow: Flow, { wide = false }: FlowFormat = {}): string {
  const time = new Date(flow.startTime).toISOString().slice(11, 23);
  const source = endText(flow.source, wide, wide ? flow.sourcePort : undefined);
  const destination = endText(flow.destination, wide, flow.port);
  const icmp = flow.icmpType === undefined ? '' : ` type ${flow.icmpType}`;
  const ends = `${source} → ${destination}/${flow.protocol}${icmp}`;
  const packets = flow.packets.in + flow.packets.out;
  const counts = `${packets}/${bytesText(flow.bytes.in + flow.bytes.out)}`;
  const steps = wide ? flow.policies : deciding(flow);
  const decided = steps.map((hit) => hitText(hit, wide)).join(', ');
  const nodes = wide ? `${partiesText(flow)}${nodesText(flow)}` : '';
  return columns([time, ends, flow.verdict.toUpperCase(), counts, decided + nodes], wide);
}

function columns(texts: readonly [string, string, string, string, string], wide: boolean): string {
  const [time, ends, verdict, counts, decided] = texts;
  return [
    time.padEnd(COLUMNS.time),
    ends.padEnd(wide ? WIDE_ENDS : COLUMNS.ends),
    verdict.padEnd(COLUMNS.verdict),
    counts.padEnd(COLUMNS.counts),
    decided,
  ]
    .join(' ')
    .trimEnd();
}

/** `shop/cart-0:80`, `node:one`, `10.0.0.1 (partners)` or, for what nobody knows, its address. */
function endText(end: FlowEnd, wide: boolean, port: number | undefined): string {
  const suffix = port === undefined ? '' : `:${port}`;
  const address = end.address.includes(':') ? `[${end.address}]` : end.address;
  if (end.type === 'network') return `${address}${suffix}`;
  if (end.type === 'network-set') {
    return `${address}${suffix} (${end.namespace === null ? '' : `${end.namespace}/`}${end.name})`;
  }
  const name = end.type === 'host' ? `node:${end.name}` : `${end.namespace ?? ''}/${end.name}`;
  return `${name}${wide ? `(${address})` : ''}${suffix}`;
}

/** What decided at each end; of a denied flow only what denied. */
function deciding(flow: Flow): PolicyHit[] {
  return (['egress', 'ingress'] as const)
    .map((direction) => decidingHit(flow, direction))
    .filter((hit) => hit !== undefined)
    .filter((hit) => flow.verdict === 'allow' || hit.action === 'deny');
}

/** `ingress default/NetworkPolicy data/db rule 0`, `egress tier default rule −1` or `egress profile kns.shop`. */
export function hitText(hit: PolicyHit, withAction = false): string {
  const action = withAction ? ` ${hit.action}` : '';
  const rule = `rule ${String(hit.rule).replace('-', '−')}`;
  const name = `${hit.namespace === null ? '' : `${hit.namespace}/`}${hit.name ?? ''}`;
  if (hit.kind === 'Profile') return `${hit.direction} profile ${name}${action}`;
  if (hit.rule === -2) return `${hit.direction} rule not known${action}`;
  if (hit.tier === null) return `${hit.direction} no profile allows it${action}`;
  if (hit.name === null) return `${hit.direction} end of tier ${hit.tier} ${rule}${action}`;
  return `${hit.direction} ${hit.tier}/${hit.kind ?? ''} ${name} ${rule}${action}`;
}

/** The service that was called, the processes, and what would be if staged policies were enforced. */
function partiesText({ service, process, pending = [], verdict }: Flow): string {
  const last = pending.findLast((hit) => hit.action !== 'pass');
  const would = last && last.action !== verdict ? `  if staged: ${hitText(last, true)}` : '';
  return [
    service ? `  service ${service.namespace}/${service.name}:${service.port}` : '',
    process ? `  process ${process.name}(${process.pid})` : '',
    would,
  ].join('');
}

function nodesText({ node, destinationNode }: Flow): string {
  const nodes = destinationNode === undefined ? node : `${node} → ${destinationNode}`;
  return `  [${nodes}]`;
}

function bytesText(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)}${units[unit]}`;
}
