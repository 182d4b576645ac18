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
    | 'ClusterNetworkPolicy';
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

/** `net`: members are masked prefixes; `ip-port`: members are `address,tcp|udp|sctp:port`. */
export interface IpSet {
  readonly id: string;
  readonly type: 'net' | 'ip-port';
  readonly members: ReadonlySet<string>;
}

export interface DataplanePolicy {
  readonly id: PolicyId;
  readonly tier: string;
  readonly ingress: readonly DataplaneRule[];
  readonly egress: readonly DataplaneRule[];
}

export interface EndpointTier {
  readonly name: string;
  /** What happens to a packet that no policy of the tier decides. */
  readonly defaultAction: 'Deny' | 'Pass';
  /** Policy keys (`policyKey`) in order; a tier without any does not appear. */
  readonly policies: readonly string[];
}

/** A workload attached to this host. */
export interface LocalEndpoint {
  /** `namespace/pod`. */
  readonly id: string;
  readonly interfaceName: string;
  /** Host prefixes, either family. The only sources it may send from. */
  readonly addresses: readonly string[];
  readonly ingress: readonly EndpointTier[];
  readonly egress: readonly EndpointTier[];
  /** Policy keys of kind Profile, in order; a packet that none decides is dropped. */
  readonly profiles: readonly string[];
}

/** A route to a block of pod addresses on another host, through that host. */
export interface HostRoute {
  readonly destination: string;
  readonly gateway: string;
}

/** All that the dataplane of one host must make true. Complete: what is absent must go. */
export interface DataplaneState {
  readonly ipSets: ReadonlyMap<string, IpSet>;
  /** By `policyKey`; policies and profiles that some local endpoint uses. */
  readonly policies: ReadonlyMap<string, DataplanePolicy>;
  readonly endpoints: ReadonlyMap<string, LocalEndpoint>;
  readonly routes: readonly HostRoute[];
  /** Blocks of this host: unreachable where no pod has the address, so that nothing loops. */
  readonly blackholes: readonly string[];
  readonly endpointToHostAction: 'Drop' | 'Return' | 'Accept';
}

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
