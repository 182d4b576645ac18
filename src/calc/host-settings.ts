// The parts of the desired state that follow from the agent's parameters, the pools and the hosts alone.
import { type ParameterValue } from '#api';
import {
  type Family,
  formatPrefix,
  hostPrefix,
  isObject,
  maskPrefix,
  parseAddress,
  parsePrefix,
} from '#lib';
import type { Parameters } from './configuration.ts';
import type {
  DataplaneState,
  DenyAction,
  FailsafePort,
  HostSettings,
  LogRate,
  NatOutgoing,
  PortRange,
  RouteSettings,
  ServiceLoopPrevention,
} from './dataplane-update.ts';
import type { NodeSource, PoolSource } from './model.ts';
import { parseProtocol } from './rule-match.ts';

export function hostSettings(parameters: Parameters): HostSettings {
  const source4 = parameters.text('DeviceRouteSourceAddress');
  const source6 = parameters.text('DeviceRouteSourceAddressIPv6');
  return {
    failsafeInbound: failsafePorts(parameters.list('FailsafeInboundHostPorts')),
    failsafeOutbound: failsafePorts(parameters.list('FailsafeOutboundHostPorts')),
    denyAction: denyAction(parameters),
    markMask: parameters.number('NftablesMarkMask'),
    dropInvalid: !parameters.flag('DisableConntrackInvalidCheck'),
    allowVxlanFromWorkloads: parameters.flag('AllowVXLANPacketsFromWorkloads'),
    allowIpipFromWorkloads: parameters.flag('AllowIPIPPacketsFromWorkloads'),
    vxlanPort: parameters.number('VXLANPort'),
    externalNodes: parameters
      .list('ExternalNodesCIDRList')
      .flatMap((net) => (typeof net === 'string' ? (parsePrefix(net) ?? []) : []))
      .map((prefix) => formatPrefix(maskPrefix(prefix))),
    logPrefix: parameters.text('LogPrefix'),
    logRate: logRate(parameters),
    ipForwarding: parameters.is('IPForwarding', 'Enabled'),
    checksumOffload: isOverridden(parameters, 'ChecksumOffloadBroken', 'false'),
    mtuInterfacePattern: parameters.text('MTUIfacePattern'),
    routeSync: !parameters.flag('RouteSyncDisabled'),
    routes: routeSettings(parameters),
    ipv6: parameters.flag('Ipv6Support'),
    workloadPrefixes: workloadPrefixes(parameters),
    excludedInterfaces: texts(parameters.list('InterfaceExclude')),
    flowOffload: parameters.is('NFTablesFlowTableOffload', 'All')
      ? { hostInterfacePattern: parameters.text('NFTablesFlowTableDataIfacePattern') }
      : null,
    deviceRouteSource: { ...(source4 && { 4: source4 }), ...(source6 && { 6: source6 }) },
  };
}

/** Of iproute2's names: the kernel's, the administrator's and those of routing daemons. */
const PROTOCOLS_OF_OTHERS: ReadonlySet<number> = new Set([
  0, 1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 42, 84, 99, 186, 187, 188, 189, 192,
]);
const CLUSTER_PROTOCOL = 80;

/** A protocol that others use too does not say whose a route is: routes to other hosts keep their own then. */
function routeSettings(parameters: Parameters): RouteSettings {
  const deviceProtocol = parameters.number('DeviceRouteProtocol');
  const priority = (family: Family) => ({
    normal: parameters.number(`IPv${family}NormalRoutePriority`),
    elevated: parameters.number(`IPv${family}ElevatedRoutePriority`),
  });
  return {
    deviceProtocol,
    clusterProtocol: PROTOCOLS_OF_OTHERS.has(deviceProtocol) ? CLUSTER_PROTOCOL : deviceProtocol,
    removeExternal: parameters.flag('RemoveExternalRoutes'),
    priority: { 4: priority(4), 6: priority(6) },
  };
}

/** Whether `featureDetectOverride` says so of a feature. */
function isOverridden(parameters: Parameters, feature: string, text: string): boolean {
  const given = parameters.values.get('FeatureDetectOverride');
  const said = isObject(given) ? given[feature] : undefined;
  return typeof said === 'string' && said.toLowerCase() === text;
}

