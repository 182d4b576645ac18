// The agent's parameters that change what a packet gets: FelixConfiguration, cluster-wide and per node.
import { type FelixConfiguration, resolveParameters } from '#api';
import { compareCodePoints, isObject, type Prefix, parsePrefix, prefixContains } from '#lib';
import { type Labels, parseSelector, SelectorError } from '#selector';
import type { Direction } from './explanation.ts';
import { PROTOCOL_NUMBERS, type Traffic } from './packet.ts';
import { protocolNumber } from './world-objects.ts';
import type { ResourcesByKind } from './world-resources.ts';

export interface FailsafePort {
  readonly protocol: number;
  readonly port: number;
  /** Of the remote end; absent is any. */
  readonly net?: Prefix;
}

export interface HostSettings {
  readonly endpointToHostAction: 'Drop' | 'Return' | 'Accept';
  readonly allowVxlanFromWorkloads: boolean;
  readonly allowIpipFromWorkloads: boolean;
  readonly vxlanPort: number;
  readonly floatingIPs: boolean;
  /** Whether what policy denies passes all the same (`dropActionOverride`). */
  readonly denialsPass: boolean;
  /** Interfaces whose names begin so are workloads'. */
  readonly workloadPrefixes: readonly string[];
  /** Interfaces whose addresses are not looked at where a host endpoint says its own. */
  readonly excludedInterfaces: readonly RegExp[];
  readonly failsafeInbound: readonly FailsafePort[];
  readonly failsafeOutbound: readonly FailsafePort[];
}

const { tcp, udp } = PROTOCOL_NUMBERS;
const CONTROL_PLANE = [179, 2379, 2380, 5473, 6443, 6666, 6667].map((port) => ({
  protocol: tcp,
  port,
}));
/** Spec 10: failsafe inbound and outbound. */
const FAILSAFE_INBOUND: readonly FailsafePort[] = [
  { protocol: tcp, port: 22 },
  { protocol: udp, port: 68 },
  ...CONTROL_PLANE,
];
const FAILSAFE_OUTBOUND: readonly FailsafePort[] = [
  { protocol: udp, port: 53 },
  { protocol: udp, port: 67 },
  ...CONTROL_PLANE,
];

const EXCLUDED_INTERFACES = [/^kube-ipvs0$/];

/**
 * The settings of one node: FelixConfiguration `node.<name>`, then the oldest that selects the labels of the node,
 * then `default` (spec 04). Where none sets
 * `defaultEndpointToHostAction` it is Accept: upstream's agent alone would drop, but Calico's operator and
 * manifests set Accept, and so nobody meets the other.
 */
export function hostSettings(resources: ResourcesByKind, node: string | undefined): HostSettings {
  const specs = configurationsOf(resources, node).map((it) => it.spec);
  const get = (field: string): unknown =>
    specs
      .map((spec) => new Map<string, unknown>(Object.entries(spec ?? {})).get(field))
      .find(given);
  const action = get('defaultEndpointToHostAction');
  const vxlanPort = get('vxlanPort');
  const prefixes = get('interfacePrefix');
  const override = get('dropActionOverride');
  return {
    endpointToHostAction: action === 'Drop' || action === 'Return' ? action : 'Accept',
    allowVxlanFromWorkloads: get('allowVXLANPacketsFromWorkloads') === true,
    allowIpipFromWorkloads: get('allowIPIPPacketsFromWorkloads') === true,
    vxlanPort: typeof vxlanPort === 'number' ? vxlanPort : 4789,
    floatingIPs: get('floatingIPs') === 'Enabled',
    denialsPass: typeof override === 'string' && /accept$/i.test(override),
    workloadPrefixes:
      typeof prefixes === 'string' && prefixes !== '' ? prefixes.split(',') : ['cali'],
    excludedInterfaces: excludedInterfaces(get('interfaceExclude')),
    failsafeInbound: failsafePorts(get('failsafeInboundHostPorts')) ?? FAILSAFE_INBOUND,
    failsafeOutbound: failsafePorts(get('failsafeOutboundHostPorts')) ?? FAILSAFE_OUTBOUND,
  };
}

