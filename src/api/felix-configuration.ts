// FelixConfiguration: every parameter of the agent (spec 01, 1.2 and 1.3; spec 04, 4.1).
import {
  ROOT_RULES,
  SPEC_RULES,
  TABLE_RANGE_RULES,
  TABLE_RANGES_RULES,
} from './felix-configuration-cel.ts';
import { type Static, type TOptional, type TSchema, type TUnsafe, Type } from 'typebox';
import { type KindDefinition, ObjectMeta, type Problem, type Resource } from './kind.ts';
import { enterpriseFields } from './felix-enterprise-fields.ts';
import { parametersInConfiguration } from './parameters/configuration-parameters.ts';
import { withoutEffect } from './parameters/parameter-effects.ts';
import { AGENT_PARAMETERS, resolveParameters } from './parameters/resolve-parameters.ts';
import { caution, fault } from './problem.ts';
import { SelectorText } from './rule.ts';

/** The same optional schema under several names. */
function each<const Name extends string, Schema extends TSchema>(
  schema: Schema,
  names: readonly Name[],
): Record<Name, TOptional<Schema>> {
  const entries = names.map((name) => [name, Type.Optional(schema)]);
  return Object.fromEntries(entries) as Record<Name, TOptional<Schema>>;
}

/** One of some words, written in any letter case: how Calico's agent reads its older parameters. */
function anyCase<const Word extends string>(...words: readonly Word[]): TUnsafe<Word> {
  return Type.Unsafe<Word>({ type: 'string', anyCase: words });
}

const Toggle = Type.Enum(['Enabled', 'Disabled']);
/** What Calico's CRD has no pattern for. */
const LooseDuration = Type.String({ format: 'duration' });
const Duration = Type.String({
  format: 'duration',
  crd: { pattern: '^([0-9]+(\\.[0-9]+)?(ms|s|m|h))*$' },
});
const PortNumber = Type.Integer({ minimum: 0, maximum: 65535 });
const Uint32 = Type.Integer({ minimum: 0, maximum: 4_294_967_295 });
const Count = Type.Integer({ minimum: 0 });
const RoutePriority = Type.Integer({ minimum: 1, maximum: 2_147_483_646 });
const Interface = Type.String({ pattern: '^[a-zA-Z0-9_.-]{0,15}$' });
const InterfaceWildcard = Type.String({ pattern: '^[a-zA-Z0-9_.-]{1,15}\\+?$' });
const Pattern = Type.String({ format: 'regexp' });
const PortRange = Type.Union([PortNumber, Type.String({ format: 'port-range' })], {
  numberOrText: true,
});
/** A list that Calico's CRD gives no merge strategy. */
const loose = { crd: { 'x-kubernetes-list-type': null } } as const;
const Networks = Type.Array(Type.String({ format: 'network' }), loose);
const TABLE_RANGE = { min: Type.Integer({ minimum: 1 }), max: Type.Integer() };

const DSCP_NAMES = [
  'DF',
  'EF',
  'CS0',
  'CS1',
  'CS2',
  'CS3',
  'CS4',
  'CS5',
  'CS6',
  'AF11',
  'AF12',
  'AF13',
  'AF21',
  'AF22',
  'AF23',
  'AF31',
  'AF32',
  'AF33',
  'AF41',
  'AF42',
  'AF43',
] as const;

/** A port that host policy never closes. */
export const ProtoPort = Type.Object({
  protocol: Type.Optional(anyCase('TCP', 'UDP', 'SCTP')),
  port: PortNumber,
  net: Type.Optional(Type.String({ format: 'network' })),
});
export type ProtoPort = Static<typeof ProtoPort>;

