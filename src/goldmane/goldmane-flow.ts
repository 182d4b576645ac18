// Kept records as Goldmane's flows, merged over nodes and time; and flows of others as our reports.
import { countsAtReporter, type Flow, type FlowEnd, type FlowRecord, type PolicyHit } from '#flows';
import {
  ACTIONS,
  END_OF_TIER,
  ENDPOINT_TYPES,
  type FlowKeyMessage,
  type FlowMessage,
  POLICY_KINDS,
  type PolicyHitMessage,
  REPORTERS,
} from './goldmane-messages.ts';

const BUCKET_SECONDS = 15;

/** The key as bytes of text: equal for flows that Goldmane shows as one. */
export function keyText(record: FlowRecord): string {
  const { source, destination, service } = record;
  return JSON.stringify([
    source.type,
    source.namespace,
    source.aggregate,
    destination.type,
    destination.namespace,
    destination.aggregate,
    record.port,
    service && [service.namespace, service.name, service.portName, service.port],
    record.protocol,
    record.reporter,
    record.verdict,
    record.policies.map(hitText),
    record.pending.map(hitText),
  ]);
}

function hitText(hit: PolicyHit): readonly unknown[] {
  const { kind, namespace, name, tier, action, rule, trigger } = hit;
  return [kind, namespace, name, tier, action, rule, trigger ?? null];
}

/** One flow of records that have one key; at least one. */
export function flowOf(records: readonly FlowRecord[]): FlowMessage {
  const [first] = records;
  if (!first) throw new Error('cannot make a flow of no records');
  const total = (count: (record: FlowRecord) => number): number =>
    records.reduce((sum, record) => sum + count(record), 0);
  const seen = (what: 'packets' | 'bytes', way: 'in' | 'out'): number =>
    total((record) => countsAtReporter(record[what], record.reporter)[way]);
  const starts = records.map(({ bucketStart }) => bucketStart / 1_000);
  const last = Math.max(...starts);
  return {
    key: keyOf(first),
    startTime: Math.min(...starts),
    endTime: last + BUCKET_SECONDS,
    sourceLabels: commonLabels(records.map(({ source }) => source.labels)),
    destLabels: commonLabels(records.map(({ destination }) => destination.labels)),
    packetsIn: seen('packets', 'in'),
    packetsOut: seen('packets', 'out'),
    bytesIn: seen('bytes', 'in'),
    bytesOut: seen('bytes', 'out'),
    connectionsStarted: total(({ connections }) => connections.started),
    connectionsCompleted: total(({ connections }) => connections.completed),
    // At the end of the window.
    connectionsLive: records
      .filter(({ bucketStart }) => bucketStart / 1_000 === last)
      .reduce((sum, { connections }) => sum + connections.live, 0),
  };
}

function keyOf(record: FlowRecord): FlowKeyMessage {
  const { source, destination, service, port } = record;
  return {
    sourceName: source.aggregate,
    sourceNamespace: source.namespace ?? '',
    sourceType: ENDPOINT_TYPES[source.type],
    destName: destination.aggregate,
    destNamespace: destination.namespace ?? '',
    destType: ENDPOINT_TYPES[destination.type],
    destPort: port ?? 0,
    destServiceName: service?.name ?? '',
    destServiceNamespace: service?.namespace ?? '',
    destServicePortName: service?.portName ?? '',
    destServicePort: service?.port ?? 0,
    proto: record.protocol,
    reporter: REPORTERS[record.reporter],
    action: ACTIONS[record.verdict],
    policies: { enforced: record.policies.map(hitOf), pending: record.pending.map(hitOf) },
  };
}

/** The policy that a step is told of: the end of a tier goes by the one that made it apply. */
export function responsible(hit: PolicyHit): PolicyHit {
  const { trigger, ...own } = hit;
  return trigger ? { ...own, ...trigger } : hit;
}

/** A step of a trace; what no policy decided is the end of its tier. */
export function hitOf(hit: PolicyHit, index: number): PolicyHitMessage {
  return {
    kind: hit.kind === null ? END_OF_TIER : (POLICY_KINDS[hit.kind] ?? 0),
    namespace: hit.namespace ?? '',
    name: hit.name ?? '',
    tier: hit.tier ?? '',
    action: ACTIONS[hit.action],
    policyIndex: index,
    ruleIndex: hit.rule,
    trigger: hit.trigger && {
      kind: POLICY_KINDS[hit.trigger.kind] ?? 0,
      namespace: hit.trigger.namespace ?? '',
      name: hit.trigger.name,
      tier: hit.tier ?? '',
      action: 0,
      policyIndex: 0,
      ruleIndex: 0,
    },
  };
}