/** Read as the agent reads it. */
function excludedInterfaces(text: unknown): RegExp[] {
  if (typeof text !== 'string') return EXCLUDED_INTERFACES;
  const values = { InterfaceExclude: text };
  const read = resolveParameters([{ name: 'FelixConfiguration', local: false, values }]);
  const patterns = read.values.get('InterfaceExclude');
  if (!Array.isArray(patterns)) return EXCLUDED_INTERFACES;
  return patterns.flatMap((it) => (typeof it === 'string' ? new RegExp(it) : []));
}

/** The strongest first. */
function configurationsOf(
  resources: ResourcesByKind,
  node: string | undefined,
): FelixConfiguration[] {
  const all = resources['projectcalico.org FelixConfiguration'];
  const named = (name: string) => all.filter((it) => it.metadata.name === name);
  const isNamed = ({ metadata: { name } }: FelixConfiguration) =>
    name === 'default' || name.startsWith('node.');
  const labels = resources['core Node'].find((it) => it.metadata.name === node)?.metadata.labels;
  const selecting = all
    .filter((it) => !isNamed(it) && selects(it.spec.nodeSelector, labels ?? {}))
    .sort((a, b) => compareCodePoints(ageText(a), ageText(b)));
  return [...named(`node.${node ?? ''}`), ...selecting.slice(0, 1), ...named('default')];
}

/** What cannot be read selects nothing. */
function selects(selector: string | undefined, labels: Labels): boolean {
  if (!selector) return false;
  try {
    return parseSelector(selector).evaluate(labels);
  } catch (error) {
    if (error instanceof SelectorError) return false;
    throw error;
  }
}

function ageText({ metadata }: FelixConfiguration): string {
  return `${metadata.creationTimestamp ?? '~'} ${metadata.name}`;
}

function given(value: unknown): boolean {
  return value !== undefined && value !== null;
}

/** Undefined where not configured; an empty list switches failsafe ports off. */
function failsafePorts(value: unknown): FailsafePort[] | undefined {
  if (!Array.isArray(value)) return undefined;
  return value.flatMap((item: unknown) => {
    if (!isObject(item) || typeof item['port'] !== 'number') return [];
    const named = item['protocol'] ?? 'tcp';
    const protocol =
      typeof named === 'string' || typeof named === 'number' ? protocolNumber(named) : undefined;
    const net = typeof item['net'] === 'string' ? parsePrefix(item['net']) : undefined;
    if (protocol === undefined) return [];
    return [{ protocol, port: item['port'], ...(net ? { net } : {}) }];
  });
}

/**
 * What finds listeners, routers and neighbours over IPv6, both ways: no failsafe port would be reached
 * without it.
 */
export const HOST_DISCOVERY: readonly number[] = [130, 131, 132, 133, 134, 135, 136, 143];

/** Whether a failsafe port of the host allows the packet, whatever policy says; discovery counts as one. */
export function isFailsafe(
  settings: HostSettings,
  direction: Direction,
  traffic: Traffic,
): boolean {
  if (isHostDiscovery(traffic)) return true;
  const ports = direction === 'ingress' ? settings.failsafeInbound : settings.failsafeOutbound;
  const remote = direction === 'ingress' ? traffic.source : traffic.destination;
  return ports.some(
    ({ protocol, port, net }) =>
      protocol === traffic.protocol &&
      port === traffic.destination.port &&
      (net === undefined || prefixContains(net, remote.address)),
  );
}

/**
 * Whether the packet looks like an answer from a failsafe port of the other direction: before connections are tracked
 * nobody knows which packets are answers, and untracked policy spares these too (spec 10: failsafe outbound).
 */
export function isFailsafeAnswer(
  settings: HostSettings,
  direction: Direction,
  traffic: Traffic,
): boolean {
  const ports = direction === 'ingress' ? settings.failsafeOutbound : settings.failsafeInbound;
  const remote = direction === 'ingress' ? traffic.source : traffic.destination;
  return ports.some(
    ({ protocol, port, net }) =>
      protocol === traffic.protocol &&
      port === traffic.source.port &&
      (net === undefined || prefixContains(net, remote.address)),
  );
}

function isHostDiscovery({ family, protocol, icmp }: Traffic): boolean {
  const types = family === 6 && protocol === PROTOCOL_NUMBERS.icmpv6 ? HOST_DISCOVERY : [];
  return types.includes(icmp?.type ?? -1);
}
