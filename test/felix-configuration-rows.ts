// What each working parameter of the agent does here, and the test that shows it: rows of docs/felix-configuration.md.

/** `test`: part of the name of a test in `file`. */
export interface WorkingParameter {
  readonly does: string;
  readonly file: string;
  readonly test: string;
}

function row(does: string, file: string, test: string): WorkingParameter {
  return { does, file, test };
}

const NAT = 'test/kernel/dataplane-nat.test.ts';
const HOST = 'test/kernel/dataplane-host.test.ts';
const LOG = 'test/kernel/dataplane-log.test.ts';
const ROUTES = 'test/kernel/dataplane-routes.test.ts';
const SETTINGS = 'test/kernel/dataplane-settings.test.ts';
const TUNNEL = 'test/kernel/dataplane-tunnel.test.ts';
const CALC = 'src/calc/network.test.ts';
const METRICS = 'test/peers/metrics.test.ts';
const HEALTH = 'src/agent/health-server.test.ts';
const LAB = 'test/lab/settings.test.ts';
const REFRESH = 'src/agent/refresh-timers.test.ts';
const CAPTURE = 'test/kernel/capture-agent.test.ts';
const ENTRIES = 'src/flows/file-log-entries.test.ts';
const FILES = 'src/agent/flow-file-log.test.ts';