/** What is made here begins with `cali`, whatever else there is: it would be no workload's otherwise. */
function workloadPrefixes(parameters: Parameters): string[] {
  return [...new Set(['cali', ...parameters.text('InterfacePrefix').split(',')])].sort();
}

function texts(values: readonly ParameterValue[]): string[] {
  return values.filter((value) => typeof value === 'string');
}

/** The override of Calico Enterprise says whether, the parameter of nftables how packets are refused. */
function denyAction(parameters: Parameters): DenyAction {
  const refusal = parameters.is('NftablesFilterDenyAction', 'REJECT') ? 'Reject' : 'Drop';
  switch (parameters.text('DropActionOverride')) {
    case 'ACCEPT':
      return 'Accept';
    case 'LOGandACCEPT':
      return 'LogAndAccept';
    case 'LOGandDROP':
      return `LogAnd${refusal}`;
    default:
      return refusal;
  }
}

const HOST_ACTIONS = { DROP: 'Drop', RETURN: 'Return', ACCEPT: 'Accept' } as const;

export function endpointToHostAction(
  parameters: Parameters,
): DataplaneState['endpointToHostAction'] {
  const action = parameters.text('DefaultEndpointToHostAction');
  return action === 'ACCEPT' || action === 'RETURN' ? HOST_ACTIONS[action] : 'Drop';
}

/** `10/minute`. */
function logRate(parameters: Parameters): LogRate | null {
  const [packets = '', per] = parameters.text('LogActionRateLimit').split('/');
  if (per !== 'second' && per !== 'minute' && per !== 'hour' && per !== 'day') return null;
  return { packets: Number(packets), per, burst: parameters.number('LogActionRateLimitBurst') };
}

function failsafePorts(list: readonly ParameterValue[]): FailsafePort[] {
  return list.flatMap((item) => {
    if (!isObject(item)) return [];
    const { protocol, port, net } = item;
    if (typeof protocol !== 'string' || typeof port !== 'number') return [];
    return [{ protocol: parseProtocol(protocol), port, ...(typeof net === 'string' && { net }) }];
  });
}

/** `hosts`: every node; their addresses are left alone where the parameters say so. */
export function natOutgoing(
  parameters: Parameters,
  pools: Iterable<PoolSource>,
  hosts: Iterable<NodeSource>,
): NatOutgoing {
  const all = [...pools].flatMap(({ cidr, natOutgoing: nat }) => {
    const prefix = parsePrefix(cidr);
    return prefix ? [{ cidr: formatPrefix(maskPrefix(prefix)), nat }] : [];
  });
  const withHosts = parameters.is('NATOutgoingExclusions', 'IPPoolsAndHostIPs');
  const address = parameters.text('NATOutgoingAddress');
  const interfaceName = parameters.text('IptablesNATOutgoingInterfaceFilter');
  const ports = portRange(parameters.values.get('NATPortRange'));
  return {
    sources: sorted(all.filter(({ nat }) => nat).map(({ cidr }) => cidr)),
    excluded: sorted([
      ...all.map(({ cidr }) => cidr),
      ...(withHosts ? [...hosts].flatMap(hostPrefixes) : []),
    ]),
    ...(ports && { ports }),
    ...(address && { address }),
    ...(interfaceName && { interfaceName }),
  };
}

/** A number is a single port, 0 none. */
function portRange(value: ParameterValue | undefined): PortRange | undefined {
  if (typeof value === 'number') return value === 0 ? undefined : [value, value];
  if (typeof value !== 'string') return undefined;
  const [first = 0, last = first] = value.split(':').map(Number);
  return [first, last];
}

function hostPrefixes({ networks }: NodeSource): string[] {
  return networks.flatMap((text) => {
    const address = parseAddress(text.split('/')[0] ?? '');
    return address ? [formatPrefix(hostPrefix(address))] : [];
  });
}

/** `nets`: what the cluster advertises for its services. */
export function serviceLoopPrevention(
  parameters: Parameters,
  nets: readonly string[],
): ServiceLoopPrevention {
  const action = parameters.text('ServiceLoopPrevention');
  const prefixes = nets.flatMap((net) => parsePrefix(net) ?? []);
  return {
    action: action === 'Reject' || action === 'Disabled' ? action : 'Drop',
    nets: sorted(prefixes.map((prefix) => formatPrefix(maskPrefix(prefix)))),
  };
}

function sorted(texts: readonly string[]): string[] {
  return [...new Set(texts)].sort();
}
