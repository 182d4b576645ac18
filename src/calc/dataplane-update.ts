// The contract between calculation and dataplane: everything one host must enforce, as one value.
import type { Family } from '#lib';

/** Which way a packet crosses the endpoint: `ingress` is towards it. */
export type Direction = 'ingress' | 'egress';

/** Identifies a policy everywhere: in chains, log prefixes, flows and explanations. */
export interface PolicyId {
  readonly kind:
    | 'NetworkPolicy'
    | 'GlobalNetworkPolicy'
    | 'KubernetesNetworkPolicy'
    | 'Profile'
    | 'ClusterNetworkPolicy'
    | 'StagedNetworkPolicy'
    | 'StagedGlobalNetworkPolicy'
    | 'StagedKubernetesNetworkPolicy';
  readonly namespace: string | null;
  readonly name: string;
}

/** `ports`: single ports are `[n, n]`. */
export type PortRange = readonly [first: number, last: number];

/**
 * One rule as the dataplane sees it: sets and numbers, no selectors. All conditions must hold;
 * items of one list are alternatives; an empty list of set IDs is no condition.
 */
export interface DataplaneRule {
  readonly action: 'Allow' | 'Deny' | 'Pass' | 'Log';
  /** The index of the rule in the policy as its author wrote it. */
  readonly index: number;
  readonly ipVersion?: Family;
  readonly protocol?: number;
  readonly notProtocol?: number;
  readonly icmp?: { readonly type: number; readonly code?: number };
  readonly notIcmp?: { readonly type: number; readonly code?: number };
  readonly source: DataplaneEntity;
  readonly destination: DataplaneEntity;
}

export interface DataplaneEntity {
  /** Masked prefixes, either family. Absent is no condition; an empty list never matches. */
  readonly nets?: readonly string[];
  readonly notNets?: readonly string[];
  /** Each set must contain the address (they are ANDed). */
  readonly ipSets: readonly string[];
  /** No set may contain the address. */
  readonly notIpSets: readonly string[];
  /** Absent is no condition. Numeric ports and named port sets are alternatives of each other. */
  readonly ports?: readonly PortRange[];
  readonly namedPortSets?: readonly string[];
  readonly notPorts?: readonly PortRange[];
  readonly notNamedPortSets?: readonly string[];
}

/**
 * A value, as its members. `net`: members are masked prefixes; `ip-port`: members are `address,tcp|udp|sctp:port`.
 * What two versions of the members differ in is found at the cost of the difference (`setDifference` in #lib).
 */
export interface IpSet {
  readonly id: string;
  readonly type: 'net' | 'ip-port';
  readonly members: ReadonlySetLike<string> & Iterable<string>;
}

export interface DataplanePolicy {
  readonly id: PolicyId;
  readonly tier: string;
  /** Staged: its rules are counted and logged where it stands, and decide nothing. Absent is false. */
  readonly staged?: boolean;
  readonly ingress: readonly DataplaneRule[];
  readonly egress: readonly DataplaneRule[];
}

export interface EndpointTier {
  readonly name: string;
  /** What happens to a packet that no policy decides; Pass where every policy of the tier is staged. */
  readonly defaultAction: 'Deny' | 'Pass';
  /** Policy keys (`policyKey`) in order; a tier without any does not appear. */
  readonly policies: readonly string[];
}

/** A workload attached to this host. */
export interface LocalEndpoint {
  /** `namespace/pod`. */
  readonly id: string;
  readonly interfaceName: string;
  /** Host prefixes, either family. The only sources it may send from, besides `allowedSources`. */
  readonly addresses: readonly string[];
  /** Masked prefixes, either family, that it may send from too (spec 02: pod-spoof protection). */
  readonly allowedSources: readonly string[];
  /** Addresses at which it is reached, and as which it speaks, besides its own (spec 04: floatingIPs). */
  readonly floatingAddresses: readonly FloatingAddress[];
  readonly ingress: readonly EndpointTier[];
  readonly egress: readonly EndpointTier[];
  /** Policy keys of kind Profile, in order; a packet that none decides is dropped. */
  readonly profiles: readonly string[];
  /** A virtual machine is on its way from here, or to here; absent where none is. */
  readonly migration?: MigrationRole;
  /** What the agent makes of the migration; absent: routes as usual. Not of the calculation. */
  readonly routing?: 'none' | 'elevated';
}

