// Texts of FelixConfiguration: every parameter of the node's agent, with what it is where nothing says.
import { enterpriseTexts } from '../felix-enterprise-fields.ts';
import type { Parameter } from '../parameters/parameter.ts';
import { AGENT_PARAMETERS } from '../parameters/resolve-parameters.ts';
import { FELIX_BPF_TEXTS } from './felix-bpf-texts.ts';
import type { FieldText, FieldTexts } from './field-text.ts';

const REFRESH = 'How often they are read back from the kernel and repaired; 0 never';
const DEBUG = 'For tests of the agent';
const WINDOWS = 'On Windows';

const protectedPort = (direction: string): FieldTexts => ({
  '':
    `Ports of ${direction} traffic of the node that no policy ever closes, so that nobody locks ` +
    `himself out; [] for none`,
  protocol: 'TCP where it is absent',
  port: 'The port',
  net: 'Only with addresses of this network',
});

const priority = (which: string): string => `The metric of routes ${which}`;
const action = (table: string): string =>
  `What follows where policy allowed a packet in the ${table} table: ` +
  'Accept ends the table, Return goes on with rules of others';
const severity = (where: string): string => `What is written to ${where}: this severity and above`;
const wireguard = (what: string): string => `Of WireGuard between nodes: ${what}`;

const GENERAL: FieldTexts = {
  awsSrcDstCheck: "Whether AWS checks source and destination of the node's packets",
  cgroupV2Path: 'Where the cgroup file system is mounted',
  dataplaneDriver: 'The path of an outside dataplane; needs useInternalDataplaneDriver false',
  dataplaneWatchdogTimeout: 'After how long without progress the dataplane counts as stuck',
  debugDisableLogDropping: 'Log lines are never dropped, at the cost of waiting for them',
  debugHost: 'The address of profiles for developers',
  debugMemoryProfilePath: 'Where memory profiles are written',
  debugPort: 'The port of profiles for developers; absent serves none',
  debugSimulateCalcGraphHangAfter: `${DEBUG}: the calculation hangs after so long`,
  debugSimulateDataplaneApplyDelay: `${DEBUG}: each write to the kernel waits so long`,
  debugSimulateDataplaneHangAfter: `${DEBUG}: the dataplane hangs after so long`,
  endpointReportingDelay: 'How long a status of endpoints waits for more to come',
  endpointReportingEnabled: 'Whether the status of endpoints is written to the datastore',
  endpointStatusPathPrefix: 'The folder for files with the status of endpoints',
  featureDetectOverride:
    'Features of the kernel that are taken as there or not: Name=true,Other=false',
  featureGates: 'Features that are switched: Name=value,Other=value',
  goGCThreshold: 'Memory against processor time, for agents written in Go',
  goMaxProcs: 'Processors to use, for agents written in Go; -1 is all',
  goMemoryLimitMB: 'Memory to use in MB, for agents written in Go; -1 is no limit',
  healthEnabled: 'Whether the health report is served',
  healthHost: 'The address of the health report',
  healthPort: 'The port of the health report',
  healthTimeoutOverrides: {
    '': 'After how long without a word a part of the agent counts as stuck',
    name: 'The part',
    timeout: 'How long; 0 never',
  },
  logActionRateLimit:
    'How many packets the action Log writes, such as 10/second; no limit where it is absent',
  logActionRateLimitBurst: 'How many packets may come at once beyond logActionRateLimit',
  logDebugFilenameRegex: 'Only these source files log at severity Debug',
  logFilePath: 'The log file',
  logPrefix: 'What stands before packets that the action Log writes',
  logSeverityFile: severity('the log file'),
  logSeverityScreen: severity('the screen'),
  logSeveritySys: severity('syslog'),
  metadataAddr:
    'The address of the metadata server, which workloads of OpenStack reach; none for none',
  metadataPort: 'The port of the metadata server',
  nodeSelector: 'Which nodes the object is for; not for "default" and "node.NAME"',
  openstackRegion: 'The region of OpenStack, where several share a datastore',
  policySyncPathPrefix: 'The folder for sockets that give policy to proxies; absent for none',
  prometheusGoMetricsEnabled: 'Metrics of the language runtime',
  prometheusMetricsCAFile: 'The authority of clients that read metrics',
  prometheusMetricsCertFile: 'The certificate of the metrics server',
  prometheusMetricsClientAuth: 'Whether clients that read metrics show a certificate',
  prometheusMetricsEnabled: 'Whether metrics are served',
  prometheusMetricsHost: 'The address of metrics; all where it is absent',
  prometheusMetricsKeyFile: 'The key of the metrics server',
  prometheusMetricsPort: 'The port of metrics',
  prometheusProcessMetricsEnabled: 'Metrics of the process',
  prometheusWireGuardMetricsEnabled: 'Metrics of WireGuard',
  reportingInterval: 'How often the agent says that it lives; 0 never',
  reportingTTL: 'How long that counts; more than reportingInterval',
  usageReportingEnabled: 'Whether anonymous figures are sent to the makers of Calico',
  usageReportingInitialDelay: 'How long after the start they are first sent',
  usageReportingInterval: 'How often they are sent',
  useInternalDataplaneDriver: 'Whether the agent itself writes to the kernel',
  windowsManageFirewallRules: `${WINDOWS}: whether the agent opens the firewall for metrics`,
};