const booleans = each(Type.Boolean(), [
  'allowIPIPPacketsFromWorkloads',
  'allowVXLANPacketsFromWorkloads',
  'bpfConnectTimeLoadBalancingEnabled',
  'bpfDisableUnprivileged',
  'bpfEnabled',
  'bpfHostConntrackBypass',
  'bpfIPFragmentReassemblyEnabled',
  'bpfKubeProxyIptablesCleanupEnabled',
  'bpfPolicyDebugEnabled',
  'debugDisableLogDropping',
  'disableConntrackInvalidCheck',
  'endpointReportingEnabled',
  'flowLogsCollectProcessInfo',
  'flowLogsCollectTcpStats',
  'flowLogsCollectorDebugTrace',
  // Of Calico Enterprise, as all of the files of flow logs.
  'flowLogsEnableNetworkSets',
  'flowLogsFileEnabled',
  'flowLogsFileEnabledForAllowed',
  'flowLogsFileEnabledForDenied',
  'flowLogsFileIncludeLabels',
  'flowLogsFileIncludePolicies',
  'flowLogsFileIncludeService',
  'genericXDPEnabled',
  'healthEnabled',
  'ipipEnabled',
  'ipv6Support',
  'prometheusGoMetricsEnabled',
  'prometheusMetricsEnabled',
  'prometheusProcessMetricsEnabled',
  'prometheusWireGuardMetricsEnabled',
  'removeExternalRoutes',
  'requireMTUFile',
  'routeSyncDisabled',
  'sidecarAccelerationEnabled',
  'usageReportingEnabled',
  'useInternalDataplaneDriver',
  'vxlanEnabled',
  'wireguardEnabled',
  'wireguardEnabledV6',
  'wireguardHostEncryptionEnabled',
  'wireguardThreadingEnabled',
  'xdpEnabled',
]);

const durations = each(Duration, [
  'bpfIPFragTimeout',
  'bpfKubeProxyMinSyncPeriod',
  'debugSimulateCalcGraphHangAfter',
  'debugSimulateDataplaneApplyDelay',
  'debugSimulateDataplaneHangAfter',
  'endpointReportingDelay',
  'flowLogsFlushInterval',
  'interfaceRefreshInterval',
  'ipsetsRefreshInterval',
  'iptablesLockProbeInterval',
  'iptablesPostWriteCheckInterval',
  'iptablesRefreshInterval',
  'liveMigrationRouteConvergenceTime',
  'netlinkTimeout',
  'reportingInterval',
  'reportingTTL',
  'routeRefreshInterval',
  'usageReportingInitialDelay',
  'usageReportingInterval',
  'wireguardKeepAlive',
  'xdpRefreshInterval',
]);

const looseDurations = each(LooseDuration, [
  'dataplaneWatchdogTimeout',
  'localSubnetL2ReachabilityRefreshInterval',
  'nftablesRefreshInterval',
]);

const numbers = {
  ...each(PortNumber, [
    'bpfKubeProxyHealthzPort',
    'debugPort',
    'healthPort',
    'metadataPort',
    'prometheusMetricsPort',
    'vxlanPort',
    'wireguardListeningPort',
    'wireguardListeningPortV6',
  ]),
  ...each(Count, [
    'bpfExportBufferSizeMB',
    'bpfMapSizeConntrack',
    'bpfMapSizeIPSets',
    'bpfMapSizeIfState',
    'bpfMapSizeNATAffinity',
    'bpfMapSizeNATBackend',
    'bpfMapSizeNATFrontend',
    'bpfMapSizePerCpuConntrack',
    'bpfMapSizeRoute',
    'ipipMTU',
    'maxIpsetSize',
    'vxlanMTU',
    'vxlanMTUV6',
    'wireguardMTU',
    'wireguardMTUV6',
  ]),
  ...each(Type.Integer({ minimum: 1 }), [
    'bpfMapSizeConntrackCleanupQueue',
    // Of Calico Enterprise.
    'captureMaxFiles',
    'captureMaxSizeBytes',
    'captureRotationSeconds',
    'flowLogsFileMaxFileSizeMB',
    'flowLogsFileMaxFiles',
    'flowLogsFileNatOutgoingPortLimit',
    'flowLogsFilePerFlowProcessArgsLimit',
    'flowLogsFilePerFlowProcessLimit',
  ]),
  ...each(Type.Integer({ minimum: 0, maximum: 3 }), [
    'flowLogsFileAggregationKindForAllowed',
    'flowLogsFileAggregationKindForDenied',
  ]),
  ...each(Type.Integer({ minimum: 1, maximum: 3000 }), [
    'bpfMaglevMaxEndpointsPerService',
    'bpfMaglevMaxServices',
  ]),
  ...each(Type.Integer({ minimum: -1 }), ['goGCThreshold', 'goMaxProcs', 'goMemoryLimitMB']),
  ...each(Uint32, ['bpfExtToServiceConnmark']),
  ...each(Type.Integer({ minimum: 0, maximum: 4_294_967_295, crd: { format: 'int64' } }), [
    'iptablesMarkMask',
    'nftablesMarkMask',
  ]),
  ...each(RoutePriority, [
    'ipv4ElevatedRoutePriority',
    'ipv4NormalRoutePriority',
    'ipv6ElevatedRoutePriority',
    'ipv6NormalRoutePriority',
  ]),
  ...each(Type.Integer({ minimum: 0, maximum: 255 }), ['deviceRouteProtocol']),
  ...each(Type.Integer({ minimum: 0, maximum: 9999 }), ['logActionRateLimitBurst']),
  ...each(Type.Integer({ minimum: 1, maximum: 16_777_215 }), ['vxlanVNI']),
  // Beyond 32766 the kernel's own rule for the main table comes first.
  ...each(Type.Integer({ minimum: 0, maximum: 32_766 }), ['wireguardRoutingRulePriority']),
};

