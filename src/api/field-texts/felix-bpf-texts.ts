// Texts of the agent's parameters of the eBPF dataplane, which are kept for installations that have one.
import type { FieldTexts } from './field-text.ts';

const KEPT = 'How long a connection is remembered';

const TIMEOUTS: FieldTexts = {
  '': `${KEPT}, by state; "Auto" takes what the kernel's own tracking says`,
  creationGracePeriod: 'At least so long, however it looks',
  genericTimeout: 'Protocols that have no entry of their own',
  icmpTimeout: 'ICMP',
  tcpEstablished: 'TCP that is established',
  tcpFinsSeen: 'TCP that both sides have closed',
  tcpResetSeen: 'TCP that was reset',
  tcpSynSent: 'TCP that has not been answered',
  udpTimeout: 'UDP',
};

const TEXTS: FieldTexts = {
  bpfAttachType: 'How programs are attached to interfaces',
  bpfConnectTimeLoadBalancing: 'For which connections the pod of a Service is chosen at connect()',
  bpfConnectTimeLoadBalancingEnabled: 'Older form of bpfConnectTimeLoadBalancing',
  bpfConntrackLogLevel: 'What the cleaning of connections logs',
  bpfConntrackMode: 'Who removes old connections: the agent, or a program in the kernel',
  bpfConntrackTimeouts: TIMEOUTS,
  bpfCTLBLogFilter: 'Which calls of the connect-time load balancer are logged: all, or none',
  bpfDSROptoutCIDRs: 'Clients whose answers go back through the node that they came to',
  bpfDataIfacePattern:
    "Interfaces that carry the node's traffic to the outside, as a regular expression",
  bpfDisableGROForIfaces: 'Interfaces without generic receive offload, as a regular expression',
  bpfDisableUnprivileged: 'Users without privileges may not load programs',
  bpfEnabled: 'Policy is enforced by eBPF programs instead of netfilter',
  bpfEnforceRPF: 'Whether packets must come in by the interface that leads back to their source',
  bpfExcludeCIDRsFromNAT: 'Addresses of Services that are left to others',
  bpfExportBufferSizeMB: 'Size of the buffer for events from the kernel, in MB',
  bpfExtToServiceConnmark: 'A mark for connections from outside to Services',
  bpfExternalServiceMode:
    'Whether the node with the pod answers clients itself (DSR) or through the first node',
  bpfForceTrackPacketsFromIfaces: "Interfaces whose traffic is known to the kernel's tracking too",
  bpfHostConntrackBypass: "The kernel's own tracking is left out for the node's traffic",
  bpfHostNetworkedNATWithoutCTLB:
    "Services for the node's own processes without the connect-time load balancer",
  bpfIPFragTimeout: 'How long fragments wait for the others',
  bpfIPFragmentReassemblyEnabled: 'Fragments are put together before policy sees them',
  bpfJITHardening: 'Whether the hardening of compiled programs may be lowered',
  bpfKubeProxyHealthzPort: "The port of kube-proxy's health report",
  bpfKubeProxyIptablesCleanupEnabled: 'The rules that kube-proxy left behind are removed',
  bpfKubeProxyMinSyncPeriod: 'The least time between two updates of Services',
  bpfL3IfacePattern:
    'Interfaces without link-layer headers, such as tunnels, as a regular expression',
  bpfLogFilters: 'By interface or endpoint: packets that are logged, in the language of tcpdump',
  bpfLogLevel: 'What programs log',
  bpfMaglevMaxEndpointsPerService: 'Pods of one Service that Maglev spreads over',
  bpfMaglevMaxServices: 'Services that Maglev is for',
  bpfMapSizeConntrack: 'Entries of the map of connections',
  bpfMapSizeConntrackCleanupQueue: 'Entries of the map of connections to be removed',
  bpfMapSizeConntrackScaling: 'Whether the map of connections grows when it is full',
  bpfMapSizeIPSets: 'Entries of the map of IP sets',
  bpfMapSizeIfState: 'Entries of the map of interfaces',
  bpfMapSizeNATAffinity: 'Entries of the map of clients that are kept at one pod',
  bpfMapSizeNATBackend: 'Entries of the map of pods of Services',
  bpfMapSizeNATFrontend: 'Entries of the map of Services',
  bpfMapSizePerCpuConntrack:
    'Entries of the map of connections for each processor, instead of one size',
  bpfMapSizeRoute: 'Entries of the map of routes',
  bpfOverlayHostSourceIP: "Which address the node's own traffic has in an overlay",
  bpfPSNATPorts: 'Ports that are given where two clients have the same',
  bpfPolicyDebugEnabled: 'Programs carry what tools need to show policy',
  bpfProfiling: 'Programs measure their time',
  bpfRedirectToPeer: 'Packets go straight into the namespace of the pod',
};

export const FELIX_BPF_TEXTS: FieldTexts = Object.fromEntries(
  Object.entries(TEXTS).map(([field, text]) => [field, ofDataplane(text)]),
);

function ofDataplane(text: FieldTexts[string]): string | FieldTexts {
  const prefix = 'Of the eBPF dataplane: ';
  if (typeof text === 'string') return prefix + lowerFirst(text);
  return { ...text, '': prefix + lowerFirst(text?.[''] ?? '') };
}

function lowerFirst(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1);
}
