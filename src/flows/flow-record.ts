// The flow record as it is kept: what passed between two ends in one bucket of time, with exact sums.
import type {
  Flow,
  FlowConnections,
  FlowCounts,
  FlowEnd,
  FlowProcess,
  FlowService,
  PolicyHit,
} from './flow.ts';

/** One end of a record. Null stands for what differs between the flows that were merged. */
export interface RecordEnd {
  readonly type: FlowEnd['type'];
  readonly namespace: string | null;
  /** The end's name, or from level 2 on the name of its owner's pods, such as `web-*`. */
  readonly name: string;
  readonly aggregate: string;
  readonly address: string | null;
  /** What all merged ends have. */
  readonly labels: Readonly<Record<string, string>>;
}

/**
 * How much of a flow's identity a record keeps (spec 12, aggregation levels): 0 all of it; 1 not the
 * source's port; 2 not the pods' own names nor addresses; 3 nor the destination's port.
 */
export type AggregationLevel = 0 | 1 | 2 | 3;

/** Sums over connections; times are in microseconds, and a mean is `sum / samples`. */
export interface RecordTcp {
  readonly samples: number;
  readonly rttSum: number;
  readonly rttMax: number;
  readonly minRttMin: number;
  readonly mssMin: number;
  readonly congestionWindowMin: number;
  readonly retransmissions: number;
  readonly lost: number;
}

/**
 * Times are milliseconds since the epoch. Sums are exact whatever was merged; `flows` says how many
 * reports a record stands for, and `level` what it no longer tells apart.
 */
export interface FlowRecord {
  readonly bucketStart: number;
  /** Of the traffic itself, inside the bucket or before it where a report came late. */
  readonly startTime: number;
  readonly endTime: number;
  readonly reporter: 'src' | 'dst';
  readonly node: string;
  readonly source: RecordEnd;
  readonly destination: RecordEnd;
  readonly service: FlowService | null;
  readonly protocol: string;
  readonly sourcePort: number | null;
  readonly port: number | null;
  readonly icmpType: number | null;
  readonly verdict: 'allow' | 'deny';
  readonly policies: readonly PolicyHit[];
  readonly pending: readonly PolicyHit[];
  readonly packets: FlowCounts;
  readonly bytes: FlowCounts;
  readonly connections: FlowConnections;
  readonly flows: number;
  readonly level: AggregationLevel;
  readonly calledAddress: string | null;
  readonly calledPort: number | null;
  readonly processes: readonly FlowProcess[];
  /** How many processes there were, listed or not. */
  readonly processCount: number;
  readonly tcp: RecordTcp | null;
}

/**
 * `0|security|shop/security.block|deny|1`: a step as Calico's flow logs write it (spec 12, policy string). The
 * default of a tier goes by the policy that made it apply: `0|security|shop/security.block|deny|-1`.
 */
export function policyText(hit: PolicyHit, index: number): string {
  const name = policyName(hit.trigger ? { ...hit, ...hit.trigger } : hit);
  return [index, hit.tier ?? '__PROFILE__', name, hit.action, hit.rule].join('|');
}

/** `shop/security.block`, `security.block`, `shop/knp.default.web`, `__PROFILE__.kns.shop`. */
export function policyName({ kind, namespace, name, tier }: PolicyHit): string {
  if (kind === null || name === null) return `${tier ?? ''}.${tier === null ? 'none' : 'end'}`;
  if (kind === 'Profile') return `__PROFILE__.${name}`;
  const staged = kind.startsWith('Staged') ? 'staged:' : '';
  const scope = namespace === null ? '' : `${namespace}/`;
  const plain = kind.endsWith('KubernetesNetworkPolicy')
    ? `knp.default.${name}`
    : kind === 'ClusterNetworkPolicy'
      ? `kcnp.${tier}.${name}`
      : name.startsWith(`${tier}.`)
        ? name
        : `${tier}.${name}`;
  return `${scope}${staged}${plain}`;
}

/** Whether two flows of one bucket belong into one record at this level: equal texts. */
export function recordKey(flow: Flow, level: AggregationLevel): string {
  const { source, destination, service, translation } = flow;
  return JSON.stringify([
    flow.reporter,
    flow.node,
    endKey(source, level),
    endKey(destination, level),
    flow.protocol,
    level < 1 ? (flow.sourcePort ?? null) : null,
    level < 3 ? (flow.port ?? null) : null,
    flow.icmpType ?? null,
    flow.verdict,
    service ? [service.namespace, service.name, service.portName, service.port] : null,
    level < 2 && translation
      ? [translation.calledAddress ?? null, translation.calledPort ?? null]
      : null,
    flow.policies.map(policyText),
    (flow.pending ?? []).map(policyText),
  ]);
}

function endKey(end: FlowEnd, level: AggregationLevel): (string | null)[] {
  const { type, namespace, name, aggregate = name, address } = end;
  // Addresses of networks are without number: the outside is told apart at level 0 alone.
  const addressed = level === 0 || (level === 1 && type !== 'network' && type !== 'network-set');
  return [type, namespace, level < 2 ? name : aggregate, addressed ? address : null];
}