const choices = {
  ...each(Toggle, [
    'bpfHostNetworkedNATWithoutCTLB',
    'bpfProfiling',
    'bpfRedirectToPeer',
    'floatingIPs',
    'flowLogsLocalReporter',
    'ipForwarding',
    'istioAmbientMode',
    'windowsManageFirewallRules',
  ]),
  ...each(anyCase('Trace', 'Debug', 'Info', 'Warning', 'Error', 'Fatal'), [
    'logSeverityFile',
    'logSeverityScreen',
    'logSeveritySys',
  ]),
  ...each(anyCase('Accept', 'Return'), [
    'iptablesFilterAllowAction',
    'iptablesMangleAllowAction',
    'nftablesFilterAllowAction',
    'nftablesMangleAllowAction',
  ]),
  ...each(anyCase('Drop', 'Reject'), ['iptablesFilterDenyAction', 'nftablesFilterDenyAction']),
  ...each(Type.Enum(['DoNothing', 'Enable', 'Disable']), ['awsSrcDstCheck']),
  ...each(Type.Enum(['TC', 'TCX', 'Netkit']), ['bpfAttachType']),
  ...each(Type.Enum(['TCP', 'Enabled', 'Disabled']), ['bpfConnectTimeLoadBalancing']),
  ...each(Type.Enum(['Off', 'Debug']), ['bpfConntrackLogLevel']),
  ...each(Type.Enum(['Auto', 'Userspace', 'BPFProgram']), ['bpfConntrackMode']),
  ...each(anyCase('Disabled', 'Strict', 'Loose'), ['bpfEnforceRPF']),
  ...each(anyCase('Tunnel', 'DSR'), ['bpfExternalServiceMode']),
  ...each(Type.Enum(['Auto', 'Strict']), ['bpfJITHardening']),
  ...each(anyCase('Off', 'Info', 'Debug'), ['bpfLogLevel']),
  ...each(anyCase('Disabled', 'DoubleIfFull'), ['bpfMapSizeConntrackScaling']),
  ...each(Type.Enum(['TunnelAddress', 'HostAddress']), ['bpfOverlayHostSourceIP']),
  ...each(anyCase('Insert', 'Append'), ['chainInsertMode']),
  /** What happens to traffic from a pod to its own host once egress policy allowed it. */
  ...each(anyCase('Drop', 'Accept', 'Return'), ['defaultEndpointToHostAction']),
  // Of Calico Enterprise.
  ...each(anyCase('Drop', 'Accept', 'LogAndDrop', 'LogAndAccept'), ['dropActionOverride']),
  ...each(Type.Enum(['None', 'Continuous']), ['flowLogsPolicyEvaluationMode']),
  ...each(
    Type.Unsafe<'Auto' | 'Legacy' | 'NFT'>({
      type: 'string',
      anyCase: ['Auto', 'Legacy', 'NFT'],
      crd: { enum: ['Legacy', 'NFT', 'Auto'] },
    }),
    ['iptablesBackend'],
  ),
  ...each(Type.Enum(['Disabled', 'PodsAndLoadBalancers']), ['localSubnetL2Reachability']),
  ...each(Type.Enum(['IPPoolsOnly', 'IPPoolsAndHostIPs']), ['natOutgoingExclusions']),
  ...each(Type.Enum(['All', 'Disabled'], { crd: { default: 'Disabled' } }), [
    'nftablesFlowTableOffload',
  ]),
  ...each(Type.Enum(['Disabled', 'Enabled', 'Auto'], { crd: { default: 'Auto' } }), [
    'nftablesMode',
  ]),
  ...each(Type.Enum(['Enabled', 'Disabled', 'EnabledIPIPOnly', 'EnabledNoEncapOnly']), [
    'programClusterRoutes',
  ]),
  ...each(
    Type.Enum([
      'RequireAndVerifyClientCert',
      'RequireAnyClientCert',
      'VerifyClientCertIfGiven',
      'NoClientCert',
    ]),
    ['prometheusMetricsClientAuth'],
  ),
  ...each(anyCase('WorkloadIPs', 'CalicoIPAM'), ['routeSource']),
  ...each(anyCase('Drop', 'Reject', 'Disabled'), ['serviceLoopPrevention']),
  ...each(anyCase('Disabled', 'Any'), ['workloadSourceSpoofing']),
};