const FLOWS_AND_CAPTURES: FieldTexts = {
  captureDir: 'The folder for packet captures',
  captureMaxFiles: 'How many files of a capture are kept for each endpoint',
  captureMaxSizeBytes: 'At which size a new file begins',
  captureRotationSeconds: 'After how long a new file begins',
  flowLogsCollectProcessInfo: 'Flows tell the process at each end',
  flowLogsCollectTcpStats: 'Flows tell what TCP measured',
  flowLogsCollectorDebugTrace: 'The collection of flows logs what it does',
  flowLogsEnableNetworkSets: 'Flow logs name network sets; else their addresses are pub or pvt',
  flowLogsFileAggregationKindForAllowed:
    'What files of flow logs do not tell apart of allowed flows: 0 nothing, 1 source ports, 2 also pods of one ' +
    'owner and their addresses, 3 also destination ports',
  flowLogsFileAggregationKindForDenied: 'The same of denied flows',
  flowLogsFileDirectory: 'The folder for files of flow logs',
  flowLogsFileEnabled: 'Flow logs are written to files of the node',
  flowLogsFileEnabledForAllowed: 'Files of flow logs have the flows that were allowed',
  flowLogsFileEnabledForDenied: 'Files of flow logs have the flows that were denied',
  flowLogsFileIncludeLabels: 'Files of flow logs have the labels of both ends',
  flowLogsFileIncludePolicies: 'Files of flow logs have the policies that decided',
  flowLogsFileIncludeService: 'Files of flow logs have the service that was called',
  flowLogsFileMaxFileSizeMB: 'At which size a new file of flow logs begins, in MiB',
  flowLogsFileMaxFiles: 'How many old files of flow logs are kept',
  flowLogsFileNatOutgoingPortLimit: 'How many ports after source NAT an entry lists',
  flowLogsFilePerFlowProcessArgsLimit: "How many processes' arguments an entry lists",
  flowLogsFilePerFlowProcessLimit: 'How many processes of one flow have entries of their own',
  flowLogsFlushInterval: 'How often flows are sent, and written to files',
  flowLogsGoldmaneServer:
    'Where flows are sent: HOST:PORT, or the path of a socket; absent for nowhere',
  flowLogsLocalReporter: 'Flows are served at a local socket too',
  flowLogsPolicyEvaluationMode:
    'Continuous: flows that are open are judged again when policy changes; None: they keep the verdict ' +
    'of their beginning',
};