export type MigrationRole = 'source' | 'target';

/** `internal` is one of the endpoint's addresses; both without length, and of one family. */
export interface FloatingAddress {
  readonly external: string;
  readonly internal: string;
}

/** Tiers of one stage. Ingress is into the host by the interface, egress out of it. */
export interface StageTiers {
  readonly ingress: readonly EndpointTier[];
  readonly egress: readonly EndpointTier[];
}

/**
 * An interface of the host itself (spec 10). The stages are met in this order; an Allow in one of the
 * first two skips the later ones of this endpoint, and their tiers end in Pass. A stage has the tiers
 * that have a policy in it.
 */
export interface HostEndpoint {
  /** Name of the HostEndpoint. */
  readonly id: string;
  /** `*`: every interface that is no workload's and has no endpoint of its own. Null: see `addresses`. */
  readonly interfaceName: string | null;
  /** Without length. Where there is no name, the first interface that has one of these is meant. */
  readonly addresses: readonly string[];
  /** Before connection tracking, both ways; empty for `*`. */
  readonly untracked: StageTiers;
  /** Before destination NAT, whatever the packet is bound for; ingress only. */
  readonly preDnat: readonly EndpointTier[];
  /** Packets through the host; where no tier applies they pass. */
  readonly forward: StageTiers;
  /** Packets to and from the host itself; then come the profiles, and then a drop. */
  readonly normal: StageTiers;
  /** As of workloads. */
  readonly profiles: readonly string[];
}

/** A port that host endpoints never close (spec 10). */
export interface FailsafePort {
  readonly protocol: number;
  readonly port: number;
  /** Masked prefix of the remote end; absent is any, of either family. */
  readonly net?: string;
}

/** A route to a block of pod addresses on another host. */
export interface HostRoute {
  readonly destination: string;
  /** An address of that host; for `vxlan` its tunnel address, which is one of the tunnel's `peers`. */
  readonly gateway: string;
  /** Absent: through the host's own interfaces. `ipip`: through the IPIP device, in a packet to the gateway. */
  readonly by?: 'vxlan' | 'ipip';
}

/** One family's VXLAN device (spec 08). The peers' blocks are in `routes`. */
export interface VxlanTunnel {
  readonly family: Family;
  readonly vni: number;
  /** UDP. */
  readonly port: number;
  /** 0: that of the host's interfaces, less what the wrapping takes. */
  readonly mtu: number;
  /** This host's address on the tunnel, without length, and the device's MAC address. */
  readonly address: string;
  readonly mac: string;
  /** This host's address under the tunnel: what it sends wrapped packets from. */
  readonly underlay: string;
  readonly peers: readonly VxlanPeer[];
}

export interface VxlanPeer {
  readonly node: string;
  /** On the tunnel. */
  readonly address: string;
  readonly mac: string;
  /** Where wrapped packets are sent. */
  readonly underlay: string;
}

/** The IPIP device, of IPv4 alone (spec 08): a packet is wrapped into one to the gateway of its route. */
export interface IpipTunnel {
  /** 0: that of the host's interfaces, less what the wrapping takes. */
  readonly mtu: number;
  /** This host's address on the tunnel, without length; null where it has none. */
  readonly address: string | null;
  /** Addresses of the other nodes: wrapped packets come from them alone. */
  readonly peers: readonly string[];
}