const texts = {
  ...each(Type.String(), [
    'bpfCTLBLogFilter',
    'captureDir',
    'cgroupV2Path',
    'dataplaneDriver',
    'debugHost',
    'debugMemoryProfilePath',
    'endpointStatusPathPrefix',
    'flowLogsFileDirectory',
    'flowLogsGoldmaneServer',
    'healthHost',
    'interfaceExclude',
    'interfacePrefix',
    'logFilePath',
    'metadataAddr',
    'policySyncPathPrefix',
    'prometheusMetricsCAFile',
    'prometheusMetricsCertFile',
    'prometheusMetricsKeyFile',
  ]),
  ...each(Pattern, [
    'bpfDataIfacePattern',
    'bpfDisableGROForIfaces',
    'bpfL3IfacePattern',
    'logDebugFilenameRegex',
    'mtuIfacePattern',
    'nftablesFlowTableDataIfacePattern',
  ]),
  ...each(Interface, [
    'iptablesNATOutgoingInterfaceFilter',
    'wireguardInterfaceName',
    'wireguardInterfaceNameV6',
  ]),
  ...each(Type.String({ format: 'address-4', maxLength: 45 }), [
    'deviceRouteSourceAddress',
    'natOutgoingAddress',
  ]),
  ...each(Type.String({ format: 'address-6', maxLength: 45 }), ['deviceRouteSourceAddressIPv6']),
  ...each(Type.String({ pattern: '^[a-zA-Z0-9.:_-]*$' }), ['prometheusMetricsHost']),
  ...each(
    Type.String({
      pattern: '^([a-zA-Z0-9_-]+=(true|false|)(,|$))*$',
      crd: { pattern: '^([a-zA-Z0-9-_]+=(true|false|),)*([a-zA-Z0-9-_]+=(true|false|))?$' },
    }),
    ['featureDetectOverride'],
  ),
  ...each(
    Type.String({
      pattern: '^([a-zA-Z0-9_-]+=[^=,]+(,|$))*$',
      crd: { pattern: '^([a-zA-Z0-9-_]+=([^=]+),)*([a-zA-Z0-9-_]+=([^=]+))?$' },
    }),
    ['featureGates'],
  ),
  ...each(Type.String({ pattern: '^[1-9]\\d{0,3}/(?:second|minute|hour|day)$' }), [
    'logActionRateLimit',
  ]),
  ...each(Type.String({ pattern: '^([a-zA-Z0-9%: /_-])*$' }), ['logPrefix']),
  // With `openstack-region-` before it, it must be a namespace's name.
  ...each(Type.String({ pattern: '^([a-z0-9]([-a-z0-9]{0,44}[a-z0-9])?)?$' }), ['openstackRegion']),
};

const ConntrackTimeout = Type.String({ pattern: '^(([0-9]*(\\.[0-9]*)?(ms|s|h|m|us)+)+|Auto)$' });

