// A small cluster as plain resources, for the tests of this folder.
import type {
  EntityRule,
  GlobalNetworkPolicy,
  HostEndpoint,
  NetworkPolicy,
  Pod,
  Resource,
  Rule,
} from '#api';
import { evaluate } from './evaluate.ts';
import type { Explanation } from './explanation.ts';
import type { Packet } from './packet.ts';
import { parseParty } from './party.ts';
import { buildWorld } from './world.ts';

const CALICO = 'projectcalico.org/v3';

/** Any resource; `rest` is its spec and status. */
export function resource(
  apiVersion: string,
  kind: string,
  metadata: Resource['metadata'],
  rest: object = {},
): Resource {
  return { apiVersion, kind, metadata, ...rest };
}

export function namespace(name: string, labels: Record<string, string> = {}): Resource {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
}

export function account(name: string, labels: Record<string, string> = {}): Resource {
  const [ns = '', own = ''] = name.split('/');
  return {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name: own, namespace: ns, labels },
  };
}

/** `name` is `namespace/pod`; ports are named TCP ports unless they say otherwise. */
export function pod(
  name: string,
  addresses: readonly string[],
  { labels = {}, node = 'one', serviceAccount, ports = [] }: PodOptions = {},
): Pod {
  const [ns = '', own = ''] = name.split('/');
  const containers = [
    {
      name: 'main',
      ports: ports.map(([portName, containerPort, protocol = 'TCP' as const]) => ({
        name: portName,
        containerPort,
        protocol,
      })),
    },
  ];
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: own, namespace: ns, labels },
    spec: {
      nodeName: node,
      containers,
      ...(serviceAccount === undefined ? {} : { serviceAccountName: serviceAccount }),
    },
    status: { podIPs: addresses.map((ip) => ({ ip })) },
  };
}

interface PodOptions {
  readonly labels?: Record<string, string>;
  readonly node?: string;
  readonly serviceAccount?: string;
  readonly ports?: readonly (readonly [
    name: string,
    port: number,
    protocol?: 'TCP' | 'UDP' | 'SCTP',
  ])[];
}

export function node(name: string, address: string): Resource {
  const status = { addresses: [{ type: 'InternalIP', address }] };
  return resource('v1', 'Node', { name }, { status });
}

export function networkPolicy(name: string, spec: NetworkPolicy['spec']): NetworkPolicy {
  const [ns = '', own = ''] = name.split('/');
  return {
    apiVersion: CALICO,
    kind: 'NetworkPolicy',
    metadata: { name: own, namespace: ns },
    spec,
  };
}

export function globalPolicy(name: string, spec: GlobalNetworkPolicy['spec']): GlobalNetworkPolicy {
  return { apiVersion: CALICO, kind: 'GlobalNetworkPolicy', metadata: { name }, spec };
}

export function tier(name: string, order: number, defaultAction?: 'Deny' | 'Pass'): Resource {
  const spec = { order, ...(defaultAction ? { defaultAction } : {}) };
  return resource(CALICO, 'Tier', { name }, { spec });
}

export function networkSet(
  name: string,
  nets: readonly string[],
  labels: Record<string, string>,
): Resource {
  const [ns = '', own] = name.split('/');
  const metadata = own === undefined ? { name, labels } : { name: own, namespace: ns, labels };
  const kind = own === undefined ? 'GlobalNetworkSet' : 'NetworkSet';
  return resource(CALICO, kind, metadata, { spec: { nets } });
}

export function hostEndpoint(
  name: string,
  spec: HostEndpoint['spec'],
  labels: Record<string, string> = {},
): HostEndpoint {
  return { apiVersion: CALICO, kind: 'HostEndpoint', metadata: { name, labels }, spec };
}

export function felix(spec: Record<string, unknown>, name = 'default'): Resource {
  return resource(CALICO, 'FelixConfiguration', { name }, { spec });
}

/** A rule on TCP. */
export function rule(
  action: Rule['action'],
  source: EntityRule = {},
  destination: EntityRule = {},
): Rule {
  return { action, protocol: 'TCP', source, destination };
}

/** Judges a TCP packet to port 80 unless `more` says otherwise. */
export function ask(
  resources: readonly Resource[],
  from: string,
  to: string,
  more: Partial<Packet> = {},
): Explanation {
  const world = buildWorld(resources);
  return evaluate(world, {
    from: parseParty(world, from),
    to: parseParty(world, to),
    protocol: 6,
    port: 80,
    ...more,
  });
}

/** `allow`, or which half denies: `deny egress`, `deny ingress`, `deny egress ingress`. */
export function verdict(...question: Parameters<typeof ask>): string {
  const { egress, ingress } = ask(...question);
  const denying = [
    ...(egress.verdict === 'deny' ? ['egress'] : []),
    ...(ingress.verdict === 'deny' ? ['ingress'] : []),
  ];
  return denying.length === 0 ? 'allow' : `deny ${denying.join(' ')}`;
}