/** By the parameter's name. */
export const WORKING: Readonly<Record<string, WorkingParameter>> = {
  AllowIPIPPacketsFromWorkloads: row('Pods may send IPIP of their own.', NAT, '[DP28]'),
  AllowVXLANPacketsFromWorkloads: row("Pods may send to the node's VXLAN port.", NAT, '[DP28]'),
  CaptureDir: row('Where captures are written.', CAPTURE, '[CT2]'),
  CaptureMaxFiles: row('How many files an endpoint keeps.', CAPTURE, '[CT2]'),
  CaptureMaxSizeBytes: row('Size at which a new file begins.', CAPTURE, '[CT2]'),
  CaptureRotationSeconds: row('Time after which a new file begins.', CAPTURE, '[CT2]'),
  DataplaneWatchdogTimeout: row(
    "How long the agent's loop may be silent before it is not live; 0 is for ever.",
    HEALTH,
    '[AG20]',
  ),
  DefaultEndpointToHostAction: row(
    'What pods may send to their own host after their policy; without any FelixConfiguration it is Accept.',
    'src/calc/routes.test.ts',
    '[CG25]',
  ),
  DeviceRouteProtocol: row(
    'Protocol of routes to pods. Other than 3 it is also that of routes to other hosts, unless it is one that the ' +
      'kernel, the administrator or routing daemons use.',
    ROUTES,
    '[DP51]',
  ),
  DeviceRouteSourceAddress: row('Preferred source of routes to pods.', ROUTES, '[DP51] the source'),
  DeviceRouteSourceAddressIPv6: row('The same for IPv6.', ROUTES, '[DP51] the source'),
  DisableConntrackInvalidCheck: row(
    'Packets of no valid connection are judged by policy instead of dropped.',
    SETTINGS,
    '[DP81]',
  ),
  DropActionOverride: row(
    'What denied packets get instead; Accept lets them pass. Spoofed and invalid packets are dropped always.',
    SETTINGS,
    '[DP57]',
  ),
  EndpointStatusPathPrefix: row(
    'Folder in which endpoint-status/ has a file for each pod whose policy is in the kernel.',
    'src/agent/endpoint-status-files.test.ts',
    '[AG21]',
  ),
  ExternalNodesCIDRList: row('Hosts of no Node that may send wrapped packets.', TUNNEL, '[DP32]'),
  FailsafeInboundHostPorts: row('Ports that host endpoints never close.', HOST, '[DP22]'),
  FailsafeOutboundHostPorts: row('The same for what the host sends.', HOST, '[DP22]'),
  FeatureDetectOverride: row(
    'ChecksumOffloadBroken=false leaves the checksums of tunnels to the interfaces below; it knows no other feature.',
    TUNNEL,
    '[DP31]',
  ),
  FloatingIPs: row('Annotated addresses lead to pods.', NAT, '[DP25]'),
  FlowLogsCollectProcessInfo: row(
    'Flows tell processes.',
    'test/kernel/flow-sockets.test.ts',
    'process, arguments, round trip',
  ),
  FlowLogsCollectTcpStats: row(
    'Flows tell what TCP measured.',
    'test/kernel/flow-sockets.test.ts',
    'process, arguments, round trip',
  ),
  FlowLogsEnableNetworkSets: row('Flow log files name network sets.', ENTRIES, 'network sets'),
  FlowLogsFileAggregationKindForAllowed: row(
    'What flow log files do not tell apart of allowed flows.',
    ENTRIES,
    'each level leaves out',
  ),
  FlowLogsFileAggregationKindForDenied: row(
    'The same of denied flows.',
    ENTRIES,
    'an entry with all that there is',
  ),
  FlowLogsFileDirectory: row('Where flow log files are written.', FILES, 'written at the end'),
  FlowLogsFileEnabled: row('Flows are written to files too.', FILES, 'unless it is asked for'),
  FlowLogsFileEnabledForAllowed: row('Allowed flows are in them.', FILES, 'unless it is asked for'),
  FlowLogsFileEnabledForDenied: row(
    'Denied flows are in them.',
    ENTRIES,
    'left out each by itself',
  ),
  FlowLogsFileIncludeLabels: row('They have labels.', ENTRIES, 'an entry with all'),
  FlowLogsFileIncludePolicies: row(
    'They have policies, enforced and pending.',
    ENTRIES,
    'an entry with all',
  ),
  FlowLogsFileIncludeService: row('They have services.', ENTRIES, 'an entry with all'),
  FlowLogsFileMaxFileSizeMB: row('Size at which a new file begins.', FILES, 'set aside by size'),
  FlowLogsFileMaxFiles: row('Old files that are kept.', FILES, 'set aside by size'),
  FlowLogsFileNatOutgoingPortLimit: row(
    'Ports after source NAT in an entry.',
    ENTRIES,
    'processes apart up to a limit',
  ),
  FlowLogsFilePerFlowProcessArgsLimit: row(
    'Arguments of processes in an entry.',
    ENTRIES,
    'processes apart up to a limit',
  ),
  FlowLogsFilePerFlowProcessLimit: row(
    'Processes of one flow with entries of their own.',
    ENTRIES,
    'processes apart up to a limit',
  ),
  FlowLogsFlushInterval: row(
    'How often flow log files are written; the server has flows within seconds.',
    FILES,
    'written at the end',
  ),
  FlowLogsPolicyEvaluationMode: row(
    'Whether staged policies are weighed anew while a connection lasts.',
    'src/agent/flow-pending.test.ts',
    'evaluation is anew at each report, or fixed',
  ),
  HealthEnabled: row('/liveness and /readiness are served.', LAB, 'health is served'),
  HealthHost: row('At this address.', HEALTH, '[AG20]'),
  HealthPort: row('At this port.', LAB, 'the level of the log'),
  HealthTimeoutOverrides: row(
    'Times of InternalDataplaneMainLoop and CalculationGraph; 0 is for ever.',
    HEALTH,
    '[AG20]',
  ),
  IPForwarding: row(
    'The host is made to forward; Disabled leaves it to others.',
    SETTINGS,
    '[DP81]',
  ),
  IPv4ElevatedRoutePriority: row('Metric for pods that have just migrated here.', ROUTES, '[DP51]'),
  IPv4NormalRoutePriority: row('Metric of routes.', ROUTES, '[DP51]'),
  IPv6ElevatedRoutePriority: row('The same for IPv6.', ROUTES, '[DP51]'),
  IPv6NormalRoutePriority: row('The same for IPv6.', ROUTES, '[DP51]'),
  InterfaceExclude: row(
    'Interfaces that no host endpoint is found at by its addresses.',
    'src/dataplane/rules/host-chains.test.ts',
    '[DP23]',
  ),
  InterfacePrefix: row(
    "How the names of workloads' interfaces begin, besides cali, which those of pods always have; interfaces of each " +
      'prefix without an endpoint are cut off.',
    SETTINGS,
    '[DP55]',
  ),
  InterfaceRefreshInterval: row(
    "How often tunnels and the host's settings are looked at though nothing was heard; 0 is never.",
    REFRESH,
    'each part is due',
  ),
  IpsetsRefreshInterval: row(
    'As nftablesRefreshInterval; the shorter of the two counts, since sets are read with their table.',
    REFRESH,
    'each part is due',
  ),
  Ipv6Support: row(
    'False: no routes, tunnels and forwarding of IPv6. Policy holds for it all the same.',
    ROUTES,
    '[DP54]',
  ),
  IpInIpEnabled: row('Whether there is an IPIP tunnel, whatever pools say.', CALC, '[CG47]'),
  IpInIpMtu: row('MTU of the IPIP tunnel; 0 finds it out.', CALC, '[CG47]'),
  IptablesNATOutgoingInterfaceFilter: row(
    'Translates only what leaves by this interface.',
    NAT,
    '[DP24]',
  ),
  LiveMigrationRouteConvergenceTime: row(
    'How long routes to a virtual machine that has migrated here stay preferred.',
    'test/kernel/live-migration.test.ts',
    '[AG23]',
  ),
  LocalSubnetL2Reachability: row(
    'PodsAndLoadBalancers: the node answers ARP and neighbour discovery for its pods of pools without tunnel that ' +
      "are in its interfaces' subnets, and for its share of load balancers.",
    'test/kernel/dataplane-proxied.test.ts',
    '[DP80]',
  ),
  LocalSubnetL2ReachabilityRefreshInterval: row(
    'How often neighbours are told again; 0 is never.',
    REFRESH,
    'each part is due',
  ),
  LogActionRateLimit: row('How often a Log rule may log.', LOG, '[DP50]'),
  LogActionRateLimitBurst: row('How many before that.', LOG, '[DP50]'),
  LogSeverityScreen: row(
    'What the agent logs, unless the flag --log-level says so.',
    LAB,
    'the level of the log',
  ),
  LogPrefix: row('Begin of lines of Log rules, with %t, %k, %n, %p.', LOG, '[DP50]'),
  MTUIfacePattern: row(
    'Interfaces whose smallest MTU counts for pods and tunnels.',
    'src/dataplane/routes/mtu.test.ts',
    'smallest of the interfaces',
  ),
  NATOutgoingAddress: row(
    'Source of what pods send out, instead of that of the interface.',
    NAT,
    '[DP24]',
  ),
  NATOutgoingExclusions: row('Whether hosts see the addresses of pods too.', CALC, '[CG39]'),
  NATPortRange: row('Source ports of what pods send out.', NAT, '[DP24]'),
  NFTablesFlowTableDataIfacePattern: row(
    "The host's interfaces that take part in the offload of flows.",
    'src/dataplane/nft/flow-offload.test.ts',
    '[DP83] interfaces',
  ),
  NFTablesFlowTableOffload: row(
    'All: established connections take the short way of the kernel past the rules.',
    'test/kernel/dataplane-offload.test.ts',
    '[DP64]',
  ),
  NetlinkTimeoutSecs: row(
    'How long the kernel is waited for.',
    'test/kernel/linux-socket.test.ts',
    'waited for as long as is said',
  ),
  NftablesRefreshInterval: row(
    'How often the table is read back though nothing was heard; 0 is never.',
    REFRESH,
    'each part is due',
  ),
  NftablesFilterDenyAction: row(
    'Whether denied packets are dropped or refused.',
    SETTINGS,
    '[DP57]',
  ),
  NftablesMarkMask: row(
    'The bits of the mark that are used are of it; two are needed.',
    SETTINGS,
    '[DP56]',
  ),
  ProgramClusterRoutes: row(
    'Which routes to other hosts are made: those of IPIP unless it is Disabled or EnabledNoEncapOnly, those without ' +
      'tunnel unless it is Disabled (there is no BGP here that would make them).',
    CALC,
    '[CG48]',
  ),
  PrometheusGoMetricsEnabled: row(
    "Node.js' own metrics.",
    'src/metrics/metric-registry.test.ts',
    'what is hidden is not told',
  ),
  PrometheusMetricsCAFile: row('Who may read metrics.', METRICS, 'targets are up'),
  PrometheusMetricsCertFile: row('TLS for metrics.', METRICS, 'targets are up'),
  PrometheusMetricsClientAuth: row(
    'Whether a client certificate is needed.',
    'src/metrics/metrics-server.test.ts',
    'client certificates are needed',
  ),
  PrometheusMetricsEnabled: row('Metrics are served.', METRICS, 'targets are up'),
  PrometheusMetricsHost: row(
    'At this address; every one where it is empty.',
    METRICS,
    'targets are up',
  ),
  PrometheusMetricsKeyFile: row('TLS for metrics.', METRICS, 'targets are up'),
  PrometheusMetricsPort: row('At this port.', METRICS, 'targets are up'),
  PrometheusProcessMetricsEnabled: row(
    'Metrics of the process.',
    'src/metrics/metric-registry.test.ts',
    'what is hidden is not told',
  ),
  RemoveExternalRoutes: row("Routes to pods' interfaces that nobody wants go.", ROUTES, '[DP52]'),
  RequireMTUFile: row(
    'The node is not ready while the MTU cannot be written into its file (--mtu-file).',
    'src/agent/mtu-file.test.ts',
    '[AG22]',
  ),
  RouteRefreshInterval: row(
    'How often routes are looked at though nothing was heard; 0 is never.',
    REFRESH,
    'each part is due',
  ),
  RouteSource: row('Whether blocks or pods say where addresses are.', CALC, '[CG41]'),
  RouteSyncDisabled: row('No routes are made.', ROUTES, '[DP53]'),
  ServiceLoopPrevention: row('What happens to untranslated packets to services.', NAT, '[DP26]'),
  VXLANEnabled: row('Whether there are VXLAN tunnels, whatever pools say.', CALC, '[CG37]'),
  VXLANMTU: row('MTU of the IPv4 tunnel; 0 finds it out.', TUNNEL, '[DP31]'),
  VXLANMTUV6: row('MTU of the IPv6 tunnel.', TUNNEL, '[DP31]'),
  VXLANPort: row('UDP port of the tunnels.', TUNNEL, '[DP31]'),
  VXLANVNI: row('Network identifier of the tunnels.', TUNNEL, '[DP31]'),
  WorkloadSourceSpoofing: row('Any: annotated prefixes may be sent from.', NAT, '[DP27]'),
};
