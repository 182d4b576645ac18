// Flows, packets and a small cluster for tests.
import { kindOf, type Resource } from '#api';
import type { SyncerUpdate } from '#datastore/syncer';
import type { ConnectionEvent, HitPacket, RuleHit } from './connection.ts';
import { Directory } from './directory.ts';
import type { Flow, FlowEnd, PolicyHit } from './flow.ts';

export function resource(
  apiVersion: string,
  kind: string,
  path: string,
  fields: object = {},
): Resource {
  const [name = '', namespace] = path.split('/').reverse();
  const { metadata = {}, ...rest } = fields as { metadata?: object };
  const identity = { name, ...(namespace && { namespace }) };
  return { apiVersion, kind, metadata: { ...identity, ...metadata }, ...rest };
}

export function pod(path: string, address: string, node: string, labels = {}): Resource {
  return resource('v1', 'Pod', path, {
    metadata: { labels },
    spec: { nodeName: node, containers: [] },
    status: { podIPs: address.split(',').map((ip) => ({ ip })) },
  });
}

export function networkSet(path: string, ...nets: readonly string[]): Resource {
  const kind = path.includes('/') ? 'NetworkSet' : 'GlobalNetworkSet';
  return resource('projectcalico.org/v3', kind, path, { spec: { nets } });
}

export function update(one: Resource, gone = false): SyncerUpdate {
  const kind = kindOf(one.apiVersion, one.kind);
  if (!kind) throw new Error(`no kind ${one.apiVersion} ${one.kind}`);
  const key = `${one.kind} ${one.metadata.namespace ?? ''}/${one.metadata.name}`;
  return { kind, key, resource: gone ? undefined : one };
}

export const WEB = '10.0.1.1';
export const DB = '10.0.2.1';
export const OUTSIDE = '192.0.2.9';

/** `shop/web` on node `one`, `data/db` on node `two`, `shop/side` on `one`, and both nodes. */
export function directory(...more: readonly Resource[]): Directory {
  const address = (ip: string) => ({ addresses: [{ type: 'InternalIP', address: ip }] });
  const all = [
    pod('shop/web', WEB, 'one', { app: 'web' }),
    pod('shop/side', '10.0.1.2', 'one', { app: 'side' }),
    pod('data/db', DB, 'two', { app: 'db' }),
    resource('v1', 'Node', 'one', { status: address('172.16.0.1') }),
    resource('v1', 'Node', 'two', { status: address('172.16.0.2') }),
    ...more,
  ];
  const it = new Directory();
  it.onUpdates(all.map((one) => update(one)));
  return it;
}

export function packet(
  source: string,
  destination: string,
  more: Partial<HitPacket> = {},
): HitPacket {
  const ports = { sourcePort: 40_000, destinationPort: 5432 };
  return { family: 4, source, destination, protocol: 6, ...ports, length: 60, ...more };
}

export function hit(
  direction: RuleHit['direction'],
  action: RuleHit['action'],
  more: Partial<RuleHit> = {},
): RuleHit {
  const policy = { kind: 'NetworkPolicy', namespace: 'data', name: 'db' };
  return { direction, action, tier: 'default', policy, rule: 0, ...more };
}

/** A connection event with counts `[packets, bytes]` of each direction. */
export function conntrack(
  type: ConnectionEvent['type'],
  source: string,
  destination: string,
  more: {
    readonly id?: number;
    readonly out?: readonly [number, number];
    readonly in?: readonly [number, number];
    readonly tcpState?: string;
    readonly sourcePort?: number;
  } = {},
): ConnectionEvent {
  const { id = 1, out, in: back, tcpState, sourcePort = 40_000 } = more;
  const counter = ([packets, bytes]: readonly [number, number]) => ({ packets, bytes });
  return {
    type,
    id,
    original: { source, destination, protocol: 6, sourcePort, destinationPort: 5432 },
    reply: {
      source: destination,
      destination: source,
      protocol: 6,
      sourcePort: 5432,
      destinationPort: sourcePort,
    },
    ...(out && back && { counters: { original: counter(out), reply: counter(back) } }),
    ...(tcpState && { tcpState }),
  };
}

export function end(path: string, address: string, more: Partial<FlowEnd> = {}): FlowEnd {
  const [name = '', namespace = null] = path.split('/').reverse();
  return { type: 'workload', namespace, name, address, labels: {}, ...more };
}

export function step(
  direction: PolicyHit['direction'],
  action: PolicyHit['action'],
  more: Partial<PolicyHit> = {},
): PolicyHit {
  const policy = { kind: 'NetworkPolicy', namespace: 'data', name: 'db' };
  return { direction, action, tier: 'default', ...policy, rule: 0, ...more };
}

export function flow(more: Partial<Flow> = {}): Flow {
  const reporter = more.reporter ?? 'src';
  const verdict = more.verdict ?? 'allow';
  return {
    startTime: 1_000,
    endTime: 2_000,
    reporter,
    node: reporter === 'dst' ? 'two' : 'one',
    source: end('shop/web', WEB),
    destination: end('data/db', DB),
    protocol: 'tcp',
    sourcePort: 40_000,
    port: 5432,
    verdict,
    packets: { in: 3, out: 4 },
    bytes: { in: 300, out: 400 },
    connections: { started: 1, completed: 0, live: 1 },
    policies: [step(reporter === 'dst' ? 'ingress' : 'egress', verdict)],
    ...more,
  };
}