/** Source NAT of what workloads send out of the cluster (spec 04: natOutgoing). */
export interface NatOutgoing {
  /** Masked prefixes of the pools with natOutgoing. */
  readonly sources: readonly string[];
  /** Masked prefixes that are left alone: every pool, and the hosts' addresses where so configured. */
  readonly excluded: readonly string[];
  /** The source port comes from this range. */
  readonly ports?: PortRange;
  /** IPv4 sources become this address instead of that of the interface. */
  readonly address?: string;
  /** Only what leaves by this interface; absent is any. `eth+` is every name that begins so. */
  readonly interfaceName?: string;
}

/** What to do with packets to the cluster's service addresses that nothing has translated. */
export interface ServiceLoopPrevention {
  readonly action: 'Drop' | 'Reject' | 'Disabled';
  /** Masked prefixes. */
  readonly nets: readonly string[];
}

/** `packets` in a time, after a burst of so many. */
export interface LogRate {
  readonly packets: number;
  readonly per: 'second' | 'minute' | 'hour' | 'day';
  readonly burst: number;
}

/** How routes are made, and which of others' are taken away (spec 04: route protocols, route priority). */
export interface RouteSettings {
  /** Of routes to local workloads. */
  readonly deviceProtocol: number;
  /** Of routes to other hosts. */
  readonly clusterProtocol: number;
  /** Whether routes to workloads' interfaces that nobody wants are taken away, whoever made them. */
  readonly removeExternal: boolean;
  /** Metrics. */
  readonly priority: Readonly<
    Record<Family, { readonly normal: number; readonly elevated: number }>
  >;
}

/**
 * What a denied packet gets. Of Calico Enterprise's `dropActionOverride`: `Accept` lets it pass though it was denied,
 * which the flow log says; `LogAnd` tells the kernel's log.
 */
export type DenyAction =
  | 'Drop'
  | 'Reject'
  | 'Accept'
  | 'LogAndDrop'
  | 'LogAndReject'
  | 'LogAndAccept';

/** The rest of what FelixConfiguration says about the host's data path. */
export interface HostSettings {
  readonly failsafeInbound: readonly FailsafePort[];
  readonly failsafeOutbound: readonly FailsafePort[];
  readonly denyAction: DenyAction;
  /** The bits of the packet's mark that may be used, two at least. */
  readonly markMask: number;
  /** False where `disableConntrackInvalidCheck` is set. */
  readonly dropInvalid: boolean;
  readonly allowVxlanFromWorkloads: boolean;
  readonly allowIpipFromWorkloads: boolean;
  readonly vxlanPort: number;
  /** Masked prefixes: hosts of no Node that may send wrapped packets too (`externalNodesList`). */
  readonly externalNodes: readonly string[];
  /** Of Log rules; without the colon that ends it. May hold `%t`, `%k`, `%n` and `%p` (spec 02: Log action). */
  readonly logPrefix: string;
  /** Of each Log rule; null is no limit. */
  readonly logRate: LogRate | null;
  /** False: whether the host forwards is left to others. */
  readonly ipForwarding: boolean;
  /** Whether tunnels leave checksums to the interfaces below: many get them wrong. */
  readonly checksumOffload: boolean;
  /** Regular expression: the host's interfaces whose smallest MTU counts. */
  readonly mtuInterfacePattern: string;
  /** False: somebody else makes the routes. */
  readonly routeSync: boolean;
  readonly routes: RouteSettings;
  /** False: IPv6 gets no routes, no tunnel and no forwarding; what policy denies stays denied. */
  readonly ipv6: boolean;
  /** Interfaces whose names begin so belong to workloads, known or not. */
  readonly workloadPrefixes: readonly string[];
  /** Regular expressions: the host's interfaces that are no host endpoint's by their addresses. */
  readonly excludedInterfaces: readonly string[];
  /** Established connections take the kernel's short way past the rules. */
  readonly flowOffload: FlowOffload | null;
  /** Preferred source of routes to local workloads. */
  readonly deviceRouteSource: Readonly<Partial<Record<Family, string>>>;
}

