// Parameters of Calico Enterprise for parts that are not built: read and checked as the others, by part.
import { type Parameter, parameter, type ParameterParser } from './parameter.ts';
import {
  boolean,
  integer,
  markMask,
  milliseconds,
  oneOf,
  path,
  port,
  regexp,
  seconds,
  text,
} from './text-parsers.ts';

/** `field` of FelixConfiguration; one that begins with a capital letter is of the host alone. */
interface Row {
  readonly field: string;
  readonly parser: ParameterParser;
  readonly defaultText: string;
}

function row(field: string, parser: ParameterParser, defaultText = ''): Row {
  return { field, parser, defaultText };
}

const count = integer(0);

/** By the part that they are for. */
const PARTS: Readonly<Record<string, readonly Row[]>> = {
  'DNS policy and logs': [
    row('bpfDNSPolicyMode', oneOf('Inline', 'NoDelay'), 'Inline'),
    row('dnsCacheEpoch', integer(), '0'),
    row('dnsCacheFile', path, '/var/run/calico/felix-dns-cache.txt'),
    row('dnsCacheSaveInterval', seconds, '60'),
    row('dnsExtraTTL', seconds, '0'),
    row('dnsLogsFileAggregationKind', integer(0, 1), '1'),
    row('dnsLogsFileDirectory', path, '/var/log/calico/dnslogs'),
    row('dnsLogsFileEnabled', boolean, 'false'),
    row('dnsLogsFileIncludeLabels', boolean, 'true'),
    row('dnsLogsFileMaxFileSizeMB', count, '100'),
    row('dnsLogsFileMaxFiles', count, '5'),
    row('dnsLogsFilePerNodeLimit', count, '0'),
    row('dnsLogsFlushInterval', seconds, '300'),
    row('dnsLogsLatency', boolean, 'true'),
    row('dnsPacketsNfqueueID', count, '101'),
    row('dnsPacketsNfqueueMaxHoldDuration', milliseconds, '3000'),
    row('dnsPacketsNfqueueSize', count, '100'),
    row(
      'dnsPolicyMode',
      oneOf('DelayDNSResponse', 'DelayDeniedPacket', 'Inline', 'NoDelay'),
      'DelayDeniedPacket',
    ),
    row('dnsPolicyNfqueueID', count, '100'),
    row('dnsPolicyNfqueueSize', count, '255'),
    row('dnsTrustedServers', text, 'k8s-service:kube-dns'),
    row('flowLogsDestDomainsByClient', boolean, 'true'),
    row('flowLogsFileDomainsLimit', count, '5'),
    row(
      'nftablesDNSPolicyMode',
      oneOf('DelayDNSResponse', 'DelayDeniedPacket', 'NoDelay'),
      'DelayDeniedPacket',
    ),
    row('DebugDNSDoNotWriteIPSets', boolean, 'false'),
    row('DebugDNSResponseDelay', milliseconds, '0'),
  ],
  'the logs and the proxy of the application layer': [
    row('l7LogsFileAggregationDestinationInfo', text, 'IncludeL7DestinationInfo'),
    row('l7LogsFileAggregationHTTPHeaderInfo', text, 'ExcludeL7HTTPHeaderInfo'),
    row('l7LogsFileAggregationHTTPMethod', text, 'IncludeL7HTTPMethod'),
    row('l7LogsFileAggregationNumURLPath', integer(), '5'),
    row('l7LogsFileAggregationResponseCode', text, 'IncludeL7ResponseCode'),
    row('l7LogsFileAggregationServiceInfo', text, 'IncludeL7ServiceInfo'),
    row('l7LogsFileAggregationSourceInfo', text, 'IncludeL7SourceInfoNoPort'),
    row('l7LogsFileAggregationTrimURL', text, 'IncludeL7FullURL'),
    row('l7LogsFileAggregationURLCharLimit', integer(), '250'),
    row('l7LogsFileDirectory', path, '/var/log/calico/l7logs'),
    row('l7LogsFileEnabled', boolean, 'true'),
    row('l7LogsFileMaxFileSizeMB', count, '100'),
    row('l7LogsFileMaxFiles', count, '5'),
    row('l7LogsFilePerNodeLimit', count, '1500'),
    row('l7LogsFlushInterval', seconds, '300'),
    row('tproxyMode', oneOf('Disabled', 'EnabledAllServices', 'Enabled'), 'Disabled'),
    row('tproxyPort', port, '16001'),
    row('tproxyUpstreamConnMark', markMask, '0x17'),
    row('wafEventLogsFileDirectory', path, '/var/log/calico/waf'),
    row('wafEventLogsFileEnabled', boolean, 'false'),
    row('wafEventLogsFileMaxFileSizeMB', count, '100'),
    row('wafEventLogsFileMaxFiles', count, '5'),
    row('wafEventLogsFlushInterval', seconds, '15'),
  ],
  'logs of policy activity': [
    row('policyActivityLogsFileDirectory', path, '/var/log/calico/policy'),
    row('policyActivityLogsFileEnabled', boolean, 'true'),
    row('policyActivityLogsFileMaxFileSizeMB', count, '100'),
    row('policyActivityLogsFileMaxFiles', count, '5'),
    row('policyActivityLogsFlushInterval', seconds, '15'),
    row('PolicyActivityRefreshInterval', seconds, '3600'),
  ],
  'reports of flows in other ways than those of this agent': [
    row('deletedMetricsRetentionSecs', seconds, '30'),
    row('flowLogsAggregationThresholdBytes', count, '8192'),
    row('flowLogsCollectProcessPath', boolean, 'false'),
    row('flowLogsDynamicAggregationEnabled', boolean, 'false'),
    row('flowLogsEnableHostEndpoint', boolean, 'false'),
    row('flowLogsMaxOriginalIPsIncluded', count, '50'),
    row('flowLogsPolicyScope', oneOf('AllPolicies', 'EndpointPolicies'), 'EndpointPolicies'),
    row('flowLogsPositionFilePath', path, '/var/log/calico/flows.log.pos'),
    row('nfNetlinkBufSize', count, '65536'),
    row('prometheusReporterCAFile', path),
    row('prometheusReporterCertFile', path),
    row('prometheusReporterEnabled', boolean, 'false'),
    row('prometheusReporterKeyFile', path),
    row('prometheusReporterPort', port, '9092'),
    row('statsDumpFilePath', path, '/var/log/calico/stats/dump'),
    row('syslogReporterAddress', text),
    row('syslogReporterEnabled', boolean, 'false'),
    row('syslogReporterNetwork', text),
  ],
  'egress gateways and external networks': [
    row('egressGatewayPollFailureCount', count, '3'),
    row('egressGatewayPollInterval', seconds, '10'),
    row('egressIPHostIfacePattern', text),
    row('egressIPRoutingRulePriority', count, '100'),
    row(
      'egressIPSupport',
      oneOf('Disabled', 'EnabledPerNamespaceOrPerPod', 'EnabledPerNamespace'),
      'Disabled',
    ),
    row('egressIPVXLANPort', port, '4790'),
    row('egressIPVXLANVNI', count, '4097'),
    row('externalNetworkRoutingRulePriority', count, '102'),
    row('externalNetworkSupport', oneOf('Disabled', 'Enabled'), 'Disabled'),
    row('kubeMasqueradeBit', integer(0, 31), '14'),
  ],
  IPsec: [
    row('ipsecAllowUnsecuredTraffic', boolean, 'false'),
    row('ipsecESPAlgorithm', text, 'aes128gcm16-ecp256'),
    row('ipsecIKEAlgorithm', text, 'aes128gcm16-prfsha256-ecp256'),
    row('ipsecLogLevel', oneOf('DEBUG', 'INFO', 'NOTICE', 'VERBOSE'), 'INFO'),
    row('ipsecMode', text),
    row('ipsecPolicyRefreshInterval', seconds, '600'),
    row('IPSecPSKFile', path),
  ],
  'AWS integration': [
    row('awsRequestTimeout', seconds, '30'),
    row('awsSecondaryIPRoutingRulePriority', integer(0, 4_294_967_295), '101'),
    row('awsSecondaryIPSupport', oneOf('Disabled', 'EnabledENIPerWorkload', 'Enabled'), 'Disabled'),
  ],
  'an agent for Windows': [
    row('windowsDnsCacheFile', path, 'c:\\TigeraCalico\\felix-dns-cache.txt'),
    row('windowsDnsExtraTTL', seconds, '120'),
    row('windowsFlowLogsFileDirectory', path, 'c:\\TigeraCalico\\flowlogs'),
    row('windowsFlowLogsPositionFilePath', path, 'c:\\TigeraCalico\\flowlogs\\flows.log.pos'),
    row('windowsNetworkName', regexp, '(?i)calico.*'),
    row('windowsStatsDumpFilePath', path, 'c:\\TigeraCalico\\stats\\dump'),
    row('DebugWindowsPktMonStartArgs', text),
  ],
  "what serves Calico's own tests": [
    row('DebugCloudWatchLogsFile', path),
    row('DebugConsoleEnabled', boolean, 'false'),
    row('DebugUseShortPollIntervals', boolean, 'false'),
    row('logDropActionOverride', boolean, 'false'),
  ],
};

function parameterOf({ field, parser, defaultText }: Row): Parameter {
  const name = `${field.charAt(0).toUpperCase()}${field.slice(1)}`;
  return name === field
    ? parameter([name], parser, defaultText, 'local')
    : parameter([name, field], parser, defaultText);
}

/** By the part that they wait for. */
export const ENTERPRISE_PARTS: ReadonlyMap<string, readonly Parameter[]> = new Map(
  Object.entries(PARTS).map(([part, rows]) => [part, rows.map(parameterOf)]),
);

export const ENTERPRISE_PARAMETERS: readonly Parameter[] = [...ENTERPRISE_PARTS.values()].flat();
