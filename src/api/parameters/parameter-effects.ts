// What each parameter does here: most work; some are for parts that are not built, some for what is no part of this.
import { jsonEqual } from '#lib';
import { BPF_PARAMETERS } from './bpf-parameters.ts';
import { ENTERPRISE_PARTS } from './enterprise-parameters.ts';
import { defaultValue, type ParameterValue } from './parameter.ts';
import { AGENT_PARAMETERS, type ParameterProblem } from './resolve-parameters.ts';

/** `not-yet`: read and checked, and waits for its part. `none`: nothing here could do what it says. */
export type ParameterEffect =
  | { readonly effect: 'works' }
  | { readonly effect: 'not-yet'; readonly part: string }
  | { readonly effect: 'none'; readonly why: string };

/** By the part that would do what they say. */
const NOT_YET: Readonly<Record<string, readonly string[]>> = {
  'the eBPF dataplane': [
    ...BPF_PARAMETERS.map(({ name }) => name),
    'CgroupV2Path',
    'DebugBPFCgroupV2',
    'FeatureGates',
  ],
  WireGuard: [
    'PrometheusWireGuardMetricsEnabled',
    'WireguardEnabled',
    'WireguardEnabledV6',
    'WireguardHostEncryptionEnabled',
    'WireguardInterfaceName',
    'WireguardInterfaceNameV6',
    'WireguardListeningPort',
    'WireguardListeningPortV6',
    'WireguardMTU',
    'WireguardMTUV6',
    'WireguardPersistentKeepAlive',
    'WireguardRoutingRulePriority',
    'WireguardThreadingEnabled',
  ],
  'routing tables of WireGuard and egress gateways': ['RouteTableRange', 'RouteTableRanges'],
  'the application layer': ['PolicySyncPathPrefix'],
  "Istio's ambient mesh": ['IstioAmbientMode', 'IstioDSCPMark'],
  'AWS integration': ['AWSSrcDstCheck'],
  OpenStack: [
    'EndpointReportingDelaySecs',
    'EndpointReportingEnabled',
    'MetadataAddr',
    'MetadataPort',
    'OpenstackRegion',
    'ReportingIntervalSecs',
    'ReportingTTLSecs',
  ],
};