const INTERFACES_AND_ROUTES: FieldTexts = {
  allowIPIPPacketsFromWorkloads: 'Pods may send IPIP packets of their own',
  allowVXLANPacketsFromWorkloads: "Pods may send VXLAN packets to the node's VXLAN port",
  deviceRouteProtocol: 'The protocol that marks routes of the agent in the kernel',
  deviceRouteSourceAddress: "The IPv4 source address of the node's own traffic to its pods",
  deviceRouteSourceAddressIPv6: "The IPv6 source address of the node's own traffic to its pods",
  externalNodesList: 'Networks of nodes outside the cluster from which tunnelled packets are taken',
  floatingIPs: 'Whether pods can have floating addresses',
  interfaceExclude: 'Interfaces that are left out, by commas; /…/ is a regular expression',
  interfacePrefix: 'How names of interfaces of pods begin, by commas',
  interfaceRefreshInterval: `Interfaces. ${REFRESH}`,
  ipForwarding: 'Whether the agent switches forwarding on',
  ipipEnabled: 'Whether the IPIP tunnel is set up; absent: where a pool needs it',
  ipipMTU: 'The largest packet of the IPIP tunnel; 0 finds it out',
  ipv4ElevatedRoutePriority: priority('to pods that are just moving here, IPv4'),
  ipv4NormalRoutePriority: priority('to pods, IPv4'),
  ipv6ElevatedRoutePriority: priority('to pods that are just moving here, IPv6'),
  ipv6NormalRoutePriority: priority('to pods, IPv6'),
  ipv6Support: 'Whether IPv6 is handled',
  liveMigrationRouteConvergenceTime: 'How long after a live migration its routes are preferred',
  localSubnetL2Reachability:
    'Whether the node answers ARP and NDP for pods whose addresses are of its own subnet',
  localSubnetL2ReachabilityRefreshInterval: 'How often it looks which these are',
  mtuIfacePattern: 'Interfaces from which the largest packet is found out, as a regular expression',
  netlinkTimeout: 'How long an answer of the kernel may take',
  programClusterRoutes:
    'Whether the agent programs the routes to pods of other nodes, and which; BGP does the others',
  removeExternalRoutes: 'Routes to interfaces of pods that others made are removed',
  requireMTUFile: 'Whether pods wait until the largest packet has been found out',
  routeRefreshInterval: `Routes. ${REFRESH}`,
  routeSource: 'Whether routes to other nodes follow from blocks or from single endpoints',
  routeSyncDisabled: 'The agent programs no routes at all',
  routeTableRange: {
    '': 'Older form of routeTableRanges',
    min: 'The first table',
    max: 'The last table',
  },
  routeTableRanges: {
    '': 'Route tables that the agent may use',
    min: 'The first table',
    max: 'The last table',
  },
  vxlanEnabled: 'Whether the VXLAN tunnel is set up; absent: where a pool needs it',
  vxlanMTU: 'The largest packet of the VXLAN tunnel for IPv4; 0 finds it out',
  vxlanMTUV6: 'The largest packet of the VXLAN tunnel for IPv6; 0 finds it out',
  vxlanPort: 'The UDP port of VXLAN',
  vxlanVNI: 'The number of the VXLAN network',
  wireguardEnabled: wireguard('whether it is on for IPv4'),
  wireguardEnabledV6: wireguard('whether it is on for IPv6'),
  wireguardHostEncryptionEnabled: wireguard("whether the nodes' own traffic goes through it"),
  wireguardInterfaceName: wireguard('the interface for IPv4'),
  wireguardInterfaceNameV6: wireguard('the interface for IPv6'),
  wireguardKeepAlive: wireguard('how often quiet tunnels are kept open; 0 never'),
  wireguardListeningPort: wireguard('the port for IPv4'),
  wireguardListeningPortV6: wireguard('the port for IPv6'),
  wireguardMTU: wireguard('the largest packet for IPv4; 0 finds it out'),
  wireguardMTUV6: wireguard('the largest packet for IPv6; 0 finds it out'),
  wireguardRoutingRulePriority: wireguard('the priority of its routing rule'),
  wireguardThreadingEnabled: wireguard('whether each peer has a kernel thread of its own'),
};