const structures = {
  bpfConntrackTimeouts: Type.Optional(
    Type.Object(
      each(ConntrackTimeout, [
        'creationGracePeriod',
        'genericTimeout',
        'icmpTimeout',
        'tcpEstablished',
        'tcpFinsSeen',
        'tcpResetSeen',
        'tcpSynSent',
        'udpTimeout',
      ]),
    ),
  ),
  bpfLogFilters: Type.Optional(Type.Record(Type.String(), Type.String())),
  ...each(Networks, ['bpfDSROptoutCIDRs', 'bpfExcludeCIDRsFromNAT']),
  ...each(Type.Array(InterfaceWildcard, loose), ['bpfForceTrackPacketsFromIfaces']),
  ...each(PortRange, ['bpfPSNATPorts', 'natPortRange']),
  ...each(Type.Array(Type.String({ format: 'network-4' }), loose), ['externalNodesList']),
  ...each(Type.Array(ProtoPort, loose), ['failsafeInboundHostPorts', 'failsafeOutboundHostPorts']),
  healthTimeoutOverrides: Type.Optional(
    Type.Array(
      Type.Object({ name: Type.String({ pattern: '^[a-zA-Z0-9_.-]+$' }), timeout: Duration }),
    ),
  ),
  istioDSCPMark: Type.Optional(
    Type.Union([Type.Integer({ minimum: 0, maximum: 63 }), anyCase(...DSCP_NAMES)], {
      crd: { pattern: '^.*' },
    }),
  ),
  // More do not fit into one rule of the older kernel interface.
  kubeNodePortRanges: Type.Optional(Type.Array(PortRange, { maxItems: 7, ...loose })),
  nodeSelector: Type.Optional(SelectorText),
  routeTableRange: Type.Optional(Type.Object(TABLE_RANGE, { crd: TABLE_RANGE_RULES })),
  routeTableRanges: Type.Optional(
    Type.Array(Type.Object(TABLE_RANGE, { crd: TABLE_RANGES_RULES }), loose),
  ),
};

export const FelixConfigurationSpec = Type.Object(
  {
    ...booleans,
    ...durations,
    ...looseDurations,
    ...numbers,
    ...choices,
    ...texts,
    ...structures,
    // Nothing reads them by name.
    ...(enterpriseFields(Duration) as Record<never, never>),
  },
  { crd: SPEC_RULES },
);
export type FelixConfigurationSpec = Static<typeof FelixConfigurationSpec>;

export interface FelixConfiguration extends Resource {
  readonly kind: 'FelixConfiguration';
  readonly spec: FelixConfigurationSpec;
}

export const felixConfigurationKind: KindDefinition = {
  group: 'projectcalico.org',
  version: 'v3',
  kind: 'FelixConfiguration',
  plural: 'felixconfigurations',
  singular: 'felixconfiguration',
  shortNames: ['felixconfig', 'felixconfigs'],
  namespaced: false,
  hasStatus: false,
  schema: Type.Object({ metadata: ObjectMeta, spec: FelixConfigurationSpec }, { crd: ROOT_RULES }),
  columns: [],
  check: (resource) => felixProblems(resource as FelixConfiguration),
};

const TABLES_MAX = 65_535;

function felixProblems({ metadata, spec }: FelixConfiguration): Problem[] {
  const problems: Problem[] = [];
  const { routeTableRange, routeTableRanges = [], nodeSelector } = spec;
  const named = metadata.name === 'default' || metadata.name.startsWith('node.');
  if (named && nodeSelector !== undefined) {
    problems.push(
      fault('spec.nodeSelector', `has no place in "${metadata.name}"; use another name`),
    );
  }
  if (routeTableRange && spec.routeTableRanges) {
    problems.push(fault('spec.routeTableRange', 'excludes routeTableRanges; remove one'));
  }
  if (routeTableRange && routeTableRange.max > 250) {
    problems.push(fault('spec.routeTableRange.max', `${routeTableRange.max} is above 250`));
  }
  const ranges = [
    ...(routeTableRange ? [{ range: routeTableRange, path: 'spec.routeTableRange' }] : []),
    ...routeTableRanges.map((range, index) => ({ range, path: `spec.routeTableRanges[${index}]` })),
  ];
  for (const { range, path } of ranges) {
    if (range.min > range.max) {
      problems.push(fault(`${path}.min`, `${range.min} is greater than max, ${range.max}`));
    }
  }
  const tables = routeTableRanges.reduce(
    (sum, { min, max }) => sum + Math.max(0, max - min + 1),
    0,
  );
  if (tables > TABLES_MAX) {
    const message = `are ${tables} tables, at most ${TABLES_MAX} are allowed`;
    problems.push(fault('spec.routeTableRanges', message));
  }
  problems.push(...fieldsWithoutEffect(spec));
  return problems;
}

/** Fields that are set to something of their own, and that do nothing here. */
function fieldsWithoutEffect(spec: FelixConfigurationSpec): Problem[] {
  const values = parametersInConfiguration(spec);
  const given = resolveParameters([{ name: 'the spec', local: true, values }]);
  const fields = new Map(AGENT_PARAMETERS.map(({ name, field }) => [name, field]));
  return withoutEffect(given.values).map(({ parameter, message }) =>
    caution(`spec.${fields.get(parameter)}`, message),
  );
}