/** By the reason why there is nothing that they could say. */
const WITHOUT_MEANING: Readonly<Record<string, readonly string[]>> = {
  'the agent reaches the store through the API server alone, as its kubeconfig says': [
    'DatastoreType',
    'EtcdAddr',
    'EtcdCaFile',
    'EtcdCertFile',
    'EtcdEndpoints',
    'EtcdKeyFile',
    'EtcdScheme',
    'TyphaAddr',
    'TyphaCAFile',
    'TyphaCN',
    'TyphaCertFile',
    'TyphaK8sNamespace',
    'TyphaK8sServiceName',
    'TyphaKeyFile',
    'TyphaReadTimeout',
    'TyphaURISAN',
    'TyphaWriteTimeout',
  ],
  'the name of the node is the flag --name of tortie node': ['FelixHostname'],
  "they are for Go's runtime; options of Node.js go into NODE_OPTIONS": [
    'GoGCThreshold',
    'GoMaxProcs',
    'GoMemoryLimitMB',
  ],
  'the agent logs to its standard error alone, never dropping a line; what runs it keeps files': [
    'DebugDisableLogDropping',
    'LogDebugFilenameRegex',
    'LogFilePath',
    'LogSeverityFile',
    'LogSeveritySys',
  ],
  'flows go to the server every second, which keeps them and serves them over Goldmane': [
    'FlowLogsCollectorDebugTrace',
    'FlowLogsGoldmaneServer',
    'FlowLogsLocalReporter',
  ],
  'nothing is ever reported to anybody outside the cluster': [
    'UsageReportingEnabled',
    'UsageReportingInitialDelaySecs',
    'UsageReportingIntervalSecs',
  ],
  "they serve Felix' own profiling and its tests": [
    'DebugCPUProfilePath',
    'DebugHost',
    'DebugMemoryProfilePath',
    'DebugPanicAfter',
    'DebugPort',
    'DebugSimulateCalcGraphHangAfter',
    'DebugSimulateDataRace',
    'DebugSimulateDataplaneApplyDelay',
    'DebugSimulateDataplaneHangAfter',
  ],
  'nftables is the only dataplane, and the agent itself writes to it': [
    'DataplaneDriver',
    'NFTablesMode',
    'UseInternalDataplaneDriver',
  ],
  "iptables is not used; nftables' own parameters take the place of these": [
    'IptablesBackend',
    'IptablesFilterAllowAction',
    'IptablesFilterDenyAction',
    'IptablesLockProbeIntervalMillis',
    'IptablesMangleAllowAction',
    'IptablesMarkMask',
    'IptablesPostWriteCheckIntervalSecs',
    'IptablesRefreshInterval',
  ],
  'chains stand at priorities of their own in a table of their own, before and after nobody else': [
    'ChainInsertMode',
  ],
  'accepting ends our chain of the hook alone: whatever others have at the hook judges afterwards, as with Return':
    ['NftablesFilterAllowAction', 'NftablesMangleAllowAction'],
  'sets of nftables have no size that is fixed beforehand': ['MaxIpsetSize'],
  'they mark packets for IPVS, which forwards them where policy sees them here': [
    'KubeNodePortRanges',
  ],
  'XDP and sockmap speed up the iptables dataplane alone': [
    'GenericXDPEnabled',
    'SidecarAccelerationEnabled',
    'XDPEnabled',
    'XDPRefreshInterval',
  ],
  'there is no agent for Windows': ['WindowsManageFirewallRules'],
  'the agent finds it out itself': [
    'CalicoVersion',
    'ClusterGUID',
    'ClusterType',
    'IPv4VXLANTunnelAddr',
    'IPv6VXLANTunnelAddr',
    'IpInIpTunnelAddr',
    'VXLANTunnelMACAddr',
    'VXLANTunnelMACAddrV6',
  ],
};

const EFFECTS: ReadonlyMap<string, ParameterEffect> = new Map([
  ...entries(NOT_YET, (part) => ({ effect: 'not-yet', part })),
  ...entries(ofEnterprise(), (part) => ({ effect: 'not-yet', part })),
  ...entries(WITHOUT_MEANING, (why) => ({ effect: 'none', why })),
]);

function ofEnterprise(): Record<string, string[]> {
  const parts = [...ENTERPRISE_PARTS].map(([part, parameters]) => [
    part,
    parameters.map(({ name }) => name),
  ]);
  return Object.fromEntries(parts);
}

function entries(
  table: Readonly<Record<string, readonly string[]>>,
  effectOfKey: (key: string) => ParameterEffect,
): (readonly [name: string, effect: ParameterEffect])[] {
  return Object.entries(table).flatMap(([key, names]) =>
    names.map((name) => [name, effectOfKey(key)] as const),
  );
}

/** Of a parameter by its name. */
export function effectOf(name: string): ParameterEffect {
  return EFFECTS.get(name) ?? { effect: 'works' };
}

/** Parameters that have been set to something of their own, and that do nothing here. */
export function withoutEffect(values: ReadonlyMap<string, ParameterValue>): ParameterProblem[] {
  return AGENT_PARAMETERS.flatMap((one) => {
    if (jsonEqual(values.get(one.name), defaultValue(one))) return [];
    const message = ineffectiveness(one.name);
    return message === undefined ? [] : [{ parameter: one.name, message, fatal: false }];
  });
}

/** Why a parameter does nothing here; undefined where it works. */
function ineffectiveness(name: string): string | undefined {
  const effect = effectOf(name);
  switch (effect.effect) {
    case 'works':
      return undefined;
    case 'not-yet':
      return `is accepted but has no effect: it needs ${effect.part}, not built yet`;
    case 'none':
      return `is accepted but has no effect: ${effect.why}`;
    default:
      return effect satisfies never;
  }
}