/** Between workloads, and where a pattern is given also between them and the host's interfaces that it names. */
export interface FlowOffload {
  /** Regular expression; empty is none of them. */
  readonly hostInterfacePattern: string;
}

/** All that the dataplane of one host must make true. Complete: what is absent must go. */
export interface DataplaneState {
  readonly ipSets: ReadonlyMap<string, IpSet>;
  /** By `policyKey`; policies and profiles that some local endpoint uses. */
  readonly policies: ReadonlyMap<string, DataplanePolicy>;
  readonly endpoints: ReadonlyMap<string, LocalEndpoint>;
  /** By name of the HostEndpoint. */
  readonly hostEndpoints: ReadonlyMap<string, HostEndpoint>;
  readonly routes: readonly HostRoute[];
  /** Blocks of this host: unreachable where no pod has the address, so that nothing loops. */
  readonly blackholes: readonly string[];
  /** At most one of a family. */
  readonly tunnels: readonly VxlanTunnel[];
  /** Addresses without length that the host says are its own to neighbours in a subnet that has them. */
  readonly proxied: readonly string[];
  /** Null where no pool asks for it. */
  readonly ipip: IpipTunnel | null;
  readonly natOutgoing: NatOutgoing;
  readonly serviceLoopPrevention: ServiceLoopPrevention;
  readonly endpointToHostAction: 'Drop' | 'Return' | 'Accept';
  readonly settings: HostSettings;
}

const TCP = 6;
const UDP = 17;
const CONTROL_PLANE = [179, 2379, 2380, 5473, 6443, 6666, 6667].map((port) => ({
  protocol: TCP,
  port,
}));

/** A host with nothing on it and nothing configured: Felix's defaults (spec 04 and 10). */
export const BARE_STATE: DataplaneState = {
  ipSets: new Map(),
  policies: new Map(),
  endpoints: new Map(),
  hostEndpoints: new Map(),
  routes: [],
  blackholes: [],
  tunnels: [],
  proxied: [],
  ipip: null,
  natOutgoing: { sources: [], excluded: [] },
  serviceLoopPrevention: { action: 'Drop', nets: [] },
  endpointToHostAction: 'Accept',
  settings: {
    failsafeInbound: [{ protocol: TCP, port: 22 }, { protocol: UDP, port: 68 }, ...CONTROL_PLANE],
    failsafeOutbound: [{ protocol: UDP, port: 53 }, { protocol: UDP, port: 67 }, ...CONTROL_PLANE],
    denyAction: 'Drop',
    markMask: 0xffff0000,
    dropInvalid: true,
    allowVxlanFromWorkloads: false,
    allowIpipFromWorkloads: false,
    vxlanPort: 4789,
    externalNodes: [],
    logPrefix: 'calico-packet',
    logRate: null,
    ipForwarding: true,
    checksumOffload: false,
    mtuInterfacePattern: '^((en|wl|ww|sl|ib)[Pcopsvx].*|(eth|wlan|wwan).*)',
    routeSync: true,
    routes: {
      deviceProtocol: 3,
      clusterProtocol: 80,
      removeExternal: true,
      priority: { 4: { normal: 1024, elevated: 512 }, 6: { normal: 1024, elevated: 512 } },
    },
    ipv6: true,
    workloadPrefixes: ['cali'],
    excludedInterfaces: ['^kube-ipvs0$'],
    flowOffload: null,
    deviceRouteSource: {},
  },
};

/** Text key of a policy: `kind/namespace/name`, the namespace empty for global kinds. */
export function policyKey(id: PolicyId): string {
  return `${id.kind}/${id.namespace ?? ''}/${id.name}`;
}

/** The inverse of `policyKey`. Names hold no slash. */
export function parsePolicyKey(key: string): PolicyId {
  const [kind, namespace, name] = key.split('/');
  return {
    kind: kind as PolicyId['kind'],
    namespace: namespace === '' ? null : (namespace ?? null),
    name: name ?? '',
  };
}