const RULES: FieldTexts = {
  dropActionOverride:
    "What denied packets get: LogAndDrop and LogAndAccept also tell the kernel's log; with Accept nothing is " +
    'stopped by policy',
  chainInsertMode:
    "Whether the agent's rules come before those of others (Insert) or after them (Append)",
  defaultEndpointToHostAction:
    'What happens to traffic from a pod to its own node once its egress policy allowed it: Drop, ' +
    'Accept, or Return to the rules of others',
  disableConntrackInvalidCheck: 'Packets that connection tracking calls invalid are not dropped',
  failsafeInboundHostPorts: protectedPort('incoming'),
  failsafeOutboundHostPorts: protectedPort('outgoing'),
  genericXDPEnabled: 'Whether XDP may be used where the driver has none of its own',
  ipsetsRefreshInterval: `IP sets. ${REFRESH}`,
  iptablesBackend: 'Which iptables is spoken',
  iptablesFilterAllowAction: action('filter'),
  iptablesFilterDenyAction:
    'What happens to packets that policy denies: Drop says nothing, Reject answers',
  iptablesLockProbeInterval: "How often iptables' lock is tried",
  iptablesMangleAllowAction: action('mangle'),
  iptablesMarkMask: 'Bits of packet marks that the agent may use, with iptables',
  iptablesNATOutgoingInterfaceFilter:
    'Only packets that leave by this interface get the address of the node',
  iptablesPostWriteCheckInterval: 'How long after a write others are watched for undoing it',
  iptablesRefreshInterval: `iptables. ${REFRESH}`,
  istioAmbientMode: 'Whether pods may be in an ambient mesh of Istio',
  istioDSCPMark: 'The DSCP value by which traffic of that mesh is told',
  kubeNodePortRanges: 'Ports of nodes that Kubernetes gives to Services',
  maxIpsetSize: 'The most addresses that an IP set may hold',
  natOutgoingAddress:
    'The address that packets to outside of pools get; absent: that of the interface',
  natOutgoingExclusions:
    'Which destinations keep the address of the pod: those in pools, or nodes too',
  natPortRange: 'Source ports that are given when packets get the address of the node',
  nftablesFilterAllowAction: action('filter'),
  nftablesFilterDenyAction:
    'What happens to packets that policy denies: Drop says nothing, Reject answers',
  nftablesFlowTableDataIfacePattern:
    'Interfaces whose connections a flow table may take over, as a regular expression',
  nftablesFlowTableOffload: 'Whether established connections take a short way past the rules',
  nftablesMangleAllowAction: action('mangle'),
  nftablesMarkMask: 'Bits of packet marks that the agent may use, with nftables',
  nftablesMode: 'Whether nftables is used; Auto follows kube-proxy',
  nftablesRefreshInterval: `nftables. ${REFRESH}`,
  serviceLoopPrevention:
    'What happens to packets to Services that would go round between the node and its router',
  sidecarAccelerationEnabled: 'Whether connections between a pod and its sidecar take a short way',
  workloadSourceSpoofing: 'Any: pods may ask by annotation for addresses that they may send from',
  xdpEnabled: 'Whether untracked deny rules may be enforced by XDP',
  xdpRefreshInterval: `XDP programs. ${REFRESH}`,
};

const byField = new Map(AGENT_PARAMETERS.map((one) => [one.field, one]));

export const FELIX_TEXTS: FieldTexts = {
  '':
    'Settings of the nodes\' agents: for all nodes ("default"), for one ("node.NAME"), or for those ' +
    'that nodeSelector finds',
  spec: {
    '': 'The settings; what a node reads from its own environment and file comes before them',
    ...withDefaults({
      ...GENERAL,
      ...FLOWS_AND_CAPTURES,
      ...INTERFACES_AND_ROUTES,
      ...RULES,
      ...FELIX_BPF_TEXTS,
      ...enterpriseTexts(),
    }),
  },
};

function withDefaults(texts: FieldTexts): FieldTexts {
  const entries = Object.entries(texts).map(([field, text]) => {
    const value = defaultText(byField.get(field));
    return [field, value === '' || text === undefined ? text : withDefault(text, value)];
  });
  return Object.fromEntries(entries) as FieldTexts;
}

function withDefault(text: FieldText, value: string): FieldText {
  const ending = `. Default: ${value}`;
  return typeof text === 'string' ? text + ending : { ...text, '': `${text[''] ?? ''}${ending}` };
}

/** As the field takes it: durations with their unit, words as they are written there. */
function defaultText(one: Parameter | undefined): string {
  if (!one || one.defaultText === '') return '';
  const { unitMs, words } = one.parser;
  if (unitMs !== undefined) return `${one.defaultText}${unitMs === 1 ? 'ms' : 's'}`;
  return (
    words?.find((word) => word.toLowerCase() === one.defaultText.toLowerCase()) ?? one.defaultText
  );
}