function commonLabels(all: readonly Readonly<Record<string, string>>[]): string[] {
  const [first = {}, ...others] = all;
  return Object.entries(first)
    .filter(([key, value]) => others.every((labels) => labels[key] === value))
    .map(([key, value]) => `${key}=${value}`);
}

/**
 * A flow that another agent collected, as a report: all of it happened by the end of its window. Throws
 * an Error that names the field where it is no flow.
 */
export function reportOf(flow: FlowMessage, node: string): Flow {
  const { key } = flow;
  if (!key) throw new Error('Cannot take in a flow: it has no Key');
  const source = endOf(key.sourceType, key.sourceNamespace, key.sourceName, flow.sourceLabels);
  const destination = endOf(key.destType, key.destNamespace, key.destName, flow.destLabels);
  if (!source || !destination) {
    throw new Error(
      `Cannot take in a flow: endpoint types ${key.sourceType} and ${key.destType} must be from 1 to 4`,
    );
  }
  const direction = key.reporter === REPORTERS.dst ? 'ingress' : 'egress';
  const trace = (hits: readonly PolicyHitMessage[]) => hits.map((hit) => hitFrom(hit, direction));
  const reporter = key.reporter === REPORTERS.dst ? 'dst' : 'src';
  return {
    startTime: flow.startTime * 1_000,
    endTime: Math.max(flow.startTime, flow.endTime - 1) * 1_000,
    reporter,
    node,
    source,
    destination,
    protocol: key.proto.toLowerCase(),
    ...(key.destPort > 0 && { port: key.destPort }),
    verdict: key.action === ACTIONS.deny ? 'deny' : 'allow',
    packets: countsAtReporter({ in: flow.packetsIn, out: flow.packetsOut }, reporter),
    bytes: countsAtReporter({ in: flow.bytesIn, out: flow.bytesOut }, reporter),
    connections: {
      started: flow.connectionsStarted,
      completed: flow.connectionsCompleted,
      live: flow.connectionsLive,
    },
    policies: trace(key.policies?.enforced ?? []),
    pending: trace(key.policies?.pending ?? []),
    ...(key.destServiceName !== '' && {
      service: {
        namespace: key.destServiceNamespace,
        name: key.destServiceName,
        portName: key.destServicePortName,
        port: key.destServicePort,
      },
    }),
  };
}

function endOf(
  type: number,
  namespace: string,
  name: string,
  labels: readonly string[],
): FlowEnd | undefined {
  const found = Object.entries(ENDPOINT_TYPES).find(([, number]) => number === type);
  if (!found) return undefined;
  const pairs = labels.map((label): [string, string] => {
    const at = label.indexOf('=');
    return at < 0 ? [label, ''] : [label.slice(0, at), label.slice(at + 1)];
  });
  return {
    type: found[0] as FlowEnd['type'],
    namespace: namespace === '' || namespace === '-' ? null : namespace,
    name,
    aggregate: name,
    address: '',
    labels: Object.fromEntries(pairs),
  };
}

function kindOf(number: number): string | null {
  return Object.entries(POLICY_KINDS).find(([, own]) => own === number)?.[0] ?? null;
}

function hitFrom(hit: PolicyHitMessage, direction: PolicyHit['direction']): PolicyHit {
  const kind = kindOf(hit.kind);
  const trigger = hit.trigger && { ...hit.trigger, kind: kindOf(hit.trigger.kind) };
  const action = Object.entries(ACTIONS).find(([, number]) => number === hit.action)?.[0];
  return {
    direction,
    tier: hit.tier || null,
    kind,
    namespace: hit.namespace || null,
    name: kind === null ? null : hit.name,
    rule: hit.ruleIndex,
    action: action === 'deny' || action === 'pass' ? action : 'allow',
    ...(trigger?.kind && {
      trigger: {
        kind: trigger.kind,
        namespace: trigger.namespace || null,
        name: trigger.name,
      },
    }),
  };
}
